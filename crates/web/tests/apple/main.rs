//! Apple devices at the edge: hand-made messages through the routers of the device and public
//! listeners, over a real service and database.

mod account;
mod guarded;
mod identity;
mod kit;
mod lifecycle;
mod privacy;
mod secrets;
