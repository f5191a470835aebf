//! Who gets what: include, exclude, filter, intent.
