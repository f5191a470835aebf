//! What people see of the organisation.
