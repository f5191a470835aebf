//! A whole [`Service`] for tests: a throw-away database, a clock moved by hand, randomness from a
//! seed, and outward clients that remember what they were asked.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use muster_storage::testing::TestStore;

use crate::{
    Addresses, Clock, Mail, MailError, MailMessage, Parts, Push, PushError, PushTarget, Random, Service, Settings,
    keys::{KeyFile, Keys},
    ports::Boxed,
    settings::{AppleSettings, Compat, GuardDefaults},
};

/// When tests begin: 2026-01-01T00:00:00Z.
pub const START: i64 = 1_767_225_600_000;

/// A clock that moves only by hand.
#[derive(Debug)]
pub struct HandClock(AtomicI64);

impl HandClock {
    /// A clock at a time, unix ms.
    pub fn at(now: i64) -> Arc<Self> {
        Arc::new(HandClock(AtomicI64::new(now)))
    }

    /// The time it shows, unix ms.
    pub fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Moves forward by milliseconds.
    pub fn advance(&self, by: i64) {
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Bytes from a seed (splitmix64): the same test draws the same ids.
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// A source with a seed.
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(SeededRandom(AtomicU64::new(seed)))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst).wrapping_add(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            chunk.copy_from_slice(&z.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A push service that remembers, and answers what it was told to.
#[derive(Default)]
pub struct RecordedPush {
    /// Every push, in order.
    pub sent: Mutex<Vec<PushTarget>>,
    /// The answer to every push from now on; success where none.
    pub answer: Mutex<Option<PushError>>,
}

impl Push for RecordedPush {
    fn push<'a>(&'a self, target: &'a PushTarget) -> Boxed<'a, Result<(), PushError>> {
        Box::pin(async move {
            self.sent.lock().expect("no test panics while it holds this").push(target.clone());
            match self.answer.lock().expect("no test panics while it holds this").clone() {
                Some(error) => Err(error),
                None => Ok(()),
            }
        })
    }
}

/// A mail server that remembers, and refuses what it was told to.
#[derive(Default)]
pub struct RecordedMail {
    /// Every mail that was taken, in order.
    pub sent: Mutex<Vec<MailMessage>>,
    /// The answer to every mail from now on; success where none.
    pub answer: Mutex<Option<MailError>>,
}

impl Mail for RecordedMail {
    fn send<'a>(&'a self, message: &'a MailMessage) -> Boxed<'a, Result<(), MailError>> {
        Box::pin(async move {
            if let Some(error) = self.answer.lock().expect("no test panics while it holds this").clone() {
                return Err(error);
            }
            self.sent.lock().expect("no test panics while it holds this").push(message.clone());
            Ok(())
        })
    }
}

/// Settings of a server that tests reach.
pub fn settings() -> Settings {
    Settings {
        addresses: Addresses {
            public: "https://localhost:8443".into(),
            device: "https://localhost:8444".into(),
            admin: "https://localhost:9443".into(),
        },
        apple: AppleSettings { push_base_url: "https://localhost:1".into(), push_roots: vec![], device_roots: vec![] },
        mail: None,
        guard: GuardDefaults::default(),
        compat: Compat::default(),
    }
}

/// A service and what a test holds of it.
pub struct TestService {
    /// The service.
    pub service: Service,
    /// Its clock.
    pub clock: Arc<HandClock>,
    /// Its push service.
    pub push: Arc<RecordedPush>,
    /// Its mail server.
    pub mail: Arc<RecordedMail>,
    /// Its database, gone with it.
    pub database: TestStore,
}

impl TestService {
    /// Records of a UDID, newest first.
    pub async fn device_ids_by_udid(&self, tenant: uuid::Uuid, udid: &str) -> Vec<uuid::Uuid> {
        let udid = udid.to_owned();
        let read = move |tx: &mut dyn muster_storage::Tx| muster_storage::devices::by_udid(tx, tenant, &udid);
        let found = self.service.store.read(tenant, read).await.expect("the test's database answers");
        found.into_iter().map(|device| device.id).collect()
    }

    /// Facts of the newest record of a UDID: name and JSON value.
    pub async fn facts_of_udid(&self, tenant: uuid::Uuid, udid: &str) -> Vec<(String, String)> {
        let device = self.device_ids_by_udid(tenant, udid).await[0];
        let read = move |tx: &mut dyn muster_storage::Tx| muster_storage::facts::of_device(tx, tenant, device);
        let found = self.service.store.read(tenant, read).await.expect("the test's database answers");
        found.into_iter().map(|fact| (fact.name, fact.value)).collect()
    }

    /// Most devices a person may enroll.
    pub async fn set_device_limit(&self, tenant: uuid::Uuid, limit: i64) {
        let now = self.clock.now_ms();
        let document = muster_storage::documents::Document {
            kind: "deviceEnrollmentConfigurations".into(),
            id: self.service.random.id(now),
            odata_type: "deviceEnrollmentLimitConfiguration".into(),
            display_name: "All users and all devices".into(),
            body: format!("{{\"limit\":{limit}}}"),
            priority: Some(0),
            version: 1,
            created_at: now,
            modified_at: now,
        };
        let write = move |tx: &mut dyn muster_storage::Tx| muster_storage::documents::insert(tx, tenant, &document);
        self.service.store.write(tenant, write).await.expect("the test's database answers");
    }

    /// Every event in a tenant's outbox, oldest first: kind and JSON body.
    pub async fn events(&self, tenant: uuid::Uuid) -> Vec<(String, String)> {
        let read =
            move |tx: &mut dyn muster_storage::Tx| muster_storage::outbox::after(tx, tenant, None, i64::MAX, 10_000);
        let events = self.service.store.read(tenant, read).await.expect("the test's database answers");
        events.into_iter().map(|event| (event.kind, event.body)).collect()
    }
}

impl std::ops::Deref for TestService {
    type Target = Service;
    fn deref(&self) -> &Service {
        &self.service
    }
}

/// A service over an empty embedded database.
pub fn service() -> TestService {
    service_with(muster_storage::testing::store(), settings())
}

/// A service over a given database and settings.
pub fn service_with(database: TestStore, settings: Settings) -> TestService {
    let clock = HandClock::at(START);
    let (push, mail) = (Arc::new(RecordedPush::default()), Arc::new(RecordedMail::default()));
    let service = Service::new(Parts {
        store: database.store.clone(),
        clock: clock.clone(),
        random: SeededRandom::new(1),
        push: push.clone(),
        mail: mail.clone(),
        settings,
        keys: Keys::new(KeyFile::generate(&*SeededRandom::new(2))),
    });
    TestService { service, clock, push, mail, database }
}

impl TestService {
    /// Gives a tenant a push certificate that is valid for a year, as far as enrollment asks.
    pub async fn give_push_certificate(&self, tenant: uuid::Uuid) {
        let now = self.service.clock.now();
        let row = muster_storage::push_certificates::PushCertificate {
            topic: Some("com.apple.mgmt.External.test".into()),
            not_after: Some(now + 365 * 24 * 3_600_000),
            modified_at: now,
            ..Default::default()
        };
        let put = move |tx: &mut dyn muster_storage::Tx| muster_storage::push_certificates::put(tx, tenant, &row);
        self.service.store.write(tenant, put).await.expect("the test's database takes a row");
    }
}

/// Authorities that a test of this process made, by the name of the key that wraps them: RSA keys
/// take longer than most tests. Only test services share a key file.
static AUTHORITIES: Mutex<Vec<(Vec<u8>, Vec<muster_storage::authorities::Authority>)>> = Mutex::new(Vec::new());

pub(crate) fn remembered_authorities(keys: &Keys) -> Option<Vec<muster_storage::authorities::Authority>> {
    let remembered = AUTHORITIES.lock().expect("no test panics while it holds this");
    remembered.iter().find(|(name, _)| *name == keys.name()).map(|(_, rows)| rows.clone())
}

pub(crate) fn remember_authorities(keys: &Keys, rows: &[muster_storage::authorities::Authority]) {
    AUTHORITIES.lock().expect("no test panics while it holds this").push((keys.name(), rows.to_vec()));
}

/// The code that an authenticator app shows for a base32 secret at a time, unix ms.
pub fn totp_code(secret: &str, now: i64) -> String {
    let bytes = crate::sign_in::totp::parse_base32(secret).expect("the secret is base32");
    let secret = bytes.try_into().expect("a secret has 20 bytes");
    crate::sign_in::totp::code_at(&secret, now)
}
