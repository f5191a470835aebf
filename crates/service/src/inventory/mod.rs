//! Facts: what is asked of which device, and what is kept.
