//! Refused enrollments.
