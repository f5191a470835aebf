//! Pages an operating system opens by itself: sign-in, terms, enrollment.
