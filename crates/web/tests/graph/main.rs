//! The API as its clients see it.

mod devices;
mod directory;
mod documents;
mod guard;
mod manners;
mod order;
mod support;
