//! Managed devices: lists, single reads, changes of the record. What a device is told to do is in
//! `actions`; what it says about itself in `inventory`.

mod change;
mod list;
mod own;
mod reports;
mod tell;
mod view;

pub use change::DeviceChange;
pub use list::{DevicePage, DeviceQuery};
pub use own::{OwnDevice, OwnRequest};
pub use view::{action_view, device_view, directory_view};

/// The job that tells a person about a change of ownership.
pub(crate) const TELL_JOB: &str = "devices.tellOwnerChange";
