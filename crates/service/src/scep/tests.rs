//! A simulated device against the decisions, over a real database.

use std::sync::Arc;

use muster_pki::{
    AlternativeName, Certificate, Csr, CsrTemplate, Digest, KeyKind, KeyPair, Name, Secret, asn1,
    certificate::random_serial,
    cms::Cipher,
    oid,
    scep::{
        FailInfo, MessageType,
        client::{Reply, Request, self_signed},
    },
};
use muster_storage::{
    Tx,
    certificates::{self as rows, state},
    device_identities,
    devices::{self, Device},
    enrollment_sessions::{self, EnrollmentSession},
    lookups, tenants, testing,
};
use uuid::Uuid;

use super::*;
use crate::{
    Clock,
    certificates::Authorities,
    settings::{Compat, MINUTE},
    testing::{TestService, service, service_with, settings},
};

struct Office {
    service: TestService,
    tenant: Uuid,
    authorities: Arc<Authorities>,
}

struct Phone {
    key: KeyPair,
    own: Certificate,
    transaction: String,
}

fn fill(bytes: &mut [u8]) {
    // Nonces and content keys of a simulated device; any bytes will do.
    bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 31 + bytes_seed()) as u8);
}

fn bytes_seed() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NEXT.fetch_add(7, Ordering::Relaxed)
}

impl Phone {
    fn new(office: &Office) -> Self {
        Phone::with_key(office, KeyPair::generate(KeyKind::Rsa2048).unwrap())
    }

    fn with_key(office: &Office, key: KeyPair) -> Self {
        let own = self_signed(&Name::common("phone"), &key, office.service.clock.now(), &fill).unwrap();
        Phone { key, own, transaction: "T-1".into() }
    }

    fn csr(&self, challenge: Option<&Secret<String>>) -> Csr {
        CsrTemplate { challenge: challenge.cloned(), ..CsrTemplate::new(Name::common("admin")) }
            .sign(&self.key)
            .unwrap()
    }
}

impl Office {
    async fn new() -> Self {
        Office::over(service()).await
    }

    async fn over(service: TestService) -> Self {
        let tenant = tenants::Tenant { id: testing::id(), name: "A".into(), created_at: 0 };
        let id = tenant.id;
        service.store.write(id, move |tx| tenants::insert(tx, &tenant)).await.unwrap();
        let authorities = service.authorities().await.unwrap();
        Office { service, tenant: id, authorities }
    }

    async fn session(&self) -> Uuid {
        let session = EnrollmentSession {
            id: testing::id(),
            state: enrollment_sessions::state::OPEN.into(),
            details: "{}".into(),
            ..EnrollmentSession::default()
        };
        let (tenant, id) = (self.tenant, session.id);
        self.service.store.write(tenant, move |tx| enrollment_sessions::insert(tx, tenant, &session)).await.unwrap();
        id
    }

    fn wish(&self, session: Option<Uuid>, device: Option<Uuid>) -> NewChallenge {
        NewChallenge {
            tenant: self.tenant,
            purpose: "identity".into(),
            enrollment_session: session,
            device,
            enrollment: None,
            document: None,
            command: None,
            decided: Decided::identity("0f00d1e5"),
        }
    }

    async fn challenge(&self) -> Secret<String> {
        let session = self.session().await;
        self.service.mint_scep_challenge(self.wish(Some(session), None)).await.unwrap()
    }

    async fn send(&self, request: Request<'_>) -> Reply {
        let answer = self.service.scep_operation(request.encode(&fill).unwrap()).await.unwrap();
        request.read(&answer, &fill).unwrap()
    }

    fn request<'a>(&'a self, phone: &'a Phone, csr: &'a Csr) -> Request<'a> {
        Request {
            message_type: MessageType::PkcsReq,
            transaction_id: &phone.transaction,
            nonce: [3; 16],
            csr,
            key: &phone.key,
            certificate: &phone.own,
            authority: &self.authorities.device.certificate,
            cipher: Cipher::Aes128,
            digest: Digest::Sha256,
        }
    }

    async fn enroll(&self, phone: &Phone, challenge: &Secret<String>) -> Reply {
        let csr = phone.csr(Some(challenge));
        self.send(self.request(phone, &csr)).await
    }

    async fn row(&self, certificate: &Certificate) -> rows::Certificate {
        let (tenant, fingerprint) = (self.tenant, certificate.fingerprint());
        let read = move |tx: &mut dyn Tx| rows::by_fingerprint(tx, tenant, &fingerprint);
        self.service.store.read(tenant, read).await.unwrap().unwrap()
    }

    async fn device(&self) -> Uuid {
        let device = Device {
            id: testing::id(),
            directory_id: testing::id(),
            azure_ad_device_id: testing::id(),
            document: "{}".into(),
            ..Device::default()
        };
        let (tenant, id) = (self.tenant, device.id);
        self.service.store.write(tenant, move |tx| devices::put(tx, tenant, &device)).await.unwrap();
        id
    }

    async fn bind(&self, row: Uuid, device: Uuid) {
        let tenant = self.tenant;
        let bind = move |tx: &mut dyn Tx| device_identities::bind(tx, tenant, row, device, device);
        assert!(self.service.store.write(tenant, bind).await.unwrap());
    }
}

fn issued(reply: Reply) -> Certificate {
    match reply {
        Reply::Issued(certificate) => *certificate,
        other => panic!("expected a certificate, got {other:?}"),
    }
}

#[tokio::test]
async fn c2_the_certificate_says_what_we_decided_and_nothing_of_the_request() {
    let office = Office::new().await;
    let phone = Phone::new(&office);
    let challenge = office.challenge().await;
    let extension = |kind, value: &[u8]| {
        asn1::sequence(&[&asn1::oid(kind), &asn1::boolean(true), &asn1::octet_string(&asn1::sequence(&[value]))])
    };
    let any_usage = oid::Oid::new_unwrap("2.5.29.37.0");
    let csr = CsrTemplate {
        challenge: Some(challenge),
        alternative_names: vec![
            AlternativeName::UserPrincipalName("boss@example.org".into()),
            AlternativeName::Dns("mdm.example.org".into()),
        ],
        extensions: vec![
            extension(oid::BASIC_CONSTRAINTS, &asn1::boolean(true)),
            extension(oid::EXTENDED_KEY_USAGE, &asn1::oid(any_usage)),
        ],
        ..CsrTemplate::new(Name::new(&[(oid::COMMON_NAME, "admin"), (oid::ORGANIZATION, "Other")]))
    };
    let csr = csr.sign(&phone.key).unwrap();
    assert_eq!(csr.extensions().authority, Some(None), "the request does ask for it");
    let certificate = issued(office.send(office.request(&phone, &csr)).await);

    assert_eq!(certificate.subject().to_string(), "CN=0f00d1e5");
    assert_eq!(certificate.extensions().alternative_names, []);
    assert_eq!(certificate.extensions().extended_key_usage, [oid::CLIENT_AUTH]);
    assert_eq!(certificate.extensions().authority, None);
    assert_eq!(certificate.public_key(), phone.key.public());
    let days = (certificate.not_after() - office.service.clock.now()) / crate::settings::DAY;
    assert_eq!(days, 730);
    certificate.verify_signature(office.authorities.device.key.public(), Legacy::default()).unwrap();
    let row = office.row(&certificate).await;
    assert_eq!((row.state.as_str(), row.purpose.as_str(), row.issuer.as_str()), (state::ISSUED, "identity", "device"));
}

#[tokio::test]
async fn c1_a_spent_challenge_is_refused_but_a_lost_answer_is_given_again() {
    let office = Office::new().await;
    let mut phone = Phone::new(&office);
    let challenge = office.challenge().await;
    let first = issued(office.enroll(&phone, &challenge).await);
    office.service.clock.advance(59 * MINUTE);
    assert_eq!(issued(office.enroll(&phone, &challenge).await), first, "the same request gets the same certificate");

    let other = Phone::new(&office);
    assert_eq!(office.enroll(&other, &challenge).await, Reply::Refused(FailInfo::BadRequest), "another key");
    phone.transaction = "T-2".into();
    assert_eq!(office.enroll(&phone, &challenge).await, Reply::Refused(FailInfo::BadRequest), "another transaction");
    phone.transaction = "T-1".into();
    office.service.clock.advance(MINUTE);
    assert_eq!(office.enroll(&phone, &challenge).await, Reply::Refused(FailInfo::BadRequest), "an hour later");
}

#[tokio::test]
async fn c1_missing_unknown_expired_and_voided_challenges_are_refused() {
    let office = Office::new().await;
    let phone = Phone::new(&office);
    let refused = Reply::Refused(FailInfo::BadRequest);
    let csr = phone.csr(None);
    assert_eq!(office.send(office.request(&phone, &csr)).await, refused, "none");
    assert_eq!(office.enroll(&phone, &Secret::new("guess".to_owned())).await, refused, "unknown");

    let session = office.session().await;
    let earlier = office.service.mint_scep_challenge(office.wish(Some(session), None)).await.unwrap();
    let challenge = office.service.mint_scep_challenge(office.wish(Some(session), None)).await.unwrap();
    assert_eq!(office.enroll(&phone, &earlier).await, refused, "handed out again: the earlier one is void");
    office.service.clock.advance(60 * MINUTE);
    assert_eq!(office.enroll(&phone, &challenge).await, refused, "expired");

    let device = office.device().await;
    let command = Some(testing::id());
    let wish = || NewChallenge { command, ..office.wish(None, Some(device)) };
    let earlier = office.service.mint_scep_challenge(wish()).await.unwrap();
    let challenge = office.service.mint_scep_challenge(wish()).await.unwrap();
    assert_eq!(office.enroll(&phone, &earlier).await, refused, "the command was handed out again");
    issued(office.enroll(&phone, &challenge).await);
}

#[tokio::test]
async fn c1_a_challenge_of_the_other_purpose_or_of_a_closed_enrollment_is_refused() {
    let office = Office::new().await;
    let phone = Phone::new(&office);
    let session = office.session().await;
    let wish = NewChallenge { purpose: "access".into(), ..office.wish(Some(session), None) };
    let challenge = office.service.mint_scep_challenge(wish).await.unwrap();
    assert_eq!(office.enroll(&phone, &challenge).await, Reply::Refused(FailInfo::BadRequest));
    let csr = phone.csr(Some(&challenge));
    let authority = &office.authorities.access.certificate;
    let certificate = issued(office.send(Request { authority, ..office.request(&phone, &csr) }).await);
    certificate.verify_signature(office.authorities.access.key.public(), Legacy::default()).unwrap();

    let (tenant, device, closed) = (office.tenant, office.device().await, office.session().await);
    let challenge = office.service.mint_scep_challenge(office.wish(Some(closed), None)).await.unwrap();
    let close = move |tx: &mut dyn Tx| {
        enrollment_sessions::bind(tx, tenant, closed, "udid", device)?;
        enrollment_sessions::close_of_device(tx, tenant, device)
    };
    assert_eq!(office.service.store.write(tenant, close).await.unwrap(), 1);
    let phone = Phone::new(&office);
    assert_eq!(office.enroll(&phone, &challenge).await, Reply::Refused(FailInfo::BadRequest));
}

#[tokio::test]
async fn c1_of_many_requests_at_once_one_gets_the_certificate() {
    let office = Arc::new(Office::new().await);
    let challenge = office.challenge().await;
    let tasks: Vec<_> = (0..6)
        .map(|_| {
            let (office, challenge) = (office.clone(), challenge.clone());
            tokio::spawn(async move {
                let phone = Phone::new(&office);
                matches!(office.enroll(&phone, &challenge).await, Reply::Issued(_))
            })
        })
        .collect();
    let mut successes = 0;
    for task in tasks {
        successes += usize::from(task.await.unwrap());
    }
    assert_eq!(successes, 1);
}

#[tokio::test]
async fn c1_challenges_are_hashed_at_rest() {
    let office = Office::new().await;
    let challenge = office.challenge().await;
    let (tenant, hash) = (office.tenant, muster_pki::sha256(challenge.expose().as_bytes()));
    let found: Option<lookups::Lookup> = office
        .service
        .store
        .read(muster_storage::Scope::Server, move |tx| lookups::find(tx, "challenge", &hash))
        .await
        .unwrap();
    assert_eq!(found.unwrap().tenant, tenant);
    let file = std::fs::read(office.service.database.directory().unwrap().join("muster.db")).unwrap_or_default();
    let wal = std::fs::read(office.service.database.directory().unwrap().join("muster.db-wal")).unwrap_or_default();
    let needle = challenge.expose().as_bytes();
    assert!(wal.windows(32).any(|part| part == hash) || file.windows(32).any(|part| part == hash));
    assert!(!file.windows(needle.len()).chain(wal.windows(needle.len())).any(|part| part == needle));
}

#[tokio::test]
async fn c3_keys_outside_the_policy_are_refused() {
    let office = Office::new().await;
    let phone = Phone::new(&office);
    let curve = KeyPair::generate(KeyKind::P256).unwrap();
    let challenge = office.challenge().await;
    let csr = CsrTemplate { challenge: Some(challenge.clone()), ..CsrTemplate::new(Name::common("x")) };
    let csr = csr.sign(&curve).unwrap();
    assert_eq!(office.send(office.request(&phone, &csr)).await, Reply::Refused(FailInfo::BadAlg), "RSA only");

    // A request whose key was exchanged after signing: no proof of possession.
    let other = KeyPair::generate(KeyKind::Rsa2048).unwrap();
    let mut der = phone.csr(Some(&challenge)).der().to_vec();
    let (own, stranger) = (phone.key.public().der(), other.public().der());
    let at = der.windows(own.len()).position(|part| part == own).unwrap();
    der[at..at + own.len()].copy_from_slice(stranger);
    let forged = Csr::decode(&der).unwrap();
    assert_eq!(office.send(office.request(&phone, &forged)).await, Reply::Refused(FailInfo::BadMessageCheck));

    // Another's request in an envelope signed by oneself.
    let honest = Phone::with_key(&office, other);
    let csr = honest.csr(Some(&challenge));
    assert_eq!(office.send(office.request(&phone, &csr)).await, Reply::Refused(FailInfo::BadMessageCheck));

    // None of these spent the challenge.
    issued(office.enroll(&honest, &challenge).await);
}

#[tokio::test]
async fn c3_a_key_certified_for_another_device_is_refused() {
    let office = Office::new().await;
    let mut phone = Phone::new(&office);
    let first = office.challenge().await;
    issued(office.enroll(&phone, &first).await);
    let second = office.challenge().await;
    phone.transaction = "T-2".into();
    assert_eq!(office.enroll(&phone, &second).await, Reply::Refused(FailInfo::BadRequest));
}

struct Enrolled {
    phone: Phone,
    certificate: Certificate,
    device: Uuid,
}

async fn enrolled(office: &Office, purpose: &str) -> Enrolled {
    let phone = Phone::new(office);
    let device = office.device().await;
    let wish = NewChallenge { purpose: purpose.into(), ..office.wish(None, Some(device)) };
    let challenge = office.service.mint_scep_challenge(wish).await.unwrap();
    let csr = phone.csr(Some(&challenge));
    let authority = &office.authorities.for_purpose(purpose).certificate;
    let certificate = issued(office.send(Request { authority, ..office.request(&phone, &csr) }).await);
    office.bind(office.row(&certificate).await.id, device).await;
    Enrolled { phone, certificate, device }
}

#[tokio::test]
async fn c4_renewal_is_signed_by_the_current_certificate_of_the_same_device_and_purpose() {
    let office = Office::new().await;
    let Enrolled { phone, certificate, device } = enrolled(&office, "identity").await;
    let access = enrolled(&office, "access").await;
    let next = KeyPair::generate(KeyKind::Rsa2048).unwrap();
    let csr = CsrTemplate::new(Name::common("admin")).sign(&next).unwrap();
    let renewal =
        Request { message_type: MessageType::RenewalReq, certificate: &certificate, ..office.request(&phone, &csr) };

    let by_self = Request { certificate: &phone.own, ..renewal };
    assert_eq!(office.send(by_self).await, Reply::Refused(FailInfo::BadRequest), "a certificate of its own");
    let by_access = Request { certificate: &access.certificate, key: &access.phone.key, ..renewal };
    assert_eq!(office.send(by_access).await, Reply::Refused(FailInfo::BadCertId), "access certificate for an identity");

    let renewed = issued(office.send(renewal).await);
    assert_eq!(renewed.subject(), certificate.subject());
    assert_eq!(renewed.public_key(), next.public());
    assert_eq!(issued(office.send(renewal).await), renewed, "a lost answer is given again");
    let row = office.row(&renewed).await;
    assert_eq!((row.device_id, row.generation, row.state.as_str()), (Some(device), 2, state::ISSUED));

    // A key that is certified for another device.
    let taken = CsrTemplate::new(Name::common("x")).sign(&access.phone.key).unwrap();
    assert_eq!(office.send(Request { csr: &taken, ..renewal }).await, Reply::Refused(FailInfo::BadRequest));

    // The first use of the new one ends the old one.
    let tenant = office.tenant;
    let first_use = move |tx: &mut dyn Tx| device_identities::activate(tx, tenant, device, row.id);
    assert_eq!(office.service.store.write(tenant, first_use).await.unwrap(), 1);
    assert_eq!(office.row(&certificate).await.state, state::SUPERSEDED);
    assert_eq!(office.send(renewal).await, Reply::Refused(FailInfo::BadCertId), "superseded");
}

#[tokio::test]
async fn c4_a_leaving_or_revoked_device_renews_nothing() {
    let office = Office::new().await;
    let Enrolled { phone, certificate, device } = enrolled(&office, "identity").await;
    let next = KeyPair::generate(KeyKind::Rsa2048).unwrap();
    let csr = CsrTemplate::new(Name::common("x")).sign(&next).unwrap();
    let renewal =
        Request { message_type: MessageType::RenewalReq, certificate: &certificate, ..office.request(&phone, &csr) };
    let (tenant, now) = (office.tenant, office.service.clock.now());
    let wish = NewChallenge { purpose: "access".into(), ..office.wish(None, Some(device)) };
    let open = office.service.mint_scep_challenge(wish).await.unwrap();
    let leave = move |tx: &mut dyn Tx| {
        devices::set_state(tx, tenant, device, "leaving", "retirePending", None, now)?;
        device_identities::limit(tx, tenant, device)
    };
    assert_eq!(office.service.store.write(tenant, leave).await.unwrap(), 1);
    assert_eq!(office.send(renewal).await, Reply::Refused(FailInfo::BadCertId));
    let phone = Phone::new(&office);
    let csr = phone.csr(Some(&open));
    let authority = &office.authorities.access.certificate;
    let late = Request { authority, ..office.request(&phone, &csr) };
    assert_eq!(office.send(late).await, Reply::Refused(FailInfo::BadRequest), "handed out before it left");
    let id = office.row(&certificate).await.id;
    let reason = crate::certificates::Reason::CessationOfOperation;
    let revoke = move |tx: &mut dyn Tx| crate::certificates::revoke(tx, tenant, id, reason, now);
    assert!(office.service.store.write(tenant, revoke).await.unwrap());
    assert_eq!(office.send(renewal).await, Reply::Refused(FailInfo::BadCertId));
}

#[tokio::test]
async fn what_is_no_scep_message_is_a_bad_request_and_other_types_are_refused() {
    let office = Office::new().await;
    for bytes in [&b""[..], b"GET /", &[0x30, 0x80, 0, 0], &[0x30; 70_000]] {
        let error = office.service.scep_operation(bytes.to_vec()).await.unwrap_err();
        assert!(matches!(error, Error::Refused(refusal) if refusal.kind == crate::Kind::BadRequest));
    }
    let phone = Phone::new(&office);
    let csr = phone.csr(None);
    let poll = Request { message_type: MessageType::GetCertInitial, ..office.request(&phone, &csr) };
    assert_eq!(office.send(poll).await, Reply::Refused(FailInfo::BadRequest));
    let stranger = Request { authority: &phone.own, ..office.request(&phone, &csr) };
    let answer = office.service.scep_operation(stranger.encode(&fill).unwrap()).await.unwrap();
    let read = office.request(&phone, &csr).read(&answer, &fill).unwrap();
    assert_eq!(read, Reply::Refused(FailInfo::BadMessageCheck), "encrypted for somebody else");
}

#[tokio::test]
async fn old_algorithms_are_offered_and_taken_only_by_the_switch() {
    let expected = "AES\nSHA-256\nSHA-384\nSHA-512\nPOSTPKIOperation\nRenewal\nSCEPStandard\n";
    let strict = Office::new().await;
    assert_eq!(strict.service.scep_capabilities(), expected);
    let phone = Phone::new(&strict);
    let challenge = strict.challenge().await;
    let csr = phone.csr(Some(&challenge));
    let old = Request { cipher: Cipher::DesEde3, ..strict.request(&phone, &csr) };
    assert_eq!(strict.send(old).await, Reply::Refused(FailInfo::BadAlg));

    let compat = Compat { scep_des: true, ..Compat::default() };
    let settings = crate::Settings { compat, ..settings() };
    let lenient = Office::over(service_with(testing::store(), settings)).await;
    assert!(lenient.service.scep_capabilities().ends_with("DES3\n"));
    let challenge = lenient.challenge().await;
    let csr = phone.csr(Some(&challenge));
    let old = Request { cipher: Cipher::DesEde3, ..lenient.request(&phone, &csr) };
    issued(lenient.send(old).await);
}

#[test]
fn c9_serial_numbers_do_not_repeat() {
    // The short form; the generator's 126 random bits are asserted in crate pki.
    let random = crate::testing::SeededRandom::new(5);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..100_000 {
        assert!(seen.insert(random_serial(&|bytes| crate::Random::fill(&*random, bytes))));
    }
}
