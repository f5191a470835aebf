//! Resolve: the documents that reach a channel become items with settings and their sources.
//!
//! One item a document. A setting that the channel does not take is left out and named with the
//! reason; two different values for one payload key are a conflict and neither is sent, while the rest
//! of both documents is (reference: domain.md 4.3). The result does not depend on the order of the
//! documents.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::catalogue::{
    Channel, EnrollmentKind, Prepared, adds_up,
    built::{Built, not_under_user_enrollment},
    get_key, needs, refusal, set_key, told_apart_by,
};

/// A document that reaches the channel.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Collection: `deviceConfigurations`.
    pub kind: String,
    /// Its id.
    pub id: Uuid,
    /// Its display name.
    pub name: String,
    /// What it asks for.
    pub prepared: Arc<Prepared>,
    /// Fingerprints of the documents that it refers to.
    pub references: BTreeMap<Uuid, String>,
}

/// Why a setting of a document is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// The channel cannot take it.
    NotApplicable,
    /// Another document wants another value.
    Conflict,
}

/// A document named as the source of a setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The document.
    pub id: Uuid,
    /// Its display name.
    pub name: String,
}

/// A setting that is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Graph's property name.
    pub setting: String,
    /// What kind of reason.
    pub why: Withheld,
    /// For people to read.
    pub reason: String,
    /// For a conflict: every document that takes part.
    pub sources: Vec<Source>,
}

/// What one document comes to on this channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// Collection of the document.
    pub kind: String,
    /// The document.
    pub id: Uuid,
    /// Its display name.
    pub name: String,
    /// The device takes it as declarations, not as a profile.
    pub declared: bool,
    /// Logical content to deliver: no secret, nothing random, the same for the same input. `None`:
    /// nothing is left to send.
    pub content: Option<Value>,
    /// Names of the settings in `content`.
    pub settings: Vec<String>,
    /// Settings left out.
    pub exceptions: Vec<Exception>,
}

impl Resolved {
    /// Key of the item: one a document.
    pub fn key(&self) -> String {
        format!("{}:{}", if self.declared { "declaration" } else { "profile" }, self.id)
    }
}

/// Resolves the documents that reach a channel. Documents of another platform or of the other channel
/// of a Mac come to nothing.
pub fn resolve(applied: &[Applied], channel: &Channel) -> Vec<Resolved> {
    let mut applied: Vec<&Applied> = applied
        .iter()
        .filter(|a| a.prepared.platform == channel.platform && a.prepared.user_channel == channel.user_channel)
        .collect();
    applied.sort_by(|a, b| (&a.kind, a.id).cmp(&(&b.kind, b.id)));
    applied.dedup_by(|a, b| a.kind == b.kind && a.id == b.id);
    let claims = claims(&applied, channel);
    applied.iter().map(|document| one(document, channel, &claims)).collect()
}

/// Who wants which value for a payload key (or for a built identity).
type Claims = BTreeMap<String, Vec<(Source, Value)>>;

fn claims(applied: &[&Applied], channel: &Channel) -> Claims {
    let mut claims = Claims::new();
    for document in applied {
        let source = Source { id: document.id, name: document.name.clone() };
        for setting in &document.prepared.settings {
            if refusal(setting.entry, channel).is_none() {
                for (payload, key, value) in
                    setting.writes.iter().filter(|(payload, _, value)| !adds_up(payload, value))
                {
                    let claim = claims.entry(place(document, payload, key)).or_default();
                    claim.push((source.clone(), value.clone()));
                }
            }
        }
        if let Some(built) = &document.prepared.built
            && let Some(identity) = &built.identity
        {
            claims.entry(identity.clone()).or_default().push((source, built.compare.clone()));
        }
    }
    claims
}

/// What two documents can disagree on: a key of a payload, or of one of several payloads of a type.
fn place(document: &Applied, payload: &str, key: &str) -> String {
    let which = told_apart_by(payload).and_then(|by| {
        let mut writes = document.prepared.settings.iter().flat_map(|setting| &setting.writes);
        writes.find(|(kind, key, _)| *kind == payload && *key == by).and_then(|(.., value)| value.as_str())
    });
    format!("{payload}:{}:{key}", which.unwrap_or_default())
}

/// All who take part, where they disagree.
fn dispute(claims: &Claims, identity: &str) -> Option<Vec<Source>> {
    let claim = claims.get(identity)?;
    let (_, first) = claim.first()?;
    if claim.iter().all(|(_, value)| value == first) {
        return None;
    }
    let mut sources: Vec<Source> = claim.iter().map(|(source, _)| source.clone()).collect();
    sources.sort();
    sources.dedup();
    Some(sources)
}

fn one(document: &Applied, channel: &Channel, claims: &Claims) -> Resolved {
    let mut exceptions = Vec::new();
    let mut settings = Vec::new();
    let mut content = None;
    if let Some(built) = &document.prepared.built {
        if let Some(reason) = built.refusal(channel) {
            exceptions.extend(built.settings.iter().map(|name| not_applicable(name, reason)));
        } else if let Some(sources) = built.identity.as_deref().and_then(|identity| dispute(claims, identity)) {
            exceptions.extend(built.settings.iter().map(|name| conflict(name, &sources)));
        } else if let Some(reason) = built.undeliverable {
            exceptions.extend(built.settings.iter().map(|name| not_applicable(name, reason)));
        } else {
            let left_out: &[&str] = match channel.enrollment {
                EnrollmentKind::User => not_under_user_enrollment(built.shape),
                EnrollmentKind::Device => &[],
            };
            for name in &built.settings {
                if left_out.contains(&name.as_str()) {
                    exceptions.push(not_applicable(name, "not available under User Enrollment"));
                } else {
                    settings.push(name.clone());
                }
            }
            content = Some(built_content(document, built));
        }
    }
    let mut payloads: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut sent: Vec<(&str, Vec<&str>)> = Vec::new();
    for setting in &document.prepared.settings {
        let name = setting.entry.name.as_str();
        if let Some(reason) = refusal(setting.entry, channel) {
            exceptions.push(not_applicable(name, reason));
            continue;
        }
        let dispute =
            setting.writes.iter().find_map(|(payload, key, _)| dispute(claims, &place(document, payload, key)));
        if let Some(sources) = dispute {
            exceptions.push(conflict(name, &sources));
            continue;
        }
        for (payload, key, value) in &setting.writes {
            set_key(payloads.entry(payload).or_default(), key, value.clone());
        }
        sent.push((name, setting.writes.iter().map(|(payload, ..)| *payload).collect()));
    }
    // A payload without its essential key says nothing; its settings are named with that reason.
    let lacking: Vec<&str> = payloads
        .iter()
        .filter(|(payload, keys)| needs(payload).is_some_and(|key| get_key(keys, key).is_none()))
        .map(|(payload, _)| *payload)
        .collect();
    payloads.retain(|payload, _| !lacking.contains(payload));
    for (name, into) in sent {
        if into.iter().all(|payload| lacking.contains(payload)) {
            exceptions.push(not_applicable(name, "does nothing without the setting it belongs to"));
        } else {
            settings.push(name.to_owned());
        }
    }
    let stored_only = document.prepared.stored_only.iter();
    exceptions.extend(stored_only.map(|stored| not_applicable(&stored.name, stored.reason.as_str())));
    for (part, wholes) in &document.prepared.parts {
        if settings.iter().any(|name| wholes.contains(name)) {
            settings.push((*part).to_owned());
        } else {
            exceptions
                .push(not_applicable(part, format!("says how {} counts, which is not sent", wholes.join(" or "))));
        }
    }
    if !payloads.is_empty() {
        content = Some(settings_content(document, payloads));
    }
    settings.sort();
    exceptions.sort_by(|a, b| a.setting.cmp(&b.setting));
    Resolved {
        kind: document.kind.clone(),
        id: document.id,
        name: document.name.clone(),
        declared: document.prepared.declared,
        content,
        settings,
        exceptions,
    }
}

fn not_applicable(name: &str, reason: impl Into<String>) -> Exception {
    Exception { setting: name.to_owned(), why: Withheld::NotApplicable, reason: reason.into(), sources: Vec::new() }
}

fn conflict(name: &str, sources: &[Source]) -> Exception {
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    Exception {
        setting: name.to_owned(),
        why: Withheld::Conflict,
        reason: format!("different values are assigned by {}", names.join(", ")),
        sources: sources.to_vec(),
    }
}

/// The content of a document of settings: its payloads and the certificates that they use.
fn settings_content(document: &Applied, payloads: BTreeMap<&str, Map<String, Value>>) -> Value {
    let mut content = json!({ "shape": "settings", "payloads": payloads });
    let links: Vec<Value> = document
        .prepared
        .links
        .iter()
        .filter(|(link, _)| payloads.contains_key(link.payload.as_str()))
        .map(|(link, id)| json!({ "name": link.name, "payload": link.payload, "key": link.key, "id": id }))
        .collect();
    if !links.is_empty() {
        content["links"] = links.into();
        content["references"] = json!(document.references);
    }
    content
}

fn built_content(document: &Applied, built: &Built) -> Value {
    json!({
        "shape": built.shape.name(),
        "document": document.id,
        "fingerprint": built.fingerprint,
        "references": document.references,
    })
}

/// What a device enrolled this way is, for a setting that compares the kinds.
pub fn enrollment_kind(word: &str) -> EnrollmentKind {
    match word {
        "appleUserEnrollment" | "appleAccountDrivenUserEnrollment" | "appleUserEnrollmentWithServiceAccount" => {
            EnrollmentKind::User
        }
        _ => EnrollmentKind::Device,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalogue::{Platform, prepare};

    fn channel(enrollment: EnrollmentKind, supervised: bool) -> Channel {
        Channel {
            platform: Platform::Ios,
            version: "17.4".parse().unwrap(),
            supervised,
            enrollment,
            user_channel: false,
        }
    }

    fn applied(id: u128, body: &Value) -> Applied {
        let prepared = prepare("iosGeneralDeviceConfiguration", body.as_object().unwrap(), &|_| String::new()).unwrap();
        Applied {
            kind: "deviceConfigurations".into(),
            id: Uuid::from_u128(id),
            name: format!("Policy {id}"),
            prepared: Arc::new(prepared),
            references: BTreeMap::new(),
        }
    }

    #[test]
    fn the_same_value_twice_is_no_conflict() {
        let body = json!({ "cameraBlocked": true });
        let both = resolve(&[applied(1, &body), applied(2, &body)], &channel(EnrollmentKind::Device, true));
        assert!(both.iter().all(|one| one.content.is_some() && one.exceptions.is_empty()));
    }

    #[test]
    fn false_is_not_configured() {
        let (on, off) = (json!({ "cameraBlocked": true }), json!({ "cameraBlocked": false }));
        let both = resolve(&[applied(1, &on), applied(2, &off)], &channel(EnrollmentKind::Device, true));
        assert!(both.iter().all(|one| one.exceptions.is_empty()));
        assert!(both[1].content.is_none());
    }

    #[test]
    fn a_lock_without_its_app_is_not_sent() {
        let body = json!({ "kioskModeBlockAutoLock": true });
        let one = resolve(&[applied(1, &body)], &channel(EnrollmentKind::Device, true)).remove(0);
        assert!(one.content.is_none());
        assert!(one.exceptions[0].reason.contains("belongs to"));
    }

    fn of_type(id: u128, graph_type: &str, body: &Value) -> Applied {
        let prepared = prepare(graph_type, body.as_object().unwrap(), &|_| String::new()).unwrap();
        Applied { prepared: Arc::new(prepared), ..applied(id, &json!({})) }
    }

    #[test]
    fn two_sign_on_extensions_stand_side_by_side_and_one_twice_is_a_conflict() {
        let extension = |id: u128, name: &str, realm: &str| {
            let extension = json!({ "@odata.type": "#microsoft.graph.iosCredentialSingleSignOnExtension",
                "extensionIdentifier": name, "realm": realm });
            of_type(id, "iosDeviceFeaturesConfiguration", &json!({ "iosSingleSignOnExtension": extension }))
        };
        let channel = channel(EnrollmentKind::Device, true);
        let both = resolve(&[extension(1, "a", "A"), extension(2, "b", "B")], &channel);
        assert!(both.iter().all(|one| one.content.is_some() && one.exceptions.is_empty()));
        let both = resolve(&[extension(1, "a", "A"), extension(2, "a", "B")], &channel);
        assert!(both.iter().all(|one| one.content.is_none() && one.exceptions[0].sources.len() == 2));
    }

    #[test]
    fn what_a_device_adds_up_is_no_conflict() {
        let items = |id: u128, path: &str| {
            let body = json!({ "autoLaunchItems": [{ "path": path, "hide": false }] });
            of_type(id, "macOSDeviceFeaturesConfiguration", &body)
        };
        let channel = Channel { platform: Platform::MacOs, ..channel(EnrollmentKind::Device, true) };
        let both = resolve(&[items(1, "/Applications/A.app"), items(2, "/Applications/B.app")], &channel);
        assert!(both.iter().all(|one| one.content.is_some() && one.exceptions.is_empty()));
    }

    #[test]
    fn a_property_that_says_how_another_counts_shares_its_lot() {
        let with = json!({ "appsVisibilityListType": "appsNotInListCompliant",
            "appsVisibilityList": [{ "appId": "com.example.a" }] });
        let one = resolve(&[applied(1, &with)], &channel(EnrollmentKind::Device, true)).remove(0);
        assert_eq!(one.settings, ["appsVisibilityList", "appsVisibilityListType"]);
        let keys = &one.content.unwrap()["payloads"]["com.apple.applicationaccess"];
        assert_eq!(*keys, json!({ "blockedAppBundleIDs": ["com.example.a"] }));
        let alone = json!({ "appsVisibilityListType": "appsNotInListCompliant" });
        let one = resolve(&[applied(1, &alone)], &channel(EnrollmentKind::Device, true)).remove(0);
        assert!(one.content.is_none());
        assert!(one.exceptions[0].reason.contains("appsVisibilityList counts"), "{:?}", one.exceptions);
    }

    fn any_body() -> impl Strategy<Value = Value> {
        (
            prop::option::of(4i64..9),
            prop::option::of(any::<bool>()),
            prop::option::of(any::<bool>()),
            prop::option::of(prop_oneof![Just("numeric"), Just("alphanumeric")]),
            prop::option::of(any::<bool>()),
        )
            .prop_map(|(length, camera, siri, kind, store)| {
                json!({
                    "passcodeMinimumLength": length,
                    "cameraBlocked": camera,
                    "siriBlocked": siri,
                    "passcodeRequiredType": kind,
                    "appStoreBlocked": store,
                    "mediaContentRatingJapan": { "movieRating": "general" },
                })
            })
    }

    proptest! {
        #[test]
        fn the_order_of_documents_does_not_matter(
            bodies in prop::collection::vec(any_body(), 0..5),
            supervised in any::<bool>(),
            user in any::<bool>(),
        ) {
            let kind = if user { EnrollmentKind::User } else { EnrollmentKind::Device };
            let channel = channel(kind, supervised);
            let documents: Vec<Applied> = bodies.iter().enumerate().map(|(n, body)| applied(n as u128, body)).collect();
            let mut reversed = documents.clone();
            reversed.reverse();
            prop_assert_eq!(resolve(&documents, &channel), resolve(&reversed, &channel));
        }

        /// Every configured property is either sent or named with a reason; none is silently dropped.
        #[test]
        fn no_setting_is_lost(bodies in prop::collection::vec(any_body(), 1..4), supervised in any::<bool>()) {
            let channel = channel(EnrollmentKind::Device, supervised);
            let documents: Vec<Applied> = bodies.iter().enumerate().map(|(n, body)| applied(n as u128, body)).collect();
            for (body, one) in bodies.iter().zip(resolve(&documents, &channel)) {
                for (name, value) in body.as_object().unwrap() {
                    if value.is_null() || *value == json!(false) {
                        continue;
                    }
                    let sent = one.settings.contains(name);
                    let named = one.exceptions.iter().any(|exception| exception.setting == *name);
                    prop_assert!(sent != named, "{} is sent: {}, named: {}", name, sent, named);
                }
            }
        }

        /// What is sent was asked for by every document that says anything about it.
        #[test]
        fn nothing_disputed_is_sent(bodies in prop::collection::vec(any_body(), 2..4)) {
            let channel = channel(EnrollmentKind::Device, true);
            let documents: Vec<Applied> = bodies.iter().enumerate().map(|(n, body)| applied(n as u128, body)).collect();
            let resolved = resolve(&documents, &channel);
            let lengths: std::collections::BTreeSet<String> = bodies
                .iter()
                .filter(|body| !body["passcodeMinimumLength"].is_null())
                .map(|body| body["passcodeMinimumLength"].to_string())
                .collect();
            if lengths.len() > 1 {
                for one in resolved {
                    prop_assert!(!one.settings.contains(&"passcodeMinimumLength".to_owned()));
                }
            }
        }
    }
}
