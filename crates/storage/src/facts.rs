//! Facts about devices, detected apps, inventory queries.
