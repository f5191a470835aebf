//! Retire takes the company's things from a person's phone and its secrets and inventory from our
//! database; the phone stays theirs, untouched (design, ruling 1).

mod support;

use muster::demo::scenery::all_devices;
use muster_storage::{Tx, TxExt as _, args};
use muster_swarm::model::LeftBecause;
use serde_json::json;
use support::{Engine, TestApp, on_both_engines};

on_both_engines!(retire_personal_phone);
use uuid::Uuid;

async fn rows(app: &TestApp, sql: &'static str, device: Uuid) -> i64 {
    let tenant = app.stage.service.tenant_named(None).await.unwrap();
    app.stage
        .service
        .store
        .read(tenant, move |tx: &mut dyn Tx| {
            let found = tx.one(sql, args![tenant, device], |row| row.int(0))?;
            Ok::<_, muster_storage::Error>(found.unwrap_or(0))
        })
        .await
        .unwrap()
}

async fn retire_personal_phone(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    app.web_clip("Intranet", all_devices()).await;
    let phone = app.enrolled_iphone(&ada).await;
    let device = app.managed_device(&ada).await;
    let id: Uuid = device["id"].as_str().unwrap().parse().unwrap();
    let own_apps = phone.see(|d| d.apps.clone()).await;
    let ghost = phone.see(Clone::clone).await;
    const FACTS: &str = "select count(*) from fact where tenant_id = $1 and device_id = $2";
    const APPS: &str = "select count(*) from detected_app where tenant_id = $1 and device_id = $2";
    const SECRETS: &str = "select count(*) from secret s join enrollment e on e.tenant_id = s.tenant_id \
        and (s.owner_id = e.id or s.owner_id = e.device_id) where s.tenant_id = $1 and e.device_id = $2";
    assert!(rows(&app, FACTS, id).await > 0);
    assert!(rows(&app, SECRETS, id).await > 0, "the unlock token is kept while it is managed");

    let reply = app.act(&app.api, &device, "retire", &json!({})).await;
    assert_eq!(reply.status, 204, "{}", reply.body);
    app.settle().await;

    // The company's things are gone from the phone, everything else is there.
    assert_eq!(phone.see(|d| d.left.clone()).await, Some(LeftBecause::RemovedByServer));
    assert!(phone.see(|d| d.profiles.is_empty() && d.identities.is_empty()).await);
    assert_eq!(phone.see(|d| d.apps.clone()).await, own_apps);
    assert_eq!(phone.see(|d| d.erasures).await, 0);
    // And the phone's from our database.
    assert_eq!(rows(&app, FACTS, id).await, 0);
    assert_eq!(rows(&app, APPS, id).await, 0);
    assert_eq!(rows(&app, SECRETS, id).await, 0);
    let shown = app.managed_devices(&ada).await;
    assert!(shown.iter().all(|device| device["managementState"] != "managed"), "{shown:?}");

    // A copy of its identity is told that this device is not known any more, and leaves.
    let ghost = app.adopt(ghost).await;
    ghost.check_in().await.unwrap();
    assert_eq!(ghost.see(|d| d.left.clone()).await, Some(LeftBecause::Unrecognized));

    // The person may come back whenever they like.
    app.enroll_by_profile(&phone, &ada).await.unwrap();
    app.settle().await;
    assert!(phone.has_web_clip("Intranet").await);
    app.end().await;
}
