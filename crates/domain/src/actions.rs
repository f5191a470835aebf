//! The action matrix.
