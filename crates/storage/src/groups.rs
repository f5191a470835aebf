//! Groups and members.
