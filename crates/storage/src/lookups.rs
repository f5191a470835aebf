//! What a stranger presents -> tenant and record.
