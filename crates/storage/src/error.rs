//! What can go wrong in the store.

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A serialization failure, deadlock, busy file or lost connection: the closure may run again.
    #[error("the database asked to try again: {0}")]
    Retry(String),
    /// A unique or foreign constraint refused the statement; `0` names the constraint or index.
    #[error("constraint {0} refused the statement")]
    Constraint(String),
    /// A row that cannot be: a wrong type, an unknown word, a missing part.
    #[error("inconsistent data in {place}: {what}")]
    Inconsistent {
        /// Table or column.
        place: String,
        /// What was found.
        what: String,
    },
    /// The database is not there, or refuses work (stopped, disk full, read-only).
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Any other error of the engine, with its text.
    #[error("database error: {0}")]
    Engine(String),
}

impl Error {
    /// An [`Error::Inconsistent`].
    pub fn inconsistent(place: impl Into<String>, what: impl Into<String>) -> Self {
        Error::Inconsistent { place: place.into(), what: what.into() }
    }
}

/// An error that a closure of [`crate::Store`] may return: its own refusals, and the store's.
pub trait Failure: From<Error> + Send + 'static {
    /// The store's error inside, if it is one: decides whether the closure runs again.
    fn storage(&self) -> Option<&Error>;
}

impl Failure for Error {
    fn storage(&self) -> Option<&Error> {
        Some(self)
    }
}
