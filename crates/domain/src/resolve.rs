//! Which settings apply to a channel, with their sources; conflicts.
