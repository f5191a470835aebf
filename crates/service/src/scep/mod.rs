//! SCEP (RFC 8894), the server's decisions.
