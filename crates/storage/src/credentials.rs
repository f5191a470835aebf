//! Passwords, second factors, attempts.
