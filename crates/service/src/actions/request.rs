//! Taking a request: what cannot apply is refused at once, what already waits is answered with the
//! waiting one, what the guard wants agreed becomes an approval.

use muster_domain::actions::Verb;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Actor, Error, Result, Service};

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
        let _ = (actor, device, request);
        Err(Error::not_implemented("actions are being built"))
    }
}
