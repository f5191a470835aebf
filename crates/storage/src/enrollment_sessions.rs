//! One person enrolling one device.
