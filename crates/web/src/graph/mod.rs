//! The API: Microsoft Graph's surface, one entry for `/v1.0` and one for `/beta`.

mod address;
mod body;
mod filter;
mod json;
mod options;
mod types;

pub use address::Version;
