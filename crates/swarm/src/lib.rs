//! Simulated devices that speak the real protocols, and stand-ins for outside services.
//!
//! - [`model`]: iPhone, iPad and Mac as pure state machines;
//! - [`shell`]: their network: TLS, SCEP, the pages a person goes through;
//! - [`behaviour`], [`fleet`]: people and time, seeded; many of them;
//! - [`standins`]: Apple's push service, a mail server, the device CA of the factory, a website.
//!
//! A simulated device knows what a device knows: addresses come from what a person types and from
//! protocol answers, never from the server's code.

pub mod behaviour;
pub mod crypto;
pub mod fleet;
pub mod load;
pub mod model;
pub mod plists;
pub mod random;
pub mod shell;
pub mod standins;
