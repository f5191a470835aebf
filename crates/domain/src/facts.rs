//! Which query gives which fact on which kind; what is never kept.
