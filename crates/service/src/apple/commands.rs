//! The command cycle: a device polls or answers, and gets the next command or nothing.
//!
//! `Idle` costs one statement outside a transaction (design, mechanism 3). Handing out marks the
//! command sent in the transaction that selects it, and answers after its commit; until the device
//! answers, the same id comes again. The bytes are made at hand-out (mechanism 5): one that cannot be
//! made is set aside with the reason and the next one goes.

use muster_apple::{Command as Wire, CommandResult, ErrorChainItem, Request, Status, requests};
use muster_storage::{
    Tx,
    commands::{self, Command, Ending},
    device_identities, device_states, enrollments,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Contact, Reply, hooks,
    note::{self, Origin},
    push,
};
use crate::{Error, Ids, Result, Service, settings::MINUTE};

/// Lower goes first.
pub mod priority {
    /// Lock, erase, removal.
    pub const ACTION: i64 = 10;
    /// Renewals, declarative management.
    pub const SYSTEM: i64 = 20;
    /// Profiles.
    pub const ITEM: i64 = 30;
    /// Queries.
    pub const INVENTORY: i64 = 40;
    /// An administrator's own.
    pub const RAW: i64 = 30;
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
    origin: Origin,
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
        let speaker = Speaker {
            tenant: contact.identity.tenant,
            device,
            enrollment: channel.enrollment,
            leaving,
            origin: contact.origin(),
        };
        let idle = result.status == Status::Idle;
        if idle && !channel.dirty && channel.head.is_none() {
            return Ok(Reply::Empty);
        }
        if !idle {
            self.take_result(&speaker, &result).await?;
        }
        if channel.dirty && !leaving {
            self.compute(speaker.tenant, speaker.enrollment).await?;
        }
        self.hand_out(&speaker, result.status).await
    }

    /// Finishes the command that a result names and tells who asked for it.
    async fn take_result(&self, speaker: &Speaker, result: &CommandResult) -> Result<()> {
        let now = self.clock.now();
        let named = result.command_uuid.as_deref().and_then(|uuid| uuid.parse::<Uuid>().ok());
        let (speaker, result, ids) = (speaker.clone(), result.clone(), self.ids(now));
        let escrow = self.recovery_keys(speaker.tenant, speaker.device, &result, now).await?;
        self.store
            .write(speaker.tenant, move |tx| {
                let mut ids = ids.clone();
                match named {
                    Some(command) => {
                        answered(tx, &speaker, command, &result, &mut ids, now)?;
                        for sealed in &escrow {
                            super::escrow::add(
                                tx,
                                speaker.tenant,
                                speaker.device,
                                super::escrow::FILE_VAULT_KEY,
                                sealed,
                                now,
                            )?;
                        }
                        Ok(())
                    }
                    None => unknown(tx, &speaker, "unreadable", &mut ids, now),
                }
            })
            .await
    }

    /// The next command, rendered; or nothing.
    async fn hand_out(&self, speaker: &Speaker, last: Status) -> Result<Reply> {
        let (tenant, enrollment) = (speaker.tenant, speaker.enrollment);
        // An Idle begins a session. What is answered NotNow comes again in the next one, not before, and
        // then all of it: the device comes back by itself once and works off the whole queue.
        let session = (last != Status::Idle).then_some(enrollment);
        for _ in 0..RENDER_TRIES {
            let now = self.clock.now();
            let (leaving, ids) = (speaker.leaving, self.ids(now));
            let next = self
                .store
                .write(tenant, move |tx| {
                    let mut ids = ids.clone();
                    if session.is_none() {
                        commands::forget_not_now(tx, tenant, enrollment)?;
                    }
                    let next = next(tx, tenant, enrollment, session, leaving, now)?;
                    match &next {
                        Some(command) if command.origin == "action" && command.attempts == 1 => {
                            hooks::action_handed_out(tx, &mut ids, tenant, command, now)?;
                        }
                        None if last != Status::NotNow => push_for_not_now(tx, tenant, enrollment, &mut ids, now)?,
                        _ => {}
                    }
                    Ok::<_, Error>(next)
                })
                .await?;
            let Some(command) = next else { return Ok(Reply::Empty) };
            match self.render(tenant, &command).await {
                Ok(Some(request)) => {
                    let wire = Wire { uuid: command.id.hyphenated().to_string().to_uppercase(), request };
                    return Ok(Reply::List(wire.encode()));
                }
                Ok(None) => self.withdraw(speaker, &command, None).await?,
                Err(Error::Storage(error)) => return Err(error.into()),
                Err(error) => self.withdraw(speaker, &command, Some(error.to_string())).await?,
            }
        }
        Ok(Reply::Empty)
    }

    /// The bytes of a command, made now.
    async fn render(&self, tenant: Uuid, command: &Command) -> Result<Option<Request>> {
        match command.origin.as_str() {
            "item" => self.render_item(tenant, command.enrollment, command.id, &command.payload).await,
            "action" => self.action_request(tenant, command).await,
            "inventory" => self.inventory_request(tenant, command).await,
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

    /// A command that cannot be sent leaves the queue: overtaken without a word, or as an error that
    /// is told to whoever asked.
    async fn withdraw(&self, speaker: &Speaker, command: &Command, error: Option<String>) -> Result<()> {
        let now = self.clock.now();
        let (speaker, command, ids) = (speaker.clone(), command.clone(), self.ids(now));
        if let Some(error) = &error {
            tracing::error!(command = %command.id, request_type = command.request_type, error, "a command cannot be made");
        }
        self.store
            .write(speaker.tenant, move |tx| {
                let tenant = speaker.tenant;
                match &error {
                    None => {
                        let which = commands::Which::One(command.enrollment, command.id);
                        commands::cancel_for(tx, tenant, which, now)?;
                    }
                    Some(error) => {
                        let mut ids = ids.clone();
                        let mut result = CommandResult::of(
                            muster_apple::EnrollmentIds::default(),
                            Status::Error,
                            "",
                            Default::default(),
                        );
                        result.error_chain.push(ErrorChainItem {
                            code: 0,
                            domain: "Muster".into(),
                            us_english_description: Some(error.clone()),
                            ..Default::default()
                        });
                        answered(tx, &speaker, command.id, &result, &mut ids, now)?;
                        let details =
                            json!({ "command": command.id, "requestType": command.request_type, "error": error });
                        note::alert(
                            tx,
                            tenant,
                            &mut ids,
                            &speaker.origin,
                            "commandNotMade",
                            Some(speaker.device),
                            details,
                            now,
                        )?;
                    }
                }
                Ok::<_, Error>(())
            })
            .await
    }
}

/// Selects the next command and marks it sent.
fn next(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    session: Option<Uuid>,
    leaving: bool,
    now: i64,
) -> muster_storage::Result<Option<Command>> {
    if !leaving {
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
        "inventory" => hooks::inventory_answered(tx, tenant, &finished, result, now)?,
        "system" if finished.request_type == "DeclarativeManagement" && ending == Ending::Acknowledged => {
            enrollments::set_declarative(tx, tenant, enrollment)?;
        }
        _ => {}
    }
    Ok(())
}

fn unknown_unless_repeated(tx: &mut dyn Tx, speaker: &Speaker, command: Uuid, ids: &mut Ids, now: i64) -> Result<()> {
    if device_identities::answered_before(tx, speaker.tenant, speaker.enrollment, command)? {
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
