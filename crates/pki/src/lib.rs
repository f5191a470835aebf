//! Bytes and keys: certificates, CMS, SCEP, CRL, sealed secrets. No database, no HTTP, no clock.
