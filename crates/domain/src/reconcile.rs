//! Desired minus reported.
