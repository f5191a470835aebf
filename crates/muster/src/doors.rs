//! The sockets of the listeners and the addresses that others use for them.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, bail};
use muster_service::Addresses;
use muster_web::{Authorities, routes::Audience};
use tokio::net::TcpListener;

use crate::config::Config;

/// A bound port and who is served there.
pub struct Port {
    /// The socket.
    pub listener: TcpListener,
    /// Audiences behind it, each with its host name.
    pub audiences: Vec<(Audience, String)>,
}

/// Every bound port.
pub struct Doors {
    /// TLS ports.
    pub ports: Vec<Port>,
    /// SCEP, CRL and OCSP over plain HTTP.
    pub plain: Option<TcpListener>,
    /// Addresses for others.
    pub addresses: Addresses,
}

/// An address others use, taken apart.
struct Address {
    text: String,
    host: String,
    port: u16,
}

impl Address {
    fn parse(key: &str, text: &str) -> anyhow::Result<Self> {
        let bad = || format!("{key} is \"{text}\"; it must be https://HOST or https://HOST:PORT");
        let text = text.trim_end_matches('/');
        let authority = text.strip_prefix("https://").with_context(bad)?;
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            bail!(bad());
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().with_context(bad)?),
            _ => (authority, 443),
        };
        Ok(Address { text: text.to_owned(), host: host.to_ascii_lowercase(), port })
    }
}

impl Doors {
    /// Binds what the configuration names. A listener on port 0 gets a free port, and its address
    /// follows it where none is configured.
    pub async fn bind(config: &Config) -> anyhow::Result<Doors> {
        let wanted = [
            (Audience::Public, "public_url", &config.public_url, config.listen_public, 8443),
            (Audience::Device, "device_url", &config.device_url, config.listen_device, 8444),
            (Audience::Admin, "admin_url", &config.admin_url, config.listen_admin, 9443),
        ];
        let mut ports: Vec<(SocketAddr, Port)> = Vec::new();
        let mut addresses = Vec::new();
        for (audience, key, url, listen, default) in wanted {
            let given = url.as_deref().map(|url| Address::parse(key, url)).transpose()?;
            let at = listen.unwrap_or_else(|| {
                SocketAddr::from((Ipv4Addr::LOCALHOST, given.as_ref().map_or(default, |address| address.port)))
            });
            let shared = ports.iter_mut().find(|(bound, _)| *bound == at && at.port() != 0);
            let (bound, port) = match shared {
                Some((bound, port)) => (*bound, port),
                None => {
                    let listener =
                        TcpListener::bind(at).await.with_context(|| format!("cannot listen on {at} for {key}"))?;
                    let bound = listener.local_addr()?;
                    ports.push((bound, Port { listener, audiences: Vec::new() }));
                    (bound, &mut ports.last_mut().expect("one was just pushed").1)
                }
            };
            let address = match given {
                Some(address) => address,
                None => Address::parse(key, &format!("https://localhost:{}", bound.port()))?,
            };
            if port.audiences.iter().any(|(_, host)| *host == address.host) {
                bail!(
                    "{key}: two audiences on one port need a host name each, told apart by the name the client asks for"
                );
            }
            port.audiences.push((audience, address.host.clone()));
            addresses.push(address.text);
        }
        let plain = match config.listen_http {
            Some(at) => {
                Some(TcpListener::bind(at).await.with_context(|| format!("cannot listen on {at} for listen_http"))?)
            }
            None => None,
        };
        let [public, device, admin]: [String; 3] = addresses.try_into().expect("there are three audiences");
        Ok(Doors {
            ports: ports.into_iter().map(|(_, port)| port).collect(),
            plain,
            addresses: Addresses { public, device, admin },
        })
    }

    /// Every host name a listener certificate must cover.
    pub fn hosts(&self) -> Vec<String> {
        let mut hosts: Vec<String> =
            self.ports.iter().flat_map(|port| port.audiences.iter().map(|(_, host)| host.clone())).collect();
        // The loopback listeners are also reached by address.
        hosts.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        hosts.sort();
        hosts.dedup();
        hosts
    }

    /// Host names as they stand in a `Host` header.
    pub fn authorities(&self) -> Authorities {
        let of = |address: &str| address.trim_start_matches("https://").trim_end_matches(":443").to_ascii_lowercase();
        Authorities {
            public: of(&self.addresses.public),
            device: of(&self.addresses.device),
            admin: of(&self.addresses.admin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(lines: &[(&str, &str)]) -> Config {
        let overrides: Vec<(&str, String)> = lines.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Config::load(None, |_| None, &overrides).unwrap()
    }

    #[tokio::test]
    async fn a_free_port_becomes_the_address() {
        let zero = "127.0.0.1:0";
        let doors = Doors::bind(&config(&[("listen_public", zero), ("listen_device", zero), ("listen_admin", zero)]))
            .await
            .unwrap();
        assert_eq!(doors.ports.len(), 3);
        let port = doors.ports[0].listener.local_addr().unwrap().port();
        assert_eq!(doors.addresses.public, format!("https://localhost:{port}"));
        assert_eq!(doors.authorities().public, format!("localhost:{port}"));
    }

    #[tokio::test]
    async fn one_port_serves_audiences_of_different_names_only() {
        let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut lines = vec![
            ("listen_public", at.as_str()),
            ("listen_device", at.as_str()),
            ("listen_admin", at.as_str()),
            ("public_url", "https://portal.example.com"),
            ("device_url", "https://mdm.example.com"),
            ("admin_url", "https://admin.example.com"),
        ];
        let doors = Doors::bind(&config(&lines)).await.unwrap();
        assert_eq!(doors.ports.len(), 1);
        assert_eq!(doors.ports[0].audiences.len(), 3);
        drop(doors);
        lines[5].1 = "https://mdm.example.com";
        assert!(Doors::bind(&config(&lines)).await.err().unwrap().to_string().contains("host name each"));
    }

    #[tokio::test]
    async fn addresses_must_be_https_without_a_path() {
        for bad in ["http://a", "https://", "https://a/b", "https://a:x", "https://u@a"] {
            assert!(Doors::bind(&config(&[("public_url", bad)])).await.is_err(), "{bad}");
        }
    }
}
