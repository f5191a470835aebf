//! Events: one outbox, consumers at least once.
