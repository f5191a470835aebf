//! Where the channel calls other areas: one function each, so that what a check-in touches can be
//! read in one place.

use muster_apple::{CommandResult, Request};
use muster_storage::{
    Tx,
    certificates::purpose,
    commands::{Command, Ending},
    subjects::Traits,
};
use uuid::Uuid;

use crate::{Ids, Result, Service, actions, certificates::Decided, inventory, scep::NewChallenge};

/// The same person enrolled the same device again.
pub(super) fn re_enrolled(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, device: Uuid, now: i64) -> Result<()> {
    actions::device_re_enrolled(tx, ids, tenant, device, now)
}

/// Another person enrolled the hardware of this record.
pub(super) fn taken_over(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, device: Uuid, now: i64) -> Result<()> {
    actions::device_taken_over(tx, ids, tenant, device, now)
}

/// The person removed management.
pub(super) fn device_left(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    device: Uuid,
    why: &str,
    now: i64,
) -> Result<()> {
    actions::device_left(tx, ids, tenant, device, why, now)
}

/// The command of an action goes out.
pub(super) fn action_handed_out(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    command: &Command,
    now: i64,
) -> Result<()> {
    actions::action_handed_out(tx, ids, tenant, command, now)
}

/// The command of an action was answered.
pub(super) fn action_answered(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    command: &Command,
    ending: Ending,
    error: Option<&str>,
    now: i64,
) -> Result<()> {
    actions::action_answered(tx, ids, tenant, command, ending, error, now)
}

/// A channel enrolled: ask for everything.
pub(super) fn inventory_enrolled(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, now: i64) -> Result<()> {
    Ok(inventory::enrolled(tx, tenant, enrollment, now)?)
}

/// A query goes out.
pub(super) fn inventory_request(command: &Command, traits: &Traits) -> Result<Option<Request>> {
    inventory::render(&command.request_type, traits)
}

/// A query was answered.
pub(super) fn inventory_answered(
    tx: &mut dyn Tx,
    tenant: Uuid,
    command: &Command,
    traits: &Traits,
    result: &CommandResult,
    now: i64,
) -> Result<()> {
    Ok(inventory::answered(tx, tenant, command, traits, result, now)?)
}

/// Whose identity a challenge is minted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChallengeFor {
    /// An enrollment that begins.
    Session(Uuid),
    /// An identity that is renewed by this command.
    Renewal {
        /// Its device.
        device: Uuid,
        /// Its channel.
        enrollment: Uuid,
        /// The command that carries it.
        command: Uuid,
    },
}

/// A challenge, and the common name the certificate will have.
pub(super) struct Challenge {
    pub(super) text: String,
    pub(super) subject: String,
}

impl Service {
    pub(super) async fn action_request(&self, tenant: Uuid, command: &Command) -> Result<Option<Request>> {
        self.render_action(tenant, command).await.map(Some)
    }

    /// Mints the challenge for a device identity; the common name says nothing of the person.
    pub(super) async fn identity_challenge(&self, tenant: Uuid, purpose: &ChallengeFor) -> Result<Challenge> {
        let (session, device, enrollment, command) = match *purpose {
            ChallengeFor::Session(session) => (Some(session), None, None, None),
            ChallengeFor::Renewal { device, enrollment, command } => {
                (None, Some(device), Some(enrollment), Some(command))
            }
        };
        let subject = session.or(device).unwrap_or_default().to_string();
        let challenge = self
            .mint_scep_challenge(NewChallenge {
                tenant,
                purpose: purpose::IDENTITY.into(),
                enrollment_session: session,
                device,
                enrollment,
                document: None,
                command,
                decided: Decided::identity(&subject),
            })
            .await?;
        Ok(Challenge { text: challenge.expose().clone(), subject })
    }
}
