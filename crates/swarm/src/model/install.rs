//! Installing, replacing and removing profiles; the enrollment profile; leaving management.

use std::sync::Arc;

use plist::{Dictionary, Value};

use super::{
    answer::Outcome,
    command::{Command, Effect, Reaction},
    device::{Channel, Device, EnrollmentMode, LeftBecause, Management, PushTarget},
    profile::{InstalledProfile, Payload, Profile},
    session::Task,
};
use crate::{crypto::Identity, plists::Keys};

const MDM: &str = "com.apple.mdm";
const SCEP: &str = "com.apple.security.scep";

/// A profile that waits for the identities its SCEP payloads ask for.
#[derive(Debug)]
pub struct Install {
    /// Identities to enroll, in payload order; often none.
    pub needs: Vec<ScepNeed>,
    pub(crate) profile: Profile,
    pub(crate) channel: Channel,
    pub(crate) command: Option<(String, String)>,
    pub(crate) enrollment: Option<(EnrollmentMode, Option<String>)>,
}

/// What a SCEP payload says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScepNeed {
    /// PayloadUUID of the payload.
    pub payload_uuid: String,
    /// Where.
    pub url: String,
    /// Name of the CA, sent as `message` of GetCACert.
    pub name: Option<String>,
    /// One-time password.
    pub challenge: Option<String>,
    /// Subject as RDNs of (type, value).
    pub subject: Vec<Vec<(String, String)>>,
    /// Bits of the RSA key.
    pub key_size: i64,
    /// Hash the CA certificate must have.
    pub ca_fingerprint: Option<Vec<u8>>,
}

impl Device {
    /// A person (or the account-driven flow) brings an enrollment profile; `expected` is the mode that
    /// discovery announced.
    pub fn install_enrollment_profile(
        &mut self,
        bytes: &[u8],
        expected: EnrollmentMode,
        bearer: Option<String>,
    ) -> Result<Install, String> {
        self.left = None;
        let result = self.read_enrollment_profile(bytes, expected, bearer);
        if let Err(reason) = &result {
            self.left = Some(LeftBecause::EnrollmentFailed(reason.clone()));
        }
        result
    }

    fn read_enrollment_profile(
        &mut self,
        bytes: &[u8],
        expected: EnrollmentMode,
        bearer: Option<String>,
    ) -> Result<Install, String> {
        if self.management.is_some() {
            return Err("the device is already managed".into());
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.push(super::device::Received {
                kind: "profile",
                document: bytes.to_vec(),
                os: if self.hardware.family.is_mac() { "macOS" } else { "iOS" },
                os_version: self.hardware.system.to_string(),
                enrollment: if expected == EnrollmentMode::Byod { "user" } else { "device" },
                channel: "device",
            });
        }
        let profile = Profile::read(bytes)?;
        let payload = only_mdm(&profile)?;
        let mode = match payload.content.text("EnrollmentMode") {
            None => EnrollmentMode::Profile,
            Some("BYOD") => EnrollmentMode::Byod,
            Some("ADDE") => EnrollmentMode::Adde,
            Some(other) => return Err(format!("EnrollmentMode {other} is not known")),
        };
        if mode != expected {
            return Err(format!("the profile says {mode:?} where {expected:?} was announced"));
        }
        let rights = payload.content.integer("AccessRights");
        match mode {
            EnrollmentMode::Byod if rights.is_some() => return Err("AccessRights are not for User Enrollment".into()),
            EnrollmentMode::Byod => {}
            _ if rights == Some(0) => return Err("AccessRights are zero".into()),
            _ => {}
        }
        if mode != EnrollmentMode::Profile && payload.content.text("AssignedManagedAppleID").is_none() {
            return Err("AssignedManagedAppleID is missing".into());
        }
        identity_payload(&profile, &payload)?;
        Ok(Install {
            needs: needs(&profile),
            profile,
            channel: Channel::Device,
            command: None,
            enrollment: Some((mode, bearer)),
        })
    }

    pub(crate) fn install_profile(&mut self, channel: Channel, command: &Command) -> Reaction {
        let refuse = |code, text: String, name: &str| Reaction::Answer(Outcome::installation_error(code, text, name));
        let Some(bytes) = command.body.data("Payload").map(<[u8]>::to_vec) else {
            return Reaction::Answer(Outcome::Malformed);
        };
        self.record("profile", channel, &bytes);
        let profile = match Profile::read(&bytes) {
            Ok(profile) => profile,
            Err(reason) => return refuse(1000, format!("The profile is invalid: {reason}."), "unnamed"),
        };
        let identifier = profile.identifier.clone();
        let judged = match profile.payload(MDM) {
            Some(_) => self.judge_renewal(&profile),
            None => self.judge(&profile, channel),
        };
        if let Err((code, text)) = judged {
            return refuse(code, text, &identifier);
        }
        let command = Some((command.uuid.clone(), command.request_type.clone()));
        let install = Install { needs: needs(&profile), profile, channel, command, enrollment: None };
        if !install.needs.is_empty() {
            return Reaction::Enroll(Box::new(install));
        }
        Reaction::Answer(self.complete(install, Ok(Vec::new())))
    }

    /// A new enrollment profile must be an update of the installed one.
    fn judge_renewal(&self, profile: &Profile) -> Result<(), (i64, String)> {
        let refuse = |text: &str| Err((4011, text.to_owned()));
        let Some(management) = &self.management else { return refuse("The device is not managed.") };
        let payload = match only_mdm(profile) {
            Ok(payload) => payload,
            Err(text) => return refuse(&text),
        };
        if profile.identifier != management.profile_identifier || payload.identifier != management.payload_identifier {
            return refuse("The device is already managed.");
        }
        let content = &payload.content;
        let mode = match content.text("EnrollmentMode") {
            None => EnrollmentMode::Profile,
            Some("BYOD") => EnrollmentMode::Byod,
            Some(_) => EnrollmentMode::Adde,
        };
        let same = content.text("Topic") == Some(&management.topic)
            && content.text("ServerURL") == Some(&management.server_url)
            && content.text("CheckInURL").unwrap_or(&management.server_url) == management.check_in_url
            && content.text("AssignedManagedAppleID") == management.assigned_managed_apple_id.as_deref()
            && mode == management.mode;
        if !same {
            return refuse("The update changes a key of the enrollment that cannot change.");
        }
        let (old, new) = (management.access_rights, content.integer("AccessRights"));
        if new.unwrap_or(0) & !old.unwrap_or(0) != 0 {
            return refuse("The update adds access rights.");
        }
        identity_payload(profile, &payload).map(|_| ()).map_err(|text| (4011, text))
    }

    /// Installs once the identities are there, or says why not.
    pub(crate) fn complete(&mut self, install: Install, identities: Result<Vec<Arc<Identity>>, String>) -> Outcome {
        let name = install.profile.identifier.clone();
        let identities = match identities {
            Ok(identities) if identities.len() == install.needs.len() => identities,
            Ok(_) => return self.not_completed(&install, "an identity is missing".into(), &name),
            Err(reason) => return self.not_completed(&install, reason, &name),
        };
        self.replace(&name, install.channel);
        for (need, identity) in install.needs.iter().zip(identities) {
            self.identities.insert(need.payload_uuid.clone(), identity);
        }
        if let Err(reason) = self.manage(&install) {
            return self.not_completed(&install, reason, &name);
        }
        let Profile { identifier, uuid, top, payloads, signers } = install.profile;
        self.profiles.push(InstalledProfile {
            identifier,
            uuid,
            top,
            payloads,
            signers,
            managed: true,
            channel: install.channel,
            declaration: None,
        });
        self.after_installation();
        Outcome::done()
    }

    fn not_completed(&mut self, install: &Install, reason: String, name: &str) -> Outcome {
        if install.enrollment.is_some() {
            self.forget_management(LeftBecause::EnrollmentFailed(reason.clone()));
        }
        Outcome::installation_error(22013, format!("The SCEP enrollment failed: {reason}."), name)
    }

    /// Makes the enrollment of an enrollment profile, or renews it.
    fn manage(&mut self, install: &Install) -> Result<(), String> {
        let Some(payload) = install.profile.payload(MDM).cloned() else { return Ok(()) };
        let identity_uuid = payload.content.text("IdentityCertificateUUID").unwrap_or_default();
        let identity =
            self.identities.get(identity_uuid).cloned().ok_or("the identity of the enrollment is missing")?;
        let rights = payload.content.integer("AccessRights");
        let capabilities = payload.content.texts("ServerCapabilities");
        if let Some(management) = &mut self.management {
            (management.identity, management.access_rights) = (identity, rights);
            return Ok(());
        }
        let Some((mode, bearer)) = install.enrollment.clone() else { return Err("the device is not managed".into()) };
        let server_url = payload.content.need("ServerURL").map_err(|error| error.to_string())?.to_owned();
        let target = |random: &mut crate::random::Seeded| PushTarget { token: random.bytes(32), magic: random.uuid() };
        self.management = Some(Management {
            mode,
            check_in_url: payload.content.text("CheckInURL").unwrap_or(&server_url).to_owned(),
            server_url,
            topic: payload.content.text("Topic").unwrap_or_default().to_owned(),
            access_rights: rights,
            sign_message: payload.content.flag("SignMessage"),
            check_out_when_removed: payload.content.flag("CheckOutWhenRemoved"),
            user_push: (self.hardware.family.is_mac()
                && capabilities.iter().any(|c| c == "com.apple.mdm.per-user-connections"))
            .then(|| target(&mut self.random)),
            capabilities,
            profile_identifier: install.profile.identifier.clone(),
            payload_identifier: payload.identifier.clone(),
            identity,
            bearer,
            assigned_managed_apple_id: payload.content.text("AssignedManagedAppleID").map(str::to_owned),
            enrollment_id: (mode == EnrollmentMode::Byod).then(|| self.random.uuid()),
            enrolled: false,
            push: target(&mut self.random),
        });
        // A Mac is supervised once a person approved its enrollment.
        if self.hardware.family.is_mac() && mode != EnrollmentMode::Byod {
            self.supervised = true;
        }
        self.left = None;
        self.results = [None, None];
        self.tasks.clear();
        self.tasks.extend([Task::Authenticate, Task::TokenUpdate(Channel::Device)]);
        Ok(())
    }

    /// The server took a TokenUpdate.
    pub(crate) fn token_accepted(&mut self, channel: Channel) {
        let (mac, byod) = (self.hardware.family.is_mac(), self.is_user_enrollment());
        let Some(management) = &mut self.management else { return };
        if channel == Channel::User || management.enrolled {
            return;
        }
        management.enrolled = true;
        let capable = |name: &str| management.capabilities.iter().any(|capability| capability == name);
        if mac && !byod && self.bootstrap_token.is_some() && capable("com.apple.mdm.bootstraptoken") {
            self.tasks.push_back(Task::SetBootstrapToken);
        }
        if management.user_push.is_some() {
            self.tasks.push_back(Task::TokenUpdate(Channel::User));
        }
    }

    pub(crate) fn remove_profile(&mut self, channel: Channel, body: &Dictionary) -> Outcome {
        let identifier = body.text("Identifier").unwrap_or_default();
        let found = self
            .profiles
            .iter()
            .find(|profile| profile.identifier == identifier && profile.channel == channel && profile.managed);
        match found {
            None => Outcome::mdm_error(12075, format!("The profile “{identifier}” is not installed.")),
            Some(profile) if profile.payloads.iter().any(|payload| payload.payload_type == MDM) => {
                self.effect = Some(Effect::RemoveManagement);
                Outcome::done()
            }
            Some(_) => {
                self.replace(identifier, channel);
                Outcome::done()
            }
        }
    }

    /// Takes a profile away, with the identities it brought.
    pub(crate) fn replace(&mut self, identifier: &str, channel: Channel) {
        let gone: Vec<_> = self
            .profiles
            .extract_if(.., |profile| profile.identifier == identifier && profile.channel == channel)
            .collect();
        for payload in gone.iter().flat_map(|profile| &profile.payloads) {
            self.identities.remove(&payload.uuid);
        }
    }

    /// Leaves management; the server hears of it where the profile says so.
    pub(crate) fn unenroll(&mut self, why: LeftBecause) {
        let tell = self.management.as_ref().is_some_and(|m| m.check_out_when_removed && m.enrolled);
        if !tell {
            return self.forget_management(why);
        }
        self.tasks.clear();
        self.tasks.push_back(Task::CheckOut);
        self.remove_company_data();
        self.left = Some(why);
    }

    /// CheckOut was sent.
    pub(crate) fn end_management(&mut self) {
        self.management = None;
        self.identities.clear();
        self.results = [None, None];
    }

    pub(crate) fn forget_management(&mut self, why: LeftBecause) {
        self.remove_company_data();
        self.end_management();
        self.tasks.clear();
        self.left = Some(why);
    }

    /// Everything the server installed goes with the enrollment profile.
    fn remove_company_data(&mut self) {
        let user = self.is_user_enrollment();
        self.profiles.retain(|profile| !profile.managed);
        self.apps.retain(|app| !(app.managed && (user || app.flags & 1 == 1)));
        for app in &mut self.apps {
            app.managed = false;
        }
        self.declarations = Default::default();
        self.settings = Dictionary::new();
        self.effect = None;
    }
}

fn only_mdm(profile: &Profile) -> Result<Payload, String> {
    let mut payloads = profile.payloads.iter().filter(|payload| payload.payload_type == MDM);
    let (Some(payload), None) = (payloads.next(), payloads.next()) else {
        return Err("the profile has not exactly one MDM payload".into());
    };
    for key in ["IdentityCertificateUUID", "Topic", "ServerURL"] {
        payload.content.need(key).map_err(|error| error.to_string())?;
    }
    let url = payload.content.text("ServerURL").unwrap_or_default();
    if !url.starts_with("https://") {
        return Err(format!("ServerURL {url} is not https"));
    }
    if !payload.content.text("Topic").is_some_and(|topic| topic.starts_with("com.apple.mgmt.")) {
        return Err("the Topic is not one of device management".into());
    }
    Ok(payload.clone())
}

fn identity_payload(profile: &Profile, mdm: &Payload) -> Result<Payload, String> {
    let uuid = mdm.content.text("IdentityCertificateUUID").unwrap_or_default();
    let payload = profile.payloads.iter().find(|payload| payload.uuid == uuid);
    match payload {
        Some(payload) if payload.payload_type == SCEP => Ok(payload.clone()),
        Some(payload) => Err(format!("identities of {} are not supported", payload.payload_type)),
        None => Err(format!("the identity {uuid} is not in the profile")),
    }
}

fn needs(profile: &Profile) -> Vec<ScepNeed> {
    profile.payloads.iter().filter(|payload| payload.payload_type == SCEP).filter_map(need).collect()
}

fn need(payload: &Payload) -> Option<ScepNeed> {
    let content = payload.content.dictionary("PayloadContent")?;
    let pair = |pair: &Value| {
        let pair = pair.as_array()?;
        Some((pair.first()?.as_string()?.to_owned(), pair.get(1)?.as_string()?.to_owned()))
    };
    let subject = content.array("Subject").iter().filter_map(Value::as_array);
    let subject = subject.map(|rdn| rdn.iter().filter_map(pair).collect()).collect();
    Some(ScepNeed {
        payload_uuid: payload.uuid.clone(),
        url: content.text("URL")?.to_owned(),
        name: content.text("Name").map(str::to_owned),
        challenge: content.text("Challenge").map(str::to_owned),
        subject,
        key_size: content.integer("Keysize").unwrap_or(1024),
        ca_fingerprint: content.data("CAFingerprint").map(<[u8]>::to_vec),
    })
}
