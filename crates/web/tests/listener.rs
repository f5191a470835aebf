//! The listeners over real TLS: who is asked for a certificate, what is refused before a handler
//! sees it, and which host names one port serves.

use std::{net::SocketAddr, sync::Arc};

use muster_pki::{
    Certificate, KeyKind, KeyPair, Name,
    certificate::{AlternativeName, CertificateTemplate, Usage},
};
use muster_service::testing::{self, START, TestService};
use muster_web::{
    App, Authorities, Edge,
    listener::{self, ServerIdentity, Site},
    routes::Audience,
    shell::Shell,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

struct Running {
    _service: TestService,
    address: SocketAddr,
    root: Certificate,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn certificate(name: &str, usage: Usage, key: &KeyPair, not_after: i64) -> Certificate {
    CertificateTemplate {
        serial: vec![0x41; 16],
        subject: Name::common(name),
        not_before: START - 1_000,
        not_after,
        public_key: key.public().clone(),
        usage,
        alternative_names: vec![AlternativeName::Dns(name.into())],
        crl_url: None,
    }
    .self_sign(key)
    .unwrap()
}

/// One port that serves all three audiences by name.
async fn start() -> Running {
    let service = testing::service();
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let year = 4_000_000_000_000;
    let root = CertificateTemplate {
        alternative_names: ["portal.test", "mdm.test", "admin.test"]
            .map(|host| AlternativeName::Dns(host.into()))
            .to_vec(),
        ..CertificateTemplate {
            serial: vec![0x42; 16],
            subject: Name::common("listener"),
            not_before: START - 1_000,
            not_after: year,
            public_key: key.public().clone(),
            usage: Usage::server(),
            alternative_names: vec![],
            crl_url: None,
        }
    }
    .self_sign(&key)
    .unwrap();
    let private = PrivateKeyDer::try_from(key.to_pkcs8().expose().clone()).unwrap();
    let identity = ServerIdentity::new(vec![CertificateDer::from(root.der().to_vec())], &private).unwrap();
    let edge = Edge {
        authorities: Authorities {
            public: "portal.test".into(),
            device: "mdm.test".into(),
            admin: "admin.test".into(),
        },
        ..Edge::default()
    };
    let shell = Shell::new(App { service: service.service.clone(), edge: Arc::new(edge) });
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let stop = CancellationToken::new();
    let site = |audience, host: &str| Site { audience, host: host.into(), identity: identity.clone() };
    let sites = vec![
        site(Audience::Public, "portal.test"),
        site(Audience::Device, "mdm.test"),
        site(Audience::Admin, "admin.test"),
    ];
    tokio::spawn(listener::serve(socket, sites, shell, stop.clone()));
    Running { _service: service, address, root, stop }
}

impl Running {
    async fn connect(
        &self,
        host: &str,
        client: Option<(&Certificate, &KeyPair)>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.root.der().to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from(certificate.der().to_vec())],
                    PrivateKeyDer::try_from(key.to_pkcs8().expose().clone()).unwrap(),
                )
                .unwrap(),
        };
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host.to_owned()).unwrap(), stream).await
    }

    async fn ask(
        &self,
        host: &str,
        client: Option<(&Certificate, &KeyPair)>,
        request: &str,
    ) -> std::io::Result<String> {
        let mut stream = self.connect(host, client).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    async fn status(&self, host: &str, request: &str) -> u16 {
        let answer = self.ask(host, None, request).await.unwrap();
        answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }
}

fn get(path: &str, host: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n")
}

#[tokio::test]
async fn one_port_serves_three_audiences_by_name() {
    let server = start().await;
    assert_eq!(server.status("admin.test", &get("/healthz", "admin.test", "")).await, 200);
    assert_eq!(
        server.status("portal.test", &get("/healthz", "portal.test", "")).await,
        404,
        "a route is on one listener only"
    );
    assert_eq!(
        server.status("portal.test", &get("/healthz", "admin.test", "")).await,
        421,
        "another audience's name is misdirected"
    );
    assert!(server.connect("other.test", None).await.is_err(), "an unknown name gets no handshake");
}

#[tokio::test]
async fn any_held_client_certificate_reaches_the_decision() {
    let server = start().await;
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    // Expired and from nowhere: the handshake passes, the identity decision answers.
    let stranger = certificate("stranger", Usage::client(), &key, START - 500);
    let answer = server.ask("mdm.test", Some((&stranger, &key)), &get("/nothing", "mdm.test", "")).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn e6_headers_are_bounded() {
    let server = start().await;
    let many: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_eq!(server.status("admin.test", &get("/healthz", "admin.test", &many)).await, 431);
    let long = format!("X-Long: {}\r\n", "a".repeat(17 * 1024));
    assert_eq!(server.status("admin.test", &get("/healthz", "admin.test", &long)).await, 431);
    let allowed = format!("Mdm-Signature: {}\r\n", "a".repeat(8 * 1024));
    assert_eq!(server.status("admin.test", &get("/healthz", "admin.test", &allowed)).await, 200);
}

#[tokio::test]
async fn e6_a_body_where_none_belongs_is_refused_unread() {
    let server = start().await;
    let request =
        "GET /healthz HTTP/1.1\r\nHost: admin.test\r\nContent-Length: 1000000000\r\nConnection: close\r\n\r\n";
    assert_eq!(server.status("admin.test", request).await, 413);
}

#[tokio::test]
async fn errors_have_graphs_shape_and_say_nothing_about_the_version() {
    let server = start().await;
    let answer =
        server.ask("admin.test", None, &get("/nothing", "admin.test", "client-request-id: abc-1\r\n")).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["code"], "ResourceNotFound");
    assert_eq!(body["error"]["innerError"]["client-request-id"], "abc-1");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("request-id: ") && head.contains("strict-transport-security"));
    assert!(!head.contains("server:") && !answer.contains(env!("CARGO_PKG_VERSION")), "m5: no version");
}

#[tokio::test]
async fn d4_methods_are_not_overridden_by_a_header() {
    let server = start().await;
    let answer =
        server.status("admin.test", &get("/healthz", "admin.test", "X-HTTP-Method-Override: DELETE\r\n")).await;
    assert_eq!(answer, 200);
    let request = "DELETE /healthz HTTP/1.1\r\nHost: admin.test\r\nConnection: close\r\n\r\n";
    assert_eq!(server.status("admin.test", request).await, 405);
}

#[tokio::test]
async fn e6_a_client_that_is_still_sending_reads_its_413() {
    let server = start().await;
    let (mut stream, size) = (server.connect("admin.test", None).await.unwrap(), 4 * 1024 * 1024);
    let head = format!("POST /signin HTTP/1.1\r\nHost: admin.test\r\nContent-Length: {size}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    // Like most clients: everything is sent before anything is read.
    stream.write_all(&vec![b'a'; size]).await.unwrap();
    stream.write_all(get("/healthz", "admin.test", "").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("HTTP/1.1 200"), "the connection goes on behind what was thrown away: {answer}");
}
