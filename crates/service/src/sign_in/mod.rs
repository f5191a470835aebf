//! Who somebody is: local passwords, second factors, sessions, bearer tokens.
//!
//! What does not live here: what a signed-in person may do (`domain::roles`), making operators and
//! tokens (`operators`), and the pages (`web::public`).

mod bearer;
mod failed;
mod flow;
mod limits;
pub(crate) mod password;
mod portal;
mod sessions;
mod token;
pub(crate) mod totp;

pub use bearer::csrf_of;
pub(crate) use bearer::{hash as hash_of_value, new_value};
pub use flow::{Answers, Choices, ConsoleSession, Flow, Purpose, Step};
pub use portal::is_own_form;
pub use sessions::{Audience, Intent, SessionView};
pub(crate) use token::{COMMAND_LINE, OPERATOR, TOKEN};

use crate::{Error, Kind, Refusal};

/// The one answer to every sign-in that fails before the password is proven right.
fn generic() -> Error {
    Error::refused(Kind::Forbidden, "signInFailed", "the user name or the password is not right")
}

/// Too many attempts; try again after `wait` ms.
fn too_many(wait: i64) -> Error {
    let seconds = u32::try_from(wait.div_euclid(1000) + 1).unwrap_or(u32::MAX);
    Error::Refused(Refusal {
        kind: Kind::TooManyRequests,
        code: "tooManyAttempts",
        message: format!("too many attempts; try again in {seconds} seconds"),
        retry_after: Some(seconds),
    })
}
