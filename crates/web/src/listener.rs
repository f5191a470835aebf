//! Listeners: one port, one or several audiences told apart by SNI, each with its own TLS
//! configuration and ticket keys. Devices are asked for a certificate, browsers never.
//!
//! The client certificate is only proven to be held (RFC 8446 section 4.4.3); whether it is known,
//! current and whose it is, is decided for every request in `apple::identity`.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{Version, header},
};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    server::graceful::GracefulShutdown,
};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep},
};
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    gate::{Peer, PeerCertificate},
    routes::Audience,
    shell::{Door, Shell},
};

/// A handshake must be done within this time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The header of a request must be complete within this time.
const HEADER: Duration = Duration::from_secs(30);
/// A connection without a byte in either direction is closed after this time.
const IDLE: Duration = Duration::from_secs(60);
/// What a client sends behind its answer is read and thrown away while it keeps coming, for this time,
/// and up to so many bytes.
const LINGER: Duration = Duration::from_secs(10);
const LINGER_PAUSE: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 32 * 1024 * 1024;
/// Most bytes of a request's header.
const HEADER_BYTES: u32 = 16 * 1024;

/// A server certificate that can be replaced while the listener runs.
#[derive(Debug)]
pub struct ServerIdentity {
    current: RwLock<Arc<CertifiedKey>>,
}

impl ServerIdentity {
    /// An identity from a chain (leaf first) and its private key.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'static>) -> Result<Arc<Self>, rustls::Error> {
        Ok(Arc::new(ServerIdentity { current: RwLock::new(certified(chain, key)?) }))
    }

    /// Replaces the certificate for handshakes from now on.
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
    ) -> Result<(), rustls::Error> {
        let new = certified(chain, key)?;
        *self.current.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = new;
        Ok(())
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(key)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match()?;
    Ok(Arc::new(certified))
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone())
    }
}

/// One audience behind a port.
pub struct Site {
    /// Whose routes.
    pub audience: Audience,
    /// Host name that selects it where a port serves several.
    pub host: String,
    /// Its certificate.
    pub identity: Arc<ServerIdentity>,
}

/// Builds the TLS configuration of an audience.
fn tls(site: &Site) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let mut config = match site.audience {
        Audience::Device => builder.with_client_cert_verifier(Arc::new(AnyHeldCertificate { provider })),
        Audience::Public | Audience::Admin => builder.with_no_client_auth(),
    }
    .with_cert_resolver(site.identity.clone());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    config.max_fragment_size = None;
    Ok(Arc::new(config))
}

/// Accepts any client certificate whose private key the client proves to hold.
#[derive(Debug)]
struct AnyHeldCertificate {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyHeldCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn client_auth_mandatory(&self) -> bool {
        false
    }
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Serves the sites of one port over TLS until `stop`; then lets requests in flight finish for at
/// most ten seconds.
pub async fn serve(listener: TcpListener, sites: Vec<Site>, shell: Shell, stop: CancellationToken) -> io::Result<()> {
    let sites = sites
        .iter()
        .map(|site| Ok((site.audience, site.host.clone(), tls(site).map_err(io::Error::other)?)))
        .collect::<io::Result<Vec<_>>>()?;
    let sites = Arc::new(sites);
    run(listener, stop, move |stream, address| {
        let (sites, shell) = (sites.clone(), shell.clone());
        async move {
            let handshake = async {
                let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
                let named = start.client_hello().server_name().map(str::to_owned);
                let (audience, _, config) = sites
                    .iter()
                    .find(|(_, host, _)| sites.len() == 1 || named.as_deref() == Some(host))
                    .ok_or_else(|| io::Error::other("no site of that name here"))?;
                Ok::<_, io::Error>((*audience, start.into_stream(config.clone()).await?))
            };
            let (audience, stream) = tokio::time::timeout(HANDSHAKE, handshake).await.ok()?.ok()?;
            let certificate = stream
                .get_ref()
                .1
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map(|leaf| PeerCertificate(leaf.as_ref().to_vec().into()));
            Some((Door::Audience(audience), Peer { address, certificate }, shell, stream))
        }
    })
    .await
}

/// Serves SCEP, CRL and OCSP over plain HTTP until `stop`.
pub async fn serve_plain(listener: TcpListener, shell: Shell, stop: CancellationToken) -> io::Result<()> {
    run(listener, stop, move |stream, address| {
        let shell = shell.clone();
        async move { Some((Door::Plain, Peer { address, certificate: None }, shell, stream)) }
    })
    .await
}

async fn run<S, F, A>(listener: TcpListener, stop: CancellationToken, accept: A) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Option<(Door, Peer, Shell, S)>> + Send + 'static,
    A: Fn(TcpStream, SocketAddr) -> F,
{
    let graceful = GracefulShutdown::new();
    loop {
        let (stream, address) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, or a connection reset while queued: neither ends the listener.
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let accepted = accept(stream, address);
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let Some((door, peer, shell, stream)) = accepted.await else { return };
            let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
                // Over HTTP/2 a reset stream says enough, and who asked with Expect waits for our word.
                let lingers = request.version() < Version::HTTP_2 && !request.headers().contains_key(header::EXPECT);
                let request: Request = request.map(|body| Body::new(Lingering { body: Some(body), lingers }));
                shell.clone().answer(door, peer.clone(), request)
            });
            let builder = builder();
            let connection = builder.serve_connection(TokioIo::new(Idle::new(stream)), service);
            if let Err(error) = watcher.watch(connection.into_owned()).await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(Duration::from_secs(10), graceful.shutdown()).await;
    Ok(())
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(HEADER_BYTES as usize)
        .max_headers(100);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_BYTES)
        .max_concurrent_streams(100)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(128 * 1024);
    builder
}

/// A request body that is read on and thrown away when the answer needed no more of it: a client that
/// is still sending would otherwise see its connection reset instead of the answer (RFC 9112 section
/// 9.6). Holds one frame at a time.
struct Lingering {
    body: Option<Incoming>,
    lingers: bool,
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }
    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }
    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| self.lingers && !body.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(tokio::time::timeout(LINGER, async move {
            let mut left = LINGER_BYTES;
            loop {
                let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
                let Ok(Some(Ok(frame))) = tokio::time::timeout(LINGER_PAUSE, next).await else { break };
                let length = frame.data_ref().map_or(0, Bytes::len);
                let Some(less) = left.checked_sub(length) else { break };
                left = less;
            }
        }));
    }
}

/// A stream that ends when no byte moved in either direction for [`IDLE`].
struct Idle<S> {
    inner: S,
    timer: Pin<Box<Sleep>>,
}

impl<S> Idle<S> {
    fn new(inner: S) -> Self {
        Idle { inner, timer: Box::pin(tokio::time::sleep(IDLE)) }
    }

    fn moved(&mut self) {
        self.timer.as_mut().reset(Instant::now() + IDLE);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Idle<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buffer) {
            Poll::Pending => match self.timer.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => Poll::Pending,
            },
            ready => {
                if buffer.filled().len() > before {
                    self.moved();
                }
                ready
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Idle<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buffer);
        if matches!(result, Poll::Ready(Ok(n)) if n > 0) {
            self.moved();
        }
        result
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
