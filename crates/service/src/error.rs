//! One error type of the service: a refusal meant for the caller, or an internal failure.

use muster_storage as storage;

/// Which class of answer a refusal is; `web` maps it to a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400
    BadRequest,
    /// 401
    Unauthenticated,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 409
    Conflict,
    /// 410
    Gone,
    /// 412
    PreconditionFailed,
    /// 413
    TooLarge,
    /// 429
    TooManyRequests,
    /// 501
    NotImplemented,
    /// 503
    Unavailable,
}

/// A refusal: what was wrong, where, and what to do. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Class of the answer.
    pub kind: Kind,
    /// Graph's or our code, e.g. `BadRequest`, `selfApproval`.
    pub code: &'static str,
    /// For the caller to read.
    pub message: String,
    /// Seconds to wait before another try, where that helps.
    pub retry_after: Option<u32>,
}

/// Error of every service method.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is told.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed; the caller gets 500 or 503 and the log the rest.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// Anything else that is our fault; the text goes to the log only.
    #[error("{0}")]
    Internal(String),
}

/// Result of every service method.
pub type Result<T> = std::result::Result<T, Error>;

/// Keys and certificates of our own that do not work are our fault.
impl From<muster_pki::Error> for Error {
    fn from(error: muster_pki::Error) -> Self {
        Error::internal(error)
    }
}

impl storage::Failure for Error {
    fn storage(&self) -> Option<&storage::Error> {
        match self {
            Error::Storage(error) => Some(error),
            _ => None,
        }
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident, $code:literal;)+) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self {
                Error::refused(Kind::$kind, $code, message)
            })+
        }
    };
}
constructors! {
    /// 400: what was wrong with the request, and what to send instead.
    bad_request => BadRequest, "BadRequest";
    /// 401
    unauthenticated => Unauthenticated, "InvalidAuthenticationToken";
    /// 403: which right is missing.
    forbidden => Forbidden, "Forbidden";
    /// 404
    not_found => NotFound, "ResourceNotFound";
    /// 409
    conflict => Conflict, "Conflict";
    /// 412
    precondition_failed => PreconditionFailed, "PreconditionFailed";
    /// 501: names what is not built.
    not_implemented => NotImplemented, "NotImplemented";
}

impl Error {
    /// A refusal with its own code.
    pub fn refused(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Error::Refused(Refusal { kind, code, message: message.into(), retry_after: None })
    }
    /// True where the database is away and a later try may succeed.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Error::Storage(storage::Error::Unavailable(_) | storage::Error::Retry(_)))
    }
    /// A failure that is our fault.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Error::Internal(message.to_string())
    }
}
