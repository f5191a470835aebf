//! A tenant with operators and devices, and devices that fetch and answer.

use muster_domain::actions::Verb;
use muster_storage::{
    TxExt, actions,
    actions::Action,
    args, audit,
    commands::{self, Command, Ending},
    devices::{self, Device},
    enrollments::{self, Enrollment},
    operators, outbox, people, tenants,
    testing::TestStore,
};
use uuid::Uuid;

use crate::{
    Actor, Clock, Error, PrincipalKind, Result, Settings,
    actions::{ActionRequest, Requested, action_answered, action_handed_out},
    settings::DAY,
    testing::{self, START, TestService},
};

/// Tests of a world on each engine; the second is skipped, visibly, where no server is configured.
macro_rules! on_both {
    ($(async fn $name:ident($w:ident) $body:block)+) => {$(
        mod $name {
            use super::*;
            async fn body($w: World) $body
            #[tokio::test]
            async fn sqlite() {
                body(World::new().await).await;
            }
            #[tokio::test]
            async fn postgres() {
                match muster_storage::testing::postgres_store() {
                    Some(store) => {
                        body(World::over(store, $crate::guard::tests::world::settings_of_a_small_fleet()).await).await;
                    }
                    None => muster_storage::testing::skipped(
                        concat!(module_path!(), "::", stringify!($name)),
                        "MUSTER_TEST_POSTGRES is not set",
                    ),
                }
            }
        }
    )+};
}
pub(super) use on_both;

pub(super) struct World {
    pub(super) s: TestService,
    pub(super) tenant: Uuid,
}

pub(super) fn settings_of_a_small_fleet() -> Settings {
    let mut settings = testing::settings();
    // Small fleets: two percent of ten phones would be the minimum of five a day.
    settings.guard.fleet_percent = 100;
    settings
}

impl World {
    pub(super) async fn new() -> World {
        World::over(muster_storage::testing::store(), settings_of_a_small_fleet()).await
    }

    pub(super) async fn over(database: TestStore, settings: Settings) -> World {
        let s = testing::service_with(database, settings);
        let tenant = s.random.id(START);
        s.store
            .write(tenant, move |tx| {
                tenants::insert(tx, &tenants::Tenant { id: tenant, name: "Contoso".into(), created_at: START })
            })
            .await
            .unwrap();
        World { s, tenant }
    }

    pub(super) fn now(&self) -> i64 {
        self.s.clock.now()
    }

    /// An operator with a second factor and rights older than a cooling period.
    pub(super) async fn operator(&self, name: &str, role: &str) -> Actor {
        self.operator_since(name, role, None, START - 10 * DAY).await
    }

    pub(super) async fn operator_since(&self, name: &str, role: &str, made_by: Option<Uuid>, since: i64) -> Actor {
        let (tenant, now) = (self.tenant, self.now());
        let id = self.s.random.id(now);
        let person = people::Person {
            id,
            source: "local".into(),
            external_id: None,
            user_principal_name: format!("{name}@contoso.example"),
            display_name: name.into(),
            mail: Some(format!("{name}@contoso.example")),
            account_enabled: true,
            licensed: true,
            managed_apple_account: None,
            document: "{}".into(),
            deleted_at: None,
            version: 1,
            created_at: now,
            modified_at: now,
        };
        let operator = operators::Operator { person_id: id, role: role.into(), made_by, established_at: since };
        self.s
            .store
            .write(tenant, move |tx| {
                people::insert(tx, tenant, &person)?;
                operators::put(tx, tenant, &operator)
            })
            .await
            .unwrap();
        Actor {
            tenant,
            kind: PrincipalKind::Operator,
            id,
            person: Some(id),
            name: format!("{name}@contoso.example"),
            role: role.into(),
            scopes: None,
            maker: None,
            own_person: true,
            strong_at: Some(now),
            established_at: since,
            address: None,
            correlation: self.s.random.id(now),
            reason: Some("a test".into()),
        }
    }

    /// The same person in the portal.
    pub(super) fn user(&self, actor: &Actor) -> Actor {
        Actor { kind: PrincipalKind::Person, role: String::new(), ..actor.clone() }
    }

    /// An enrolled iPhone of the company.
    pub(super) async fn phone(&self) -> Uuid {
        self.device("iOS", "userEnrollment", "company", None).await
    }

    pub(super) async fn device(&self, platform: &str, kind: &str, owner: &str, person: Option<Uuid>) -> Uuid {
        let (tenant, now) = (self.tenant, self.now());
        let id = self.s.random.id(now);
        let device = Device {
            id,
            directory_id: self.s.random.id(now),
            azure_ad_device_id: self.s.random.id(now),
            source: "mdm".into(),
            person_id: person,
            name: "phone".into(),
            platform: platform.into(),
            operating_system: platform.into(),
            owner_type: owner.into(),
            enrollment_type: kind.into(),
            management_state: "managed".into(),
            compliance_state: "unknown".into(),
            state: "enrolled".into(),
            document: "{}".into(),
            scope_tags: "[]".into(),
            serial_number: Some("C02".into()),
            enrolled_at: Some(now),
            created_at: now,
            modified_at: now,
            version: 1,
            ..Device::default()
        };
        let channel = Enrollment {
            id: self.s.random.id(now),
            device_id: id,
            channel: enrollments::channel::DEVICE.into(),
            protocol_id: id.to_string(),
            state: enrollments::state::ENROLLED.into(),
            push_state: "unknown".into(),
            push_past: "[]".into(),
            enrolled_at: Some(now),
            created_at: now,
            ..Enrollment::default()
        };
        self.s
            .store
            .write(tenant, move |tx| {
                devices::put(tx, tenant, &device)?;
                enrollments::put(tx, tenant, &channel)
            })
            .await
            .unwrap();
        id
    }

    /// An operator says that the device is its user's own.
    pub(super) async fn make_personal(&self, actor: &Actor, device: Uuid) {
        let personal = serde_json::json!({ "managedDeviceOwnerType": "personal" });
        let change = crate::devices::DeviceChange::Properties(personal.as_object().unwrap().clone());
        self.s.change_device(actor, device, change, None).await.unwrap();
    }

    pub(super) async fn ask(&self, actor: &Actor, device: Uuid, verb: Verb) -> Result<Requested> {
        self.s.request_action(actor, device, ActionRequest::bare(verb)).await
    }

    pub(super) async fn channel(&self, device: Uuid) -> Enrollment {
        let tenant = self.tenant;
        self.s.store.read(tenant, move |tx| enrollments::device_channel(tx, tenant, device)).await.unwrap().unwrap()
    }

    /// The device comes and fetches its next command.
    pub(super) async fn fetch(&self, device: Uuid) -> Option<Command> {
        let (tenant, now, ids) = (self.tenant, self.now(), self.s.ids(self.now()));
        let channel = self.channel(device).await.id;
        self.s
            .store
            .write(tenant, move |tx| {
                let command = commands::hand_out_next(tx, tenant, channel, None, now)?;
                if let Some(command) = &command {
                    action_handed_out(tx, &mut ids.clone(), tenant, command, now)?;
                }
                Ok::<_, Error>(command)
            })
            .await
            .unwrap()
    }

    pub(super) async fn answer(&self, command: &Command, ending: Ending) {
        let (tenant, now, ids, command) = (self.tenant, self.now(), self.s.ids(self.now()), command.clone());
        self.s
            .store
            .write(tenant, move |tx| {
                if let Some(done) = commands::finish(tx, tenant, command.enrollment, command.id, ending, None, now)? {
                    action_answered(tx, &mut ids.clone(), tenant, &done, ending, None, now)?;
                }
                Ok::<_, Error>(())
            })
            .await
            .unwrap();
    }

    pub(super) async fn action(&self, id: Uuid) -> Action {
        let tenant = self.tenant;
        self.s.store.read(tenant, move |tx| actions::by_id(tx, tenant, id)).await.unwrap().unwrap()
    }

    pub(super) async fn record(&self, id: Uuid) -> Device {
        let tenant = self.tenant;
        self.s.store.read(tenant, move |tx| devices::by_id(tx, tenant, id)).await.unwrap().unwrap()
    }

    pub(super) async fn state_on(&self, device: Uuid, name: &str) -> &'static str {
        let results = self.s.action_results(self.tenant, device).await.unwrap();
        results.into_iter().find(|result| result.name == name).map_or("none", |result| result.state.word())
    }

    pub(super) async fn audit(&self) -> Vec<audit::Recorded> {
        let tenant = self.tenant;
        let page = audit::Page { limit: 1000, ..audit::Page::default() };
        self.s.store.read(tenant, move |tx| audit::list(tx, tenant, &page)).await.unwrap()
    }

    pub(super) async fn events(&self, kind: &str) -> usize {
        let tenant = self.tenant;
        let events =
            self.s.store.read(tenant, move |tx| outbox::after(tx, tenant, None, i64::MAX, 1000)).await.unwrap();
        events.iter().filter(|event| event.kind == kind).count()
    }

    /// Mails that wait to be sent.
    pub(super) async fn mails(&self) -> Vec<String> {
        self.s
            .store
            .read(muster_storage::Scope::Server, |tx| {
                tx.all("select payload from job where kind = 'mail'", args![], |row| row.text(0))
            })
            .await
            .unwrap()
    }

    pub(super) async fn count(&self, state: &'static str) -> i64 {
        let tenant = self.tenant;
        self.s
            .store
            .read(tenant, move |tx| {
                tx.one("select count(*) from action where tenant_id = $1 and state = $2", args![tenant, state], |row| {
                    row.int(0)
                })
            })
            .await
            .unwrap()
            .unwrap()
    }
}

/// The code of a refusal.
pub(super) fn code<T: std::fmt::Debug>(result: Result<T>) -> (u16, &'static str) {
    match result {
        Err(Error::Refused(refusal)) => {
            let status = match refusal.kind {
                crate::Kind::BadRequest => 400,
                crate::Kind::Forbidden => 403,
                crate::Kind::NotFound => 404,
                crate::Kind::Conflict => 409,
                crate::Kind::TooManyRequests => 429,
                _ => 0,
            };
            (status, refusal.code)
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}
