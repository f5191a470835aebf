//! The guard's ledger and budget.
