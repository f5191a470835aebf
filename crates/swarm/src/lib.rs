//! Simulated devices that speak the real protocols, and stand-ins for outside services.
