//! The outermost layer of every request: its id, its client, its log line, its metrics, the
//! rendering of problems, the containment of panics, and headers that every answer carries.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_service::RequestContext;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    App,
    gate::{self, ClientAddress, Peer},
    problem::{self, Problem},
    proxy,
    routes::{self, Audience},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const REASON: &str = "x-muster-reason";
/// Longest reason that is kept.
const REASON_LIMIT: usize = 500;

/// The routers of all audiences behind the common shell.
#[derive(Clone)]
pub struct Shell {
    app: App,
    public: Router,
    device: Router,
    admin: Router,
    plain: Router,
}

/// Which router a connection talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A TLS listener's audience.
    Audience(Audience),
    /// The plain HTTP listener: SCEP, CRL and OCSP.
    Plain,
}

impl Shell {
    /// Builds the routers from the route table.
    pub fn new(app: App) -> Self {
        let of = |audience: Audience| {
            routes::router(&app, move |route| route.audience == audience).layer(CatchPanicLayer::custom(panicked))
        };
        Shell {
            public: of(Audience::Public),
            device: of(Audience::Device),
            admin: of(Audience::Admin),
            plain: routes::router(&app, |route| route.plain).layer(CatchPanicLayer::custom(panicked)),
            app,
        }
    }

    /// Answers one request that came through a door from a peer.
    pub async fn answer(self, door: Door, peer: Peer, mut request: Request) -> Result<Response, Infallible> {
        let clock = self.app.service.clock.clone();
        let started = tokio::time::Instant::now();
        let id = gate::request_id(&self.app);
        let client_id = gate::client_request_id(request.headers());
        let method = request.method().clone();
        let path = routes::loggable(request.uri().path()).to_owned();

        let address = self.identify(&peer, &mut request);
        let context = RequestContext {
            address: Some(address),
            correlation: id,
            reason: request.headers().get(REASON).map(|v| {
                String::from_utf8_lossy(v.as_bytes()).chars().filter(|c| !c.is_control()).take(REASON_LIMIT).collect()
            }),
        };
        request.extensions_mut().insert(context);
        request.extensions_mut().insert(ClientAddress(address));

        let refused = gate::refuse_odd(&method, request.uri(), request.version(), request.headers())
            .or_else(|| self.misdirected(door, &request));
        let response = match refused {
            Some(problem) => problem.into_response(),
            None => {
                let router = match door {
                    Door::Audience(Audience::Public) => self.public,
                    Door::Audience(Audience::Device) => self.device,
                    Door::Audience(Audience::Admin) => self.admin,
                    Door::Plain => self.plain,
                };
                router.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {})
            }
        };
        let mut response = match response.extensions().get::<Problem>() {
            Some(problem) => {
                let mut rendered = problem::render(problem, id, client_id.as_deref(), clock.now());
                for (name, value) in response.headers() {
                    if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
                        rendered.headers_mut().entry(name).or_insert(value.clone());
                    }
                }
                rendered
            }
            None => response,
        };
        finish(&mut response, id, client_id.as_deref());
        record(door, &method, &path, response.status(), started.elapsed(), id, address);
        Ok(response)
    }

    /// Believes forwarding headers of trusted proxies, and removes them otherwise.
    fn identify(&self, peer: &Peer, request: &mut Request) -> std::net::IpAddr {
        let trusted = &self.app.edge.trusted_proxies;
        let socket = peer.address.ip();
        let address = proxy::client_address(socket, request.headers(), trusted);
        let mut certificate = peer.certificate.clone();
        if trusted.contains(socket) {
            // The proxy's own certificate says nothing about the device behind it.
            certificate = match proxy::client_certificate(request.headers()) {
                Ok(found) => found.map(|der| gate::PeerCertificate(der.into())),
                Err(what) => {
                    tracing::warn!(%socket, what, "a trusted proxy passed an unreadable client certificate");
                    None
                }
            };
        }
        proxy::strip(request.headers_mut());
        if let Some(certificate) = certificate {
            request.extensions_mut().insert(certificate);
        }
        address
    }

    /// 421 for a request that names another audience's host (browsers reuse HTTP/2 connections).
    fn misdirected(&self, door: Door, request: &Request) -> Option<Problem> {
        let Door::Audience(audience) = door else { return None };
        let named = request
            .uri()
            .authority()
            .map(|a| a.as_str())
            .or_else(|| request.headers().get(header::HOST)?.to_str().ok())?
            .to_ascii_lowercase();
        let hosts = &self.app.edge.authorities;
        let (own, others) = match audience {
            Audience::Public => (&hosts.public, [&hosts.device, &hosts.admin]),
            Audience::Device => (&hosts.device, [&hosts.public, &hosts.admin]),
            Audience::Admin => (&hosts.admin, [&hosts.public, &hosts.device]),
        };
        (named != *own && others.contains(&&named)).then(|| {
            Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "MisdirectedRequest",
                "this connection serves another host name; open a new one",
            )
        })
    }
}

/// A panic in a handler becomes a 500 and a metric; the process goes on (threats E9).
fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let what = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("unknown cause");
    tracing::error!(what, "a handler panicked");
    metrics::counter!("muster_panics_total").increment(1);
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalServerError",
        "the server failed at this request; its log has the cause under the request-id",
    )
    .into_response()
}

fn finish(response: &mut Response, id: uuid::Uuid, client_id: Option<&str>) {
    let headers = response.headers_mut();
    let id = id.to_string();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(value) = client_id.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(CLIENT_REQUEST_ID, value);
    }
    for (name, value) in [
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

fn record(
    door: Door,
    method: &axum::http::Method,
    path: &str,
    status: StatusCode,
    took: Duration,
    id: uuid::Uuid,
    address: std::net::IpAddr,
) {
    let listener = match door {
        Door::Audience(audience) => audience.as_str(),
        Door::Plain => "plain",
    };
    metrics::counter!("muster_requests_total", "listener" => listener, "status" => status.as_str().to_owned())
        .increment(1);
    metrics::histogram!("muster_request_seconds", "listener" => listener).record(took.as_secs_f64());
    // The query is left out: it may carry what a person typed. Debug formatting escapes line breaks.
    tracing::info!(
        target: "muster::request",
        listener,
        %method,
        path = ?path,
        status = status.as_u16(),
        ms = took.as_micros() as f64 / 1000.0,
        request_id = %id,
        client = %address,
        "request"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn e9_a_panic_in_a_handler_is_a_500_and_the_process_goes_on() {
        async fn broken() -> &'static str {
            panic!("an unexpected value from a device")
        }
        let router: Router =
            Router::new().route("/", axum::routing::get(broken)).layer(CatchPanicLayer::custom(panicked));
        for _ in 0..2 {
            let response = router.clone().oneshot(Request::new(Body::empty())).await.expect("the router answers");
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let problem = response.extensions().get::<Problem>().expect("an answer of ours");
            assert!(!problem.message.contains("unexpected value"), "m5: the cause stays in the log");
        }
    }
}
