//! Outward clients: Apple push, mail.

pub mod apns;
