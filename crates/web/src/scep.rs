//! SCEP and CRL over HTTP.
