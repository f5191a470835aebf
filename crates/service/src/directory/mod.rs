//! Reading the directory: lists of users and groups, who is in a group and what somebody is in,
//! objects by id, the organization, troubleshooting and audit events. Changes of people and groups
//! live in `people`.

mod events;
mod lists;
mod members;
mod organization;

pub use events::{EventPage, EventQuery};
pub use lists::{Matches, NamePage, NameQuery};
pub use muster_storage::groups::MemberKind;
