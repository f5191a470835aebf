//! What each system and kind of enrollment takes, as data: commands, profile payloads, queries,
//! declarations and status items with the version that brought them.
//!
//! Facts of Apple's published device-management schema (18.3 data, declarations with the 26.4 layer).

use super::{
    device::Device,
    hardware::{Family, Version},
};

/// A row: name, first iOS, first macOS, letters (`i`, `m`) of the systems that take it under User
/// Enrollment, letters where it needs supervision, macOS channels, required keys.
type Rule =
    (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str, &'static [&'static str]);
/// A row: query, first iOS, first macOS, User Enrollment letters, supervision letters.
type Query = (&'static str, &'static str, &'static str, &'static str, &'static str);
/// A row: name, first iOS, first macOS, enrollment letters on iOS and on macOS (`s`upervised,
/// `d`evice, `u`ser, `l`ocal), required keys.
type Declared = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

/// Why something is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untaken {
    /// Nobody knows this name.
    Unknown,
    /// Not on this family or not on this version of it.
    System,
    /// Not under User Enrollment.
    Enrollment,
    /// Only on supervised devices.
    Supervision,
    /// Not on this channel.
    Channel,
}

fn since(row_ios: &str, row_mac: &str, family: Family) -> Option<Version> {
    Version::parse(if family.is_mac() { row_mac } else { row_ios })
}

fn lettered(letters: &str, family: Family) -> bool {
    letters.contains(if family.is_mac() { 'm' } else { 'i' })
}

fn check(rule: &Rule, device: &Device, user_channel: bool) -> Result<&'static [&'static str], Untaken> {
    let family = device.hardware.family;
    match since(rule.1, rule.2, family) {
        Some(version) if version <= device.hardware.system => {}
        _ => return Err(Untaken::System),
    }
    if device.is_user_enrollment() && !lettered(rule.3, family) {
        return Err(Untaken::Enrollment);
    }
    if lettered(rule.4, family) && !device.supervised {
        return Err(Untaken::Supervision);
    }
    if family.is_mac() && rule.5 != "-" && !rule.5.contains(if user_channel { 'U' } else { 'D' }) {
        return Err(Untaken::Channel);
    }
    Ok(rule.6)
}

/// The required keys of a command, where this device takes it.
pub fn command(name: &str, device: &Device, user_channel: bool) -> Result<&'static [&'static str], Untaken> {
    COMMANDS.iter().find(|rule| rule.0 == name).map_or(Err(Untaken::Unknown), |rule| check(rule, device, user_channel))
}

/// The required keys of a profile payload, where this device takes it.
pub fn payload(name: &str, device: &Device, user_channel: bool) -> Result<&'static [&'static str], Untaken> {
    PAYLOADS.iter().find(|rule| rule.0 == name).map_or(Err(Untaken::Unknown), |rule| check(rule, device, user_channel))
}

/// Whether a DeviceInformation query is answered at all.
pub fn query(name: &str, device: &Device) -> bool {
    QUERIES.iter().any(|row| {
        row.0 == name
            && since(row.1, row.2, device.hardware.family).is_some_and(|version| version <= device.hardware.system)
            && (!device.is_user_enrollment() || lettered(row.3, device.hardware.family))
            && (!lettered(row.4, device.hardware.family) || device.supervised)
    })
}

fn declared(row: &Declared, device: &Device) -> bool {
    let mac = device.hardware.family.is_mac();
    since(row.1, row.2, device.hardware.family).is_some_and(|version| version <= device.hardware.system)
        && (if mac { row.4 } else { row.3 }).contains(device.enrollment_letter())
}

/// The required payload keys of a declaration type (with its `com.apple.` prefix), where supported.
pub fn declaration(name: &str, device: &Device) -> Option<&'static [&'static str]> {
    let name = name.strip_prefix("com.apple.")?;
    DECLARATIONS.iter().find(|row| row.0 == name && declared(row, device)).map(|row| row.5)
}

/// Declaration types of a kind (`activation`, `asset`, ...) this device supports, in full.
pub fn declarations_of(kind: &str, device: &Device) -> Vec<String> {
    let of_kind = |row: &&Declared| row.0.split('.').next() == Some(kind) && declared(row, device);
    DECLARATIONS.iter().filter(of_kind).map(|row| format!("com.apple.{}", row.0)).collect()
}

/// Status items this device can report.
pub fn status_items(device: &Device) -> Vec<&'static str> {
    STATUS_ITEMS.iter().filter(|row| declared(row, device)).map(|row| row.0).collect()
}

#[rustfmt::skip]
const COMMANDS: &[Rule] = &[
    ("AccountConfiguration", "", "10.11", "", "", "D", &[]),
    ("ActivationLockBypassCode", "7.1", "10.15", "", "im", "D", &[]),
    ("ActiveNSExtensions", "", "10.13", "", "", "U", &[]),
    ("ApplyRedemptionCode", "5.0", "", "", "", "-", &["Identifier", "RedemptionCode"]),
    ("AvailableOSUpdates", "9.0", "10.11", "", "i", "D", &[]),
    ("CertificateList", "4.0", "10.7", "im", "", "DU", &[]),
    ("ClearActivationLockBypassCode", "7.1", "10.15", "", "im", "D", &[]),
    ("ClearPasscode", "4.0", "", "", "", "-", &["UnlockToken"]),
    ("ClearRestrictionsPassword", "8.0", "", "", "i", "-", &[]),
    ("ContentCachingInformation", "", "10.15", "", "", "D", &[]),
    ("DeclarativeManagement", "15.0", "13.0", "im", "", "DU", &[]),
    ("DeleteUser", "9.3", "10.13", "", "m", "D", &[]),
    ("DeviceConfigured", "9.0", "10.11", "", "i", "D", &[]),
    ("DeviceInformation", "4.0", "10.7", "im", "", "DU", &["Queries"]),
    ("DeviceLocation", "9.3", "", "", "i", "-", &[]),
    ("DeviceLock", "4.0", "10.7", "i", "", "D", &[]),
    ("DisableLostMode", "9.3", "", "", "i", "-", &[]),
    ("DisableRemoteDesktop", "", "10.14", "", "m", "D", &[]),
    ("EnableLostMode", "9.3", "", "", "i", "-", &[]),
    ("EnableRemoteDesktop", "", "10.14", "", "m", "D", &[]),
    ("EraseDevice", "4.0", "10.7", "", "", "D", &[]),
    ("InstallApplication", "5.0", "10.9", "im", "", "DU", &[]),
    ("InstallEnterpriseApplication", "", "10.13", "m", "", "D", &[]),
    ("InstallMedia", "8.0", "10.9", "i", "", "U", &["MediaType"]),
    ("InstallProfile", "4.0", "10.7", "im", "", "DU", &["Payload"]),
    ("InstallProvisioningProfile", "4.0", "11.0", "im", "", "D", &["ProvisioningProfile"]),
    ("InstalledApplicationList", "5.0", "10.7", "i", "", "DU", &[]),
    ("InviteToProgram", "7.0", "10.9", "", "", "U", &["ProgramID", "InvitationURL"]),
    ("LOMDeviceRequest", "", "11.0", "", "", "D", &["RequestList"]),
    ("LOMSetupRequest", "", "11.0", "", "", "D", &[]),
    ("LogOutUser", "9.3", "", "", "", "-", &[]),
    ("ManagedApplicationAttributes", "7.0", "", "i", "", "-", &["Identifiers"]),
    ("ManagedApplicationConfiguration", "7.0", "10.15", "im", "", "D", &["Identifiers"]),
    ("ManagedApplicationFeedback", "7.0", "11.0", "i", "", "U", &["Identifiers"]),
    ("ManagedApplicationList", "5.0", "11.0", "im", "", "DU", &[]),
    ("ManagedMediaList", "8.0", "", "i", "", "-", &[]),
    ("NSExtensionMappings", "", "10.13", "", "", "U", &[]),
    ("OSUpdateStatus", "9.0", "10.11", "", "im", "D", &[]),
    ("PlayLostModeSound", "10.3", "", "", "i", "-", &[]),
    ("ProfileList", "4.0", "10.7", "im", "", "DU", &[]),
    ("ProvisioningProfileList", "4.0", "11.0", "im", "", "D", &[]),
    ("RefreshCellularPlans", "13.0", "", "", "", "-", &["eSIMServerURL"]),
    ("RemoveApplication", "5.0", "11.0", "i", "", "D", &["Identifier"]),
    ("RemoveMedia", "8.0", "", "i", "", "-", &["MediaType"]),
    ("RemoveProfile", "4.0", "10.7", "im", "", "DU", &["Identifier"]),
    ("RemoveProvisioningProfile", "4.0", "11.0", "im", "", "D", &["UUID"]),
    ("RequestMirroring", "7.0", "10.10", "im", "", "D", &[]),
    ("RequestUnlockToken", "5.0", "", "", "i", "-", &[]),
    ("RestartDevice", "10.3", "10.13", "", "i", "D", &[]),
    ("Restrictions", "4.0", "", "", "", "-", &[]),
    ("RotateFileVaultKey", "", "10.9", "", "", "D", &["KeyType", "FileVaultUnlock"]),
    ("ScheduleOSUpdate", "9.0", "10.11", "", "im", "D", &["Updates"]),
    ("ScheduleOSUpdateScan", "", "10.11", "", "m", "D", &[]),
    ("SecurityInfo", "4.0", "10.7", "im", "", "DU", &[]),
    ("SetAutoAdminPassword", "", "10.11", "", "", "D", &["GUID", "passwordHash"]),
    ("SetFirmwarePassword", "", "10.13", "", "", "D", &["NewPassword"]),
    ("SetRecoveryLock", "", "11.5", "", "", "D", &["NewPassword"]),
    ("Settings", "5.0", "10.9", "im", "", "DU", &["Settings"]),
    ("ShutDownDevice", "10.3", "10.13", "", "i", "D", &[]),
    ("StopMirroring", "7.0", "10.10", "", "i", "D", &[]),
    ("UnlockUserAccount", "", "10.13", "", "", "D", &["UserName"]),
    ("UserConfigured", "17.0", "", "", "i", "-", &[]),
    ("UserList", "9.3", "10.13", "", "m", "D", &[]),
    ("ValidateApplications", "9.2", "", "i", "", "-", &[]),
    ("VerifyFirmwarePassword", "", "10.13", "", "", "D", &["Password"]),
    ("VerifyRecoveryLock", "", "11.5", "", "", "D", &["Password"]),
];
#[rustfmt::skip]
const PAYLOADS: &[Rule] = &[
    (".GlobalPreferences", "", "10.7", "", "", "DU", &[]),
    ("com.apple.ADCertificate.managed", "", "10.7", "m", "", "DU", &["CertServer", "CertTemplate"]),
    ("com.apple.AssetCache.managed", "", "10.13", "", "", "D", &[]),
    ("com.apple.Dictionary", "", "10.7", "", "", "DU", &["parentalControl"]),
    ("com.apple.DirectoryService.managed", "", "10.8", "m", "", "D", &["HostName"]),
    ("com.apple.DiscRecording", "", "10.7", "", "", "DU", &["BurnSupport"]),
    ("com.apple.MCX", "", "10.7", "", "", "D", &[]),
    ("com.apple.MCX.FileVault2", "", "10.9", "", "", "D", &["Enable"]),
    ("com.apple.MCX.TimeMachine", "", "10.7", "", "", "D", &["BackupDestURL"]),
    ("com.apple.ManagedClient.preferences", "", "10.7", "", "", "DU", &["PayloadContent"]),
    ("com.apple.NSExtension", "", "10.13", "", "", "DU", &[]),
    ("com.apple.SetupAssistant.managed", "14.0", "10.12", "", "i", "DU", &[]),
    ("com.apple.ShareKitHelper", "", "10.9", "", "", "DU", &[]),
    ("com.apple.SoftwareUpdate", "", "10.7", "", "", "D", &[]),
    ("com.apple.SystemConfiguration", "", "10.7", "", "", "D", &["Proxies"]),
    ("com.apple.TCC.configuration-profile-policy", "", "10.14", "", "", "D", &["Services"]),
    ("com.apple.airplay", "7.0", "10.10", "im", "", "DU", &[]),
    ("com.apple.airprint", "7.0", "10.10", "im", "", "DU", &["AirPrint"]),
    ("com.apple.apn.managed", "4.0", "", "", "", "-", &["DefaultsData", "DefaultsDomainName"]),
    ("com.apple.app.lock", "6.0", "", "", "i", "-", &["App"]),
    ("com.apple.applicationaccess", "4.0", "10.7", "im", "", "DU", &[]),
    ("com.apple.applicationaccess.new", "", "10.7", "", "", "DU", &["familyControlsEnabled"]),
    ("com.apple.appstore", "", "10.9", "", "", "DU", &[]),
    ("com.apple.asam", "", "10.13", "", "", "D", &["AllowedApplications"]),
    ("com.apple.associated-domains", "", "10.15", "m", "", "DU", &["Configuration"]),
    ("com.apple.caldav.account", "4.0", "10.7", "im", "", "U", &["CalDAVHostName"]),
    ("com.apple.carddav.account", "4.0", "10.7", "im", "", "U", &["CardDAVHostName"]),
    ("com.apple.cellular", "7.0", "", "", "", "-", &[]),
    ("com.apple.cellularprivatenetwork.managed", "17.0", "", "i", "", "-", &["DataSetName", "VersionNumber"]),
    ("com.apple.configurationprofile.identification", "", "10.7", "m", "", "DU", &["PayloadIdentification"]),
    ("com.apple.declarations", "17.0", "14.0", "", "", "DU", &["Declarations"]),
    ("com.apple.desktop", "", "10.10", "", "", "DU", &[]),
    ("com.apple.dnsProxy.managed", "11.0", "10.15", "i", "", "D", &["AppBundleIdentifier"]),
    ("com.apple.dnsSettings.managed", "14.0", "11.0", "", "", "D", &["DNSSettings"]),
    ("com.apple.dock", "", "10.7", "", "", "DU", &[]),
    ("com.apple.domains", "8.0", "10.10", "", "", "DU", &[]),
    ("com.apple.eas.account", "4.0", "", "i", "", "-", &[]),
    ("com.apple.education", "9.3", "10.14", "im", "", "U", &["OrganizationUUID", "OrganizationName", "UserIdentifier", "Groups", "Users"]),
    ("com.apple.ews.account", "", "10.7", "m", "", "U", &[]),
    ("com.apple.extensiblesso", "13.0", "10.15", "im", "", "DU", &["ExtensionIdentifier", "Type"]),
    ("com.apple.familycontrols.contentfilter", "", "10.7", "", "", "DU", &["restrictWeb"]),
    ("com.apple.familycontrols.timelimits.v2", "", "10.7", "", "", "DU", &["familyControlsEnabled"]),
    ("com.apple.fileproviderd", "", "11.0", "m", "", "DU", &[]),
    ("com.apple.finder", "", "10.7", "", "", "DU", &[]),
    ("com.apple.firstactiveethernet.managed", "", "10.7", "m", "", "DU", &[]),
    ("com.apple.firstethernet.managed", "", "10.7", "m", "", "DU", &[]),
    ("com.apple.font", "7.0", "10.9", "im", "", "DU", &["Font"]),
    ("com.apple.gamed", "", "10.9", "", "", "DU", &[]),
    ("com.apple.globalethernet.managed", "17.0", "10.13", "im", "", "DU", &[]),
    ("com.apple.google-oauth", "9.3", "", "i", "", "-", &["EmailAddress"]),
    ("com.apple.homescreenlayout", "9.3", "", "", "i", "-", &["Pages"]),
    ("com.apple.ironwood.support", "", "10.9", "", "", "DU", &[]),
    ("com.apple.ldap.account", "4.0", "10.7", "im", "", "U", &["LDAPAccountHostName"]),
    ("com.apple.loginitems.managed", "", "10.13", "m", "", "DU", &["AutoLaunchedApplicationDictionary-managed"]),
    ("com.apple.loginwindow", "", "10.7", "", "", "D", &[]),
    ("com.apple.lom", "", "11.0", "", "", "D", &[]),
    ("com.apple.mail.managed", "4.0", "10.7", "im", "", "U", &["EmailAccountType", "IncomingMailServerAuthentication", "IncomingMailServerHostName", "OutgoingMailServerAuthentication", "OutgoingMailServerHostName"]),
    ("com.apple.mcxMenuExtras", "", "10.7", "", "", "DU", &[]),
    ("com.apple.mcxloginscripts", "", "10.7", "", "", "D", &[]),
    ("com.apple.mcxprinting", "", "10.7", "", "", "DU", &[]),
    ("com.apple.mdm", "4.0", "10.7", "im", "", "D", &["IdentityCertificateUUID", "Topic", "ServerURL"]),
    ("com.apple.mobiledevice.passwordpolicy", "4.0", "10.7", "i", "", "DU", &[]),
    ("com.apple.networkusagerules", "9.0", "", "", "", "-", &[]),
    ("com.apple.notificationsettings", "9.3", "10.15", "", "i", "DU", &["NotificationSettings"]),
    ("com.apple.preference.security", "", "10.10", "", "", "DU", &[]),
    ("com.apple.preference.users", "", "10.12", "m", "", "DU", &[]),
    ("com.apple.profileRemovalPassword", "4.0", "10.7", "", "i", "DU", &[]),
    ("com.apple.proxy.http.global", "6.0", "10.9", "", "i", "D", &[]),
    ("com.apple.relay.managed", "17.0", "14.0", "i", "", "DU", &["Relays"]),
    ("com.apple.screensaver", "", "10.11", "", "", "D", &["moduleName"]),
    ("com.apple.screensaver.user", "", "10.11", "", "", "U", &["moduleName"]),
    ("com.apple.secondactiveethernet.managed", "", "10.7", "m", "", "DU", &[]),
    ("com.apple.secondethernet.managed", "", "10.7", "m", "", "DU", &[]),
    ("com.apple.security.FDERecoveryKeyEscrow", "", "10.13", "", "", "D", &["Location", "EncryptCertPayloadUUID"]),
    ("com.apple.security.FDERecoveryRedirect", "", "10.9", "", "", "D", &["RedirectURL", "EncryptCertPayloadUUID"]),
    ("com.apple.security.acme", "16.0", "13.1", "im", "", "DU", &["DirectoryURL", "ClientIdentifier", "KeySize", "KeyType", "HardwareBound", "Subject"]),
    ("com.apple.security.certificatepreference", "", "10.12", "m", "", "U", &["Name", "PayloadCertificateUUID"]),
    ("com.apple.security.certificaterevocation", "14.2", "", "i", "", "-", &[]),
    ("com.apple.security.certificatetransparency", "12.1", "10.14", "im", "", "D", &[]),
    ("com.apple.security.firewall", "", "10.12", "", "", "D", &["EnableFirewall"]),
    ("com.apple.security.identitypreference", "", "10.12", "m", "", "U", &["Name", "PayloadCertificateUUID"]),
    ("com.apple.security.pem", "4.0", "10.7", "im", "", "DU", &["PayloadContent"]),
    ("com.apple.security.pkcs1", "4.0", "10.7", "im", "", "DU", &["PayloadContent"]),
    ("com.apple.security.pkcs12", "4.0", "10.7", "im", "", "DU", &["PayloadContent"]),
    ("com.apple.security.root", "4.0", "10.7", "im", "", "DU", &["PayloadContent"]),
    ("com.apple.security.scep", "4.0", "10.7", "im", "", "DU", &["PayloadContent"]),
    ("com.apple.security.smartcard", "", "10.12", "", "", "D", &[]),
    ("com.apple.servicemanagement", "", "13.0", "", "", "D", &["Rules"]),
    ("com.apple.shareddeviceconfiguration", "9.3", "", "", "i", "-", &[]),
    ("com.apple.sso", "7.0", "", "i", "", "-", &["Name"]),
    ("com.apple.subscribedcalendar.account", "4.0", "", "i", "", "-", &["SubCalAccountHostName"]),
    ("com.apple.syspolicy.kernel-extension-policy", "", "10.13", "", "", "D", &[]),
    ("com.apple.system-extension-policy", "", "10.15", "", "", "D", &[]),
    ("com.apple.system.logging", "", "10.12", "", "", "DU", &[]),
    ("com.apple.systemmigration", "", "10.12", "", "", "D", &[]),
    ("com.apple.systempolicy.control", "", "10.8", "", "", "D", &[]),
    ("com.apple.systempolicy.managed", "", "10.8", "", "", "DU", &[]),
    ("com.apple.systempolicy.rule", "", "10.8", "", "", "D", &[]),
    ("com.apple.systempreferences", "", "10.7", "", "", "DU", &[]),
    ("com.apple.systemuiserver", "", "10.7", "", "", "DU", &[]),
    ("com.apple.thirdactiveethernet.managed", "", "10.7", "m", "", "DU", &[]),
    ("com.apple.thirdethernet.managed", "", "10.7", "m", "", "DU", &[]),
    ("com.apple.tvremote", "11.3", "", "", "i", "-", &[]),
    ("com.apple.universalaccess", "", "10.9", "", "", "DU", &[]),
    ("com.apple.vpn.managed", "4.0", "10.7", "", "", "DU", &["VPNType", "UserDefinedName"]),
    ("com.apple.vpn.managed.applayer", "7.0", "10.9", "im", "", "DU", &["VPNUUID"]),
    ("com.apple.vpn.managed.appmapping", "", "10.9", "m", "", "D", &["AppLayerVPNMapping"]),
    ("com.apple.webClip.managed", "4.0", "10.7", "im", "", "U", &["URL", "Label"]),
    ("com.apple.webcontent-filter", "7.0", "10.15", "i", "", "D", &[]),
    ("com.apple.wifi.managed", "4.0", "10.7", "im", "", "DU", &[]),
    ("com.apple.xsan", "", "10.10", "", "", "D", &["sanName", "sanConfigURLs", "fsnameservers", "sharedSecret"]),
    ("com.apple.xsan.preferences", "", "10.11", "", "", "D", &[]),
    ("loginwindow", "", "10.7", "", "", "D", &[]),
];
#[rustfmt::skip]
const QUERIES: &[Query] = &[
    ("UDID", "4.0", "10.7", "", ""),
    ("ProvisioningUDID", "", "11.3", "", ""),
    ("OrganizationInfo", "7.0", "10.11", "im", ""),
    ("MDMOptions", "7.0", "11.0", "im", ""),
    ("LastCloudBackupDate", "8.0", "", "", ""),
    ("AwaitingConfiguration", "9.0", "10.11", "", ""),
    ("iTunesStoreAccountIsActive", "7.0", "10.9", "", ""),
    ("iTunesStoreAccountHash", "8.0", "10.10", "", ""),
    ("DeviceName", "4.0", "10.7", "im", ""),
    ("OSVersion", "4.0", "10.7", "im", ""),
    ("SupplementalOSVersionExtra", "16.1", "13.0", "im", ""),
    ("BuildVersion", "4.0", "10.7", "im", ""),
    ("SupplementalBuildVersion", "16.1", "13.0", "im", ""),
    ("ModelName", "4.0", "10.7", "im", ""),
    ("Model", "4.0", "10.7", "im", ""),
    ("ModelNumber", "16.4", "13.3", "im", ""),
    ("IsAppleSilicon", "", "12.0", "m", ""),
    ("ProductName", "4.0", "10.7", "im", ""),
    ("SerialNumber", "4.0", "10.7", "", ""),
    ("DeviceCapacity", "4.0", "10.7", "im", ""),
    ("AvailableDeviceCapacity", "4.0", "10.7", "im", ""),
    ("IMEI", "4.0", "", "", ""),
    ("MEID", "4.0", "", "", ""),
    ("ModemFirmwareVersion", "4.0", "", "", ""),
    ("CellularTechnology", "4.2", "", "i", ""),
    ("BatteryLevel", "5.0", "13.3", "im", ""),
    ("HasBattery", "", "13.3", "m", ""),
    ("IsSupervised", "6.0", "10.15", "im", ""),
    ("IsMultiUser", "9.3", "", "i", ""),
    ("IsDeviceLocatorServiceEnabled", "7.0", "", "i", ""),
    ("IsActivationLockEnabled", "7.0", "10.15", "", ""),
    ("IsActivationLockSupported", "", "10.15", "", ""),
    ("IsDoNotDisturbInEffect", "7.0", "", "", ""),
    ("EASDeviceIdentifier", "7.0", "", "i", ""),
    ("IsCloudBackupEnabled", "7.1", "", "", ""),
    ("ActiveManagedUsers", "", "10.11", "m", ""),
    ("OSUpdateSettings", "", "10.11", "", ""),
    ("LocalHostName", "", "10.11", "m", ""),
    ("HostName", "", "10.11", "m", ""),
    ("SystemIntegrityProtectionEnabled", "", "10.12", "m", ""),
    ("SupportsLOMDevice", "", "11.0", "m", ""),
    ("IsMDMLostModeEnabled", "9.3", "", "", ""),
    ("PushToken", "9.3", "10.12", "m", ""),
    ("DiagnosticSubmissionEnabled", "9.3", "", "i", ""),
    ("AppAnalyticsEnabled", "9.3", "", "i", ""),
    ("TimeZone", "14.0", "", "i", ""),
    ("ICCID", "4.0", "", "", ""),
    ("BluetoothMAC", "4.0", "10.7", "", ""),
    ("WiFiMAC", "4.0", "10.7", "", ""),
    ("EthernetMAC", "", "10.7", "", ""),
    ("CurrentCarrierNetwork", "4.0", "", "", ""),
    ("SubscriberCarrierNetwork", "5.0", "", "", ""),
    ("CarrierSettingsVersion", "4.0", "", "", ""),
    ("PhoneNumber", "4.0", "", "", ""),
    ("DataRoamingEnabled", "5.0", "", "", ""),
    ("VoiceRoamingEnabled", "5.0", "", "", ""),
    ("PersonalHotspotEnabled", "7.0", "", "", ""),
    ("IsNetworkTethered", "10.3", "", "i", ""),
    ("IsRoaming", "4.2", "", "", ""),
    ("SubscriberMCC", "4.2", "", "", ""),
    ("SubscriberMNC", "4.2", "", "", ""),
    ("CurrentMCC", "4.0", "", "", ""),
    ("CurrentMNC", "4.0", "", "", ""),
    ("ServiceSubscriptions", "12.0", "", "", ""),
    ("PINRequiredForEraseDevice", "", "11.0", "", ""),
    ("PINRequiredForDeviceLock", "", "11.0", "", ""),
    ("SupportsiOSAppInstalls", "", "11.0", "m", ""),
    ("SoftwareUpdateDeviceID", "15.0", "12.0", "", ""),
    ("SoftwareUpdateSettings", "14.5", "", "", ""),
    ("AccessibilitySettings", "16.0", "", "", "i"),
    ("DevicePropertiesAttestation", "16.0", "14.0", "im", ""),
    ("EACSPreflight", "", "13.3", "", ""),
];
#[rustfmt::skip]
const DECLARATIONS: &[Declared] = &[
    ("activation.simple", "15.0", "13.0", "sdul", "sdul", &["StandardConfigurations"]),
    ("asset.credential.acme", "17.0", "14.0", "sdul", "sdul", &["Reference"]),
    ("asset.credential.certificate", "17.0", "14.0", "sdul", "sdul", &["Reference"]),
    ("asset.credential.identity", "17.0", "14.0", "sdul", "sdul", &["Reference"]),
    ("asset.credential.scep", "17.0", "14.0", "sdul", "sdul", &["Reference"]),
    ("asset.credential.userpassword", "15.0", "13.0", "sdul", "sdul", &["Reference"]),
    ("asset.data", "17.0", "14.0", "sdul", "sdul", &["Reference"]),
    ("asset.useridentity", "15.0", "13.0", "sdul", "sdul", &[]),
    ("configuration.account.caldav", "15.0", "13.0", "sdul", "sul", &["HostName"]),
    ("configuration.account.carddav", "15.0", "13.0", "sdul", "sul", &["HostName"]),
    ("configuration.account.exchange", "15.0", "13.0", "sdul", "sul", &["EnabledProtocolTypes"]),
    ("configuration.account.google", "15.0", "13.0", "sdul", "sul", &["UserIdentityAssetReference"]),
    ("configuration.account.ldap", "15.0", "13.0", "sdul", "sul", &["HostName"]),
    ("configuration.account.mail", "15.0", "13.0", "sdul", "sul", &["IncomingServer", "OutgoingServer"]),
    ("configuration.account.subscribed-calendar", "15.0", "14.0", "sdul", "sul", &["CalendarURL"]),
    ("configuration.app.managed", "17.2", "26.0", "sdu", "su", &[]),
    ("configuration.audio-accessory.settings", "26.0", "", "s", "", &[]),
    ("configuration.diskmanagement.settings", "", "15.0", "", "sl", &[]),
    ("configuration.external-intelligence.settings", "26.4", "26.4", "s", "s", &[]),
    ("configuration.intelligence.settings", "26.4", "26.4", "s", "s", &[]),
    ("configuration.keyboard.settings", "26.4", "26.4", "s", "s", &[]),
    ("configuration.legacy", "15.0", "13.0", "sdul", "sul", &["ProfileURL"]),
    ("configuration.legacy.interactive", "15.0", "13.0", "sdu", "su", &["ProfileURL", "VisibleName"]),
    ("configuration.management.status-subscriptions", "15.0", "13.0", "sdu", "su", &["StatusItems"]),
    ("configuration.management.test", "15.0", "13.0", "sdul", "sul", &["Echo"]),
    ("configuration.math.settings", "18.0", "15.0", "s", "s", &[]),
    ("configuration.migration-assistant.settings", "", "26.4", "", "s", &["ShouldDoManagedMigration", "ShouldMigrateSecurityPrivacySettings"]),
    ("configuration.package", "", "26.0", "", "s", &["ManifestURL"]),
    ("configuration.passcode.settings", "15.0", "13.0", "sdul", "sl", &[]),
    ("configuration.safari.bookmarks", "26.0", "26.0", "sd", "s", &[]),
    ("configuration.safari.extensions.settings", "18.0", "15.0", "s", "s", &[]),
    ("configuration.safari.settings", "26.0", "26.0", "sd", "s", &[]),
    ("configuration.screensharing.connection", "", "14.0", "", "sul", &["ConnectionUUID", "DisplayName", "HostName", "DisplayConfiguration"]),
    ("configuration.screensharing.connection.group", "", "14.0", "", "sul", &["ConnectionGroupUUID", "GroupName", "Members"]),
    ("configuration.screensharing.host.settings", "", "14.0", "", "sl", &[]),
    ("configuration.security.certificate", "17.0", "14.0", "sdul", "sul", &["CredentialAssetReference"]),
    ("configuration.security.identity", "17.0", "14.0", "sdul", "sul", &["CredentialAssetReference"]),
    ("configuration.security.passkey.attestation", "17.0", "14.0", "sd", "s", &["AttestationIdentityAssetReference", "RelyingParties"]),
    ("configuration.services.background-tasks", "", "15.0", "", "s", &["TaskType"]),
    ("configuration.services.configuration-files", "", "14.0", "", "s", &["ServiceType", "DataAssetReference"]),
    ("configuration.siri.settings", "26.4", "26.4", "s", "s", &[]),
    ("configuration.softwareupdate.enforcement.specific", "17.0", "14.0", "sd", "s", &["TargetOSVersion", "TargetLocalDateTime"]),
    ("configuration.softwareupdate.settings", "18.0", "15.0", "sd", "s", &[]),
    ("configuration.watch.enrollment", "17.0", "", "s", "", &["EnrollmentProfileURL"]),
    ("management.organization-info", "15.0", "13.0", "sdul", "sdul", &["Name"]),
    ("management.properties", "16.0", "13.0", "sdul", "sdul", &[]),
    ("management.server-capabilities", "15.0", "13.0", "sdul", "sdul", &["Version", "SupportedFeatures"]),
];
#[rustfmt::skip]
const STATUS_ITEMS: &[Declared] = &[
    ("account.list.caldav", "16.0", "13.0", "sdul", "sul", &[]),
    ("account.list.carddav", "16.0", "13.0", "sdul", "sul", &[]),
    ("account.list.exchange", "16.0", "13.0", "sdul", "sul", &[]),
    ("account.list.google", "16.0", "13.0", "sdul", "sul", &[]),
    ("account.list.ldap", "16.0", "13.0", "sdul", "sul", &[]),
    ("account.list.mail.incoming", "16.0", "13.0", "sdul", "sul", &[]),
    ("account.list.mail.outgoing", "16.0", "13.0", "sdul", "sul", &[]),
    ("account.list.subscribed-calendar", "16.0", "14.0", "sdul", "sul", &[]),
    ("app.managed.list", "17.2", "", "sdu", "", &[]),
    ("device.identifier.serial-number", "16.0", "13.0", "sdl", "sl", &[]),
    ("device.identifier.udid", "16.0", "13.0", "sdl", "sl", &[]),
    ("device.model.family", "15.0", "13.0", "sdul", "sul", &[]),
    ("device.model.identifier", "15.0", "13.0", "sdul", "sul", &[]),
    ("device.model.marketing-name", "15.0", "13.0", "sdul", "sul", &[]),
    ("device.model.number", "17.0", "14.0", "sdul", "sul", &[]),
    ("device.operating-system.build-version", "15.0", "13.0", "sdul", "sul", &[]),
    ("device.operating-system.family", "15.0", "13.0", "sdul", "sul", &[]),
    ("device.operating-system.marketing-name", "15.0", "13.0", "sdul", "sul", &[]),
    ("device.operating-system.supplemental.build-version", "16.1", "13.0", "sdul", "sul", &[]),
    ("device.operating-system.supplemental.extra-version", "16.1", "13.0", "sdul", "sul", &[]),
    ("device.operating-system.version", "15.0", "13.0", "sdul", "sul", &[]),
    ("device.power.battery-health", "17.0", "14.4", "sdl", "sl", &[]),
    ("diskmanagement.filevault.enabled", "", "14.0", "", "sl", &[]),
    ("management.client-capabilities", "15.0", "13.0", "sdu", "su", &[]),
    ("management.declarations", "15.0", "13.0", "sdu", "su", &[]),
    ("mdm.app", "16.0", "", "sdu", "", &[]),
    ("passcode.is-compliant", "16.0", "", "sdul", "", &[]),
    ("passcode.is-present", "16.0", "", "sdul", "", &[]),
    ("screensharing.connection.group.unresolved-connection", "", "14.1", "", "sul", &[]),
    ("security.certificate.list", "17.0", "14.0", "sdul", "sul", &[]),
    ("services.background-task", "", "14.0", "", "sl", &[]),
    ("softwareupdate.beta-enrollment", "18.0", "15.0", "sd", "s", &[]),
    ("softwareupdate.device-id", "18.0", "15.0", "sd", "s", &[]),
    ("softwareupdate.failure-reason", "17.0", "14.0", "sd", "s", &[]),
    ("softwareupdate.install-reason", "17.0", "14.0", "sd", "s", &[]),
    ("softwareupdate.install-state", "17.0", "14.0", "sd", "s", &[]),
    ("softwareupdate.pending-version", "17.0", "14.0", "sd", "s", &[]),
];
