//! The guard as its users notice it: threats H1-H9, I2, each by id. One file a group.

mod releasing;
mod requests;
mod revealing;
mod stopping;
mod world;
