//! People, groups and licences: the directory as Graph shows it.
//!
//! Bodies and views are Graph's JSON; what Graph calls a user is a `person` row here. What does not
//! live here: passwords at sign-in (`sign_in`), roles (`operators`), device records (`devices`).

mod enrolling;
mod groups;
mod import;
mod leavers;
mod licences;
mod managed_apple_account;
pub(crate) mod mark;
pub(crate) mod organization;
pub(crate) mod settings;
mod tenant_settings;
mod users;

pub use enrolling::{CategoryChoice, ChoiceAnswers, NextChoice, Terms, platform_named};
pub use groups::group_view;
pub(crate) use groups::member_of_directory;
pub use import::ImportKind;
pub use licences::Licensing;
pub(crate) use licences::seat_for_new;
pub(crate) use managed_apple_account::managed_apple_account;
pub use organization::MDM_AUTHORITY;
pub use users::{SKU_ID, SKU_PART_NUMBER, user_view};
pub(crate) use users::{check_principal_name, keep_an_owner, time_text, unique_name};
