//! Outward clients: Apple push, mail.

pub mod apns;
pub mod mail;
