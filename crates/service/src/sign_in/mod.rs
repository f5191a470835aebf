//! Passwords, second factors, sessions, tokens: who is calling.
