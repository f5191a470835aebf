//! The request for a push certificate as the MDM vendor signs it and Apple's portal takes it.
//!
//! Apple: "Setting up push notifications for your MDM customers".

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::plist;

/// Every push topic of device management begins so.
pub const TOPIC_PREFIX: &str = "com.apple.mgmt.";

/// The file to upload at Apple's portal: base64 of a property list.
///
/// `csr` is DER; `chain` is PEM: vendor certificate, its intermediate, Apple's root; `signature`
/// is the vendor's RSA PKCS#1 v1.5 SHA-256 over `csr`.
pub fn request(csr: &[u8], chain: &str, signature: &[u8]) -> String {
    let list = plist::encode_dictionary(crate::dict! {
        "PushCertRequestCSR" => STANDARD.encode(csr),
        "PushCertCertificateChain" => chain,
        "PushCertSignature" => STANDARD.encode(signature),
    });
    STANDARD.encode(list)
}

/// PEM with lines of 64 characters.
pub fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
