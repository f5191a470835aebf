//! The website of an organisation's mail domain: sends discovery on to the management server.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsAcceptor;

use super::{Running, authority::Authority, listen, tls};
use crate::shell::Error;

/// The path that devices ask for.
const WELL_KNOWN: &str = "/.well-known/com.apple.remotemanagement";

/// A website for one or more mail domains.
#[derive(Debug)]
pub struct Website {
    /// Where it listens.
    pub running: Running,
    authority: Authority,
}

impl Website {
    /// Serves the domains; discovery is redirected below `public`, its query copied.
    pub async fn start(domains: &[&str], public: &str, now: i64) -> Result<Self, Error> {
        let authority = Authority::new("Simulated Web CA", now)?;
        let server = authority.server(domains, now)?;
        let config = tls(&server, None, &[b"http/1.1"])?;
        let (listener, address) = listen().await?;
        let public: Arc<str> = public.trim_end_matches('/').into();
        let task = tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(config);
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, public) = (acceptor.clone(), public.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request: Request<Incoming>| {
                        let response = answer(&request, &public);
                        async move { Ok::<_, std::convert::Infallible>(response) }
                    });
                    // A visitor who hangs up is no fault.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Website { running: Running { address, task }, authority })
    }

    /// Root that visitors trust, DER.
    pub fn root(&self) -> &[u8] {
        self.authority.root()
    }
}

fn answer(request: &Request<Incoming>, public: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    if request.uri().path() != WELL_KNOWN {
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        return response;
    }
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    *response.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
    if let Ok(location) = format!("{public}{WELL_KNOWN}{query}").parse() {
        response.headers_mut().insert("location", location);
    }
    response
}
