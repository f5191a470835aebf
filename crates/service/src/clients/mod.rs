//! Outward clients: Apple push, mail.
