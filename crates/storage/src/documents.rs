//! Configuration entities.
