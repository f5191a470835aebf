//! Who gets a document.
