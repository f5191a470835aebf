//! Our own additions under /muster/v1.
