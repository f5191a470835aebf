//! Which properties of a shape are settings, and why others are not delivered.

use super::Shape;

/// Properties of each shape that are settings.
pub(super) fn properties(shape: Shape) -> &'static [&'static str] {
    match shape {
        Shape::Custom => &["payload"],
        Shape::TrustedRoot => &["trustedRootCertificate"],
        Shape::Scep => &[
            "scepServerUrls",
            "subjectNameFormat",
            "subjectNameFormatString",
            "subjectAlternativeNameType",
            "subjectAlternativeNameFormatString",
            "customSubjectAlternativeNames",
            "keyUsage",
            "keySize",
            "extendedKeyUsages",
            "certificateValidityPeriodValue",
            "certificateValidityPeriodScale",
        ],
        Shape::WiFi | Shape::EnterpriseWiFi => &[
            "ssid",
            "networkName",
            "connectAutomatically",
            "connectWhenNetworkNameIsHidden",
            "wiFiSecurityType",
            "proxySettings",
            "proxyManualAddress",
            "proxyManualPort",
            "proxyAutomaticConfigurationUrl",
            "disableMacAddressRandomization",
            "wifiRequirePhysicalMacAddressEnabled",
            "preSharedKey",
            "eapType",
            "eapFastConfiguration",
            "trustedServerCertificateNames",
            "authenticationMethod",
            "innerAuthenticationProtocolForEapTtls",
            "outerIdentityPrivacyTemporaryValue",
            "usernameFormatString",
            "passwordFormatString",
        ],
        Shape::Vpn => &[
            "alwaysOnConfiguration",
            "allowDefaultChildSecurityAssociationParameters",
            "allowDefaultSecurityAssociationParameters",
            "associatedDomains",
            "authenticationMethod",
            "childSecurityAssociationParameters",
            "clientAuthenticationType",
            "connectionName",
            "connectionType",
            "customData",
            "customKeyValueData",
            "deadPeerDetectionRate",
            "disableMobilityAndMultihoming",
            "disableOnDemandUserOverride",
            "disableRedirect",
            "disconnectOnIdle",
            "disconnectOnIdleTimerInSeconds",
            "enableAlwaysOnConfiguration",
            "enableCertificateRevocationCheck",
            "enableEAP",
            "enablePerApp",
            "enablePerfectForwardSecrecy",
            "enableUseInternalSubnetAttributes",
            "excludeLocalNetworks",
            "excludedDomains",
            "identifier",
            "includeAllNetworks",
            "localIdentifier",
            "loginGroupOrDomain",
            "mtuSizeInBytes",
            "onDemandRules",
            "providerType",
            "proxyServer",
            "realm",
            "remoteIdentifier",
            "role",
            "safariDomains",
            "securityAssociationParameters",
            "server",
            "serverCertificateCommonName",
            "serverCertificateIssuerCommonName",
            "serverCertificateType",
            "sharedSecret",
            "tlsMaximumVersion",
            "tlsMinimumVersion",
        ],
    }
}

/// Properties that are stored and not deliverable, with the reason.
pub(super) fn reason(shape: Shape, name: &str) -> Option<&'static str> {
    let reason = match (shape, name) {
        (Shape::Custom, "payloadName" | "payloadFileName") | (Shape::TrustedRoot, "certFileName") => {
            "a name for people; the device is not told"
        }
        (Shape::Scep, "certificateStore") => "the channel that the profile goes to decides",
        (Shape::Scep, "renewalThresholdPercentage") => {
            "a device asks for a certificate when its profile comes, not after a share of its life"
        }
        (Shape::Scep, "hashAlgorithm") => "certificates are signed with SHA-256",
        (Shape::Scep, "allowAllAppsAccess") => "keys are used by the profile they come with",
        (Shape::Vpn, "cloudName" | "excludeList" | "strictEnforcement" | "userDomain") => {
            "a setting of the vendor's app: say it in customData"
        }
        (Shape::Vpn, "enableSplitTunneling") => "the server or the vendor's app decides what goes through",
        (Shape::Vpn, "microsoftTunnelSiteId") => "a site of Microsoft's own gateway; there is none here",
        (Shape::Vpn, "optInToDeviceIdSharing") => "the vendor's app learns no device id from here",
        (Shape::Vpn, "targetedMobileApps") => "an app is bound to its connection by the app's own assignment",
        _ => return None,
    };
    Some(reason)
}
