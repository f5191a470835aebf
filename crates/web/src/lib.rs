//! The HTTP edge: listeners, the route table, and handlers that decode, ask the service, and answer.

mod app;
pub mod apple;
pub mod authentication;
pub mod gate;
pub mod graph;
pub mod listener;
pub mod muster;
pub mod openapi;
mod operation;
pub mod problem;
pub mod proxy;
pub mod public;
pub mod routes;
pub mod scep;
pub mod shell;

pub use app::{App, Authorities, Edge};
