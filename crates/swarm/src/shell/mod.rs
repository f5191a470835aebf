//! The thin shell around the models: TLS, HTTP, SCEP, the web pages a person goes through.
//!
//! Knows no address but those a person types and those the protocol answers name.

pub mod browser;
pub mod forms;
pub mod handset;
pub mod http;
pub mod network;
pub mod person;
pub mod scep;
pub mod unruly;
pub mod url;

pub use handset::Handset;
pub use network::Network;
pub use person::Person;

/// Why something could not be done from the device's side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke.
    #[error("no connection to {0}: {1}")]
    Connection(String, String),
    /// The server said no, in words for the person.
    #[error("refused ({status}): {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// `<p id="reason">`, or the error's message.
        reason: String,
    },
    /// The answer is not what the protocol allows.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// The device itself refuses.
    #[error("the device refuses: {0}")]
    Device(String),
}

/// Result of the shell.
pub type Result<T> = std::result::Result<T, Error>;
