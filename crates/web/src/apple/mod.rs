//! Apple's device routes: check-in, discovery, enrollment.
