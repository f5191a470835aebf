//! Declarative management on the device: synchronisation by tokens, activation, validity.

use std::collections::{BTreeMap, VecDeque};

use plist::Dictionary;
use serde_json::{Map, Value, json};

use super::{
    answer::Outcome,
    device::{Channel, Device},
    profile::Profile,
    rules,
    session::{Answer, Task},
};
use crate::plists::Keys;

/// Declarations of one channel.
#[derive(Clone, Debug, Default)]
pub struct Declarations {
    /// Switched on by the first DeclarativeManagement command, off only by unenrolling.
    pub enabled: bool,
    /// DeclarationsToken of the last complete synchronisation.
    pub token: Option<String>,
    /// Declarations by identifier.
    pub installed: BTreeMap<String, Declaration>,
    /// Values of status items reported last.
    pub(crate) reported: Map<String, Value>,
    /// The next report is a full one.
    pub(crate) full: bool,
    /// The first report was sent.
    pub(crate) introduced: bool,
    sync: Option<Sync>,
}

/// One declaration the device fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// `activation`, `asset`, `configuration` or `management`.
    pub kind: String,
    /// Type in full.
    pub declaration_type: String,
    /// ServerToken.
    pub server_token: String,
    /// Payload.
    pub payload: Value,
    /// In force.
    pub active: bool,
    /// Reason code, where it is invalid.
    pub problem: Option<(&'static str, String)>,
}

#[derive(Clone, Debug)]
enum Sync {
    Tokens,
    Items,
    Fetch { token: String, wanted: VecDeque<(String, String, String)>, missed: bool },
    Documents { urls: VecDeque<(String, String)> },
    Report(Value),
}

/// What a synchronisation asks next.
pub(crate) enum Ask {
    /// A DeclarativeManagement message with endpoint and data.
    Server(String, Option<Vec<u8>>),
    /// A document with the device's identity.
    Url(String),
}

impl Declarations {
    pub(crate) fn abort(&mut self) {
        self.sync = None;
    }
}

/// What installed passcode declarations ask for.
#[derive(Default)]
pub(crate) struct DeclaredPasscode {
    pub(crate) required: bool,
    pub(crate) length: i64,
    pub(crate) alphanumeric: bool,
}

impl Device {
    /// Starts a status report in the next session, a full one like the daily report of recent systems.
    pub fn report_status(&mut self, full: bool) {
        let declarations = &mut self.declarations[Channel::Device as usize];
        if declarations.enabled && declarations.sync.is_none() {
            declarations.full = full;
            let report = self.report(Channel::Device);
            if let Some(report) = report {
                self.declarations[0].sync = Some(Sync::Report(report));
                self.tasks.push_back(Task::Synchronize(Channel::Device));
            }
        }
    }

    pub(crate) fn declarative_command(&mut self, channel: Channel, body: &Dictionary) -> Outcome {
        let tokens = match body.data("Data").map(serde_json::from_slice::<Value>) {
            None => None,
            Some(Ok(tokens)) => Some(tokens),
            Some(Err(_)) => return Outcome::Malformed,
        };
        if let Some(data) = body.data("Data").map(<[u8]>::to_vec) {
            self.record("tokens", channel, &data);
        }
        let declarations = &mut self.declarations[channel as usize];
        declarations.enabled = true;
        declarations.sync = match tokens {
            None => Some(Sync::Tokens),
            Some(tokens) => match tokens["SyncTokens"]["DeclarationsToken"].as_str() {
                None => return Outcome::Malformed,
                same if same == declarations.token.as_deref() => None,
                _ => Some(Sync::Items),
            },
        };
        if declarations.sync.is_some() && !self.tasks.contains(&Task::Synchronize(channel)) {
            self.tasks.push_back(Task::Synchronize(channel));
        }
        Outcome::done()
    }

    pub(crate) fn next_declarative(&mut self, channel: Channel) -> Option<Ask> {
        match self.declarations[channel as usize].sync.as_ref()? {
            Sync::Tokens => Some(Ask::Server("tokens".into(), None)),
            Sync::Items => Some(Ask::Server("declaration-items".into(), None)),
            Sync::Fetch { wanted, .. } => {
                let (kind, identifier, _) = wanted.front()?;
                Some(Ask::Server(format!("declaration/{kind}/{identifier}"), None))
            }
            Sync::Documents { urls } => urls.front().map(|(_, url)| Ask::Url(url.clone())),
            Sync::Report(report) => {
                let data = serde_json::to_vec(report).expect("a JSON value is written");
                Some(Ask::Server("status".into(), Some(data)))
            }
        }
    }

    /// The server refused a declarative message; true if the synchronisation goes on.
    pub(crate) fn declarative_refused(&mut self, channel: Channel, status: u16) -> bool {
        let declarations = &mut self.declarations[channel as usize];
        if let Some(Sync::Fetch { wanted, missed, .. }) = &mut declarations.sync
            && status == 404
        {
            // Gone in between: asked again at the next synchronisation.
            wanted.pop_front();
            *missed = true;
            self.after_fetch(channel);
            return true;
        }
        declarations.sync = None;
        false
    }

    pub(crate) fn declarative_answer(&mut self, channel: Channel, body: &[u8]) {
        let at = channel as usize;
        match self.declarations[at].sync.take() {
            Some(Sync::Tokens) => {
                self.record("tokens", channel, body);
                let tokens = serde_json::from_slice::<Value>(body).unwrap_or_default();
                let token = tokens["SyncTokens"]["DeclarationsToken"].as_str();
                if token.is_some() && token != self.declarations[at].token.as_deref() {
                    self.declarations[at].sync = Some(Sync::Items);
                }
            }
            Some(Sync::Items) => {
                self.record("declaration-items", channel, body);
                self.take_items(channel, &serde_json::from_slice(body).unwrap_or_default());
            }
            Some(Sync::Fetch { token, mut wanted, missed }) => {
                self.record("declaration", channel, body);
                if let Some((kind, identifier, server_token)) = wanted.pop_front() {
                    let document = serde_json::from_slice::<Value>(body).unwrap_or_default();
                    self.take_declaration(channel, kind, identifier, server_token, &document);
                }
                self.declarations[at].sync = Some(Sync::Fetch { token, wanted, missed });
                self.after_fetch(channel);
            }
            Some(Sync::Report(report)) => self.reported(channel, &report),
            Some(Sync::Documents { .. }) | None => {}
        }
    }

    fn take_items(&mut self, channel: Channel, items: &Value) {
        let Some(token) = items["DeclarationsToken"].as_str().map(str::to_owned) else { return };
        let mut wanted = VecDeque::new();
        let mut present = Vec::new();
        let kinds = [
            ("Assets", "asset"),
            ("Configurations", "configuration"),
            ("Activations", "activation"),
            ("Management", "management"),
        ];
        for (list, kind) in kinds {
            for item in items["Declarations"][list].as_array().into_iter().flatten() {
                let (Some(identifier), Some(server_token)) =
                    (item["Identifier"].as_str(), item["ServerToken"].as_str())
                else {
                    continue;
                };
                present.push(identifier.to_owned());
                let known = self.declarations[channel as usize].installed.get(identifier);
                if known.is_none_or(|known| known.server_token != server_token) {
                    wanted.push_back((kind.to_owned(), identifier.to_owned(), server_token.to_owned()));
                }
            }
        }
        let installed = &mut self.declarations[channel as usize].installed;
        let gone: Vec<_> = installed.keys().filter(|identifier| !present.contains(identifier)).cloned().collect();
        for identifier in gone {
            installed.remove(&identifier);
            self.profiles.retain(|profile| profile.declaration.as_ref() != Some(&identifier));
        }
        self.declarations[channel as usize].sync = Some(Sync::Fetch { token, wanted, missed: false });
        self.after_fetch(channel);
    }

    fn take_declaration(
        &mut self,
        channel: Channel,
        kind: String,
        identifier: String,
        token: String,
        document: &Value,
    ) {
        let declaration_type = document["Type"].as_str().unwrap_or_default().to_owned();
        let same = document["Identifier"] == json!(identifier) && document["ServerToken"] == json!(token);
        let payload = document["Payload"].clone();
        let problem = match rules::declaration(&declaration_type, self) {
            _ if !same => Some(("Error.ConfigurationCannotBeDeserialized", "another declaration came".to_owned())),
            None => Some(("Error.ConfigurationNotSupported", format!("{declaration_type} is not supported"))),
            Some(required) => required
                .iter()
                .find(|key| payload.get(**key).is_none())
                .map(|key| ("Error.ConfigurationIsInvalid", format!("{key} is missing"))),
        };
        let server_token = document["ServerToken"].as_str().unwrap_or(&token).to_owned();
        let declaration = Declaration { kind, declaration_type, server_token, payload, active: false, problem };
        self.declarations[channel as usize].installed.insert(identifier, declaration);
    }

    /// When nothing is left to fetch: activate, fetch documents, report.
    fn after_fetch(&mut self, channel: Channel) {
        let declarations = &mut self.declarations[channel as usize];
        let Some(Sync::Fetch { token, wanted, missed }) = &declarations.sync else { return };
        if !wanted.is_empty() {
            return;
        }
        declarations.token = (!missed).then(|| token.clone());
        self.activate(channel);
        let installed = &self.declarations[channel as usize].installed;
        let legacy = installed.iter().filter(|(identifier, declaration)| {
            declaration.active
                && declaration.declaration_type.starts_with("com.apple.configuration.legacy")
                && !self.profiles.iter().any(|profile| profile.declaration.as_ref() == Some(identifier))
        });
        let urls: VecDeque<_> = legacy
            .filter_map(|(identifier, d)| Some((identifier.clone(), d.payload["ProfileURL"].as_str()?.to_owned())))
            .collect();
        if urls.is_empty() {
            return self.start_report(channel);
        }
        self.declarations[channel as usize].sync = Some(Sync::Documents { urls });
    }

    fn start_report(&mut self, channel: Channel) {
        self.declarations[channel as usize].sync = self.report(channel).map(Sync::Report);
    }

    /// The profile of a legacy declaration arrived.
    pub(crate) fn declarative_document(&mut self, channel: Channel, answer: &Answer) {
        let Some(Sync::Documents { urls }) = &mut self.declarations[channel as usize].sync else { return };
        let (next, last) = (urls.pop_front(), urls.is_empty());
        let Some((identifier, _)) = next else { return };
        let result = match answer.status {
            200 => Profile::read(&answer.body)
                .and_then(|profile| match self.judge(&profile, channel) {
                    Ok(()) => Ok(profile),
                    Err((_, text)) => Err(text),
                })
                .map_err(|text| ("Error.ConfigurationCannotBeApplied", text)),
            status => Err(("Error.AssetCannotBeDownloaded", format!("the server answered {status}"))),
        };
        match result {
            Ok(profile) => {
                self.profiles.retain(|installed| installed.identifier != profile.identifier);
                let Profile { identifier: name, uuid, top, payloads, signers } = profile;
                self.profiles.push(super::profile::InstalledProfile {
                    identifier: name,
                    uuid,
                    top,
                    payloads,
                    signers,
                    managed: true,
                    channel,
                    declaration: Some(identifier),
                });
                self.after_installation();
            }
            Err(problem) => {
                if let Some(declaration) = self.declarations[channel as usize].installed.get_mut(&identifier) {
                    (declaration.active, declaration.problem) = (false, Some(problem));
                }
            }
        }
        if last {
            self.start_report(channel);
        }
    }

    /// Configurations are in force when an activation that holds names them.
    fn activate(&mut self, channel: Channel) {
        let facts = self.status_values(channel);
        let installed = &mut self.declarations[channel as usize].installed;
        let mut named: Vec<String> = Vec::new();
        for declaration in installed.values_mut().filter(|declaration| declaration.kind == "activation") {
            let holds = match declaration.payload["Predicate"].as_str() {
                None => Ok(true),
                Some(predicate) => holds(predicate, &facts),
            };
            match holds {
                Ok(holds) => declaration.active = holds && declaration.problem.is_none(),
                Err(()) => {
                    declaration.active = false;
                    declaration.problem =
                        Some(("Error.UnableToParsePredicate", "the predicate is not readable".into()));
                }
            }
            if declaration.active {
                let list = declaration.payload["StandardConfigurations"].as_array();
                named.extend(list.into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)));
            }
        }
        let known: Vec<String> = installed.keys().cloned().collect();
        for declaration in installed.values_mut().filter(|declaration| declaration.kind == "activation") {
            let list = declaration.payload["StandardConfigurations"].as_array();
            let missing =
                list.into_iter().flatten().filter_map(Value::as_str).find(|id| !known.iter().any(|k| k == id));
            if let Some(missing) = missing {
                declaration.problem = Some(("Error.MissingConfigurations", format!("{missing} is missing")));
                declaration.active = false;
            }
        }
        for (identifier, declaration) in installed.iter_mut().filter(|(_, d)| d.kind != "activation") {
            let needed = declaration.kind != "configuration" || named.contains(identifier);
            declaration.active = needed && declaration.problem.is_none();
        }
        let gone: Vec<String> =
            installed.iter().filter(|(_, declaration)| !declaration.active).map(|(id, _)| id.clone()).collect();
        self.profiles.retain(|profile| profile.declaration.as_ref().is_none_or(|id| !gone.contains(id)));
    }

    /// Payloads of active configurations of a type.
    pub fn active_configurations(&self, declaration_type: &str) -> Vec<&Value> {
        let all = self.declarations.iter().flat_map(|declarations| declarations.installed.values());
        all.filter(|d| d.active && d.declaration_type == declaration_type).map(|d| &d.payload).collect()
    }

    pub(crate) fn declared_passcode(&self) -> DeclaredPasscode {
        let mut all = DeclaredPasscode::default();
        for payload in self.active_configurations("com.apple.configuration.passcode.settings") {
            all.required |= payload["RequirePasscode"].as_bool().unwrap_or(false);
            all.length = all.length.max(payload["MinimumLength"].as_i64().unwrap_or(0));
            all.alphanumeric |= payload["RequireAlphanumericPasscode"].as_bool().unwrap_or(false);
        }
        all
    }
}

/// Evaluates the few predicates a model understands: one comparison of a status item with a text.
fn holds(predicate: &str, facts: &Map<String, Value>) -> Result<bool, ()> {
    let predicate = predicate.trim().trim_start_matches('(').trim_end_matches(')').trim();
    match predicate {
        "TRUEPREDICATE" => return Ok(true),
        "FALSEPREDICATE" => return Ok(false),
        _ => {}
    }
    let (left, right, equal) = match (predicate.split_once("=="), predicate.split_once("!=")) {
        (Some((left, right)), None) => (left, right, true),
        (None, Some((left, right))) => (left, right, false),
        _ => return Err(()),
    };
    let item = left.trim().strip_prefix("@status(").ok_or(())?.trim_end_matches(')');
    let wanted = right.trim().trim_matches(['"', '\'']);
    Ok((facts.get(item).and_then(Value::as_str) == Some(wanted)) == equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicates_compare_status_items() {
        let mut facts = Map::new();
        facts.insert("device.model.family".into(), json!("Mac"));
        assert_eq!(holds("@status(device.model.family) == \"Mac\"", &facts), Ok(true));
        assert_eq!(holds("@status(device.model.family) != 'Mac'", &facts), Ok(false));
        assert_eq!(holds("nonsense", &facts), Err(()));
    }
}
