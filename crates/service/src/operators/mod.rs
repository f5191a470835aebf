//! Operators, tokens, the first set-up.
