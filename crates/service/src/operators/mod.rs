//! Operators and their tokens, and what is set up at the server's own keyboard.
//!
//! What does not live here: what a role may do (`domain::roles`) and signing in (`sign_in`).

mod keyboard;
mod manage;
mod setup;
mod tokens;

pub(crate) use keyboard::check_domain;
pub use keyboard::{NewAdmin, NewKeyboardToken};
pub use manage::RoleGiven;
pub(crate) use manage::{may_touch, only, text_of};
