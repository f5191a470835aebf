//! What the API may ask of devices: property of Graph -> column, and how it compares.

use crate::Value;

/// How a column compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Text without regard to letter case, lowered by each row that is looked at.
    Text,
    /// Text that stands lowered in a column of its own: an index finds it.
    Key,
    /// A word of an enum.
    Word,
    /// uuid
    Id,
    /// unix ms
    Time,
    /// bigint
    Int,
    /// boolean
    Bool,
}

impl Kind {
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Kind::Text | Kind::Key | Kind::Word)
    }

    /// What the column compares with; ASCII only, as `lower()` on both engines.
    pub(crate) fn text(self, text: &str) -> Value {
        Value::Text(if self == Kind::Word { text.to_owned() } else { text.to_ascii_lowercase() })
    }
}

/// Property of managedDevice -> column. What is missing here cannot be filtered or sorted by.
pub(crate) const COLUMNS: &[(&str, &str, Kind)] = &[
    ("id", "id", Kind::Id),
    ("deviceName", "name_key", Kind::Key),
    ("managedDeviceName", "managed_device_name", Kind::Text),
    ("userId", "person_id", Kind::Id),
    ("userPrincipalName", "user_principal_name_key", Kind::Key),
    ("emailAddress", "user_principal_name_key", Kind::Key),
    ("operatingSystem", "operating_system", Kind::Text),
    ("osVersion", "os_version", Kind::Text),
    ("manufacturer", "manufacturer", Kind::Text),
    ("model", "model", Kind::Text),
    ("serialNumber", "serial_number_key", Kind::Key),
    ("udid", "udid", Kind::Text),
    ("imei", "imei", Kind::Text),
    ("managedDeviceOwnerType", "owner_type", Kind::Word),
    ("ownerType", "owner_type", Kind::Word),
    ("deviceEnrollmentType", "enrollment_type", Kind::Word),
    ("enrollmentProfileName", "enrollment_profile_name", Kind::Text),
    ("managementState", "management_state", Kind::Word),
    ("complianceState", "compliance_state", Kind::Word),
    ("isSupervised", "is_supervised", Kind::Bool),
    ("isEncrypted", "is_encrypted", Kind::Bool),
    ("deviceCategoryDisplayName", "category_name", Kind::Text),
    ("azureADDeviceId", "azure_ad_device_id", Kind::Id),
    ("azureActiveDirectoryDeviceId", "azure_ad_device_id", Kind::Id),
    ("enrolledDateTime", "enrolled_at", Kind::Time),
    ("lastSyncDateTime", "last_sync_at", Kind::Time),
    ("managementCertificateExpirationDate", "certificate_expires_at", Kind::Time),
    ("freeStorageSpaceInBytes", "free_bytes", Kind::Int),
    ("totalStorageSpaceInBytes", "total_bytes", Kind::Int),
    ("notes", "notes", Kind::Text),
];

/// Property of the directory's device (`/devices`) -> column.
pub(crate) const DIRECTORY: &[(&str, &str, Kind)] = &[
    ("id", "directory_id", Kind::Id),
    ("deviceId", "azure_ad_device_id", Kind::Id),
    ("displayName", "name_key", Kind::Key),
    ("operatingSystem", "operating_system", Kind::Text),
    ("operatingSystemVersion", "os_version", Kind::Text),
    ("manufacturer", "manufacturer", Kind::Text),
    ("model", "model", Kind::Text),
    ("deviceOwnership", "owner_type", Kind::Text),
    ("enrollmentProfileName", "enrollment_profile_name", Kind::Text),
    ("deviceCategory", "category_name", Kind::Text),
    ("approximateLastSignInDateTime", "last_sync_at", Kind::Time),
    ("registrationDateTime", "enrolled_at", Kind::Time),
];

/// Columns by whose indexes the list can be walked.
pub(crate) const WALKED: &[&str] =
    &["id", "directory_id", "name_key", "user_principal_name_key", "last_sync_at", "enrolled_at"];

/// Columns whose index finds the few rows of one value.
pub(crate) const FOUND: &[&str] = &[
    "id",
    "directory_id",
    "azure_ad_device_id",
    "person_id",
    "name_key",
    "user_principal_name_key",
    "serial_number_key",
];

/// What is computed or the same on every device today: scripts ask for it in filters, and no list is
/// sorted by it.
const COMPUTED: &[(Surface, &str, &str, Kind)] = &[
    (Surface::Managed, "managementAgent", "'mdm'", Kind::Text),
    (Surface::Managed, "jailBroken", "'Unknown'", Kind::Text),
    (Surface::Managed, "deviceRegistrationState", "'registered'", Kind::Text),
    (Surface::Managed, "azureADRegistered", "(1 = 1)", Kind::Bool),
    (Surface::Managed, "aadRegistered", "(1 = 1)", Kind::Bool),
    (Surface::Managed, "easActivated", "(1 = 0)", Kind::Bool),
    (Surface::Directory, "accountEnabled", "(1 = 1)", Kind::Bool),
    (Surface::Directory, "createdDateTime", "created_at", Kind::Time),
    (Surface::Directory, "enrollmentType", "enrollment_type", Kind::Text),
    (Surface::Directory, "isCompliant", "(compliance_state = 'compliant')", Kind::Bool),
    (Surface::Directory, "isManaged", "(1 = 1)", Kind::Bool),
    (Surface::Directory, "managementType", "'MDM'", Kind::Text),
    (Surface::Directory, "profileType", "'RegisteredDevice'", Kind::Text),
    (Surface::Directory, "trustType", "'Workplace'", Kind::Text),
    // The entity has no such property; the list of one person's devices needs it.
    (Surface::Directory, "userId", "person_id", Kind::Id),
];

/// Whose names a filter uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Surface {
    /// managedDevice
    #[default]
    Managed,
    /// device of the directory
    Directory,
}

impl Surface {
    /// Graph's type.
    pub(crate) fn entity(self) -> &'static str {
        match self {
            Surface::Managed => "managedDevice",
            Surface::Directory => "device",
        }
    }
}

/// What cannot be asked, in words for the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// A property that is no column.
    #[error("devices cannot be filtered or sorted by '{0}'")]
    Property(String),
    /// An operator that this property does not take, or a literal of another type.
    #[error("the test on '{0}' does not fit its type")]
    Test(String),
}

pub(crate) fn column(surface: Surface, property: &str) -> std::result::Result<(&'static str, Kind), Unsupported> {
    let columns = match surface {
        Surface::Managed => COLUMNS,
        Surface::Directory => DIRECTORY,
    };
    columns
        .iter()
        .find(|(name, _, _)| *name == property)
        .map(|(_, column, kind)| (*column, *kind))
        .ok_or_else(|| Unsupported::Property(property.to_owned()))
}

/// What a filter compares: a column, or what is computed.
pub(crate) fn tested(surface: Surface, property: &str) -> std::result::Result<(&'static str, Kind), Unsupported> {
    let computed = COMPUTED.iter().find(|(of, name, _, _)| *of == surface && *name == property);
    match computed {
        Some((_, _, text, kind)) => Ok((*text, *kind)),
        None => column(surface, property),
    }
}
