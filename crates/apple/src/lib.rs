//! Apple's device management protocol as bytes: decode and encode, bounded before anything else.
//! Knows nothing of the product.
//!
//! Both directions live here: what a server decodes a simulated device encodes, and the other way
//! round. Names are Apple's own (repository `apple/device-management`); no I/O, no clock, no
//! randomness, no panics on input.

pub mod check_in;
pub mod command;
pub mod declarative;
pub mod discovery;
pub mod enrollment_profile;
pub mod ids;
pub mod machine_info;
pub mod plist;
pub mod profile;
pub mod push;
pub mod push_certificate;
pub mod raw_command;
pub mod refusal;
pub mod requests;
pub mod result;

pub use check_in::CheckIn;
pub use command::Command;
pub use ids::{Channel, EnrollmentIds};
pub use plist::{DecodeError, Dictionary, Limits, Value};
pub use requests::Request;
pub use result::{CommandResult, ErrorChainItem, Status};
