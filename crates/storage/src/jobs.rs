//! Work that follows a change: enqueue in the same transaction, claim by lease.
