//! A person's own devices, as their user sees and handles them. A device of somebody else does not
//! exist here, whatever its id.

use muster_domain::{actions::Verb, guard::Refusal};
use muster_storage::{
    Tx, actions, approvals,
    approvals::Approval,
    devices::{self, Device},
};
use serde_json::{Map, json};
use uuid::Uuid;

use super::DeviceChange;
use crate::{
    Actor, Error, Kind, PrincipalKind, Result, Service,
    actions::{ActionRequest, Requested},
    guard::Decide,
};

/// Longest name a person gives a device.
pub const NAME: usize = 64;

/// One device of the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnDevice {
    /// Its id.
    pub id: Uuid,
    /// The name that is shown: the person's, else the device's.
    pub name: String,
    /// `iOS`, `iPadOS`, `macOS`.
    pub platform: String,
    /// Model for people to read.
    pub model: String,
    /// System version.
    pub os_version: String,
    /// `company`, `personal`, `unknown`.
    pub owner: String,
    /// `enrolled` or `leaving`.
    pub state: String,
    /// Graph's complianceState.
    pub compliance: String,
    /// When it was heard last, unix ms.
    pub last_contact: Option<i64>,
    /// Actions on their way, by verb.
    pub waiting: Vec<String>,
    /// The person may take it out of management themselves.
    pub removable: bool,
}

/// A request about one of the caller's devices that waits for a second person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRequest {
    /// The approval's id.
    pub id: Uuid,
    /// `wipe`, `retire` or `delete`.
    pub action: String,
    /// Name of the device.
    pub device: String,
    /// Who asks.
    pub requester: String,
    /// Why, in their words.
    pub reason: Option<String>,
    /// Until when it waits, unix ms.
    pub expires_at: i64,
}

/// The name that was given here, but for the one that every device gets at enrollment, which says less
/// than the device's own.
fn name_of(device: &Device) -> String {
    let user = device.user_principal_name.as_deref().and_then(|name| name.split('@').next()).unwrap_or_default();
    let made = |name: &str| !user.is_empty() && name.starts_with(&format!("{user}_")) && name.contains('/');
    let given = device.managed_device_name.clone().filter(|name| !name.trim().is_empty() && !made(name));
    given.unwrap_or_else(|| device.name.clone())
}

fn removable(device: &Device) -> bool {
    device.owner_type == "personal" && device.state == "enrolled"
}

/// The devices of the caller that are under management.
fn own(tx: &mut dyn Tx, actor: &Actor) -> Result<Vec<Device>> {
    let (PrincipalKind::Person, Some(person)) = (actor.kind, actor.person) else {
        return Err(Error::forbidden("this is for people and their own devices"));
    };
    let mut found = devices::of_person(tx, actor.tenant, person)?;
    found.retain(|device| matches!(device.state.as_str(), "enrolled" | "leaving"));
    Ok(found)
}

fn one(tx: &mut dyn Tx, actor: &Actor, id: Uuid) -> Result<Device> {
    let missing = || Error::not_found("you have no such device");
    own(tx, actor)?.into_iter().find(|device| device.id == id).ok_or_else(missing)
}

/// What waits for the caller's word: requests about exactly one device, theirs, that others made.
fn requests(tx: &mut dyn Tx, actor: &Actor, device: &Device, now: i64) -> Result<Vec<Approval>> {
    let mut found = Vec::new();
    for action in actions::waiting_of_device(tx, actor.tenant, device.id)? {
        let Some(id) = action.approval_id.filter(|_| action.state == "held") else { continue };
        let Some(approval) = approvals::by_id(tx, actor.tenant, id)? else { continue };
        let others = Some(approval.requester_principal) != actor.person;
        if others && approval.state == "pending" && approval.subjects == [device.id] && now < approval.expires_at {
            found.push(approval);
        }
    }
    Ok(found)
}

impl Service {
    /// The caller's devices, and what waits for their word.
    pub async fn own_devices(&self, actor: &Actor) -> Result<(Vec<OwnDevice>, Vec<OwnRequest>)> {
        let (actor, now) = (actor.clone(), self.clock.now());
        self.store
            .read(actor.tenant, move |tx| {
                let (mut shown, mut asked) = (Vec::new(), Vec::new());
                for device in own(tx, &actor)? {
                    let waiting = actions::waiting_of_device(tx, actor.tenant, device.id)?;
                    for approval in requests(tx, &actor, &device, now)? {
                        asked.push(OwnRequest {
                            id: approval.id,
                            action: approval.action_name,
                            device: name_of(&device),
                            requester: approval.requester_name,
                            reason: approval.reason,
                            expires_at: approval.expires_at,
                        });
                    }
                    shown.push(OwnDevice {
                        id: device.id,
                        name: name_of(&device),
                        removable: removable(&device),
                        // What is held waits for somebody's word, not for the device.
                        waiting: waiting.into_iter().filter(|a| a.state != "held").map(|a| a.name).collect(),
                        platform: device.platform,
                        model: device.model.unwrap_or_default(),
                        os_version: device.os_version.unwrap_or_default(),
                        owner: device.owner_type,
                        state: device.state,
                        compliance: device.compliance_state,
                        last_contact: device.last_sync_at,
                    });
                }
                Ok::<_, Error>((shown, asked))
            })
            .await
    }

    /// Gives an own device another name here; the device keeps its own.
    pub async fn rename_own(&self, actor: &Actor, id: Uuid, name: &str) -> Result<()> {
        let name = name.trim().to_owned();
        if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
            return Err(Error::bad_request(format!("a name has 1 to {NAME} characters")));
        }
        let caller = actor.clone();
        self.store.read(actor.tenant, move |tx| one(tx, &caller, id)).await?;
        let mut properties = Map::new();
        properties.insert("managedDeviceName".into(), json!(name));
        self.change_device(actor, id, DeviceChange::Properties(properties), None).await
    }

    /// Sync, lock or removal of an own device. Only a personal one is removed by its user.
    pub async fn act_on_own(&self, actor: &Actor, id: Uuid, verb: Verb) -> Result<Requested> {
        let caller = actor.clone();
        let device = self.store.read(actor.tenant, move |tx| one(tx, &caller, id)).await?;
        match verb {
            Verb::SyncDevice | Verb::RemoteLock => {}
            Verb::Retire if device.owner_type == "personal" => {}
            Verb::Retire => {
                return Err(Error::refused(
                    Kind::Forbidden,
                    Refusal::PersonalDevice("").code(),
                    "this device belongs to your organisation; ask your administrator to remove it",
                ));
            }
            _ => return Err(Error::forbidden("this is not offered to a device's user")),
        }
        self.request_action(actor, id, ActionRequest::bare(verb)).await
    }

    /// Agrees to, or refuses, a request about an own device.
    pub async fn decide_about_own(&self, actor: &Actor, id: Uuid, agree: bool) -> Result<()> {
        let (caller, now) = (actor.clone(), self.clock.now());
        let asked = self
            .store
            .read(actor.tenant, move |tx| {
                for device in own(tx, &caller)? {
                    if requests(tx, &caller, &device, now)?.iter().any(|approval| approval.id == id) {
                        return Ok(true);
                    }
                }
                Ok::<_, Error>(false)
            })
            .await?;
        if !asked {
            return Err(Error::not_found("nothing of yours waits under this number"));
        }
        let decide = if agree { Decide::Approve } else { Decide::Deny };
        self.decide_approval(actor, id, decide).await.map(|_| ())
    }
}
