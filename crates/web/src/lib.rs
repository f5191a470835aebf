//! The HTTP edge: listeners, the route table, and handlers that decode, ask the service, and answer.

pub mod apple;
pub mod graph;
pub mod muster;
pub mod public;
pub mod scep;
