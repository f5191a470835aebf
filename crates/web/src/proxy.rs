//! What a trusted reverse proxy may say about its client: its address and its certificate.
//!
//! Headers that carry a certificate or an address are believed only from configured proxies and
//! removed from every other request (threats A9, E10).

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Networks of trusted proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted(Vec<Network>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Trusted {
    /// Reads networks such as `10.1.0.0/16`, `::1` or `127.0.0.1`; the error names the bad entry.
    pub fn parse<S: AsRef<str>>(entries: &[S]) -> Result<Self, String> {
        entries
            .iter()
            .map(|entry| {
                let entry = entry.as_ref();
                let bad = || format!("\"{entry}\" is not an address or a network such as 10.1.0.0/16");
                let (address, prefix) = match entry.split_once('/') {
                    Some((address, prefix)) => (address, Some(prefix)),
                    None => (entry, None),
                };
                let address: IpAddr = address.parse().map_err(|_| bad())?;
                let most = if address.is_ipv4() { 32 } else { 128 };
                let prefix = prefix.map_or(Ok(most), |p| p.parse().map_err(|_| bad()))?;
                if prefix > most { Err(bad()) } else { Ok(Network { address, prefix }) }
            })
            .collect::<Result<_, _>>()
            .map(Trusted)
    }

    /// True where the address is a trusted proxy.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn contains(&self, other: IpAddr) -> bool {
        fn same(a: &[u8], b: &[u8], prefix: u8) -> bool {
            let (whole, rest) = (usize::from(prefix / 8), prefix % 8);
            a[..whole] == b[..whole] && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0)
        }
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(&a.octets(), &b.octets(), self.prefix),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(&a.octets(), &b.octets(), self.prefix),
            _ => false,
        }
    }
}

/// RFC 9440: `Client-Cert: :<base64 DER>:`.
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
/// nginx's `$ssl_client_escaped_cert`: URL-escaped PEM.
const SSL_CLIENT_CERT: HeaderName = HeaderName::from_static("x-ssl-client-cert");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Every header by which some proxy passes a certificate or an address; none survives from a
/// peer that is not trusted.
const FORWARDING: [&str; 14] = [
    "client-cert",
    "client-cert-chain",
    "x-ssl-client-cert",
    "ssl-client-cert",
    "x-client-cert",
    "client_cert",
    "x-forwarded-client-cert",
    "x-forwarded-tls-client-cert",
    "x-arr-clientcert",
    "x-forwarded-for",
    "x-real-ip",
    "true-client-ip",
    "forwarded",
    "x-forwarded-host",
];

/// Removes every forwarding header.
pub fn strip(headers: &mut HeaderMap) {
    for name in FORWARDING {
        headers.remove(name);
    }
}

/// The client's address behind trusted proxies: the right-most hop that is not itself trusted.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &Trusted) -> IpAddr {
    if !trusted.contains(peer) {
        return peer;
    }
    let mut client = peer;
    let hops: Vec<&str> =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).collect();
    for hop in hops.iter().rev() {
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        client = address;
        if !trusted.contains(address) {
            break;
        }
    }
    client
}

/// The client certificate that a trusted proxy passes on, as DER. An unreadable header is an
/// error: the proxy and we disagree about the client, so nobody is the client.
pub fn client_certificate(headers: &HeaderMap) -> Result<Option<Vec<u8>>, &'static str> {
    if let Some(value) = headers.get(CLIENT_CERT) {
        let text = value.to_str().map_err(|_| "Client-Cert is not text")?.trim();
        let inner = text.strip_prefix(':').and_then(|t| t.strip_suffix(':')).ok_or("Client-Cert is not :base64:")?;
        return STANDARD.decode(inner).map(Some).map_err(|_| "Client-Cert is not base64");
    }
    if let Some(value) = headers.get(SSL_CLIENT_CERT) {
        let text = value.to_str().map_err(|_| "X-SSL-Client-Cert is not text")?;
        if text.is_empty() {
            return Ok(None);
        }
        let pem = percent_decode(text).ok_or("X-SSL-Client-Cert is not URL-escaped PEM")?;
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        return STANDARD.decode(body).map(Some).map_err(|_| "X-SSL-Client-Cert is not PEM");
    }
    Ok(None)
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect()
    }

    #[test]
    fn networks_contain_what_they_say() {
        let trusted = Trusted::parse(&["10.1.0.0/20", "::1"]).unwrap();
        assert!(trusted.contains("10.1.15.255".parse().unwrap()));
        assert!(!trusted.contains("10.1.16.0".parse().unwrap()));
        assert!(trusted.contains("::1".parse().unwrap()));
        assert!(trusted.contains("::ffff:10.1.0.9".parse().unwrap()), "IPv4-mapped addresses are the IPv4 address");
        assert!(Trusted::parse(&["10.1.0.0/33"]).unwrap_err().contains("10.1.0.0/33"));
    }

    #[test]
    fn e10_forwarded_addresses_count_only_behind_a_trusted_proxy() {
        let trusted = Trusted::parse(&["10.0.0.0/8"]).unwrap();
        let stranger: IpAddr = "203.0.113.7".parse().unwrap();
        let sent = headers(&[("x-forwarded-for", "1.2.3.4")]);
        assert_eq!(client_address(stranger, &sent, &trusted), stranger);
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let sent = headers(&[("x-forwarded-for", "6.6.6.6, 198.51.100.9, 10.0.0.2")]);
        assert_eq!(client_address(proxy, &sent, &trusted), "198.51.100.9".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a9_every_certificate_header_is_stripped() {
        let mut sent = headers(&[
            ("client-cert", ":AAAA:"),
            ("x-ssl-client-cert", "x"),
            ("x-forwarded-client-cert", "x"),
            ("accept", "y"),
        ]);
        strip(&mut sent);
        assert_eq!(sent.len(), 1);
    }

    #[test]
    fn certificates_are_read_in_both_forms() {
        assert_eq!(client_certificate(&headers(&[("client-cert", ":AQID:")])), Ok(Some(vec![1, 2, 3])));
        let pem = "-----BEGIN%20CERTIFICATE-----%0AAQID%0A-----END%20CERTIFICATE-----%0A";
        assert_eq!(client_certificate(&headers(&[("x-ssl-client-cert", pem)])), Ok(Some(vec![1, 2, 3])));
        assert!(client_certificate(&headers(&[("client-cert", "AQID")])).is_err());
        assert_eq!(client_certificate(&HeaderMap::new()), Ok(None));
    }
}
