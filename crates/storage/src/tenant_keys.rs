//! Wrapped data keys.
