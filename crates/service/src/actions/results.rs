//! Actions in Graph's words: `deviceActionResults`, and what an entitled reader sees beside them.

use muster_storage::actions::{self, Action};
use uuid::Uuid;

use crate::{Error, Result, Service};

/// Graph's `actionState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionState {
    /// Waits: for an approval, a hold, a limit or the device.
    Pending,
    /// Denied, expired undecided, or taken back.
    Canceled,
    /// The device has it.
    Active,
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// The device has no such thing.
    NotSupported,
}

impl ActionState {
    /// Graph's word.
    pub fn word(self) -> &'static str {
        match self {
            ActionState::Pending => "pending",
            ActionState::Canceled => "canceled",
            ActionState::Active => "active",
            ActionState::Done => "done",
            ActionState::Failed => "failed",
            ActionState::NotSupported => "notSupported",
        }
    }

    fn of(stored: &str) -> ActionState {
        match stored {
            "held" | "approved" | "queued" => ActionState::Pending,
            "sent" | "active" => ActionState::Active,
            "done" => ActionState::Done,
            "failed" => ActionState::Failed,
            "notSupported" => ActionState::NotSupported,
            _ => ActionState::Canceled,
        }
    }
}

/// One element of `deviceActionResults`, with what we know beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionResult {
    /// The action.
    pub id: Uuid,
    /// Graph's action name.
    pub name: String,
    /// State.
    pub state: ActionState,
    /// Unix ms.
    pub started_at: i64,
    /// Unix ms.
    pub updated_at: i64,
    /// Who asked.
    pub actor_name: String,
    /// The approval.
    pub approval: Option<Uuid>,
    /// What the device or the guard said.
    pub result: Option<String>,
}

impl From<Action> for ActionResult {
    fn from(action: Action) -> Self {
        ActionResult {
            id: action.id,
            state: ActionState::of(&action.state),
            name: action.name,
            started_at: action.requested_at,
            updated_at: action.updated_at,
            actor_name: action.actor_name,
            approval: action.approval_id,
            result: action.result,
        }
    }
}

impl Service {
    /// The latest action of each name on a device.
    pub async fn action_results(&self, tenant: Uuid, device: Uuid) -> Result<Vec<ActionResult>> {
        self.store
            .read(tenant, move |tx| {
                let latest = actions::latest_of_device(tx, tenant, device)?;
                Ok::<_, Error>(latest.into_iter().map(ActionResult::from).collect())
            })
            .await
    }
}
