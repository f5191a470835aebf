//! Content by hash.
