//! One-time SCEP challenges.
