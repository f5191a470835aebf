//! Pages an operating system or a person opens: sign-in, enrollment, and what they are made of.
//! Server-rendered, without JavaScript.
//!
//! `flow.rs` shows the steps of a sign-in; `enroll.rs`, `portal.rs` and `sign_in.rs` say where they lead.

pub mod enroll;
mod flow;
pub mod form;
pub mod page;
pub mod portal;
pub mod sign_in;
pub mod style;
