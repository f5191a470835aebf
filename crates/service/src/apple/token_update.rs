//! `TokenUpdate`: the device can be reached. The first one after Authenticate ends the enrollment;
//! any number may follow.
//!
//! Apple: "Token Update"; threats A4, A7.

use muster_apple::{Channel, check_in::TokenUpdate};
use muster_storage::{
    Tx, device_identities, device_states, devices,
    enrollments::{self, Enrollment},
    timers,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Contact, Reply, abandoned, declarative, escrow, hooks,
    identity::{self, Verdict, refused, unrecognized},
    note::{self, Origin},
    push,
};
use crate::{Ids, Result, Service};

/// Digests of former push values that are remembered.
const PAST: usize = 16;
/// Users of one device that have a channel; names of more come from nobody's login (threats E11).
const USER_CHANNELS: usize = 100;

struct Update {
    tenant: Uuid,
    certificate: Uuid,
    message: TokenUpdate,
    /// Sealed unlock token, if one came.
    unlock_token: Option<escrow::Sealed>,
    origin: Origin,
    now: i64,
}

enum Outcome {
    Done,
    Unrecognized,
    Refused(&'static str),
}

impl Service {
    pub(super) async fn token_update(&self, contact: &Contact, mut message: TokenUpdate) -> Result<Reply> {
        let (standing, leaving) = self.standing(contact, &message.ids).await?;
        let (tenant, now) = (contact.identity.tenant, self.clock.now());
        if leaving {
            return Ok(Reply::Empty);
        }
        let unlock_token = match (message.unlock_token.take(), standing.device) {
            (Some(token), Some(_)) if !token.is_empty() => Some(self.seal_escrow(tenant, &token, now).await?),
            _ => None,
        };
        let update = Update {
            tenant,
            certificate: contact.identity.certificate,
            message,
            unlock_token,
            origin: contact.origin(),
            now,
        };
        let ids = self.ids(now);
        match self.store.write(tenant, move |tx| take(tx, &update, &mut ids.clone())).await? {
            Outcome::Done => Ok(Reply::Empty),
            Outcome::Unrecognized => Err(unrecognized()),
            Outcome::Refused(why) => Err(refused(why)),
        }
    }
}

fn take(tx: &mut dyn Tx, u: &Update, ids: &mut Ids) -> Result<Outcome> {
    let sender = &u.message.ids;
    let standing = device_identities::standing(tx, u.tenant, u.certificate, &sender.protocol_id(), u.now)?;
    let Some(standing) = standing else { return Ok(Outcome::Refused("this certificate is no device identity")) };
    match identity::judge(&standing, sender, u.now) {
        Verdict::Go { .. } => {}
        Verdict::Unrecognized => return Ok(Outcome::Unrecognized),
        Verdict::Refuse(_) => return Ok(Outcome::Refused("this certificate may not speak for this device")),
    }
    let Some(device) = standing.device else { return Ok(Outcome::Refused("this certificate has no device")) };
    let own = enrollments::device_channel(tx, u.tenant, device)?;
    let found = enrollments::by_protocol_id(tx, u.tenant, device, &sender.protocol_id())?;
    let channel = match (found, sender.channel(), own) {
        (Some(channel), ..) => channel,
        // A user logs in on a Mac or a Shared iPad: their channel begins with its first TokenUpdate.
        (None, Channel::User, Some(own)) if own.state == enrollments::state::ENROLLED => {
            if enrollments::of_device(tx, u.tenant, device)?.len() > USER_CHANNELS {
                note::alert(tx, u.tenant, ids, &u.origin, "tooManyUsers", Some(device), json!({}), u.now)?;
                return Ok(Outcome::Refused("this device has more users than are managed"));
            }
            user_channel(u, ids, &own)
        }
        _ => return Ok(Outcome::Refused("this channel is not enrolled")),
    };
    if channel.topic.as_deref() != Some(u.message.topic.as_str()) {
        return Ok(Outcome::Refused("the push topic is not this organisation's"));
    }
    let value = digest(&u.message);
    let current = channel.push_token.as_deref().zip(channel.push_magic.as_deref());
    let same = current == Some((u.message.token.as_slice(), u.message.push_magic.as_str()));
    let past: Vec<String> = serde_json::from_str(&channel.push_past).unwrap_or_default();
    if standing.generation < channel.certificate_generation || (!same && past.contains(&value)) {
        note::alert(tx, u.tenant, ids, &u.origin, "staleTokenUpdate", Some(device), json!({}), u.now)?;
        return Ok(Outcome::Done);
    }
    let first = channel.state == enrollments::state::PENDING;
    let updated = updated(u, &standing, channel, past, same);
    enrollments::put(tx, u.tenant, &updated)?;
    if let Some(sealed) = &u.unlock_token {
        escrow::put(tx, u.tenant, device, escrow::UNLOCK_TOKEN, sealed, u.now)?;
    }
    if first {
        enrolled(tx, u, ids, &updated)?;
    }
    Ok(Outcome::Done)
}

fn digest(message: &TokenUpdate) -> String {
    let parts = [message.token.as_slice(), b"/", message.push_magic.as_bytes()].concat();
    muster_pki::sha256(&parts)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn user_channel(u: &Update, ids: &mut Ids, own: &Enrollment) -> Enrollment {
    Enrollment {
        id: ids.next(),
        device_id: own.device_id,
        channel: enrollments::channel::USER.into(),
        protocol_id: u.message.ids.protocol_id(),
        user_short_name: u.message.ids.user_short_name.clone(),
        state: enrollments::state::PENDING.into(),
        topic: own.topic.clone(),
        push_state: "unknown".into(),
        push_past: "[]".into(),
        access_token_hash: own.access_token_hash.clone(),
        os_version: own.os_version.clone(),
        created_at: u.now,
        ..Default::default()
    }
}

fn updated(
    u: &Update,
    standing: &device_identities::Standing,
    channel: Enrollment,
    mut past: Vec<String>,
    same: bool,
) -> Enrollment {
    if !same && let (Some(token), Some(magic)) = (&channel.push_token, &channel.push_magic) {
        let former = TokenUpdate { token: token.clone(), push_magic: magic.clone(), ..Default::default() };
        past.push(digest(&former));
        let surplus = past.len().saturating_sub(PAST);
        past.drain(..surplus);
    }
    Enrollment {
        state: enrollments::state::ENROLLED.into(),
        push_token: Some(u.message.token.clone()),
        push_magic: Some(u.message.push_magic.clone()),
        push_state: if same { channel.push_state.clone() } else { "reachable".into() },
        push_changed_at: Some(u.now),
        push_past: json!(past).to_string(),
        awaiting_configuration: u.message.awaiting_configuration.unwrap_or(channel.awaiting_configuration),
        token_updates: channel.token_updates + 1,
        certificate_generation: standing.generation,
        enrolled_at: channel.enrolled_at.filter(|_| channel.token_updates > 0).or(Some(u.now)),
        ..channel
    }
}

/// What happens once, at the first TokenUpdate of an enrollment.
fn enrolled(tx: &mut dyn Tx, u: &Update, ids: &mut Ids, channel: &Enrollment) -> Result<()> {
    device_states::mark_dirty(tx, u.tenant, channel.id)?;
    push::push_soon(tx, u.tenant, channel.id, ids, u.now)?;
    if channel.channel == enrollments::channel::DEVICE {
        let Some(mut device) = devices::by_id(tx, u.tenant, channel.device_id)? else { return Ok(()) };
        device.state = "enrolled".into();
        device.enrolled_at = Some(u.now);
        device.last_sync_at = Some(u.now);
        device.modified_at = u.now;
        if declarative::takes_declarations(&device.platform, device.os_version.as_deref().unwrap_or_default()) {
            declarative::synchronise(tx, u.tenant, channel.id, device.id, ids, u.now)?;
        }
        devices::put(tx, u.tenant, &device)?;
        timers::clear(tx, u.tenant, abandoned::TIMER, device.id)?;
        note::device_did(tx, u.tenant, ids, &u.origin, device.id, "complete enrollment", vec![], u.now)?;
        note::event(tx, u.tenant, ids, "deviceEnrolled", device.id, json!({ "enrollment": channel.id }), u.now)?;
    }
    hooks::inventory_enrolled(tx, u.tenant, channel.id, u.now)
}
