//! Apple's device routes: check-in and commands (`mdm.rs`), who speaks (`identity.rs`), and
//! account-driven enrollment (`enrollment.rs`). Decisions are in `service::apple`, bytes in the
//! crate `apple`.
//!
//! No code path here answers 401 to a check-in or a command result: it can make a device leave.

pub mod enrollment;
mod identity;
pub mod mdm;
