//! Sealing and verifying the audit chain.
