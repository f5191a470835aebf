//! Desired state: from assignments to commands, and from answers to truth.
//!
//! [`compute`] resolves what a channel should have and queues the differences; [`answers`]
//! takes what the device says; [`render`](Service::render_item) makes bytes at hand-out; [`dirty`] marks
//! channels again whose settled errors are due.
//! The rules are pure and in the crate `domain` (`assignment`, `resolve`, `reconcile`).

pub mod answers;
pub(crate) mod batch;
#[cfg(test)]
mod batch_tests;
#[cfg(test)]
mod built_tests;
#[cfg(test)]
mod catalogue_samples;
#[cfg(test)]
mod catalogue_tests;
mod certificates;
pub mod check;
pub mod compute;
pub mod custom;
pub(crate) mod declared;
pub mod dirty;
pub mod documents;
pub mod render;
pub(crate) mod renewal;
pub mod secrets;
pub mod variables;
mod vpn;
mod wifi;

mod queue;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod vpn_tests;

/// The collection whose documents become profiles.
pub const CONFIGURATIONS: &str = "deviceConfigurations";

/// Top-level `PayloadIdentifier` of the profile that a document becomes. Ours alone, so that profiles
/// of different documents never replace one another.
pub fn profile_identifier(document: uuid::Uuid) -> String {
    format!("org.muster.profile.{document}")
}

/// The document behind a profile identifier of ours.
pub fn document_of(identifier: &str) -> Option<uuid::Uuid> {
    identifier.strip_prefix("org.muster.profile.").and_then(|id| id.parse().ok())
}
