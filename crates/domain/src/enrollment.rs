//! Enrollment kinds and rules.
