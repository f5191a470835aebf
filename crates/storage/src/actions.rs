//! Device actions.
