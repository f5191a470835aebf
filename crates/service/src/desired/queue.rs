//! The commands of items: queued, and withdrawn when overtaken.

use muster_storage::{
    self as storage, Tx,
    commands::{self, NewCommand, Which},
    subjects::Subject,
};
use serde_json::Value;
use uuid::Uuid;

use crate::apple::priority;

/// A command of origin `item`.
pub(super) fn command(subject: &Subject, id: Uuid, request_type: &str, payload: &Value, now: i64) -> NewCommand {
    NewCommand {
        id,
        enrollment: subject.enrollment_id,
        device: subject.device_id,
        request_type: request_type.to_owned(),
        payload: payload.to_string(),
        origin: "item".to_owned(),
        action: None,
        destructive: false,
        priority: priority::ITEM,
        held: false,
        not_before: 0,
        expires_at: None,
        now,
    }
}

/// Withdraws a command. True where it was handed out before, and may still take effect.
pub(super) fn withdraw(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    command: Uuid,
    now: i64,
) -> storage::Result<bool> {
    let withdrawn = commands::cancel_for(tx, tenant, Which::One(enrollment, command), now)?;
    Ok(withdrawn.iter().any(|command| command.attempts > 0))
}
