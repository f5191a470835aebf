//! Settings of the process, from its configuration. Everything about a tenant is in the database.

/// Milliseconds of a second.
pub const SECOND: i64 = 1_000;
/// Milliseconds of a minute.
pub const MINUTE: i64 = 60 * SECOND;
/// Milliseconds of an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Milliseconds of a day.
pub const DAY: i64 = 24 * HOUR;

/// Addresses others use for this server, without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Portal, sign-in, discovery, enrollment, SCEP, CRL.
    pub public: String,
    /// Device check-ins.
    pub device: String,
    /// Console and API.
    pub admin: String,
}

/// Settings of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Addresses of the listeners.
    pub addresses: Addresses,
    /// Apple's services.
    pub apple: AppleSettings,
    /// Outgoing mail; none where no server is configured: mails are then logged as not sent.
    pub mail: Option<MailSettings>,
    /// What the guard allows where a tenant has not said otherwise.
    pub guard: GuardDefaults,
    /// Weakened checks for tests and old clients; all off by default.
    pub compat: Compat,
}

/// Apple's services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppleSettings {
    /// Base address of the push service.
    pub push_base_url: String,
    /// Extra roots for the push service, DER.
    pub push_roots: Vec<Vec<u8>>,
    /// Roots that signers of `MachineInfo` must chain to, DER.
    pub device_roots: Vec<Vec<u8>>,
}

/// Outgoing mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailSettings {
    /// `smtp://user:password@host:587?tls=required` or `smtps://host`.
    pub url: String,
    /// Sender address.
    pub from: String,
    /// Extra roots for the mail server, DER.
    pub roots: Vec<Vec<u8>>,
}

/// Limits and periods of the guard (design section 10, rulings 3 and 4); times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardDefaults {
    /// Destructive rights rest this long after a new role, password or second factor.
    pub cooling: i64,
    /// Bulk actions wait this long and can be cancelled meanwhile.
    pub hold: i64,
    /// An undelivered destructive command dies after this time.
    pub expiry: i64,
    /// Wipes an hour for one principal.
    pub wipes_per_hour: u32,
    /// Wipes an hour for the tenant.
    pub tenant_wipes_per_hour: u32,
    /// Per cent of the fleet a day (never less than five devices).
    pub fleet_percent: u32,
}

impl Default for GuardDefaults {
    fn default() -> Self {
        GuardDefaults {
            cooling: DAY,
            hold: 10 * MINUTE,
            expiry: 7 * DAY,
            wipes_per_hour: 10,
            tenant_wipes_per_hour: 50,
            fleet_percent: 2,
        }
    }
}

/// Weakened checks; the server refuses to start with any of them in production.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compat {
    /// SCEP answers and advertises triple DES.
    pub scep_des: bool,
    /// CMS signatures with SHA-1 are accepted.
    pub cms_sha1: bool,
    /// `MachineInfo` is accepted from any signer.
    pub apple_any_device_ca: bool,
}
