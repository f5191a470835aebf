//! Certificate authorities.
