//! The API as its clients see it.

mod devices;
mod directory;
mod documents;
mod guard;
mod order;
mod support;
