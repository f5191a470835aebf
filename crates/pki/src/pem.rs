//! PEM (RFC 7468): text around DER.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{Error, Result};

/// Most bytes of text that are looked at.
const LIMIT: usize = 1024 * 1024;

/// One block with its label, 64 characters a line.
pub fn encode(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for at in (0..text.len()).step_by(64) {
        out.push_str(&text[at..text.len().min(at + 64)]);
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// All blocks, label and bytes, in their order; text between them is skipped.
pub fn decode_all(text: &str) -> Result<Vec<(String, Vec<u8>)>> {
    if text.len() > LIMIT {
        return Err(Error::Malformed("PEM size"));
    }
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines().map(str::trim) {
        if let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) {
            if open.is_some() {
                return Err(Error::Malformed("PEM"));
            }
            open = Some((label.to_owned(), String::new()));
        } else if let Some(label) = line.strip_prefix("-----END ").and_then(|rest| rest.strip_suffix("-----")) {
            let (begun, body) = open.take().filter(|(begun, _)| begun == label).ok_or(Error::Malformed("PEM"))?;
            blocks.push((begun, STANDARD.decode(body).map_err(|_| Error::Malformed("PEM"))?));
        } else if let Some((_, body)) = &mut open {
            body.push_str(line);
        }
    }
    if open.is_some() { Err(Error::Malformed("PEM")) } else { Ok(blocks) }
}

/// The first block with this label.
pub fn decode(label: &str, text: &str) -> Result<Vec<u8>> {
    decode_all(text)?.into_iter().find(|(found, _)| found == label).map(|(_, der)| der).ok_or(Error::Malformed("PEM"))
}

/// Bytes as they came, or of the first PEM block with this label where the input is text.
pub fn der_or_pem(label: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains("-----BEGIN") => decode(label, text),
        _ => Ok(bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_round_trip_and_text_between_is_skipped() {
        let text = format!("a comment\n{}\r\nmore\n{}", encode("A", &[7; 100]), encode("B", &[]));
        assert_eq!(decode_all(&text).unwrap(), [("A".to_owned(), vec![7; 100]), ("B".to_owned(), vec![])]);
        assert_eq!(decode("B", &text).unwrap(), Vec::<u8>::new());
    }

    #[test]
    fn torn_blocks_are_refused() {
        assert!(decode_all("-----BEGIN A-----\nAAAA\n").is_err());
        assert!(decode_all("-----BEGIN A-----\n-----END B-----\n").is_err());
        assert!(decode("A", "nothing").is_err());
    }
}
