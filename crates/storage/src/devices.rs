//! Device records.
