//! Sealed secret values.
