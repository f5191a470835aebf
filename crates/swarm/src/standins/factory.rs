//! The factory: gives each simulated device the identity that signs its MachineInfo.

use std::sync::Arc;

use muster_pki::{Name, Usage, oid};

use super::authority::Authority;
use crate::{crypto::Identity, model::Hardware, shell::Error};

/// Stand-in of the authority behind device identities.
#[derive(Debug)]
pub struct Factory {
    authority: Authority,
    now: i64,
}

impl Factory {
    /// A factory of its own; servers are told its root as `[apple] device_ca_file`.
    pub fn new(now: i64) -> Result<Self, Error> {
        let authority = Authority::with_issuing("Simulated Device Root CA", "Simulated Device CA", now)?;
        Ok(Factory { authority, now })
    }

    /// PEM of the root.
    pub fn root_pem(&self) -> String {
        self.authority.root_pem()
    }

    /// DER of the root.
    pub fn root(&self) -> &[u8] {
        self.authority.root()
    }

    /// The identity of one device.
    pub fn identity(&self, hardware: &Hardware) -> Result<Arc<Identity>, Error> {
        let subject = Name::new(&[(oid::COMMON_NAME, &hardware.udid), (oid::ORGANIZATION, "Simulated Devices")]);
        Ok(Arc::new(self.authority.identity(subject, Usage::signer(), Vec::new(), self.now)?))
    }
}
