//! HTTP over TLS, one connection at a time for each place, HTTP/1.1 or HTTP/2.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Error, Network, Result, url::Url};
use crate::crypto::Identity;

/// Documents larger than this no device reads.
const LARGEST: usize = 16 << 20;
/// How long a device waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A response, read whole.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: http::HeaderMap,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
    /// Content type without parameters.
    pub fn content_type(&self) -> &str {
        self.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim()
    }
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

enum Sender {
    One(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    Two(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

struct Connection {
    place: (String, u16),
    identity: Option<Arc<Identity>>,
    sender: Sender,
}

/// A client of one device: keeps its connection while a session lasts.
pub struct Client {
    network: Arc<Network>,
    http2: bool,
    connection: Option<Connection>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// A client that offers HTTP/2, or only HTTP/1.1.
    pub fn new(network: Arc<Network>, http2: bool) -> Self {
        Client { network, http2, connection: None }
    }

    /// The surroundings.
    pub fn network(&self) -> &Arc<Network> {
        &self.network
    }

    /// Whether it offers HTTP/2.
    pub fn speaks_http2(&self) -> bool {
        self.http2
    }

    /// Ends the session's connection.
    pub fn close(&mut self) {
        self.connection = None;
    }

    /// Sends a request and reads the answer.
    pub async fn send(
        &mut self,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        identity: Option<&Arc<Identity>>,
    ) -> Result<Response> {
        let broken = |error: String| Error::Connection(url.authority(), error);
        let fresh = match &self.connection {
            Some(open) => !open.fits(url, identity),
            None => true,
        };
        if fresh {
            self.connection = Some(self.open(url, identity).await?);
        }
        let Some(connection) = &mut self.connection else { return Err(broken("no connection".into())) };
        let two = matches!(connection.sender, Sender::Two(_));
        let uri = if two { url.to_string() } else { url.target.clone() };
        let mut request = http::Request::builder().method(method).uri(uri);
        if !two {
            request = request.header("host", url.authority());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| broken(error.to_string()))?;
        let exchange = async {
            let response = match &mut connection.sender {
                Sender::One(sender) => sender.send_request(request).await,
                Sender::Two(sender) => sender.send_request(request).await,
            };
            let (parts, body) = response.map_err(|error| error.to_string())?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(|error| error.to_string())?;
            Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes().to_vec() })
        };
        let result = match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(result) => result,
            Err(_) => Err("no answer in time".to_owned()),
        };
        match result {
            Ok(response) => {
                if response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
                    self.connection = None;
                }
                Ok(response)
            }
            Err(error) => {
                self.connection = None;
                Err(broken(error))
            }
        }
    }

    async fn open(&self, url: &Url, identity: Option<&Arc<Identity>>) -> Result<Connection> {
        let broken = |error: String| Error::Connection(url.authority(), error);
        let stream = connect(self.network.address(&url.host, url.port), &url.host, url.port).await.map_err(broken)?;
        let place = (url.host.clone(), url.port);
        let identity = identity.cloned();
        if url.scheme == "http" {
            let (sender, task) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| broken(error.to_string()))?;
            tokio::spawn(task);
            return Ok(Connection { place, identity, sender: Sender::One(sender) });
        }
        let stream = secured(&self.network, stream, url, identity.clone(), self.http2).await?;
        let sender = if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            let (sender, task) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .map_err(|error| broken(error.to_string()))?;
            tokio::spawn(task);
            Sender::Two(sender)
        } else {
            let (sender, task) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| broken(error.to_string()))?;
            tokio::spawn(task);
            Sender::One(sender)
        };
        Ok(Connection { place, identity, sender })
    }
}

impl Network {
    /// A connection as a client without certificate opens it, for who speaks HTTP in ways of their own.
    pub async fn dial(&self, url: &Url) -> Result<TlsStream<TcpStream>> {
        let stream = connect(self.address(&url.host, url.port), &url.host, url.port)
            .await
            .map_err(|error| Error::Connection(url.authority(), error))?;
        secured(self, stream, url, None, false).await
    }
}

async fn secured(
    network: &Network,
    stream: TcpStream,
    url: &Url,
    identity: Option<Arc<Identity>>,
    http2: bool,
) -> Result<TlsStream<TcpStream>> {
    let broken = |error: String| Error::Connection(url.authority(), error);
    let config = network.tls(identity, http2)?;
    let name = ServerName::try_from(url.host.clone()).map_err(|error| broken(error.to_string()))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| broken(error.to_string()))
}

impl Connection {
    fn fits(&self, url: &Url, identity: Option<&Arc<Identity>>) -> bool {
        let same = match (&self.identity, identity) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        let open = match &self.sender {
            Sender::One(sender) => !sender.is_closed() && sender.is_ready(),
            Sender::Two(sender) => !sender.is_closed(),
        };
        same && open && self.place.0 == url.host && self.place.1 == url.port
    }
}

async fn connect(known: Option<SocketAddr>, host: &str, port: u16) -> std::result::Result<TcpStream, String> {
    let stream = match known {
        Some(address) => TcpStream::connect(address).await,
        None => TcpStream::connect((host, port)).await,
    };
    let stream = stream.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}
