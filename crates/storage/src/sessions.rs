//! Browser sessions and flows.
