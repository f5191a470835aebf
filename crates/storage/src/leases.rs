//! Named leases.
