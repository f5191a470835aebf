//! The Apple channel: enrollment, check-in, the command cycle, push, declarative management.
//!
//! `identity.rs` finds who holds a certificate, `check_in.rs` dispatches check-in messages,
//! `commands.rs` is the command cycle, `enrollment.rs` decides how a person may enroll and
//! `enrollment_profile.rs` makes the profile, `account.rs` is account-driven enrollment up to the
//! profile, `push.rs` asks devices to connect, `renewal.rs` renews identities. Bytes are in the
//! crate `apple`, URLs in `web/src/apple`.
//!
//! No answer on a device route is ever 401: it can make a device leave. A refusal is 400, and 403
//! `com.apple.unrecognized.device` only for a certificate that was once ours (design, ruling 1).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use uuid::Uuid;

use crate::ports::PushIdentity;

pub(crate) mod abandoned;
pub mod account;
mod authenticate;
mod check_in;
mod commands;
pub(crate) mod declarative;
pub mod enrollment;
mod enrollment_profile;
mod escrow;
mod file_vault;
mod hooks;
mod identity;
mod leaving;
mod model;
mod note;
mod push;
pub mod push_certificate;
mod push_certificate_ends;
mod push_pause;
#[cfg(test)]
mod push_tests;
mod raw;
mod renewal;
mod seen;
pub mod status;
mod token_update;

pub use check_in::{Contact, Reply};
pub use commands::{priority, wake};
pub use escrow::{BOOTSTRAP_TOKEN, FILE_VAULT_KEY, UNLOCK_TOKEN};
pub use identity::DeviceCertificate;
pub use push::{PUSH_JOB, Pushed, push_all_soon, push_at, push_soon};
pub use push_certificate_ends::PUSH_CERTIFICATE_ENDS;
pub use renewal::RENEWAL_JOB;

/// Top-level `PayloadIdentifier` of the enrollment profile: what `RemoveProfile` names at retire,
/// and what a renewal replaces.
pub const ENROLLMENT_PROFILE: &str = "org.muster.enrollment";

/// What the channel keeps in memory: nothing that can be revoked.
#[derive(Default)]
pub struct Memory {
    identities: identity::Known,
    seen: seen::Seen,
    push_identities: Mutex<HashMap<Uuid, Arc<PushIdentity>>>,
    push_pauses: push_pause::Pauses,
}

impl Memory {
    /// The push identity of that version, if it is kept.
    fn push_identity(&self, tenant: Uuid, version: i64) -> Option<Arc<PushIdentity>> {
        let kept = self.push_identities.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&tenant).filter(|identity| identity.version() == version).cloned()
    }

    fn keep_push_identity(&self, tenant: Uuid, identity: Arc<PushIdentity>) {
        self.push_identities.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, identity);
    }
}
