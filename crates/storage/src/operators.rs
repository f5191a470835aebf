//! People with a role.
