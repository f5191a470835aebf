//! Just enough of URLs for devices: split, join, query encoding.

use super::{Error, Result};

/// A split `https` or `http` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `https`
    pub scheme: String,
    /// Host without port.
    pub host: String,
    /// Port, the scheme's own when none is named.
    pub port: u16,
    /// Path with query, beginning with `/`.
    pub target: String,
}

impl Url {
    /// Splits an absolute URL.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || Error::Unexpected(format!("no usable URL: {text}"));
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let default = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(bad()),
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (authority, default),
        };
        let target = target.split('#').next().unwrap_or_default();
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        if host.is_empty() {
            return Err(bad());
        }
        Ok(Url { scheme: scheme.into(), host: host.into(), port, target })
    }

    /// What a link on this page means.
    pub fn join(&self, link: &str) -> Result<Self> {
        if link.contains("://") {
            return Url::parse(link);
        }
        let mut joined = self.clone();
        let path = self.target.split('?').next().unwrap_or("/");
        joined.target = match link.split('#').next().unwrap_or_default() {
            "" => self.target.clone(),
            link if link.starts_with('/') => link.to_owned(),
            link if link.starts_with('?') => format!("{path}{link}"),
            link => format!("{}/{link}", path.rsplit_once('/').map_or("", |(folder, _)| folder)),
        };
        Ok(joined)
    }

    /// With more of a query.
    pub fn with_query(&self, pairs: &[(&str, &str)]) -> Self {
        let mut url = self.clone();
        for (key, value) in pairs {
            url.target.push(if url.target.contains('?') { '&' } else { '?' });
            url.target.push_str(&encode(key));
            url.target.push('=');
            url.target.push_str(&encode(value));
        }
        url
    }

    /// Host and port as the `Host` header says it.
    pub fn authority(&self) -> String {
        match (self.scheme.as_str(), self.port) {
            ("https", 443) | ("http", 80) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority(), self.target)
    }
}

/// Percent-encodes for a query or a form.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Reads percent-encoding (and `+`) of a query.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_split_and_join() {
        let url = Url::parse("https://localhost:8443/enroll?a=1#x").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.target.as_str()), ("localhost", 8443, "/enroll?a=1"));
        assert_eq!(url.join("/x/y").unwrap().to_string(), "https://localhost:8443/x/y");
        assert_eq!(url.join("profile").unwrap().target, "/profile");
        assert_eq!(url.join("").unwrap().target, "/enroll?a=1");
        assert_eq!(url.with_query(&[("b", "x@y z")]).target, "/enroll?a=1&b=x%40y%20z");
        assert_eq!(decode("x%40y+z%2"), "x@y z%2");
    }
}
