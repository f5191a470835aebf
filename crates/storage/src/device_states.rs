//! Dirty marks and state hashes.
