//! Device actions, from request to result.
