//! [`Device`]: everything a simulated device keeps, and what it knows of its own enrollment.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use plist::Dictionary;

use super::{
    apps::App,
    declarations::Declarations,
    filevault::FileVault,
    hardware::{Family, Hardware, Version},
    profile::InstalledProfile,
    session::Task,
};
use crate::{crypto::Identity, random::Seeded};

/// The two MDM channels; only a Mac has the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The device itself.
    Device,
    /// The managed user of a Mac.
    User,
}

/// How the device came under management.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrollmentMode {
    /// A downloaded profile.
    Profile,
    /// Account-driven User Enrollment.
    Byod,
    /// Account-driven Device Enrollment.
    Adde,
}

/// Why a device is no longer managed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftBecause {
    /// The server removed the enrollment profile.
    RemovedByServer,
    /// The person removed it.
    RemovedByPerson,
    /// The server answered 401.
    Unauthorized,
    /// The server answered 403 `com.apple.unrecognized.device`.
    Unrecognized,
    /// The device was erased.
    Erased,
    /// The enrollment itself failed, with the reason.
    EnrollmentFailed(String),
}

/// One installed `com.apple.mdm` payload and the state of its enrollment.
#[derive(Clone, Debug)]
pub struct Management {
    /// By which path.
    pub mode: EnrollmentMode,
    /// Where commands come from.
    pub server_url: String,
    /// Where check-in messages go.
    pub check_in_url: String,
    /// Push topic.
    pub topic: String,
    /// Rights the server has, none under User Enrollment.
    pub access_rights: Option<i64>,
    /// Requests carry `Mdm-Signature`.
    pub sign_message: bool,
    /// Leaving is told to the server.
    pub check_out_when_removed: bool,
    /// `ServerCapabilities`.
    pub capabilities: Vec<String>,
    /// PayloadIdentifier of the enrollment profile.
    pub profile_identifier: String,
    /// PayloadIdentifier of the `com.apple.mdm` payload.
    pub payload_identifier: String,
    /// The device's identity.
    pub identity: Arc<Identity>,
    /// Bearer token of account-driven enrollments.
    pub bearer: Option<String>,
    /// Managed Apple Account of account-driven enrollments.
    pub assigned_managed_apple_id: Option<String>,
    /// Id of a User Enrollment.
    pub enrollment_id: Option<String>,
    /// The first TokenUpdate was accepted.
    pub enrolled: bool,
    /// Push target of the device channel.
    pub push: PushTarget,
    /// Push target of the user channel, once it enrolled.
    pub user_push: Option<PushTarget>,
}

/// Where a push for a channel goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushTarget {
    /// Device token.
    pub token: Vec<u8>,
    /// Names the enrollment to the device.
    pub magic: String,
}

/// A passcode as policies see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passcode {
    /// Characters.
    pub length: i64,
    /// Letters and digits.
    pub alphanumeric: bool,
}

/// How a device answers one kind of command instead of doing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `NotNow`
    NotNow,
    /// `Error` with this code and text.
    Error(i64, String),
    /// `CommandFormatError`
    FormatError,
}

/// A command that had an effect, for tests that count effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// CommandUUID.
    pub uuid: String,
    /// RequestType.
    pub request_type: String,
    /// Status that was answered.
    pub status: &'static str,
}

impl Executed {
    /// A command of this type with this answer.
    pub fn is(&self, request_type: &str, status: &str) -> bool {
        self.request_type == request_type && self.status == status
    }
}

/// A simulated device.
#[derive(Clone, Debug)]
pub struct Device {
    /// The thing itself.
    pub hardware: Hardware,
    /// The name a person gave it.
    pub name: String,
    /// Supervised: set up so on iOS, by approved enrollment on macOS.
    pub supervised: bool,
    /// What the person set.
    pub passcode: Option<Passcode>,
    /// Data protection is on: most commands get NotNow.
    pub locked: bool,
    /// A Mac dozing on battery.
    pub power_nap: bool,
    /// The user's keychain on a Mac is locked.
    pub keychain_locked: bool,
    /// A Mac locked by DeviceLock waits for this PIN and talks to nobody.
    pub lock_pin: Option<String>,
    /// Switched off.
    pub off: bool,
    /// How often it restarted.
    pub restarts: u32,
    /// How often it was erased.
    pub erasures: u32,
    /// Messages shown on the lock screen.
    pub lock_messages: Vec<String>,
    /// Lost mode, with its message.
    pub lost_mode: Option<String>,
    /// Installed profiles of both channels.
    pub profiles: Vec<InstalledProfile>,
    /// Identities by PayloadUUID of the payload that made them.
    pub identities: BTreeMap<String, Arc<Identity>>,
    /// Installed apps.
    pub apps: Vec<App>,
    /// Declarations of the device channel and of the user channel.
    pub declarations: [Declarations; 2],
    /// FileVault of a Mac.
    pub filevault: FileVault,
    /// Bootstrap token a Mac escrows.
    pub bootstrap_token: Option<Vec<u8>>,
    /// Unlock token in force.
    pub unlock_token: Option<Vec<u8>>,
    /// Activation lock bypass code.
    pub bypass_code: Option<String>,
    /// What the Settings command set.
    pub settings: Dictionary,
    /// The local account of a Mac: GUID, short name, long name.
    pub account: (String, String, String),
    /// Firmware and recovery password of a Mac.
    pub recovery_password: Option<String>,
    /// The enrollment, while there is one.
    pub management: Option<Management>,
    /// Why the last enrollment ended.
    pub left: Option<LeftBecause>,
    /// Commands refused, by request type: how, and how many more times.
    pub refusals: BTreeMap<String, (Refusal, u32)>,
    /// The last commands that were answered, oldest first.
    pub executed: VecDeque<Executed>,
    /// CommandUUIDs executed more than once: always zero.
    pub repeated: u32,
    /// Documents received from the server, kept where a test asks for them.
    pub recorder: Option<Vec<Received>>,
    pub(crate) random: Seeded,
    pub(crate) tasks: VecDeque<Task>,
    pub(crate) results: [Option<Vec<u8>>; 2],
    pub(crate) effect: Option<super::command::Effect>,
}

/// A document the server sent, for the recorded-documents check.
#[derive(Clone, Debug)]
pub struct Received {
    /// `command`, `profile`, `declaration`, `tokens`, `declaration-items`, `error`.
    pub kind: &'static str,
    /// The bytes.
    pub document: Vec<u8>,
    /// `iOS` or `macOS`.
    pub os: &'static str,
    /// Version of it.
    pub os_version: String,
    /// `device`, `supervised` or `user`.
    pub enrollment: &'static str,
    /// `device` or `user`.
    pub channel: &'static str,
}

/// Effects remembered.
const EXECUTED_KEPT: usize = 64;

impl Device {
    /// A device out of its box, set up by a person, drawn from the seed.
    pub fn new(family: Family, system: Version, supervised: bool, owner: &str, random: &mut Seeded) -> Self {
        let hardware = Hardware::draw(family, system, random);
        let mut random = random.part(1);
        let short: String = owner.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let name = match family {
            Family::Mac => format!("{owner}’s {}", hardware.model_name),
            _ => format!("{owner}’s {}", family.word()),
        };
        let account = (random.uuid(), short, owner.to_owned());
        let mut device = Device {
            name,
            supervised,
            passcode: Some(Passcode { length: 4 + random.below(3) as i64, alphanumeric: false }),
            locked: false,
            power_nap: false,
            keychain_locked: false,
            lock_pin: None,
            off: false,
            restarts: 0,
            erasures: 0,
            lock_messages: Vec::new(),
            lost_mode: None,
            profiles: Vec::new(),
            identities: BTreeMap::new(),
            apps: App::draw(family, &mut random),
            declarations: Default::default(),
            filevault: FileVault::default(),
            bootstrap_token: family.is_mac().then(|| random.bytes(40)),
            unlock_token: None,
            bypass_code: supervised.then(|| random.text("0123456789ACDEFGHJKLMNPQRTUVWXYZ", 26)),
            settings: Dictionary::new(),
            account,
            recovery_password: None,
            management: None,
            left: None,
            refusals: BTreeMap::new(),
            executed: VecDeque::new(),
            repeated: 0,
            recorder: None,
            tasks: VecDeque::new(),
            results: [None, None],
            effect: None,
            hardware,
            random,
        };
        device.fresh_unlock_token();
        device
    }

    /// True while under User Enrollment.
    pub fn is_user_enrollment(&self) -> bool {
        self.management.as_ref().is_some_and(|management| management.mode == EnrollmentMode::Byod)
    }

    /// True once the server accepted the first TokenUpdate.
    pub fn is_enrolled(&self) -> bool {
        self.management.as_ref().is_some_and(|management| management.enrolled)
    }

    /// `iOS` or `macOS`, as the schema names systems.
    pub fn os_word(&self) -> &'static str {
        if self.hardware.family.is_mac() { "macOS" } else { "iOS" }
    }

    /// The device's UDID or EnrollmentID, as the server knows it.
    pub fn protocol_id(&self) -> Option<&str> {
        let management = self.management.as_ref()?;
        Some(management.enrollment_id.as_deref().unwrap_or(&self.hardware.udid))
    }

    /// Whether the server has this access right (bits of apple.md 6); User Enrollment has its own rules.
    pub fn grants(&self, right: i64) -> bool {
        self.management.as_ref().is_some_and(|m| m.access_rights.is_none_or(|rights| rights & right == right))
    }

    /// The profile of this identifier on a channel.
    pub fn profile(&self, identifier: &str) -> Option<&InstalledProfile> {
        self.profiles.iter().find(|profile| profile.identifier == identifier)
    }

    /// The value a key has in any installed payload of the type (`com.apple.applicationaccess`, ...).
    pub fn setting(&self, payload_type: &str, key: &str) -> Option<&plist::Value> {
        self.profiles
            .iter()
            .flat_map(|profile| &profile.payloads)
            .filter(|payload| payload.payload_type == payload_type)
            .find_map(|payload| payload.content.get(key))
    }

    /// Answers the next `times` commands of a request type with a refusal.
    pub fn refuse(&mut self, request_type: &str, refusal: Refusal, times: u32) {
        self.refusals.insert(request_type.to_owned(), (refusal, times));
    }

    /// Executed commands of a request type that were acknowledged.
    pub fn acknowledged(&self, request_type: &str) -> usize {
        self.executed.iter().filter(|e| e.request_type == request_type && e.status == "Acknowledged").count()
    }

    /// The person removes the enrollment profile in the device's settings.
    pub fn remove_management(&mut self) {
        self.unenroll(LeftBecause::RemovedByPerson);
    }

    /// Talks to the server at all.
    pub fn is_reachable(&self) -> bool {
        !self.off && self.lock_pin.is_none()
    }

    /// The person at the device: unlocks it, or switches it on again.
    pub fn wake(&mut self) {
        self.off = false;
        self.locked = false;
        self.power_nap = false;
        self.keychain_locked = false;
    }

    /// The person types the PIN of a locked Mac.
    pub fn enter_lock_pin(&mut self, pin: &str) -> bool {
        let right = self.lock_pin.as_deref() == Some(pin);
        if right {
            self.lock_pin = None;
        }
        right
    }

    pub(crate) fn enrollment_letter(&self) -> char {
        match (self.is_user_enrollment(), self.supervised) {
            (true, _) => 'u',
            (false, true) => 's',
            // The schema never lists plain device enrollment for macOS declarations.
            (false, false) if self.hardware.family.is_mac() => 's',
            (false, false) => 'd',
        }
    }

    pub(crate) fn fresh_unlock_token(&mut self) {
        if !self.hardware.family.is_mac() {
            let size = 1200 + self.random.below(600) as usize;
            self.unlock_token = Some(self.random.bytes(size));
        }
    }

    pub(crate) fn remember(&mut self, uuid: &str, request_type: &str, status: &'static str) {
        let effect = status == "Acknowledged";
        if effect && self.executed.iter().any(|e| e.uuid == uuid && e.status == "Acknowledged") {
            self.repeated += 1;
        }
        if self.executed.len() == EXECUTED_KEPT {
            self.executed.pop_front();
        }
        self.executed.push_back(Executed { uuid: uuid.into(), request_type: request_type.into(), status });
    }

    pub(crate) fn record(&mut self, kind: &'static str, channel: Channel, document: &[u8]) {
        let enrollment = match self.enrollment_letter() {
            'u' => "user",
            's' => "supervised",
            _ => "device",
        };
        let (os, os_version) = (self.os_word(), self.hardware.system.to_string());
        let channel = if channel == Channel::User { "user" } else { "device" };
        if let Some(recorder) = &mut self.recorder {
            recorder.push(Received { kind, document: document.to_vec(), os, os_version, enrollment, channel });
        }
    }
}
