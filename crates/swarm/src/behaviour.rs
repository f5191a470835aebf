//! Seeded human behaviour.
