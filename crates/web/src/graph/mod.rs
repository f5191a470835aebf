//! The Graph API: one entry, an OData path parser, a resource registry.
