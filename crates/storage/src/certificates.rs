//! Device and access certificates.
