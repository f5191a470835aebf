//! Audit rows, sealing into the chain, verification.
