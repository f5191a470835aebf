//! Our own additions under /muster/v1: nouns plural, camelCase, RFC 3339 times, Graph's error body.

pub mod approvals;
mod body;
pub mod bulk_actions;
pub mod emergency_stop;
pub mod guard_settings;
mod json;
pub mod operators;
pub mod people;
