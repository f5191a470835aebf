//! Desired and reported items of a channel.
