//! The client of Apple's push service against one that speaks its protocol: every kind of answer, broken
//! connections, certificates; and what the answers do to a device.

mod support;

use std::sync::Arc;

use muster_pki::{Certificate, Secret};
use muster_service::{
    Push as _, PushError, PushIdentity, PushTarget,
    clients::apns::Apns,
    testing::{HandClock, START},
};
use muster_swarm::standins::push::{PushCertificate, PushService, Scripted, Weather};
use serde_json::json;
use support::{Engine, HOUR, MINUTE, TestApp, on_both_engines};
use uuid::Uuid;

on_both_engines!(a_dead_token_is_left_alone_until_the_device_brings_another, what_waited_for_an_outage_arrives_once);

const TOPIC: &str = "com.apple.mgmt.External.story";

fn identity(version: i64, certificate: &PushCertificate) -> Option<Arc<PushIdentity>> {
    let key = Secret::new(certificate.key.clone());
    Some(Arc::new(PushIdentity::new(version, certificate.certificate.clone(), key)))
}

struct Pushing {
    service: PushService,
    client: Apns,
    target: PushTarget,
}

impl Pushing {
    async fn new() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let service = PushService::start(START).await.unwrap();
        let root = Certificate::all_from_pem(&service.root_pem()).unwrap().remove(0).der().to_vec();
        let client = Apns::new(&service.base_url(), &[root], HandClock::at(START)).unwrap();
        let identity = identity(1, &service.certificate(TOPIC, START).unwrap());
        let target = PushTarget {
            tenant: Uuid::nil(),
            topic: TOPIC.into(),
            token: vec![7; 32],
            magic: "magic".into(),
            identity,
        };
        Pushing { service, client, target }
    }

    async fn push(&self) -> Result<(), PushError> {
        self.client.push(&self.target).await
    }
}

#[tokio::test]
async fn every_answer_has_its_meaning() {
    let p = Pushing::new().await;
    assert_eq!(p.push().await, Ok(()));
    let pushed = p.service.take_pushed().remove(0);
    assert_eq!((pushed.token, pushed.topic.as_str(), pushed.magic.as_str()), (vec![7; 32], TOPIC, "magic"));
    let answers = [
        (Scripted::Unregistered(START - 1), PushError::Unregistered(Some(START - 1))),
        (Scripted::BadDeviceToken, PushError::BadToken("BadDeviceToken".into())),
        (Scripted::TooManyRequests(7), PushError::Later { reason: "429 TooManyRequests".into(), after: Some(7_000) }),
        (Scripted::BadCertificate, PushError::Certificate("BadCertificate".into())),
        (Scripted::Unavailable, PushError::Down("503 ServiceUnavailable".into())),
    ];
    for (scripted, means) in answers {
        p.service.script(&p.target.token, scripted);
        assert_eq!(p.push().await, Err(means));
    }
    assert_eq!(p.push().await, Ok(()));
    assert_eq!(p.service.connections(), 1, "one connection carries them all");
}

#[tokio::test]
async fn goaway_loses_nothing() {
    let p = Pushing::new().await;
    for _ in 0..5 {
        p.service.script(&p.target.token, Scripted::GoAway);
        assert_eq!(p.push().await, Ok(()));
        assert_eq!(p.push().await, Ok(()));
    }
    let pushed = p.service.take_pushed();
    assert_eq!(pushed.iter().filter(|push| push.status == 200).count(), 10);
    assert!(p.service.connections() > 1, "a connection that is going away is left");
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_push_is_made_anew() {
    let p = Pushing::new().await;
    p.service.script(&p.target.token, Scripted::Cut);
    assert!(matches!(p.push().await, Err(PushError::Down(_))), "not answered, so not taken for delivered");
    assert!(p.service.take_pushed().is_empty());
    assert_eq!(p.push().await, Ok(()));
    assert_eq!(p.service.connections(), 2);
}

#[tokio::test]
async fn many_pushes_at_once_share_a_connection() {
    let p = Pushing::new().await;
    assert_eq!(p.push().await, Ok(()));
    let targets: Vec<PushTarget> = (0..200u8).map(|n| PushTarget { token: vec![n; 32], ..p.target.clone() }).collect();
    let client = Arc::new(p.client);
    let mut all = tokio::task::JoinSet::new();
    for target in targets {
        let client = client.clone();
        all.spawn(async move { client.push(&target).await });
    }
    while let Some(answer) = all.join_next().await {
        assert_eq!(answer.unwrap(), Ok(()));
    }
    assert_eq!(p.service.connections(), 1);
}

#[tokio::test]
async fn only_the_tenants_own_certificate_opens_the_door() {
    let mut p = Pushing::new().await;
    // One of another authority is refused before any push is heard.
    let stranger = PushService::start(START).await.unwrap();
    p.target.identity = identity(2, &stranger.certificate(TOPIC, START).unwrap());
    assert!(matches!(p.push().await, Err(PushError::Down(_))));
    // None at all is not even tried.
    p.target.identity = None;
    assert!(matches!(p.push().await, Err(PushError::Certificate(_))));
    // Another tenant's topic is not ours to push to.
    p.target.identity = identity(3, &p.service.certificate("com.apple.mgmt.External.other", START).unwrap());
    assert_eq!(p.push().await, Err(PushError::Certificate("TopicDisallowed".into())));
    assert!(p.service.take_pushed().is_empty());
    // A renewed one is taken from the next push on.
    p.target.identity = identity(4, &p.service.certificate(TOPIC, START).unwrap());
    assert_eq!(p.push().await, Ok(()));
}

#[tokio::test]
async fn a_service_that_nobody_vouches_for_is_told_nothing() {
    let p = Pushing::new().await;
    let stranger = PushService::start(START).await.unwrap();
    let root = Certificate::all_from_pem(&p.service.root_pem()).unwrap().remove(0).der().to_vec();
    let client = Apns::new(&stranger.base_url(), &[root], HandClock::at(START)).unwrap();
    assert!(matches!(client.push(&p.target).await, Err(PushError::Down(_))));
    assert!(stranger.take_pushed().is_empty());
}

async fn a_dead_token_is_left_alone_until_the_device_brings_another(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    let phone = app.enrolled_iphone(&ada).await;
    let device = app.managed_device(&ada).await;
    let old = phone.see(|d| d.management.as_ref().unwrap().push.token.clone()).await;
    app.advance(HOUR).await;
    app.stage.push.take_pushed();

    app.stage.push.script(&old, Scripted::Unregistered(app.now()));
    app.act(&app.api, &device, "syncDevice", &json!({})).await.ok().unwrap();
    app.settle().await;
    assert_eq!(app.stage.push.take_pushed().iter().map(|push| push.status).collect::<Vec<_>>(), [410]);
    // Not unenrolled for it, only out of reach; and not pushed to again.
    assert_eq!(app.managed_device(&ada).await["managementState"], "managed");
    app.act(&app.api, &device, "remoteLock", &json!({})).await.ok().unwrap();
    app.advance(24 * HOUR).await;
    assert!(app.stage.push.take_pushed().is_empty());

    phone.touch(|device| device.renew_push_token()).await;
    phone.check_in().await.unwrap();
    assert!(phone.see(|device| device.locked).await, "what waited came with the session");
    phone.touch(|device| device.wake()).await;
    app.act(&app.api, &device, "rebootNow", &json!({})).await;
    app.act(&app.api, &device, "syncDevice", &json!({})).await.ok().unwrap();
    app.settle().await;
    let pushed = app.stage.push.take_pushed();
    assert!(!pushed.is_empty() && pushed.iter().all(|push| push.status == 200 && push.token != old), "{pushed:?}");
    app.end().await;
}

async fn what_waited_for_an_outage_arrives_once(engine: Engine) {
    let app = TestApp::new(engine).await;
    let (ada, ben) = (app.user("Ada").await, app.user("Ben").await);
    let phones = [app.enrolled_iphone(&ada).await, app.enrolled_iphone(&ben).await];
    let devices = [app.managed_device(&ada).await, app.managed_device(&ben).await];
    app.stage.push.take_pushed();
    app.stage.push.weather(Weather::Refusing);
    for _ in 0..5 {
        for device in &devices {
            app.act(&app.api, device, "remoteLock", &json!({})).await.ok().unwrap();
        }
        app.settle().await;
    }
    assert_eq!(app.stage.push.take_pushed().len(), 1, "one push finds out for all");
    for phone in &phones {
        assert!(!phone.see(|device| device.locked).await);
    }
    app.stage.push.weather(Weather::Fine);
    app.advance(MINUTE).await;
    for phone in &phones {
        assert!(phone.see(|device| device.locked).await);
        let locks = |device: &muster_swarm::model::Device| {
            device.executed.iter().filter(|command| command.is("DeviceLock", "Acknowledged")).count()
        };
        assert_eq!(phone.see(locks).await, 1);
    }
    app.end().await;
}
