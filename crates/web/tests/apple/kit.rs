//! A site with an administrator, people and a push certificate, and a phone made of keys and bytes.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use muster_apple::{
    CheckIn, Command, CommandResult, Dictionary, EnrollmentIds, Status,
    check_in::{Authenticate, CheckOut, TokenUpdate},
    enrollment_profile::EnrollmentProfile,
    machine_info::MachineInfo,
};
use muster_pki::{
    Certificate, CertificateTemplate, CsrTemplate, Digest, KeyKind, KeyPair, Name, Secret, Usage, asn1,
    certificate::{Issuer, random_serial},
    cms::{self, Cipher, SignRequest},
    oid,
    public_key::Legacy,
    scep::{
        MessageType,
        client::{Reply, self_signed},
    },
};
use muster_service::{
    Actor, RequestContext,
    apple::{
        enrollment::{EnrollmentRequest, Entry, Started},
        push_certificate::PushImport,
    },
    operators::{NewAdmin, NewKeyboardToken},
    testing::{self, START, TestService},
};
use muster_web::{
    App, Edge,
    gate::{Peer, PeerCertificate},
    routes,
    routes::Audience,
    shell::{Door, Shell},
};
use serde_json::json;
use tower::ServiceExt;
use uuid::Uuid;

pub const TOPIC: &str = "com.apple.mgmt.External.7f1d6d2a";
pub const DAY: i64 = 86_400_000;

/// Bytes for nonces and keys of simulated devices.
pub fn fill(bytes: &mut [u8]) {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    for byte in bytes {
        *byte = (NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(2_654_435_761) >> 13) as u8;
    }
}

/// A key and a certificate for it.
pub fn certificate(subject: Name, usage: Usage, issuer: Option<&(KeyPair, Certificate)>) -> (KeyPair, Certificate) {
    let key = KeyPair::generate(KeyKind::Rsa2048).unwrap();
    let template = CertificateTemplate {
        serial: random_serial(&fill),
        subject,
        not_before: START - DAY,
        not_after: START + 365 * DAY,
        public_key: key.public().clone(),
        usage,
        alternative_names: vec![],
        crl_url: None,
    };
    let certificate = match issuer {
        Some((issuer_key, issuer)) => template.sign(Issuer::new(issuer, issuer_key)).unwrap(),
        None => template.self_sign(&key).unwrap(),
    };
    (key, certificate)
}

pub struct Site {
    pub test: TestService,
    pub device: Router,
    pub public: Router,
    pub admin: Router,
    /// All listeners behind the common shell, which writes the log.
    pub shell: Shell,
    pub actor: Actor,
    /// An owner's bearer token.
    pub token: String,
    /// Apple's, as far as this site is concerned.
    pub apple_root: (KeyPair, Certificate),
}

/// An answer with its body.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Site {
    pub async fn new() -> Self {
        Self::over(muster_storage::testing::store()).await
    }

    /// The same over a given database.
    pub async fn over(database: muster_storage::testing::TestStore) -> Self {
        let apple_root = certificate(Name::common("Apple Root"), Usage::root(), None);
        let mut test = testing::service_with(database, testing::settings());
        Arc::make_mut(&mut test.service.settings).apple.device_roots = vec![apple_root.1.der().to_vec()];
        let admin = NewAdmin {
            tenant: None,
            user: "ada@example.org".into(),
            password: "correct horse".into(),
            role: "owner".into(),
            totp_secret: None,
        };
        test.create_admin(admin).await.unwrap();
        let new = NewKeyboardToken { tenant: None, name: "test".into(), role: "owner".into(), user: None, life: None };
        let token = test.create_keyboard_token(new).await.unwrap();
        let actor = test.authenticate_token(&token, &RequestContext::default()).await.unwrap();
        test.set_mdm_authority(&actor).await.unwrap();
        let app = App { service: test.service.clone(), edge: Arc::new(Edge::default()) };
        let router = |audience: Audience| {
            routes::router(&app, move |route| route.audience == audience)
                .layer(axum::Extension(RequestContext::default()))
        };
        let (device, public, admin) = (router(Audience::Device), router(Audience::Public), router(Audience::Admin));
        let shell = Shell::new(app.clone());
        let site = Site { test, device, public, admin, shell, actor, token, apple_root };
        site.import_push_certificate(TOPIC).await.unwrap();
        site
    }

    pub async fn import_push_certificate(&self, topic: &str) -> muster_service::Result<()> {
        let (key, leaf) = certificate(Name::new(&[(oid::USER_ID, topic)]), Usage::client(), None);
        self.import_push_key(&key, &leaf).await
    }

    pub async fn import_push_key(&self, key: &KeyPair, leaf: &Certificate) -> muster_service::Result<()> {
        let import = PushImport {
            certificate: leaf.to_pem().into_bytes(),
            private_key: Some(key.to_pem().expose().clone().into_bytes()),
            apple_identifier: Some("push@example.org".into()),
        };
        self.test.import_push_certificate(&self.actor, import).await.map(|_| ())
    }

    /// GET on the public listener, through the shell.
    pub async fn open(&self, path: &str) -> Answer {
        let peer = Peer { address: "127.0.0.1:50000".parse().unwrap(), certificate: None };
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = self.shell.clone().answer(Door::Audience(Audience::Public), peer, request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A form posted on the public listener.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", value.replace('@', "%40"))).collect();
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body.join("&")));
        self.send(&self.public, request.unwrap()).await
    }

    /// A request of the owner's to the API.
    pub async fn api(&self, method: &str, path: &str, body: Option<serde_json::Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())));
        self.send(&self.admin, request.unwrap()).await
    }

    /// A licensed person of this sign-in name.
    pub async fn person(&self, name: &str) -> Uuid {
        let body = json!({
            "accountEnabled": true,
            "displayName": name,
            "mailNickname": name.split('@').next().unwrap(),
            "userPrincipalName": name,
            "passwordProfile": { "password": "a long enough password", "forceChangePasswordNextSignIn": false },
        });
        let user = self.test.create_user(&self.actor, body.as_object().unwrap().clone()).await.unwrap();
        user["id"].as_str().unwrap().parse().unwrap()
    }

    pub async fn start(&self, person: Uuid, entry: Entry) -> Result<Secret<String>, muster_service::Error> {
        let request = EnrollmentRequest {
            entry,
            platform: Some("iOS".into()),
            os_version: Some("17.4".into()),
            owner: None,
            category: None,
            correlation: Uuid::nil(),
        };
        match self.test.start_enrollment(self.actor.tenant, person, request).await? {
            Started::Session { token, .. } => Ok(token),
            other => panic!("{other:?}"),
        }
    }

    /// A phone with an identity by a profile from the web, not yet authenticated.
    pub async fn phone(&self, person: Uuid, udid: &str) -> Phone {
        let token = self.start(person, Entry::Web).await.unwrap();
        let profile = self.test.enrollment_profile(token.expose()).await.unwrap();
        self.install(&profile, EnrollmentIds::device(udid), None).await
    }

    /// A phone that is enrolled.
    pub async fn enrolled(&self, person: Uuid, udid: &str) -> Phone {
        let phone = self.phone(person, udid).await;
        assert_eq!(phone.authenticate(self).await.status, StatusCode::OK);
        assert_eq!(phone.token_update(self, 1).await.status, StatusCode::OK);
        phone
    }

    /// Installs an enrollment profile: reads it and gets the identity by SCEP.
    pub async fn install(&self, signed: &[u8], ids: EnrollmentIds, bearer: Option<String>) -> Phone {
        let signed = cms::verify_attached(signed, asn1::Limits::default(), Legacy::default()).unwrap();
        let profile = EnrollmentProfile::decode(&signed.content).unwrap();
        let (key, identity) = self.scep(&profile).await;
        Phone { key, identity, ids, profile, bearer, serial: None }
    }

    pub async fn scep(&self, profile: &EnrollmentProfile) -> (KeyPair, Certificate) {
        let authority = self.test.authorities().await.unwrap().device.certificate.clone();
        assert_eq!(profile.scep.ca_fingerprint.as_deref(), Some(authority.fingerprint().as_slice()));
        let key = KeyPair::generate(KeyKind::Rsa2048).unwrap();
        let own = self_signed(&Name::common("phone"), &key, self.test.clock.now_ms(), &fill).unwrap();
        let challenge = Some(Secret::new(profile.scep.challenge.clone()));
        let csr = CsrTemplate { challenge, ..CsrTemplate::new(Name::common("phone")) }.sign(&key).unwrap();
        let request = muster_pki::scep::client::Request {
            message_type: MessageType::PkcsReq,
            transaction_id: "T",
            nonce: [7; 16],
            csr: &csr,
            key: &key,
            certificate: &own,
            authority: &authority,
            cipher: Cipher::Aes256,
            digest: Digest::Sha256,
        };
        let answer = self.test.scep_operation(request.encode(&fill).unwrap()).await.unwrap();
        match request.read(&answer, &fill).unwrap() {
            Reply::Issued(certificate) => (key, *certificate),
            other => panic!("{other:?}"),
        }
    }

    pub async fn send(&self, router: &Router, request: Request<Body>) -> Answer {
        let response = router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 16 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// A machine's description, signed by a device certificate under `root`.
    pub fn machine_info(&self, info: &MachineInfo, root: &(KeyPair, Certificate)) -> Vec<u8> {
        let (key, leaf) = certificate(Name::common("device"), Usage::client(), Some(root));
        SignRequest::new(&key, &leaf).attached(&info.encode()).unwrap()
    }

    /// Alerts that stand in the outbox, by kind.
    pub async fn alerts(&self) -> Vec<String> {
        let events = self.test.events(self.actor.tenant).await;
        let bodies = events.iter().filter(|(kind, _)| kind == "alert");
        let named =
            |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap()["alert"].as_str().unwrap().to_owned();
        bodies.map(|(_, body)| named(body)).collect()
    }
}

/// How a message proves who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Signature,
    Tls,
    Both,
    None,
}

pub struct Phone {
    pub key: KeyPair,
    pub identity: Certificate,
    pub ids: EnrollmentIds,
    pub profile: EnrollmentProfile,
    pub bearer: Option<String>,
    /// A serial number other than its own.
    pub serial: Option<String>,
}

impl Phone {
    pub fn signature(&self, body: &[u8]) -> String {
        STANDARD.encode(SignRequest::new(&self.key, &self.identity).detached(body).unwrap())
    }

    pub fn request(&self, kind: &str, body: Vec<u8>, proof: Proof) -> Request<Body> {
        let mut request = Request::put("/mdm/apple").header(header::CONTENT_TYPE, kind);
        if matches!(proof, Proof::Signature | Proof::Both) {
            request = request.header("Mdm-Signature", self.signature(&body));
        }
        if matches!(proof, Proof::Tls | Proof::Both) {
            request = request.extension(PeerCertificate(Bytes::copy_from_slice(self.identity.der())));
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        request.body(Body::from(body)).unwrap()
    }

    pub async fn check_in(&self, site: &Site, message: CheckIn) -> Answer {
        let request = self.request("application/x-apple-aspen-mdm-checkin", message.encode(), Proof::Signature);
        site.send(&site.device, request).await
    }

    pub async fn result(&self, site: &Site, result: CommandResult) -> Answer {
        let request = self.request("application/x-apple-aspen-mdm; charset=UTF-8", result.encode(), Proof::Signature);
        site.send(&site.device, request).await
    }

    pub async fn idle(&self, site: &Site) -> Option<Command> {
        let answer = self.result(site, CommandResult::idle(self.ids.clone())).await;
        command(&answer)
    }

    pub async fn answer(&self, site: &Site, status: Status, uuid: &str, body: Dictionary) -> Option<Command> {
        command(&self.result(site, CommandResult::of(self.ids.clone(), status, uuid, body)).await)
    }

    pub fn authenticate_message(&self) -> CheckIn {
        let own = self.ids.is_user_enrollment();
        CheckIn::Authenticate(Authenticate {
            ids: self.ids.clone(),
            topic: self.profile.mdm.topic.clone(),
            os_version: Some("17.4".into()),
            build_version: Some("21E219".into()),
            product_name: Some("iPhone14,5".into()),
            serial_number: (!own).then(|| self.serial.clone().unwrap_or_else(|| format!("S{}", self.ids.device_id()))),
            ..Default::default()
        })
    }

    pub async fn authenticate(&self, site: &Site) -> Answer {
        self.check_in(site, self.authenticate_message()).await
    }

    pub fn token_update_message(&self, n: u8) -> CheckIn {
        CheckIn::TokenUpdate(TokenUpdate {
            ids: self.ids.clone(),
            topic: self.profile.mdm.topic.clone(),
            token: vec![n; 32],
            push_magic: format!("magic-{n}"),
            unlock_token: (!self.ids.is_user_enrollment()).then(|| vec![9; 400]),
            awaiting_configuration: None,
        })
    }

    pub async fn token_update(&self, site: &Site, n: u8) -> Answer {
        self.check_in(site, self.token_update_message(n)).await
    }

    pub async fn check_out(&self, site: &Site) -> Answer {
        let message = CheckOut { ids: self.ids.clone(), topic: Some(self.profile.mdm.topic.clone()) };
        self.check_in(site, CheckIn::CheckOut(message)).await
    }
}

/// The command of an answer; none for zero bytes.
pub fn command(answer: &Answer) -> Option<Command> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    if answer.body.is_empty() {
        assert_eq!(answer.headers[header::CONTENT_LENGTH], "0");
        return None;
    }
    Some(Command::decode(&answer.body).unwrap())
}
