//! Actions: what an operator, a person or the server asks of one device, from the request to the
//! device's answer.
//!
//! `request.rs` takes requests, `bulk.rs` takes one for many devices, `start.rs` begins the effect of a
//! released action, `render.rs` makes the command when it is handed out, `answer.rs` reads what the
//! device said, `leaving.rs` takes the company's data back, `results.rs` shows it all in Graph's words,
//! `reveal.rs` opens what is in escrow. Whether a destructive request may go at all is the guard's
//! business (`crate::guard`).

mod answer;
mod bulk;
mod escrow;
mod leaving;
mod render;
mod request;
mod results;
mod reveal;
mod start;

pub use answer::{action_answered, action_handed_out, device_made_personal, device_re_enrolled, device_taken_over};
pub use bulk::{BulkRequest, BulkResult, BulkState};
pub use leaving::{LEAVING_TIMER, device_left};
pub use request::{ActionRequest, Requested};
pub use results::{ActionResult, ActionState};
pub use reveal::Revealed;
pub use start::MAIL_JOB;

pub(crate) use answer::{cancel_undelivered, expire};
pub(crate) use start::{mail, start};
