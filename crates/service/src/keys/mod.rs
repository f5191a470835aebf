//! The key file, per-tenant data keys, sealing and unsealing.
