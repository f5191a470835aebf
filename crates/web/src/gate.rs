//! What stands before every handler, in this order: canonical path, right listener, authentication,
//! permission, and only then the body, bounded in size and time.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, Version, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use muster_service::{Error, RequestContext};
use uuid::Uuid;

use crate::{
    App, authentication,
    problem::Problem,
    routes::{Audience, Auth},
};

/// A body must arrive within this time.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// Header fields a request may have.
const MAX_HEADERS: usize = 100;

/// The row of the route table that a request hit.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Authentication class.
    pub auth: Auth,
    /// Permission.
    pub permission: Option<muster_domain::roles::Permission>,
    /// Most bytes of a body.
    pub body_limit: usize,
    /// Path pattern.
    pub path: &'static str,
    /// Listener.
    pub audience: Audience,
}

/// The peer of the connection as the listener saw it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Socket address.
    pub address: SocketAddr,
    /// Certificate of the TLS client, possession proven, otherwise unchecked.
    pub certificate: Option<PeerCertificate>,
}

/// DER of a client certificate whose possession was proven, by TLS to us or to a trusted proxy.
/// Whether we know and trust it is decided in `apple::identity`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate(pub Bytes);

/// Address of the client, behind trusted proxies the one they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Layer of every row: authenticate, authorise, then let the body in.
pub async fn enter(State((app, row)): State<(App, Row)>, mut request: Request, next: Next) -> Response {
    let context = request.extensions().get::<RequestContext>().cloned().unwrap_or_default();
    if row.auth == Auth::Operator {
        match authentication::operator(&app, request.method(), request.headers(), &context).await {
            Ok(actor) => {
                if let Some(permission) = row.permission
                    && let Err(problem) = authentication::permit(&actor, permission)
                {
                    return problem.into_response();
                }
                request.extensions_mut().insert(actor);
            }
            Err(problem) => return problem.into_response(),
        }
    }
    if row.auth == Auth::Person {
        let cookie = authentication::cookie(request.headers(), authentication::PORTAL_COOKIE).unwrap_or_default();
        match app.service.authenticate_person(cookie, &context).await {
            Ok(person) => {
                request.extensions_mut().insert(person);
            }
            // Whoever is not signed in is shown where to.
            Err(Error::Refused(_)) => return Redirect::to("/portal").into_response(),
            Err(error) => return Problem::from(error).into_response(),
        }
    }
    if let Some(length) = request.headers().get(header::CONTENT_LENGTH) {
        let length = length.to_str().ok().and_then(|l| l.parse::<u64>().ok());
        if length.is_none_or(|length| length > row.body_limit as u64) {
            return too_large(row.body_limit).into_response();
        }
    }
    request.extensions_mut().insert(row);
    let request = request.map(|body| Body::new(Bounded::new(body, row.body_limit, BODY_DEADLINE)));
    next.run(request).await
}

fn too_large(limit: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "RequestEntityTooLarge",
        if limit == 0 {
            "this request takes no body".into()
        } else {
            format!("the body may have at most {limit} bytes")
        },
    )
}

/// Nothing is at this path.
pub async fn unknown(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "ResourceNotFound", format!("there is nothing at {}", printable(uri.path())))
}

/// The path exists with other methods.
pub async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "MethodNotAllowed",
        format!("{method} is not offered at {}", printable(uri.path())),
    )
}

fn printable(path: &str) -> String {
    path.chars().take(200).filter(|c| !c.is_control()).collect()
}

/// Refuses what is not one canonical request, before any routing (threats D3, E6).
pub fn refuse_odd(method: &Method, uri: &Uri, version: Version, headers: &HeaderMap) -> Option<Problem> {
    let bad = |what: &str| Some(Problem::new(StatusCode::BAD_REQUEST, "BadRequest", what));
    if headers.len() > MAX_HEADERS {
        return Some(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "RequestHeaderFieldsTooLarge",
            format!("a request may have at most {MAX_HEADERS} header fields"),
        ));
    }
    if *method == Method::CONNECT || *method == Method::TRACE {
        return Some(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "this method is not offered"));
    }
    if version < Version::HTTP_2 && uri.authority().is_some() {
        return bad("the request target must be a path");
    }
    let path = uri.path();
    if !path.starts_with('/') {
        return bad("the path must begin with /");
    }
    let lower = path.to_ascii_lowercase();
    let odd = ["%2e", "%2f", "%5c", "%00", "\\", ";", "/./", "/../"].iter().any(|part| lower.contains(part))
        || lower.ends_with("/.")
        || lower.ends_with("/..")
        || !path.is_ascii();
    if odd {
        return bad("the path has encoded separators, dot segments or parameters; send its canonical form");
    }
    // Inside the two Graph roots the OData entry tolerates doubled slashes; nowhere else.
    let graph = path.starts_with("/v1.0/") || path.starts_with("/beta/");
    if !graph && path.contains("//") {
        return bad("the path has an empty segment; send its canonical form");
    }
    None
}

/// A body that ends with an error past its limit or its deadline.
struct Bounded {
    inner: Body,
    left: usize,
    deadline: Pin<Box<tokio::time::Sleep>>,
}

impl Bounded {
    fn new(inner: Body, limit: usize, deadline: Duration) -> Self {
        Bounded { inner, left: limit, deadline: Box::pin(tokio::time::sleep(deadline)) }
    }
}

/// Why a body ended early. `axum`'s extractors answer 400; [`read_body`] tells the two apart.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the row allows.
    #[error("the body is larger than this request may have")]
    TooLarge,
    /// It did not arrive in time.
    #[error("the body did not arrive within 30 seconds")]
    TooSlow,
}

impl HttpBody for Bounded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(axum::Error::new(BodyError::TooSlow))));
        }
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                if length > self.left {
                    self.left = 0;
                    return Poll::Ready(Some(Err(axum::Error::new(BodyError::TooLarge))));
                }
                self.left -= length;
                Poll::Ready(Some(Ok(frame)))
            }
            other => other,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// Reads a whole body that the gate has bounded; the errors are answers.
pub async fn read_body(body: Body) -> Result<Bytes, Problem> {
    axum::body::to_bytes(body, usize::MAX).await.map_err(|error| {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(cause) = source {
            match cause.downcast_ref::<BodyError>() {
                Some(BodyError::TooLarge) => {
                    return Problem::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "RequestEntityTooLarge",
                        BodyError::TooLarge.to_string(),
                    );
                }
                Some(BodyError::TooSlow) => {
                    return Problem::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", BodyError::TooSlow.to_string());
                }
                None => source = cause.source(),
            }
        }
        Problem::new(StatusCode::BAD_REQUEST, "BadRequest", "the body did not arrive whole")
    })
}

/// A body, whole, read after the gate let the request in.
pub struct BoundedBytes(pub Bytes);

impl<S: Send + Sync> axum::extract::FromRequest<S> for BoundedBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read_body(request.into_body()).await.map(BoundedBytes)
    }
}

/// The query of a request; what cannot be read as `T` is a problem like any other.
pub struct Asked<T>(pub T);

impl<T: serde::de::DeserializeOwned, S: Send + Sync> axum::extract::FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(asked)| Asked(asked))
            .map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, "BadRequest", rejection.body_text()))
    }
}

/// Reads `client-request-id` as far as it may be echoed.
pub fn client_request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("client-request-id")?.to_str().ok()?;
    (text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')).then(|| text.to_owned())
}

/// A fresh id for a request.
pub fn request_id(app: &App) -> Uuid {
    app.service.random.id(app.service.clock.now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odd(target: &str) -> bool {
        let uri: Uri = target.parse().unwrap();
        refuse_odd(&Method::GET, &uri, Version::HTTP_11, &HeaderMap::new()).is_some()
    }

    #[test]
    fn d3_only_canonical_paths_pass() {
        for bad in [
            "//enroll",
            "/enroll//x",
            "/./enroll",
            "/a/../enroll",
            "/a/..;/enroll",
            "/%2e/enroll",
            "/a%2fb",
            "/enroll;x=1",
            "/a/..",
            "http://other/enroll",
            "/a%5Cb",
        ] {
            assert!(odd(bad), "{bad} must be refused");
        }
        for good in [
            "/enroll",
            "/v1.0//users",
            "/beta/users('a%20b')",
            "/.well-known/com.apple.remotemanagement?user-identifier=a%2Fb",
        ] {
            assert!(!odd(good), "{good} must pass");
        }
    }

    #[test]
    fn e6_a_request_with_101_fields_is_refused() {
        let mut headers = HeaderMap::new();
        for n in 0..101 {
            headers.insert(axum::http::HeaderName::try_from(format!("x-{n}")).unwrap(), "1".parse().unwrap());
        }
        let problem = refuse_odd(&Method::GET, &Uri::from_static("/"), Version::HTTP_2, &headers).unwrap();
        assert_eq!(problem.status.as_u16(), 431);
    }

    #[tokio::test]
    async fn e6_a_body_past_its_limit_is_413() {
        let body = Body::new(Bounded::new(Body::from(vec![0u8; 11]), 10, BODY_DEADLINE));
        assert_eq!(read_body(body).await.unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
        let body = Body::new(Bounded::new(Body::from(vec![0u8; 10]), 10, BODY_DEADLINE));
        assert_eq!(read_body(body).await.unwrap().len(), 10);
    }

    /// A body of 1 KiB frames: so many, then silence. Counts what was taken of it.
    struct Trickle {
        frames: usize,
        taken: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    }

    impl HttpBody for Trickle {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
            if self.frames == 0 {
                return Poll::Pending;
            }
            self.frames -= 1;
            self.taken.fetch_add(1024, std::sync::atomic::Ordering::SeqCst);
            Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(&[0; 1024])))))
        }
    }

    #[tokio::test]
    async fn e6_a_stalled_body_is_cut_and_an_endless_one_is_read_no_further_than_its_limit() {
        let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let of = |frames, limit, deadline| {
            let body = Body::new(Trickle { frames, taken: taken.clone() });
            Body::new(Bounded::new(body, limit, deadline))
        };
        let endless = read_body(of(usize::MAX, 10 * 1024, BODY_DEADLINE)).await.unwrap_err();
        assert_eq!(endless.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(taken.load(std::sync::atomic::Ordering::SeqCst), 11 * 1024, "one frame past the limit");
        let stalled = read_body(of(1, 10 * 1024, Duration::ZERO)).await.unwrap_err();
        assert_eq!(stalled.status, StatusCode::REQUEST_TIMEOUT);
        assert_eq!(BODY_DEADLINE, Duration::from_secs(30), "the listener's promise");
    }
}
