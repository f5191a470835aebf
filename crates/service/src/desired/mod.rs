//! Desired state: resolve, compute, render, reconcile, status.
