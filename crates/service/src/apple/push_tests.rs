//! Pushes of a fleet while the push service or the certificate fails.

use muster_storage::{
    devices::{self, Device},
    enrollments::{self, Enrollment},
    tenants,
};
use uuid::Uuid;

use super::push_soon;
use crate::{
    Clock as _, PushError,
    settings::{DAY, HOUR, MINUTE},
    testing::{self, START, TestService},
};

struct Fleet {
    s: TestService,
    tenant: Uuid,
    channels: Vec<Uuid>,
}

impl Fleet {
    async fn new(s: TestService, size: usize) -> Fleet {
        let tenant = s.random.id(START);
        let row = tenants::Tenant { id: tenant, name: "Contoso".into(), created_at: START };
        s.store.write(tenant, move |tx| tenants::insert(tx, &row)).await.unwrap();
        s.give_push_certificate(tenant).await;
        let mut rows = Vec::new();
        for number in 0..size {
            let device = Device {
                id: s.random.id(START),
                directory_id: s.random.id(START),
                azure_ad_device_id: s.random.id(START),
                source: "mdm".into(),
                platform: "iOS".into(),
                owner_type: "company".into(),
                state: "enrolled".into(),
                document: "{}".into(),
                scope_tags: "[]".into(),
                ..Device::default()
            };
            let channel = Enrollment {
                id: s.random.id(START),
                device_id: device.id,
                channel: enrollments::channel::DEVICE.into(),
                protocol_id: device.id.to_string(),
                state: enrollments::state::ENROLLED.into(),
                topic: Some("com.apple.mgmt.External.test".into()),
                push_token: Some(number.to_be_bytes().to_vec()),
                push_magic: Some(format!("magic-{number}")),
                push_state: "unknown".into(),
                push_changed_at: Some(START),
                push_past: "[]".into(),
                ..Enrollment::default()
            };
            rows.push((device, channel));
        }
        let channels = rows.iter().map(|(_, channel)| channel.id).collect();
        let put = move |tx: &mut dyn muster_storage::Tx| {
            rows.iter().try_for_each(|(device, channel)| {
                devices::put(tx, tenant, device)?;
                enrollments::put(tx, tenant, channel)
            })
        };
        s.store.write(tenant, put).await.unwrap();
        Fleet { s, tenant, channels }
    }

    /// Something changes for every device.
    async fn wake_all(&self) {
        let (tenant, now, channels) = (self.tenant, self.s.clock.now(), self.channels.clone());
        let ids = self.s.ids(now);
        let wake = move |tx: &mut dyn muster_storage::Tx| {
            let mut ids = ids.clone();
            channels.iter().try_for_each(|channel| push_soon(tx, tenant, *channel, &mut ids, now))
        };
        self.s.store.write(tenant, wake).await.unwrap();
    }

    fn answer(&self, answer: Option<PushError>) {
        *self.s.push.answer.lock().unwrap() = answer;
    }

    /// Pushes that reach the service while the clock goes on by `time` in steps of `step`: how many a step.
    async fn pushes(&self, time: i64, step: i64) -> Vec<usize> {
        let mut counts = Vec::new();
        for _ in 0..time / step {
            self.s.clock.advance(step);
            self.s.run_due(self.s.clock.now()).await.unwrap();
            counts.push(self.sent());
        }
        counts
    }

    fn sent(&self) -> usize {
        std::mem::take(&mut *self.s.push.sent.lock().unwrap()).len()
    }

    async fn alerts(&self, kind: &str) -> usize {
        let events = self.s.events(self.tenant).await;
        events.iter().filter(|(of, body)| of == "alert" && body.contains(kind)).count()
    }
}

async fn an_outage(s: TestService) {
    let size = 300;
    let fleet = Fleet::new(s, size).await;
    fleet.answer(Some(PushError::Down("503".into())));
    fleet.wake_all().await;
    // While the service is down it is asked now and then, not once for each device and change.
    let mut asked = 0;
    for _ in 0..20 {
        fleet.wake_all().await;
        asked += fleet.pushes(MINUTE, MINUTE).await[0];
    }
    assert!((2..40).contains(&asked), "asked {asked} times in twenty minutes");
    assert_eq!(fleet.alerts("pushServiceDown").await, 1, "told once");

    // When it is back every device is pushed, once, and no second sees more than the line lets through.
    fleet.answer(None);
    let counts = fleet.pushes(10 * MINUTE, 1_000).await;
    assert_eq!(counts.iter().sum::<usize>(), size);
    assert!(counts.iter().all(|count| *count <= 101), "{:?}", counts.iter().max());
    assert_eq!(fleet.pushes(DAY, HOUR).await.iter().sum::<usize>(), 0, "and nothing after that");
}

#[tokio::test]
async fn an_outage_is_drained_without_a_herd_on_sqlite() {
    an_outage(testing::service()).await;
}

#[tokio::test]
async fn an_outage_is_drained_without_a_herd_on_postgresql() {
    match muster_storage::testing::postgres_store() {
        Some(store) => an_outage(testing::service_with(store, testing::settings())).await,
        None => muster_storage::testing::skipped(
            "an_outage_is_drained_without_a_herd_on_postgresql",
            "MUSTER_TEST_POSTGRES is not set",
        ),
    }
}

#[tokio::test]
async fn a_refused_certificate_stops_all_pushes_and_is_told_once() {
    let fleet = Fleet::new(testing::service(), 50).await;
    fleet.answer(Some(PushError::Certificate("BadCertificate".into())));
    fleet.wake_all().await;
    assert_eq!(fleet.pushes(HOUR, MINUTE).await.iter().sum::<usize>(), 1, "one push finds out");
    assert_eq!(fleet.alerts("pushCertificateRefused").await, 1);
    // It is tried again each hour, in case Apple changed its mind.
    assert_eq!(fleet.pushes(HOUR, MINUTE).await.iter().sum::<usize>(), 1);
    assert_eq!(fleet.alerts("pushCertificateRefused").await, 1);
}

#[tokio::test]
async fn an_expired_certificate_is_not_tried_and_a_new_one_is_used_at_once() {
    let fleet = Fleet::new(testing::service(), 20).await;
    fleet.s.clock.advance(366 * DAY);
    fleet.wake_all().await;
    assert_eq!(fleet.pushes(2 * HOUR, 10 * MINUTE).await.iter().sum::<usize>(), 0);
    assert_eq!(fleet.alerts("expired").await, 1);
    fleet.s.give_push_certificate(fleet.tenant).await;
    let (tenant, now) = (fleet.tenant, fleet.s.clock.now());
    let hasten = move |tx: &mut dyn muster_storage::Tx| muster_storage::jobs::hasten(tx, tenant, super::PUSH_JOB, now);
    assert_eq!(fleet.s.store.write(tenant, hasten).await.unwrap(), 20, "what an import does");
    assert_eq!(fleet.pushes(1_000, 1_000).await, [20]);
}

#[tokio::test]
async fn many_wakes_of_one_device_are_one_push() {
    let fleet = Fleet::new(testing::service(), 1).await;
    for _ in 0..100 {
        fleet.wake_all().await;
    }
    assert_eq!(fleet.pushes(1_000, 1_000).await, [1]);
}

#[tokio::test]
async fn a_device_that_gets_too_many_waits_as_long_as_it_is_told() {
    let fleet = Fleet::new(testing::service(), 2).await;
    fleet.answer(Some(PushError::Later { reason: "429 TooManyRequests".into(), after: Some(2 * MINUTE) }));
    fleet.wake_all().await;
    assert_eq!(fleet.pushes(1_000, 1_000).await, [2], "one device's limit holds up no other");
    fleet.answer(None);
    assert_eq!(fleet.pushes(2 * MINUTE - 2_000, 1_000).await.iter().sum::<usize>(), 0);
    assert_eq!(fleet.pushes(3 * MINUTE, MINUTE).await.iter().sum::<usize>(), 2);
}
