//! Actions: what an operator, a person or the server asks of one device, from the request to the
//! device's answer.
//!
//! `request.rs` takes requests, `start.rs` begins the effect of a released action, `render.rs` makes
//! the command when it is handed out, `answer.rs` reads what the device said, `leaving.rs` takes the
//! company's data back, `results.rs` shows it all in Graph's words. Whether a destructive request may
//! go at all is the guard's business (`crate::guard`).

mod request;

pub use request::{ActionRequest, Requested};
