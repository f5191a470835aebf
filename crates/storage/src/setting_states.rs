//! What is true per setting.
