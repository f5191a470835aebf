//! Stand-in of Apple's push service: HTTP/2, mutual TLS, topics by certificate, scripted refusals.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use muster_pki::{Certificate, Csr, Name, Usage, oid};
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;

use super::{Running, authority::Authority, listen, tls};
use crate::{crypto::Identity, shell::Error};

/// How the next push to a token is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scripted {
    /// 410 `Unregistered` since this time, unix ms.
    Unregistered(i64),
    /// 400 `BadDeviceToken`.
    BadDeviceToken,
    /// 429 `TooManyRequests`, with Retry-After seconds.
    TooManyRequests(u32),
    /// 403 `BadCertificate`: our own fault.
    BadCertificate,
    /// 503 `ServiceUnavailable`.
    Unavailable,
    /// The connection is closed by GOAWAY, the push is answered before.
    GoAway,
    /// The connection is cut before the answer; the push is not delivered.
    Cut,
}

/// How the service is as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weather {
    /// Every push is taken.
    #[default]
    Fine,
    /// Every push is answered 503.
    Refusing,
    /// No push is answered.
    Silent,
}

/// A push that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Device token.
    pub token: Vec<u8>,
    /// `apns-topic`.
    pub topic: String,
    /// PushMagic of the body.
    pub magic: String,
    /// Status that was answered.
    pub status: u16,
}

#[derive(Default)]
struct State {
    waiting: HashMap<Vec<u8>, mpsc::UnboundedSender<String>>,
    stored: HashMap<Vec<u8>, String>,
    script: HashMap<Vec<u8>, VecDeque<Scripted>>,
    weather: Weather,
    pushed: Vec<Pushed>,
    connections: u32,
}

/// The push service.
pub struct PushService {
    /// Where it listens.
    pub running: Running,
    authority: Authority,
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
}

impl std::fmt::Debug for PushService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PushService")
    }
}

/// A push certificate and its key, ready to be imported.
#[derive(Debug)]
pub struct PushCertificate {
    /// Topic, the subject's UID.
    pub topic: String,
    /// Certificate, PEM.
    pub certificate: String,
    /// Key, PEM (PKCS #8).
    pub key: String,
}

impl PushService {
    /// Starts the service.
    pub async fn start(now: i64) -> Result<Self, Error> {
        let authority = Authority::new("Simulated Push CA", now)?;
        let server = authority.server(&["localhost"], now)?;
        let config = tls(&server, Some(authority.root()), &[b"h2"])?;
        let (listener, address) = listen().await?;
        let state = Arc::new(Mutex::new(State::default()));
        let arrived = Arc::new(Notify::new());
        let (shared, notify) = (state.clone(), arrived.clone());
        let task = tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(config);
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared, notify) = (acceptor.clone(), shared.clone(), notify.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let topic = stream.get_ref().1.peer_certificates().and_then(|chain| topic(chain.first()?));
                    lock(&shared).connections += 1;
                    serve(stream, topic.unwrap_or_default(), shared, notify).await;
                });
            }
        });
        Ok(PushService { running: Running { address, task }, authority, state, arrived })
    }

    /// `base_url` for the server's configuration.
    pub fn base_url(&self) -> String {
        format!("https://localhost:{}", self.running.address.port())
    }

    /// Root that the server must trust, PEM.
    pub fn root_pem(&self) -> String {
        self.authority.root_pem()
    }

    /// Root that the server must trust, DER.
    pub fn root(&self) -> &[u8] {
        self.authority.root()
    }

    /// What the portal gives for a request (PEM or DER): a certificate with a topic.
    pub fn certify(&self, request: &[u8], topic: &str, now: i64) -> Result<String, Error> {
        let der = muster_pki::pem::der_or_pem("CERTIFICATE REQUEST", request);
        let csr = der.and_then(|der| Csr::decode(&der)).map_err(|error| Error::Device(error.to_string()))?;
        let certificate = self.authority.certify(subject(topic), csr.public_key(), Usage::client(), Vec::new(), now)?;
        Ok(certificate.to_pem())
    }

    /// A certificate with a key of its own.
    pub fn certificate(&self, topic: &str, now: i64) -> Result<PushCertificate, Error> {
        let key = crate::crypto::generate().map_err(Error::Device)?;
        let identity: Identity =
            self.authority.identity_of(Arc::new(key), subject(topic), Usage::client(), Vec::new(), now)?;
        let (certificate, key) = identity.pem();
        Ok(PushCertificate { topic: topic.into(), certificate, key })
    }

    /// A device connects with its token: it gets a PushMagic for every push, first a stored one.
    pub fn register(&self, token: &[u8]) -> mpsc::UnboundedReceiver<String> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = lock(&self.state);
        if let Some(magic) = state.stored.remove(token) {
            // A fresh channel has room.
            let _ = sender.send(magic);
        }
        state.waiting.insert(token.to_vec(), sender);
        receiver
    }

    /// A device's token is gone.
    pub fn forget(&self, token: &[u8]) {
        let mut state = lock(&self.state);
        state.waiting.remove(token);
        state.stored.remove(token);
    }

    /// Answers the next push to a token in a certain way.
    pub fn script(&self, token: &[u8], answer: Scripted) {
        lock(&self.state).script.entry(token.to_vec()).or_default().push_back(answer);
    }

    /// Changes how all pushes fare from now on.
    pub fn weather(&self, weather: Weather) {
        lock(&self.state).weather = weather;
    }

    /// Pushes since the last call.
    pub fn take_pushed(&self) -> Vec<Pushed> {
        std::mem::take(&mut lock(&self.state).pushed)
    }

    /// Pushes to a token that nobody was there to take: one at most, the last.
    pub fn stored(&self, token: &[u8]) -> Option<String> {
        lock(&self.state).stored.get(token).cloned()
    }

    /// Takes what is stored for a token, as its device does when it comes back.
    pub fn take_stored(&self, token: &[u8]) -> Option<String> {
        lock(&self.state).stored.remove(token)
    }

    /// How many connections were made.
    pub fn connections(&self) -> u32 {
        lock(&self.state).connections
    }

    /// Waits for the next push.
    pub async fn arrival(&self) {
        self.arrived.notified().await;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no panic holds this lock")
}

fn subject(topic: &str) -> Name {
    Name::new(&[(oid::USER_ID, topic), (oid::COMMON_NAME, "APSP:simulated"), (oid::COUNTRY, "US")])
}

fn topic(der: &[u8]) -> Option<String> {
    Certificate::decode(der).ok()?.subject().get(oid::USER_ID)
}

async fn serve(
    stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    topic: String,
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
) {
    let (leave, cut) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (leaving, cutting, topic) = (leave.clone(), cut.clone(), Arc::new(topic));
    let service = service_fn(move |request| {
        let (state, arrived, topic) = (state.clone(), arrived.clone(), topic.clone());
        let (leave, cut) = (leave.clone(), cut.clone());
        async move {
            let response = match answer(request, &topic, &state).await {
                Said::Answer(response) => response,
                Said::AnswerAndLeave(response) => {
                    leave.notify_one();
                    response
                }
                Said::Cut => {
                    cut.notify_one();
                    std::future::pending().await
                }
                Said::Nothing => std::future::pending().await,
            };
            arrived.notify_waiters();
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let connection =
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = &mut connection => {}
        () = cutting.notified() => {}
        () = leaving.notified() => {
            connection.as_mut().graceful_shutdown();
            // The client sees GOAWAY; what it still says is answered.
            let _ = connection.await;
        }
    }
}

/// What becomes of a push.
enum Said {
    Answer(Response<Full<Bytes>>),
    AnswerAndLeave(Response<Full<Bytes>>),
    Cut,
    Nothing,
}

async fn answer(request: Request<Incoming>, topic: &str, state: &Mutex<State>) -> Said {
    let refuse = |status, reason| Said::Answer(refuse(status, reason, None));
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let named = header("apns-topic").unwrap_or_else(|| topic.to_owned());
    let push_type = header("apns-push-type");
    let body = Limited::new(request.into_body(), 4096).collect().await.map(|body| body.to_bytes());
    if method != "POST" {
        return refuse(405, "MethodNotAllowed");
    }
    let Some(token) = path.strip_prefix("/3/device/").and_then(|token| hex::decode(token).ok()) else {
        return refuse(400, "BadDeviceToken");
    };
    if named != topic {
        return refuse(400, "TopicDisallowed");
    }
    if push_type.is_some_and(|kind| kind != "mdm") {
        return refuse(400, "InvalidPushType");
    }
    let body = body.ok().and_then(|body| serde_json::from_slice::<serde_json::Value>(&body).ok());
    let magic = body.as_ref().and_then(|body| body.get("mdm")?.as_str().map(str::to_owned));
    let alone = body.as_ref().and_then(|body| body.as_object()).is_some_and(|body| body.len() == 1);
    let (Some(magic), true) = (magic, alone) else { return refuse(400, "PayloadEmpty") };

    taken(&mut lock(state), token, named, magic)
}

/// The answer to a push that is in order.
fn taken(state: &mut State, token: Vec<u8>, topic: String, magic: String) -> Said {
    match state.weather {
        Weather::Silent => return Said::Nothing,
        Weather::Refusing => {
            state.pushed.push(Pushed { token, topic, magic, status: 503 });
            return Said::Answer(refuse(503, "ServiceUnavailable", None));
        }
        Weather::Fine => {}
    }
    let scripted = state.script.get_mut(&token).and_then(VecDeque::pop_front);
    let response = match scripted {
        Some(Scripted::Cut) => return Said::Cut,
        Some(Scripted::Unregistered(since)) => refuse(410, "Unregistered", Some(since)),
        Some(Scripted::BadDeviceToken) => refuse(400, "BadDeviceToken", None),
        Some(Scripted::BadCertificate) => refuse(403, "BadCertificate", None),
        Some(Scripted::Unavailable) => refuse(503, "ServiceUnavailable", None),
        Some(Scripted::TooManyRequests(seconds)) => {
            let mut response = refuse(429, "TooManyRequests", None);
            response.headers_mut().insert("retry-after", seconds.into());
            response
        }
        Some(Scripted::GoAway) | None => delivered(state, &token, &magic),
    };
    state.pushed.push(Pushed { token, topic, magic, status: response.status().as_u16() });
    match scripted {
        Some(Scripted::GoAway) => Said::AnswerAndLeave(response),
        _ => Said::Answer(response),
    }
}

/// Hands over, or stores the newest where the device is away.
fn delivered(state: &mut State, token: &[u8], magic: &str) -> Response<Full<Bytes>> {
    let gone = match state.waiting.get(token) {
        Some(device) => device.send(magic.to_owned()).is_err(),
        None => true,
    };
    if gone {
        state.waiting.remove(token);
        state.stored.insert(token.to_vec(), magic.to_owned());
    }
    let mut response = Response::new(Full::default());
    let id = crate::random::Seeded::new(state.pushed.len() as u64).uuid();
    if let Ok(id) = id.parse() {
        response.headers_mut().insert("apns-id", id);
    }
    response
}

fn refuse(status: u16, reason: &str, timestamp: Option<i64>) -> Response<Full<Bytes>> {
    let mut body = serde_json::json!({ "reason": reason });
    if let Some(timestamp) = timestamp {
        body["timestamp"] = timestamp.into();
    }
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
}
