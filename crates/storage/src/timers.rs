//! Rows with a due time.
