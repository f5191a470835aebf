//! Second-person approvals.
