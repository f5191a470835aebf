//! Models of iPhone, iPad and Mac: pure state machines without clock, network or file.
//!
//! A [`Device`] keeps what a real one keeps and answers from that; `shell` carries its messages.

pub mod answer;
pub mod apps;
pub mod checkin;
pub mod command;
pub mod declarations;
pub mod device;
pub mod filevault;
pub mod hardware;
pub mod information;
pub mod install;
pub mod payloads;
pub mod profile;
pub mod rules;
pub mod security;
pub mod session;
pub mod settings;
pub mod status;

pub use device::{Channel, Device, EnrollmentMode, LeftBecause, Management};
pub use hardware::{Family, Hardware, Version};
pub use session::{Message, Next};
