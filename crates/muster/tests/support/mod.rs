//! [`TestApp`]: the whole server in this process, real TLS on ephemeral ports, a clock moved by
//! hand, stand-ins of everything outside, and simulated devices. Stories are written on it.

#![allow(dead_code, reason = "each story uses its part")]

pub mod beside;
pub mod documents;

use std::sync::Arc;

use muster::{
    config::Text,
    demo::{
        api::{Api, Reply},
        scenery::{self, User},
        stage::{Stage, throw_away},
    },
};
use muster_service::{
    Clock as _,
    operators::{NewAdmin, NewKeyboardToken},
    testing::{HandClock, START, SeededRandom},
};
use muster_storage::testing::TestDatabase;
use muster_swarm::{
    model::{Device, Family, Version, device::Received},
    random::Seeded,
    shell::{Error, Handset, Person, handset::SessionEnd},
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};

/// Which database the server of a story works on.
pub enum Engine {
    /// The embedded one.
    Sqlite,
    /// A PostgreSQL database of its own.
    Postgres(TestDatabase),
}

/// Makes the tests `name::sqlite` and `name::postgres` of stories `async fn name(engine: Engine)`; the
/// second is skipped, visibly, where no PostgreSQL is configured (`cargo xtask test` starts one).
macro_rules! on_both_engines {
    ($($name:ident),+) => {$(
        mod $name {
            use crate::support::Engine;
            #[tokio::test]
            async fn sqlite() {
                super::$name(Engine::Sqlite).await;
            }
            #[tokio::test]
            async fn postgres() {
                match muster_storage::testing::postgres_database() {
                    Some(database) => super::$name(Engine::Postgres(database)).await,
                    None => muster_storage::testing::skipped(
                        concat!(module_path!(), "::postgres"),
                        "MUSTER_TEST_POSTGRES is not set",
                    ),
                }
            }
        }
    )+};
}
pub(crate) use on_both_engines;

/// The mail domain of every story.
pub const DOMAIN: &str = "example.test";
/// Password of every person of a story; it exists only in this test process.
pub const PASSWORD: &str = "correct horse battery";

/// One minute, in milliseconds.
pub const MINUTE: i64 = 60_000;
/// One hour, in milliseconds.
pub const HOUR: i64 = 60 * MINUTE;

/// A phone, tablet or Mac of a story.
#[derive(Clone)]
pub struct Phone(Arc<Mutex<Handset>>);

impl Phone {
    /// The handset itself.
    pub async fn lock(&self) -> MutexGuard<'_, Handset> {
        self.0.lock().await
    }

    /// One session now, pushed or not.
    pub async fn check_in(&self) -> Result<SessionEnd, Error> {
        self.0.lock().await.session().await
    }

    /// Looks at the model.
    pub async fn see<T>(&self, look: impl FnOnce(&Device) -> T) -> T {
        look(&self.0.lock().await.device)
    }

    /// Changes the model, as a person at the device does.
    pub async fn touch<T>(&self, touch: impl FnOnce(&mut Device) -> T) -> T {
        touch(&mut self.0.lock().await.device)
    }
}

impl Phone {
    /// Whether a profile brought a web clip of this label.
    pub async fn has_web_clip(&self, label: &str) -> bool {
        let is = |payload: &muster_swarm::model::profile::Payload| {
            payload.payload_type == "com.apple.webClip.managed"
                && payload.content.get("Label").and_then(|value| value.as_string()) == Some(label)
        };
        self.see(|device| device.profiles.iter().flat_map(|profile| &profile.payloads).any(is)).await
    }
}

/// The whole server of one story.
pub struct TestApp {
    pub stage: Stage,
    pub clock: Arc<HandClock>,
    /// An owner's token.
    pub api: Api,
    phones: Mutex<Vec<Phone>>,
    seed: std::sync::atomic::AtomicU64,
    _database: Option<TestDatabase>,
    _folder: tempfile::TempDir,
}

impl TestApp {
    /// A server with a tenant, its push certificate and an owner's token.
    pub async fn new(engine: Engine) -> TestApp {
        Self::with(engine, |_| {}).await
    }

    /// The same with changes to its configuration.
    pub async fn with(engine: Engine, change: impl FnOnce(&mut muster::config::Config)) -> TestApp {
        let folder = tempfile::tempdir().unwrap();
        let clock = HandClock::at(START);
        let mut config = throw_away(folder.path());
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres(database) => Some(database),
        };
        if let Some(database) = &database {
            config.database.url = Some(Text::Inline(database.url.clone()));
            config.database.migrate_url = Some(Text::Inline(database.migrate_url.clone()));
        }
        change(&mut config);
        let stage = Stage::start(config, &[DOMAIN], clock.clone(), SeededRandom::new(7), false).await.unwrap();
        stage.service.create_tenant("Example", DOMAIN).await.unwrap();
        let token = token(&stage, "story", "owner").await;
        let api = Api::new(stage.network.clone(), &stage.addresses.admin, &token);
        scenery::prepare(&stage, &api).await.unwrap();
        TestApp { stage, clock, api, phones: Mutex::default(), seed: 1.into(), _database: database, _folder: folder }
    }

    /// The folder of the server's data.
    pub fn folder(&self) -> &std::path::Path {
        self._folder.path()
    }

    /// Now, by the story's clock.
    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    /// Moves the clock and does what falls due.
    pub async fn advance(&self, milliseconds: i64) {
        self.clock.advance(milliseconds);
        self.stage.running.present_fresh().await.unwrap();
        self.settle().await;
    }

    /// Another caller: a token made at the server's keyboard, its own person.
    pub async fn token(&self, name: &str, role: &str) -> Api {
        self.api.with_token(&token(&self.stage, name, role).await)
    }

    /// An operator with password and second factor; the secret of it.
    pub async fn operator(&self, name: &str, role: &str) -> Person {
        let secret = base32(name);
        let user = format!("{name}@{DOMAIN}");
        let new = NewAdmin {
            tenant: None,
            user: user.clone(),
            password: PASSWORD.into(),
            role: role.into(),
            totp_secret: Some(secret.clone()),
        };
        self.stage.service.create_admin(new).await.unwrap();
        let mut person = Person::new(&user, PASSWORD);
        person.totp_secret = Some(secret);
        person
    }

    /// A person.
    pub async fn user(&self, name: &str) -> User {
        let principal = format!("{}@{DOMAIN}", name.to_lowercase());
        scenery::create_user(&self.api, name, &principal, PASSWORD).await.unwrap()
    }

    /// A group of people.
    pub async fn group(&self, name: &str, members: &[&User]) -> String {
        scenery::create_group(&self.api, name, members).await.unwrap()
    }

    /// Puts a person into a group.
    pub async fn add_member(&self, group: &str, user: &User) {
        let reference = json!({ "@odata.id": format!("https://graph.microsoft.com/v1.0/users/{}", user.id) });
        self.api.post(&format!("/v1.0/groups/{group}/members/$ref"), &reference).await.unwrap();
    }

    /// Takes a person out of a group.
    pub async fn remove_member(&self, group: &str, user: &User) {
        self.api.delete(&format!("/v1.0/groups/{group}/members/{}/$ref", user.id)).await.unwrap();
    }

    /// A custom iOS profile of a web clip for a target; its id.
    pub async fn web_clip(&self, label: &str, target: Value) -> String {
        let identifier = format!("test.story.{}", label.to_lowercase());
        self.custom_payload(label, scenery::web_clip(&identifier, label).as_bytes(), target).await
    }

    /// A custom iOS profile of any bytes.
    pub async fn custom_payload(&self, name: &str, payload: &[u8], target: Value) -> String {
        use base64::Engine as _;
        let body = json!({
            "@odata.type": "#microsoft.graph.iosCustomConfiguration",
            "displayName": name,
            "payloadName": name,
            "payloadFileName": "story.mobileconfig",
            "payload": base64::engine::general_purpose::STANDARD.encode(payload),
        });
        scenery::create_configuration(&self.api, &body, target).await.unwrap()
    }

    /// A device fresh from its box; settled with the others from now on.
    pub async fn device(&self, family: Family, system: Version, supervised: bool, owner: &str) -> Phone {
        let seed = self.seed.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let mut device = Device::new(family, system, supervised, owner, &mut Seeded::new(seed));
        device.recorder = Some(Vec::new());
        self.adopt(device).await
    }

    /// Gives a device model a network and settles it with the others from now on.
    pub async fn adopt(&self, device: Device) -> Phone {
        let identity = self.stage.factory.identity(&device.hardware).unwrap();
        let handset = Handset::new(device, self.stage.network.clone()).with_factory_identity(identity);
        let phone = Phone(Arc::new(Mutex::new(handset)));
        self.phones.lock().await.push(phone.clone());
        phone
    }

    /// A current iPhone, not enrolled.
    pub async fn iphone(&self, owner: &str) -> Phone {
        self.device(Family::IPhone, Version(18, 3, 0), false, owner).await
    }

    /// A current iPhone that a person enrolled from the web page; everything that follows is done.
    pub async fn enrolled_iphone(&self, user: &User) -> Phone {
        let phone = self.iphone(&user.name).await;
        self.enroll_by_profile(&phone, user).await.unwrap();
        self.settle().await;
        phone
    }

    /// The web page, the profile, SCEP, Authenticate, TokenUpdate.
    pub async fn enroll_by_profile(&self, phone: &Phone, user: &User) -> Result<(), Error> {
        let start = format!("{}/enroll", self.stage.addresses.public);
        let mut person = Person::new(&user.principal, &user.password);
        phone.lock().await.enroll_by_profile(&start, &mut person).await
    }

    /// Settings, work account, sign-in, profile, SCEP, Authenticate, TokenUpdate.
    pub async fn enroll_account_driven(&self, phone: &Phone, user: &User) -> Result<(), Error> {
        let mut person = Person::new(&user.principal, &user.password);
        phone.lock().await.enroll_account_driven(&mut person).await
    }

    /// Runs due jobs, and sessions of devices that were pushed, until nothing happens any more.
    pub async fn settle(&self) {
        for _ in 0..40 {
            self.stage.service.run_due(self.now()).await.unwrap();
            if self.answer_pushes().await == 0 {
                return;
            }
        }
        panic!("the fleet does not settle: pushes never end");
    }

    /// Holds a session of every device that a push waits for; how many.
    pub async fn answer_pushes(&self) -> usize {
        let mut sessions = 0;
        let phones = self.phones.lock().await.clone();
        for phone in phones {
            let mut handset = phone.lock().await;
            let Some(management) = &handset.device.management else { continue };
            let targets = [Some(management.push.clone()), management.user_push.clone()];
            let pushed = targets
                .into_iter()
                .flatten()
                .any(|target| self.stage.push.take_stored(&target.token).is_some_and(|magic| magic == target.magic));
            if pushed && handset.device.is_reachable() {
                sessions += 1;
                // A refused session is a fact of the story, not a fault of the test.
                let _ = handset.session().await;
            }
        }
        sessions
    }

    /// The only managed device of a person, as the API shows it.
    pub async fn managed_device(&self, user: &User) -> Value {
        let mut all = self.managed_devices(user).await;
        assert_eq!(all.len(), 1, "{} has one device", user.principal);
        let id = all.remove(0)["id"].as_str().unwrap().to_owned();
        self.api.get(&format!("/v1.0/deviceManagement/managedDevices/{id}")).await.unwrap()
    }

    /// Managed devices of a person.
    pub async fn managed_devices(&self, user: &User) -> Vec<Value> {
        let path = format!("/v1.0/deviceManagement/managedDevices?$filter=userPrincipalName eq '{}'", user.principal);
        self.api.get(&path).await.unwrap()["value"].as_array().cloned().unwrap_or_default()
    }

    /// A verb of a managed device.
    pub async fn act(&self, api: &Api, device: &Value, verb: &str, body: &Value) -> Reply {
        let id = device["id"].as_str().unwrap();
        api.call("POST", &format!("/v1.0/deviceManagement/managedDevices/{id}/{verb}"), Some(body)).await.unwrap()
    }

    /// What the server sent to all devices of the story.
    pub async fn received(&self) -> Vec<Received> {
        let mut all = Vec::new();
        for phone in self.phones.lock().await.iter() {
            all.extend(phone.lock().await.device.recorder.clone().unwrap_or_default());
        }
        all
    }

    /// Ends the story: every document the devices got must be one Apple's schema allows.
    pub async fn end(self) {
        self.end_but(|_| false).await;
    }

    /// The same, without documents that are wrong on purpose.
    pub async fn end_but(self, wrong: impl Fn(&Received) -> bool) {
        let received: Vec<_> = self.received().await.into_iter().filter(|document| !wrong(document)).collect();
        documents::check(&received);
        let TestApp { stage, .. } = self;
        stage.running.stop().await;
        stage.service.store.close();
    }
}

async fn token(stage: &Stage, name: &str, role: &str) -> String {
    let new = NewKeyboardToken {
        tenant: Some("Example".into()),
        name: name.into(),
        role: role.into(),
        user: None,
        life: None,
    };
    stage.service.create_keyboard_token(new).await.unwrap()
}

fn base32(seed: &str) -> String {
    let seed = seed.bytes().fold(11u64, |sum, byte| sum.wrapping_mul(131).wrapping_add(byte.into()));
    Seeded::new(seed).text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 32)
}
