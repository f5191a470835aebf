//! Graph's users.
