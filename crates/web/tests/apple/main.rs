//! Apple devices at the edge: hand-made messages through the routers of the device and public
//! listeners, over a real service and database.

mod account;
mod identity;
mod kit;
mod lifecycle;
mod secrets;
