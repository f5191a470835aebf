//! Taking a request: what cannot apply is refused at once, what already waits is answered with the
//! waiting one, what the guard wants agreed becomes an approval.

use muster_domain::{
    actions::{self as matrix, DeviceKind, Obliteration, Ownership, Parameters, Target, Verb},
    guard::{self as rules, HOUR, MINUTE, Settings},
    roles::{Permission, allows},
};
use muster_storage::{
    Tx,
    actions::{self, Action},
    commands::{self, Which},
    devices::{self, Device},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    Actor, Error, Ids, Kind, PrincipalKind, Result, Service,
    guard::{
        NewApproval, Note, Who, kind_word, note, party, principal, refused, release_soon, request_approval, rules_of,
    },
};

/// What a caller asks of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionRequest {
    /// The verb.
    pub verb: Verb,
    /// Its JSON body; empty where it takes none.
    pub parameters: Map<String, Value>,
    /// `X-Muster-Override: personalDevice`: yes, wipe the personal device (where the tenant allows).
    pub override_personal: bool,
}

impl ActionRequest {
    /// A request without parameters.
    pub fn bare(verb: Verb) -> Self {
        ActionRequest { verb, parameters: Map::new(), override_personal: false }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// The action; the waiting one where the same was asked before.
    pub action: Uuid,
    /// The approval it waits for: the answer carries `x-muster-approval`.
    pub approval: Option<Uuid>,
    /// The same action already waited.
    pub repeated: bool,
}

impl Service {
    /// Asks one action of one device.
    pub async fn request_action(&self, actor: &Actor, device: Uuid, request: ActionRequest) -> Result<Requested> {
        let (tenant, verb) = (actor.tenant, request.verb);
        if verb == Verb::GetFileVaultKey {
            return Err(Error::internal("a recovery key is read, not asked of the device"));
        }
        let found = self.store.read(tenant, move |tx| visible(tx, tenant, device)).await?;
        let kind = kind_of(&found)?;
        authorise(actor, &found, verb)?;
        let parameters = matrix::parameters(verb, kind, &request.parameters).map_err(cannot)?;
        let now = self.clock.now();
        let action = self.random.id(now);
        let pin = self.pin_for(tenant, action, verb, kind, &parameters).await?;
        let (asker, ids, defaults) = (actor.clone(), self.ids(now), self.settings.guard);
        let requested = self
            .store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                let rules = rules_of(tx, tenant, &defaults)?;
                let device = visible(tx, tenant, device)?;
                let ask = Ask {
                    actor: &asker,
                    rules: &rules,
                    verb,
                    parameters: stored(&parameters, pin.is_some()),
                    overridden: request.override_personal,
                    now,
                };
                if let Some(waiting) = admit(tx, &ask, &device)? {
                    return Ok(Requested { action: waiting.id, approval: waiting.approval_id, repeated: true });
                }
                let recent = recent(tx, &ask)?;
                let second = rules::needs_second_person(&rules, verb, ask.own_personal(&device), 1, recent);
                let approval = match second {
                    true => {
                        let new = NewApproval {
                            id: ids.next(),
                            action: verb.name(),
                            subjects: vec![device.id],
                            parameters: serde_json::from_str(&ask.parameters).map_err(Error::internal)?,
                        };
                        Some(request_approval(tx, &mut ids, &asker, &rules, new, now)?.id)
                    }
                    false => None,
                };
                if let Some(pin) = &pin {
                    pin.put(tx, tenant, device.id, now)?;
                }
                let place = Place { action, approval, bulk: None, release_after: now };
                insert(tx, &mut ids, &ask, &device, &place)?;
                Ok::<_, Error>(Requested { action, approval, repeated: false })
            })
            .await?;
        if verb.destructive() && requested.approval.is_none() && !requested.repeated {
            // The job enqueued with the request does the same.
            if let Err(error) = self.release_all(tenant).await {
                tracing::warn!(%error, "releasing waits for its job");
            }
        }
        Ok(requested)
    }
}

/// One request against one device, inside the transaction.
pub(super) struct Ask<'a> {
    pub(super) actor: &'a Actor,
    pub(super) rules: &'a Settings,
    pub(super) verb: Verb,
    /// As stored, see [`stored`].
    pub(super) parameters: String,
    pub(super) overridden: bool,
    pub(super) now: i64,
}

impl Ask<'_> {
    fn own(&self, device: &Device) -> bool {
        self.actor.kind == PrincipalKind::Person && device.person_id.is_some() && device.person_id == self.actor.person
    }

    fn ownership(&self, device: &Device) -> Ownership {
        let before = device.owner_type_before.as_deref().map(Ownership::from_word);
        let current = Ownership::from_word(&device.owner_type);
        rules::effective_ownership(self.rules, current, before, device.owner_type_changed_at, self.now)
    }

    /// The person's own device in both senses: then nobody else needs to agree.
    pub(super) fn own_personal(&self, device: &Device) -> bool {
        self.own(device) && self.ownership(device) == Ownership::Personal
    }
}

/// Where an action stands in a larger request.
pub(super) struct Place {
    pub(super) action: Uuid,
    pub(super) approval: Option<Uuid>,
    pub(super) bulk: Option<Uuid>,
    pub(super) release_after: i64,
}

/// The device, unless it is no longer here.
pub(super) fn visible(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<Device> {
    devices::by_id(tx, tenant, device)?
        .filter(|device| !matches!(device.state.as_str(), "left" | "wiped" | "gone"))
        .ok_or_else(|| Error::not_found(format!("there is no managed device {device}")))
}

pub(super) fn kind_of(device: &Device) -> Result<DeviceKind> {
    DeviceKind::of(&device.platform, &device.enrollment_type)
        .ok_or_else(|| Error::bad_request(format!("{} devices take no actions yet", device.platform)))
}

pub(super) fn cannot(reason: matrix::CannotApply) -> Error {
    Error::bad_request(reason.0)
}

/// The caller's right to the verb. People act on their own devices only, others do not exist for them.
pub(super) fn authorise(actor: &Actor, device: &Device, verb: Verb) -> Result<()> {
    match actor.kind {
        PrincipalKind::System | PrincipalKind::CommandLine => Ok(()),
        PrincipalKind::Device => Err(Error::forbidden("a device asks nothing of devices")),
        PrincipalKind::Person => {
            let own = device.person_id.is_some() && device.person_id == actor.person;
            let mac = device.platform == "macOS";
            let offered = match verb {
                Verb::Retire | Verb::SyncDevice | Verb::RemoteLock | Verb::ResetPasscode => true,
                Verb::Wipe => !mac,
                _ => false,
            };
            match (own, offered) {
                (false, _) => Err(Error::not_found(format!("there is no managed device {}", device.id))),
                (true, false) => Err(Error::forbidden(format!("{} is not offered to a device's user", verb.name()))),
                (true, true) => Ok(()),
            }
        }
        PrincipalKind::Operator | PrincipalKind::Application => {
            let permission = Permission::action(verb.name());
            match permission.is_some_and(|p| allows(&actor.role, actor.scopes.as_deref(), p)) {
                true => Ok(()),
                false => {
                    Err(Error::forbidden(format!("{} needs the permission Muster.Action.{}", verb.name(), verb.name())))
                }
            }
        }
    }
}

/// How many devices this principal asked the verb for lately.
pub(super) fn recent(tx: &mut dyn Tx, ask: &Ask<'_>) -> Result<i64> {
    let since = ask.now.saturating_sub(ask.rules.burst_minutes * MINUTE);
    Ok(actions::asked_since(tx, ask.actor.tenant, ask.verb.name(), principal(ask.actor), since)?)
}

/// Refuses what cannot apply or may not be asked; answers the same action if it already waits.
pub(super) fn admit(tx: &mut dyn Tx, ask: &Ask<'_>, device: &Device) -> Result<Option<Action>> {
    let (tenant, verb) = (ask.actor.tenant, ask.verb);
    let target = Target {
        kind: kind_of(device)?,
        supervised: device.is_supervised,
        ownership: Ownership::from_word(&device.owner_type),
        unlock_token: verb == Verb::ResetPasscode && super::escrow::has_unlock_token(tx, tenant, device.id)?,
        enrolled: device.state == "enrolled",
    };
    let waiting = actions::waiting(tx, tenant, device.id, verb.name())?;
    if !(verb == Verb::Retire && waiting.is_some()) {
        matrix::check(verb, &target).map_err(cannot)?;
    }
    if verb.destructive() {
        let person = ask.actor.kind == PrincipalKind::Person;
        if !person && !matches!(ask.actor.kind, PrincipalKind::System) {
            rules::may_ask(ask.rules, &party(tx, ask.actor)?, ask.now).map_err(refused)?;
        }
        if verb == Verb::Wipe {
            let judged = Target { ownership: ask.ownership(device), ..target };
            rules::may_wipe(ask.rules, &judged, ask.own(device), ask.overridden).map_err(refused)?;
            if ask.rules.require_reason && ask.actor.reason.is_none() {
                return Err(reason_needed());
            }
        } else if let Some(wipe) = actions::waiting(tx, tenant, device.id, Verb::Wipe.name())? {
            return Err(Error::conflict(format!(
                "a wipe of this device is pending (action {}); cancel it first",
                wipe.id
            )));
        }
    }
    match waiting {
        // A person's own removal waits for nobody: it takes the place of one that others asked for.
        Some(held) if held.state == "held" && ask.own_personal(device) => {
            let said = "its user asked for it themselves";
            actions::advance(tx, tenant, held.id, &["held"], "canceled", Some(said), ask.now)?;
            Ok(None)
        }
        // A lock or restart that was handed out and never answered must not stand in the way of another.
        Some(stale) if !verb.destructive() && stale.state == "sent" && ask.now - stale.updated_at > HOUR => {
            let said = "handed out; the device never answered";
            actions::advance(tx, tenant, stale.id, &["sent"], "done", Some(said), ask.now)?;
            commands::cancel_for(tx, tenant, Which::Action(stale.id), ask.now)?;
            Ok(None)
        }
        waiting => Ok(waiting),
    }
}

/// What a tenant that demands reasons answers without one.
pub(super) fn reason_needed() -> Error {
    Error::refused(Kind::BadRequest, "reasonRequired", "this tenant asks for a reason: send it as X-Muster-Reason")
}

/// Puts the action in; what the guard does not hold begins here.
pub(super) fn insert(tx: &mut dyn Tx, ids: &mut Ids, ask: &Ask<'_>, device: &Device, place: &Place) -> Result<()> {
    let (tenant, now) = (ask.actor.tenant, ask.now);
    let state = match (place.approval, ask.verb.destructive()) {
        (Some(_), _) => "held",
        (None, true) => "approved",
        (None, false) => "queued",
    };
    let expires_at = (!ask.verb.destructive()).then(|| now + ask.rules.undelivered_minutes * MINUTE);
    let action = Action {
        id: place.action,
        device_id: device.id,
        name: ask.verb.name().into(),
        parameters: ask.parameters.clone(),
        actor_kind: kind_word(ask.actor.kind).into(),
        actor_id: ask.actor.id,
        actor_name: ask.actor.name.clone(),
        principal_id: principal(ask.actor),
        approval_id: place.approval,
        bulk_id: place.bulk,
        reason: ask.actor.reason.clone(),
        state: state.into(),
        result: None,
        requested_at: now,
        release_after: Some(place.release_after),
        expires_at,
        updated_at: now,
    };
    if !actions::insert(tx, tenant, &action)? {
        return Err(muster_storage::Error::Retry("the same action was asked at the same time".into()).into());
    }
    let what = Note::of_action("Ask for action", &action).named(&device.name);
    let what = match ask.verb.destructive() {
        true => what.with("reason", json!(ask.actor.reason.as_deref().unwrap_or("none given"))),
        false => what,
    };
    note(tx, tenant, ids, &Who::actor(ask.actor), what, now)?;
    match state {
        "queued" => super::start(tx, ids, tenant, ask.verb, &action, device, now),
        "approved" => release_soon(tx, ids, tenant, place.release_after, now),
        _ => Ok(()),
    }
}

/// Parameters as they are stored and frozen: what changes the effect, never a secret.
pub(super) fn stored(parameters: &Parameters, pin: bool) -> String {
    let value = match parameters {
        Parameters::None if pin => json!({ "pin": true }),
        Parameters::None => json!({}),
        Parameters::Wipe(options) => json!({
            "persistEsimDataPlan": options.persist_esim_data_plan,
            "obliterationBehavior": match options.obliteration {
                Obliteration::Default => "default",
                Obliteration::DoNotObliterate => "doNotObliterate",
                Obliteration::ObliterateWithWarning => "obliterateWithWarning",
                Obliteration::Always => "always",
            },
            "pin": pin,
        }),
        Parameters::Name(name) => json!({ "deviceName": name }),
        Parameters::Notification { title, body } => json!({ "notificationTitle": title, "notificationBody": body }),
    };
    value.to_string()
}
