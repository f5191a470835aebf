//! The live queue and the append-only history.
