//! The Apple channel.
