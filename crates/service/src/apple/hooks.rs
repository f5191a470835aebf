//! Where the channel calls other areas: one line each, so that what a check-in touches can be read
//! in one place.

use muster_apple::{CommandResult, Request, declarative::StatusReport};
use muster_storage::{Tx, commands::Command, commands::Ending};
use uuid::Uuid;

use crate::{Error, Ids, Result, Service, actions};

pub(super) fn re_enrolled(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, device: Uuid, now: i64) -> Result<()> {
    actions::device_re_enrolled(tx, ids, tenant, device, now)
}

pub(super) fn taken_over(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, device: Uuid, now: i64) -> Result<()> {
    actions::device_taken_over(tx, ids, tenant, device, now)
}

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

pub(super) fn action_handed_out(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    command: &Command,
    now: i64,
) -> Result<()> {
    actions::action_handed_out(tx, ids, tenant, command, now)
}

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

pub(super) fn inventory_enrolled(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, now: i64) -> Result<()> {
    let _ = (tx, tenant, enrollment, now);
    Ok(())
}

pub(super) fn inventory_answered(
    tx: &mut dyn Tx,
    tenant: Uuid,
    command: &Command,
    result: &CommandResult,
    now: i64,
) -> Result<()> {
    let _ = (tx, tenant, command, result, now);
    Ok(())
}

pub(super) fn status_reported(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    report: &StatusReport,
    now: i64,
) -> Result<()> {
    let _ = (tx, tenant, enrollment, report, now);
    Ok(())
}

impl Service {
    pub(super) async fn action_request(&self, tenant: Uuid, command: &Command) -> Result<Option<Request>> {
        self.render_action(tenant, command).await.map(Some)
    }

    pub(super) async fn inventory_request(&self, tenant: Uuid, command: &Command) -> Result<Option<Request>> {
        let _ = (tenant, command);
        Err(Error::internal("inventory is not built in"))
    }
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
    pub(super) async fn identity_challenge(&self, tenant: Uuid, purpose: &ChallengeFor) -> Result<Challenge> {
        let _ = (tenant, purpose);
        Err(Error::internal("SCEP is not built in"))
    }
}
