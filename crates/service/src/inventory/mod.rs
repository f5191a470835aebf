//! Inventory: which queries are asked when, and what is kept of the answers.
//!
//! Which fact comes from which query on which enrollment kind is data (`domain::facts`). Asked after
//! enrollment, when somebody syncs the device, with the check-in every eight hours or, for the long
//! lists, every seven days; one live query per channel and kind; kept when changed, with source and
//! time. `ask.rs` asks, `answers.rs` keeps, `profiles.rs` compares installed profiles with what was
//! put there, `ownership.rs` forgets what may not be known of a personal device.

mod answers;
mod ask;
mod ownership;
mod profiles;
#[cfg(test)]
mod tests;

pub use answers::answered;
pub use ask::{DUE, enrolled, refresh};
pub(crate) use ask::{ask_due, ask_now, render};
pub use ownership::made_personal;
