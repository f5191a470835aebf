//! The store: every statement of Muster, written once for SQLite and PostgreSQL.
//!
//! [`Store::read`] and [`Store::write`] run a synchronous closure over a [`Tx`]; one file a noun
//! holds the functions such closures call. Only this crate contains SQL.
//! What does not live here: decisions (crate `service`), clocks and randomness (ids and times are arguments).

pub mod actions;
pub mod approvals;
pub mod assignments;
pub mod audit;
pub mod authorities;
pub mod backup;
pub mod blobs;
pub mod certificates;
pub mod commands;
pub mod credentials;
mod device_columns;
pub mod device_identities;
pub mod device_list;
pub mod device_states;
pub mod devices;
pub mod documents;
pub mod enrollment_failures;
pub mod enrollment_sessions;
pub mod enrollments;
pub mod facts;
pub mod groups;
pub mod guard;
pub mod items;
pub mod jobs;
pub mod leases;
pub mod leaving;
pub mod lookups;
pub mod membership_rules;
pub mod operators;
pub mod outbox;
pub mod people;
pub mod push_certificates;
pub mod rule_subjects;
pub mod scep_challenges;
pub mod secrets;
pub mod sessions;
pub mod setting_states;
pub mod subjects;
pub mod tenant_keys;
pub mod tenants;
pub mod terms;
pub mod timers;
pub mod tokens;

pub mod migrate;
pub mod postgres;
pub mod sqlite;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

mod dialect;
mod error;
mod queue;
mod store;
mod tx;
mod value;

pub use dialect::{like_contains, like_prefix, placeholders};
pub use error::{Error, Failure};
pub use store::{Counters, Scope, Store};
pub use tx::{Dialect, Tx, TxExt};
pub use value::{Row, Value};

/// Result of a storage function.
pub type Result<T> = std::result::Result<T, Error>;
