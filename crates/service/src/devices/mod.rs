//! Device records: read, patch, ownership, delete.
