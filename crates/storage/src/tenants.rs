//! Tenants, their domains and organization row.
