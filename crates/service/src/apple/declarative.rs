//! Declarative management: what a channel is to declare, and what it reports.
//!
//! Tokens and items come from one snapshot and are functions of content alone: two servers give the
//! same answer, and a device applies again exactly when something changed.

use std::collections::BTreeMap;

use muster_apple::{
    check_in::DeclarativeManagement,
    declarative::{
        Declaration, DeclarationItems, Endpoint, Item, ItemLists, Kind, StatusReport, SyncTokens, Tokens,
        simple_activation, status_subscriptions,
    },
};
use muster_storage::{
    self as storage, Tx,
    commands::{self, NewCommand},
    enrollments, items,
    subjects::{self, Subject},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Contact, Reply, commands::priority, identity::refused, model, status};
use crate::{Ids, Result, Service, desired::declared as desired};

const SUBSCRIPTIONS: &str = "muster.status-subscriptions";
const ACTIVATION: &str = "muster.activation";

/// Status items we ask for: name, least iOS, least macOS (0: not there), for User Enrollment too.
const STATUS_ITEMS: [(&str, u32, u32, bool); 13] = [
    ("device.model.family", 15, 13, true),
    ("device.model.identifier", 15, 13, true),
    ("device.operating-system.build-version", 15, 13, true),
    ("device.operating-system.family", 15, 13, true),
    ("device.operating-system.supplemental.extra-version", 17, 13, true),
    ("device.operating-system.version", 15, 13, true),
    ("diskmanagement.filevault.enabled", 0, 14, false),
    ("management.client-capabilities", 15, 13, true),
    ("passcode.is-compliant", 16, 0, true),
    ("passcode.is-present", 16, 0, true),
    ("softwareupdate.failure-reason", 17, 14, false),
    ("softwareupdate.install-state", 17, 14, false),
    ("softwareupdate.pending-version", 17, 14, false),
];

impl Service {
    pub(super) async fn declarative_management(
        &self,
        contact: &Contact,
        message: DeclarativeManagement,
    ) -> Result<Reply> {
        let (standing, leaving) = self.standing(contact, &message.ids).await?;
        let Some(channel) = standing.channel.filter(|_| !leaving) else {
            return Err(refused("this channel is not enrolled"));
        };
        let (tenant, enrollment) = (contact.identity.tenant, channel.enrollment);
        let endpoint =
            Endpoint::decode(&message.endpoint).ok_or_else(|| refused("this endpoint is not part of the protocol"))?;
        if let Endpoint::Status = endpoint {
            let report = StatusReport::decode(message.data.as_deref().unwrap_or_default())
                .map_err(|error| refused(&format!("the status report does not read: {error}")))?;
            let (now, report) = (self.clock.now(), report);
            self.store.write(tenant, move |tx| status::reported(tx, tenant, enrollment, &report, now)).await?;
            return Ok(Reply::Empty);
        }
        let declared = self.declared(tenant, enrollment).await?;
        Ok(match endpoint {
            Endpoint::Tokens => Reply::Json(self.tokens(&declared)),
            Endpoint::DeclarationItems => Reply::Json(encode(&declared.items())),
            Endpoint::Declaration(kind, identifier) => match declared.0.get(&identifier) {
                Some(declaration) if Kind::of_type(&declaration.declaration_type) == Some(kind) => {
                    Reply::Json(encode(declaration))
                }
                _ => Reply::NotFound,
            },
            Endpoint::Status => Reply::Empty,
        })
    }

    /// The JSON of the `tokens` answer: it goes into the command, too, and saves the device a trip.
    pub(super) async fn declaration_tokens(&self, tenant: Uuid, enrollment: Uuid) -> Result<Vec<u8>> {
        Ok(self.tokens(&self.declared(tenant, enrollment).await?))
    }

    fn tokens(&self, declared: &Declared) -> Vec<u8> {
        let seconds = self.clock.now().div_euclid(1000);
        let timestamp = jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string();
        encode(&Tokens { sync_tokens: SyncTokens { timestamp, declarations_token: declared.token() } })
    }

    async fn declared(&self, tenant: Uuid, enrollment: Uuid) -> Result<Declared> {
        self.store
            .read(tenant, move |tx| match subjects::of_enrollment(tx, tenant, enrollment)? {
                Some(subject) => Ok(declared(&subject, items::of_enrollment(tx, tenant, enrollment)?.iter())),
                None => Ok(Declared::default()),
            })
            .await
    }
}

/// Declarative management: iOS and iPadOS 15, macOS 13.
pub(super) fn takes_declarations(platform: &str, os_version: &str) -> bool {
    let least = if platform == "macOS" { 13 } else { 15 };
    model::major(os_version) >= least
}

/// Queues the command that turns declarative management on, or makes the device synchronise.
pub(super) fn synchronise(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    device: Uuid,
    ids: &mut Ids,
    now: i64,
) -> storage::Result<()> {
    let command = NewCommand {
        id: ids.next(),
        enrollment,
        device,
        request_type: "DeclarativeManagement".into(),
        payload: "{}".into(),
        origin: "system".into(),
        action: None,
        destructive: false,
        priority: priority::SYSTEM,
        held: false,
        not_before: 0,
        expires_at: None,
        now,
    };
    commands::enqueue(tx, tenant, &command)
}

/// A device looks at its declarations when it is told to: queues that where they are others than those
/// it was told of. Answers the token it is told of now, and how many commands were queued.
pub(crate) fn tell<'i>(
    tx: &mut dyn Tx,
    tenant: Uuid,
    subject: &Subject,
    items: impl Iterator<Item = &'i items::Item>,
    told: Option<&str>,
    ids: &mut Ids,
    now: i64,
) -> storage::Result<(Option<String>, usize)> {
    if subject.channel != enrollments::channel::DEVICE
        || !takes_declarations(&subject.platform, subject.os_version.as_deref().unwrap_or_default())
    {
        return Ok((None, 0));
    }
    let token = declared(subject, items).token();
    if told.is_none_or(|told| told == token) {
        return Ok((Some(token), 0));
    }
    let enrollment = subject.enrollment_id;
    let waiting = commands::pending(tx, tenant, enrollment, commands::PENDING_LIMIT)?;
    let waiting = waiting.iter().filter(|c| c.origin == "system" && c.request_type == "DeclarativeManagement");
    // One that was not handed out yet will carry what is declared by then; one that was carries the former.
    let (unsent, sent) = waiting.fold((false, false), |(unsent, sent), command| {
        (unsent || command.attempts == 0, sent || command.attempts > 0)
    });
    let on = sent || enrollments::by_id(tx, tenant, enrollment)?.is_some_and(|channel| channel.declarative);
    if unsent || !on {
        return Ok((Some(token), 0));
    }
    synchronise(tx, tenant, enrollment, subject.device_id, ids, now)?;
    Ok((Some(token), 1))
}

fn encode(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("JSON values serialize")
}

/// Every declaration of a channel, by identifier.
#[derive(Debug, Default)]
struct Declared(BTreeMap<String, Declaration>);

impl Declared {
    fn add(&mut self, declaration_type: &str, identifier: &str, payload: Map<String, Value>) {
        let server_token = server_token(declaration_type, &payload);
        let declaration = Declaration {
            declaration_type: declaration_type.into(),
            identifier: identifier.into(),
            server_token,
            payload,
        };
        self.0.insert(identifier.into(), declaration);
    }

    fn token(&self) -> String {
        let lines: Vec<_> = self.0.values().map(|d| json!([d.identifier, d.server_token])).collect();
        token(&json!(lines).to_string())
    }

    fn items(&self) -> DeclarationItems {
        let mut lists = ItemLists::default();
        for declaration in self.0.values() {
            if let Some(kind) = Kind::of_type(&declaration.declaration_type) {
                lists.of(kind).push(Item {
                    identifier: declaration.identifier.clone(),
                    server_token: declaration.server_token.clone(),
                });
            }
        }
        DeclarationItems { declarations: lists, declarations_token: self.token() }
    }
}

/// A declaration's token: the same as long as its content is.
pub(super) fn server_token(declaration_type: &str, payload: &Map<String, Value>) -> String {
    token(&json!([declaration_type, payload]).to_string())
}

/// 32 hexadecimal digits over content: at most 64 octets are allowed.
fn token(content: &str) -> String {
    muster_pki::sha256(content.as_bytes())[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn declared<'i>(subject: &Subject, items: impl Iterator<Item = &'i items::Item>) -> Declared {
    let mut all = Declared::default();
    let mut configurations = Vec::new();
    let names = status_items(subject);
    if !names.is_empty() {
        let payload = status_subscriptions(&names);
        all.add("com.apple.configuration.management.status-subscriptions", SUBSCRIPTIONS, payload);
        configurations.push(SUBSCRIPTIONS.to_owned());
    }
    for item in items {
        if item.kind != desired::KIND || item.desired_version.is_none() {
            continue;
        }
        for declaration in desired::declarations(item, subject) {
            configurations.push(declaration.identifier.clone());
            all.add(&declaration.kind, &declaration.identifier, declaration.payload);
        }
    }
    all.add("com.apple.activation.simple", ACTIVATION, simple_activation(&configurations));
    all
}

/// The status items that this channel's system knows.
fn status_items(subject: &Subject) -> Vec<&'static str> {
    let version = model::major(subject.os_version.as_deref().unwrap_or_default());
    let mac = subject.platform == "macOS";
    let own = subject.enrollment_type.contains("UserEnrollment") && subject.udid.is_none();
    let user_channel = subject.channel == "appleUser";
    STATUS_ITEMS
        .iter()
        .filter(|(name, ios, macos, for_own)| {
            let least = if mac { *macos } else { *ios };
            let here = least > 0 && version >= least && (*for_own || !own);
            let of_user = name.starts_with("device.") || name.starts_with("management.");
            here && (!user_channel || of_user)
        })
        .map(|(name, ..)| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_follow_content_alone() {
        let build = |text: &str| {
            let mut declared = Declared::default();
            let payload = json!({ "A": text }).as_object().cloned().unwrap();
            declared.add("com.apple.configuration.x", "one", payload);
            declared.add("com.apple.activation.simple", "two", simple_activation(&["one".into()]));
            declared
        };
        assert_eq!(build("a").token(), build("a").token());
        assert_ne!(build("a").token(), build("b").token());
        let items = build("a").items();
        assert_eq!(items.declarations_token, build("a").token());
        assert_eq!((items.declarations.configurations.len(), items.declarations.activations.len()), (1, 1));
        assert!(token("x").len() <= 64);
    }

    #[test]
    fn a_channel_is_asked_only_for_what_its_system_knows() {
        let phone = |version: &str| Subject {
            platform: "iOS".into(),
            os_version: Some(version.into()),
            channel: "appleDevice".into(),
            udid: Some("u".into()),
            ..subject()
        };
        assert!(!status_items(&phone("15.4")).contains(&"passcode.is-present"));
        assert!(status_items(&phone("17.4")).contains(&"softwareupdate.pending-version"));
        let own = Subject { udid: None, enrollment_type: "appleAccountDrivenUserEnrollment".into(), ..phone("17.4") };
        assert!(!status_items(&own).contains(&"softwareupdate.pending-version"));
        let mac = Subject { platform: "macOS".into(), ..phone("14.2") };
        assert!(status_items(&mac).contains(&"diskmanagement.filevault.enabled"));
        assert!(!status_items(&mac).contains(&"passcode.is-present"));
    }

    fn subject() -> Subject {
        Subject {
            enrollment_id: Uuid::nil(),
            channel: String::new(),
            state: "enrolled".into(),
            device_id: Uuid::nil(),
            directory_id: Uuid::nil(),
            azure_ad_device_id: Uuid::nil(),
            platform: String::new(),
            os_version: None,
            is_supervised: false,
            enrollment_type: "userEnrollment".into(),
            owner_type: "personal".into(),
            device_name: String::new(),
            serial_number: None,
            udid: None,
            imei: None,
            person_id: None,
            licensed_user: true,
            user_principal_name: None,
            mail: None,
            display_name: None,
            device_state: "enrolled".into(),
        }
    }
}
