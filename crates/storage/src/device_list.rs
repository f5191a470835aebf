//! Filtered, sorted, paged device lists.
