//! The SCEP server's decisions.
