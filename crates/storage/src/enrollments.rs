//! Channels of a device.
