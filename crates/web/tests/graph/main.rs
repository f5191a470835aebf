//! The API as its clients see it.

mod documents;
mod order;
mod support;
