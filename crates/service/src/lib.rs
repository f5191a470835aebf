//! Decisions: what happens when a device checks in, a person enrolls, an administrator acts.
//!
//! [`Service`] holds the store, the clock, the source of randomness and the outward clients; each
//! folder adds methods to it for one subject. No HTTP server, no SQL, no ambient time here.

pub mod actions;
pub mod apple;
pub mod audit;
pub mod branding;
pub mod certificates;
pub mod clients;
pub mod desired;
pub mod devices;
pub mod directory;
pub mod documents;
pub mod guard;
pub mod health;
pub mod inventory;
pub mod jobs;
pub mod keys;
pub mod operators;
pub mod people;
pub mod rules;
pub mod scep;
pub mod sign_in;

mod actor;
mod error;
mod ids;
mod ports;
mod service;
pub mod settings;
#[cfg(feature = "testing")]
pub mod testing;

pub use actor::{Actor, PrincipalKind, RequestContext};
pub use error::{Error, Kind, Refusal, Result};
pub use ids::Ids;
pub use ports::{Clock, Mail, MailError, MailMessage, Push, PushError, PushIdentity, PushTarget, Random};
pub use service::{Parts, Service};
pub use settings::{Addresses, Settings};
