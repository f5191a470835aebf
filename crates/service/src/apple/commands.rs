//! The command cycle: a device polls or answers, and gets the next command or nothing.
//!
//! `Idle` costs one statement outside a transaction (design, mechanism 3). Everything else is one turn:
//! a transaction that takes the answer, computes what has become due and marks the next command sent;
//! the reply goes out after its commit. Until the device answers, the same id comes again. The bytes are
//! made at hand-out (mechanism 5), outside the turn: a command that cannot be made is set aside with the
//! reason in the next turn, which chooses another.

use muster_apple::{Command as Wire, CommandResult, ErrorChainItem, Request, Status, requests};
use muster_storage::{
    Tx,
    commands::{self, Command, Ending},
    device_states, enrollments,
    subjects::Traits,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Contact, Reply,
    escrow::{self, Sealed},
    hooks,
    note::{self, Origin},
    push,
};
use crate::{Error, Ids, Result, Service, desired::batch, settings::MINUTE};

/// Lower goes first.
pub mod priority {
    /// Lock, erase, removal.
    pub const URGENT: i64 = 1;
    /// Other actions.
    pub const ACTION: i64 = 10;
    /// Renewals, declarative management.
    pub const SYSTEM: i64 = 20;
    /// An administrator's own.
    pub const RAW: i64 = 30;
    /// Profiles.
    pub const ITEM: i64 = 50;
    /// Queries.
    pub const INVENTORY: i64 = 80;
}

/// Commands that one request tries to render before it gives up until the next.
const RENDER_TRIES: usize = 20;

/// Who speaks, once known.
#[derive(Clone, Debug)]
struct Speaker {
    tenant: Uuid,
    device: Uuid,
    enrollment: Uuid,
    leaving: bool,
    traits: Traits,
    origin: Origin,
    /// What the message says of the device.
    last: Status,
}

/// What a turn begins with.
enum News {
    /// An Idle begins a session. What is answered NotNow comes again in the next one, not before, and
    /// then all of it: the device comes back by itself once and works off the whole queue.
    Session,
    /// An answer, and the recovery keys found in it.
    Answer(CommandResult, Vec<Sealed>),
    /// The command of the turn before was overtaken while it was made.
    Overtaken(Uuid),
    /// The command of the turn before cannot be made, and why.
    NotMade(Command, String),
}

impl Service {
    /// Takes a poll or a result, and answers the next command.
    pub async fn apple_commands(&self, contact: &Contact, result: CommandResult) -> Result<Reply> {
        let (standing, leaving) = self.standing(contact, &result.ids).await?;
        let (Some(device), Some(channel)) = (standing.device, &standing.channel) else {
            // A user who is not managed, or whose TokenUpdate has not come yet.
            return Ok(Reply::Empty);
        };
        if !["enrolled", "leaving"].contains(&channel.state.as_str()) {
            return Ok(Reply::Empty);
        }
        let last = result.status;
        if last == Status::Idle && !channel.dirty && channel.head.is_none() {
            return Ok(Reply::Empty);
        }
        let tenant = contact.identity.tenant;
        let speaker = Speaker {
            tenant,
            device,
            enrollment: channel.enrollment,
            leaving,
            traits: channel.traits.clone(),
            origin: contact.origin(),
            last,
        };
        let mut news = match last {
            Status::Idle => News::Session,
            _ => {
                let keys = self.recovery_keys(tenant, device, &result, self.clock.now()).await?;
                News::Answer(result, keys)
            }
        };
        let mut dirty = channel.dirty && !leaving;
        for _ in 0..RENDER_TRIES {
            let Some(command) = self.turn(&speaker, news, dirty).await? else { return Ok(Reply::Empty) };
            news = match self.render(&speaker, &command).await {
                Ok(Some(request)) => {
                    let wire = Wire { uuid: command.id.hyphenated().to_string().to_uppercase(), request };
                    return Ok(Reply::List(wire.encode()));
                }
                Ok(None) => News::Overtaken(command.id),
                Err(Error::Storage(error)) => return Err(error.into()),
                Err(error) => {
                    let (id, request_type) = (command.id, &command.request_type);
                    tracing::error!(command = %id, request_type, %error, "a command cannot be made");
                    News::NotMade(command, error.to_string())
                }
            };
            dirty = false;
        }
        Ok(Reply::Empty)
    }

    /// One turn; answers the command that goes out.
    async fn turn(&self, speaker: &Speaker, news: News, dirty: bool) -> Result<Option<Command>> {
        let now = self.clock.now();
        let (speaker, ids, documents) = (speaker.clone(), self.ids(now), self.prepared.clone());
        self.store
            .write(speaker.tenant, move |tx| {
                let (tenant, enrollment) = (speaker.tenant, speaker.enrollment);
                let mut ids = ids.clone();
                match &news {
                    News::Session => {
                        commands::forget_not_now(tx, tenant, enrollment)?;
                    }
                    News::Answer(result, keys) => take(tx, &speaker, result, keys, &mut ids, now)?,
                    News::Overtaken(command) => {
                        commands::cancel_for(tx, tenant, commands::Which::One(enrollment, *command), now)?;
                    }
                    News::NotMade(command, why) => not_made(tx, &speaker, command, why, &mut ids, now)?,
                }
                if dirty {
                    batch::compute(tx, tenant, &[enrollment], &documents, &mut ids, now)?;
                }
                hand_out(tx, &speaker, &mut ids, now)
            })
            .await
    }

    /// The bytes of a command, made now.
    async fn render(&self, speaker: &Speaker, command: &Command) -> Result<Option<Request>> {
        let tenant = speaker.tenant;
        match command.origin.as_str() {
            "item" => self.render_item(tenant, command.enrollment, command.id, &command.payload).await,
            "action" => self.action_request(tenant, command).await,
            "inventory" => hooks::inventory_request(command, &speaker.traits),
            "raw" => self.render_raw(tenant, command.id).await,
            _ => self.render_system(tenant, command).await,
        }
    }

    async fn render_system(&self, tenant: Uuid, command: &Command) -> Result<Option<Request>> {
        match command.request_type.as_str() {
            "DeclarativeManagement" => {
                let tokens = self.declaration_tokens(tenant, command.enrollment).await?;
                Ok(Some(requests::declarative_management(Some(tokens))))
            }
            "InstallProfile" => self.render_renewal(tenant, command).await,
            other => Err(Error::internal(format!("nobody renders the system command {other}"))),
        }
    }
}

/// Chooses what goes out and marks it sent. Where nothing does, a device that put something off is asked
/// to come back.
fn hand_out(tx: &mut dyn Tx, speaker: &Speaker, ids: &mut Ids, now: i64) -> Result<Option<Command>> {
    let next = next(tx, speaker, now)?;
    match &next {
        Some(command) if command.origin == "action" && command.attempts == 1 => {
            hooks::action_handed_out(tx, ids, speaker.tenant, command, now)?;
        }
        None if speaker.last != Status::NotNow => {
            push_for_not_now(tx, speaker.tenant, speaker.enrollment, ids, now)?;
        }
        _ => {}
    }
    Ok(next)
}

fn next(tx: &mut dyn Tx, speaker: &Speaker, now: i64) -> muster_storage::Result<Option<Command>> {
    let (tenant, enrollment) = (speaker.tenant, speaker.enrollment);
    let session = (speaker.last != Status::Idle).then_some(enrollment);
    if !speaker.leaving {
        return commands::hand_out_next(tx, tenant, enrollment, session, now);
    }
    // A device that leaves may fetch the removal and nothing else.
    let waiting = commands::pending(tx, tenant, enrollment, commands::PENDING_LIMIT)?;
    let removal = waiting.into_iter().find(|c| {
        c.origin == "action" && c.request_type == "RemoveProfile" && !(session.is_some() && c.state == "notNow")
    });
    match removal {
        Some(command) => commands::hand_out(tx, tenant, enrollment, command.id, now),
        None => Ok(None),
    }
}

/// A session that had a NotNow and did not end with one: the device will not come back by itself.
fn push_for_not_now(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    ids: &mut Ids,
    now: i64,
) -> muster_storage::Result<()> {
    let waiting = commands::pending(tx, tenant, enrollment, 100)?;
    let Some(command) = waiting.iter().find(|command| command.state == "notNow") else { return Ok(()) };
    let wait = if command.attempts <= 1 { 15 * MINUTE } else { 60 * MINUTE };
    push::push_at(tx, tenant, enrollment, ids, now + wait, now)
}

/// Takes what a result says of the command that it names.
fn take(
    tx: &mut dyn Tx,
    speaker: &Speaker,
    result: &CommandResult,
    keys: &[Sealed],
    ids: &mut Ids,
    now: i64,
) -> Result<()> {
    let named = result.command_uuid.as_deref().and_then(|uuid| uuid.parse::<Uuid>().ok());
    let Some(command) = named else { return unknown(tx, speaker, "unreadable", ids, now) };
    answered(tx, speaker, command, result, ids, now)?;
    for sealed in keys {
        escrow::add(tx, speaker.tenant, speaker.device, escrow::FILE_VAULT_KEY, sealed, now)?;
    }
    Ok(())
}

/// A command that cannot be made leaves the queue as an error, told to whoever asked and in an alert.
fn not_made(tx: &mut dyn Tx, speaker: &Speaker, command: &Command, why: &str, ids: &mut Ids, now: i64) -> Result<()> {
    let mut result = CommandResult::of(muster_apple::EnrollmentIds::default(), Status::Error, "", Default::default());
    result.error_chain.push(ErrorChainItem {
        code: 0,
        domain: "Muster".into(),
        us_english_description: Some(why.to_owned()),
        ..Default::default()
    });
    answered(tx, speaker, command.id, &result, ids, now)?;
    let details = json!({ "command": command.id, "requestType": command.request_type, "error": why });
    note::alert(tx, speaker.tenant, ids, &speaker.origin, "commandNotMade", Some(speaker.device), details, now)?;
    Ok(())
}

/// Takes one answer: history, and whoever asked. A second answer finds nothing and changes nothing.
fn answered(
    tx: &mut dyn Tx,
    speaker: &Speaker,
    command: Uuid,
    result: &CommandResult,
    ids: &mut Ids,
    now: i64,
) -> Result<()> {
    let (tenant, enrollment) = (speaker.tenant, speaker.enrollment);
    let ending = match result.status {
        Status::Idle => return Ok(()),
        Status::NotNow => {
            if commands::not_now(tx, tenant, enrollment, command, enrollment)?.is_none() {
                return unknown_unless_repeated(tx, speaker, command, ids, now);
            }
            return Ok(());
        }
        Status::Acknowledged => Ending::Acknowledged,
        Status::Error => Ending::Error,
        Status::CommandFormatError => Ending::CommandFormatError,
    };
    let chain = (!result.error_chain.is_empty()).then(|| chain_json(&result.error_chain));
    let finished = commands::finish(tx, tenant, enrollment, command, ending, chain.as_deref(), now)?;
    let Some(finished) = finished else { return unknown_unless_repeated(tx, speaker, command, ids, now) };
    if ending == Ending::CommandFormatError {
        let details = json!({ "command": command, "requestType": finished.request_type });
        note::alert(tx, tenant, ids, &speaker.origin, "commandFormatError", Some(speaker.device), details, now)?;
    }
    match finished.origin.as_str() {
        "item" => {
            crate::desired::answers::item_answered(tx, tenant, enrollment, command, &finished.payload, result, now)?;
        }
        "action" => {
            let said = result.error_chain.last().map(|cause| {
                let text = cause.us_english_description.as_ref().or(cause.localized_description.as_ref());
                format!("{} {}: {}", cause.domain, cause.code, text.map_or("no description", String::as_str))
            });
            hooks::action_answered(tx, ids, tenant, &finished, ending, said.as_deref(), now)?;
        }
        "inventory" => hooks::inventory_answered(tx, tenant, &finished, &speaker.traits, result, now)?,
        "system" if finished.request_type == "DeclarativeManagement" && ending == Ending::Acknowledged => {
            enrollments::set_declarative(tx, tenant, enrollment)?;
        }
        _ => {}
    }
    Ok(())
}

fn unknown_unless_repeated(tx: &mut dyn Tx, speaker: &Speaker, command: Uuid, ids: &mut Ids, now: i64) -> Result<()> {
    if commands::answered_before(tx, speaker.tenant, speaker.enrollment, command)? {
        return Ok(());
    }
    unknown(tx, speaker, &command.to_string(), ids, now)
}

/// A result for a command that is not this channel's: ignored, and somebody is told.
fn unknown(tx: &mut dyn Tx, speaker: &Speaker, command: &str, ids: &mut Ids, now: i64) -> Result<()> {
    let details = json!({ "command": command });
    note::alert(tx, speaker.tenant, ids, &speaker.origin, "foreignResult", Some(speaker.device), details, now)?;
    Ok(())
}

fn chain_json(chain: &[ErrorChainItem]) -> String {
    let items: Vec<_> = chain
        .iter()
        .map(|item| {
            json!({
                "ErrorCode": item.code,
                "ErrorDomain": item.domain,
                "LocalizedDescription": item.localized_description,
                "USEnglishDescription": item.us_english_description,
            })
        })
        .collect();
    json!(items).to_string()
}

/// Marks a channel dirty and asks its device to connect: something was queued or changed.
pub fn wake(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, ids: &mut Ids, now: i64) -> muster_storage::Result<()> {
    device_states::mark_dirty(tx, tenant, enrollment)?;
    push::push_soon(tx, tenant, enrollment, ids, now)
}
