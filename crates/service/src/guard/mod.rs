//! Approvals, limits, emergency stop, the releaser.
