//! Configuration entities: create, change, assign.
