//! Pure rules: functions of state, input and time. No I/O, no clock, no randomness, no wire formats.

pub mod actions;
pub mod assignment;
pub mod catalogue;
pub mod enrollment;
pub mod facts;
pub mod guard;
pub mod query;
pub mod reconcile;
pub mod resolve;
pub mod roles;
pub mod rules;
