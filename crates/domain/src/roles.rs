//! Roles, permissions, scope words.
