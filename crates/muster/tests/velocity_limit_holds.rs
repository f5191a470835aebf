//! A hundred approved wipes, agreed to in parallel on two servers: devices get no more of them in any
//! hour than the limits allow, the rest as the window moves, and each of them once.

mod support;

use std::collections::BTreeMap;

use muster::demo::api::Api;
use muster_storage::{TxExt as _, args};
use muster_swarm::model::{Family, Version};
use serde_json::{Value, json};
use support::{Engine, HOUR, MINUTE, Phone, TestApp, on_both_engines};
use uuid::Uuid;

on_both_engines!(velocity_limit_holds);

const DEVICES: usize = 100;
/// Limits of an hour, as they stand when nobody changes them.
const OF_ONE: usize = 10;
const OF_ALL: usize = 50;

async fn fleet(app: &TestApp) -> (Vec<Phone>, Vec<Value>) {
    let ada = app.user("Ada").await;
    let limits = json!({ "limit": DEVICES, "@odata.type": "#microsoft.graph.deviceEnrollmentLimitConfiguration" });
    let all = app.api.get("/v1.0/deviceManagement/deviceEnrollmentConfigurations").await.unwrap();
    let limit = all["value"].as_array().unwrap().iter().find(|c| c["@odata.type"] == limits["@odata.type"]).unwrap();
    let path = format!("/v1.0/deviceManagement/deviceEnrollmentConfigurations/{}", limit["id"].as_str().unwrap());
    app.api.patch(&path, &limits).await.unwrap();
    let mut phones = Vec::new();
    for _ in 0..DEVICES {
        let phone = app.device(Family::IPhone, Version(17, 4, 0), false, "Ada").await;
        app.enroll_by_profile(&phone, &ada).await.unwrap();
        phones.push(phone);
    }
    let devices = app.api.get("/v1.0/deviceManagement/managedDevices?$top=100").await.unwrap();
    let devices = devices["value"].as_array().unwrap().clone();
    assert_eq!(devices.len(), DEVICES);
    for device in &devices {
        let path = format!("/v1.0/deviceManagement/managedDevices/{}", device["id"].as_str().unwrap());
        app.api.patch(&path, &json!({ "managedDeviceOwnerType": "company" })).await.unwrap();
    }
    (phones, devices)
}

/// A share of the fleet goes in a day, which would hide what an hour lets through: two people agree to
/// more, and a day later it holds.
async fn lift_the_limit_of_a_day(app: &TestApp, second: &Api) {
    let asked =
        app.api.patch("/muster/v1/guardSettings", &json!({ "wipesPerDayMinimum": 10 * DEVICES })).await.unwrap();
    let approval = asked["pendingChange"]["approvalId"].as_str().unwrap().to_owned();
    second.post(&format!("/muster/v1/approvals/{approval}/approve"), &json!({})).await.unwrap();
    app.advance(25 * HOUR).await;
}

async fn erased(phones: &[Phone]) -> usize {
    let mut erased = 0;
    for phone in phones {
        let times = phone.see(|device| device.erasures as usize).await;
        assert!(times <= 1, "a device was erased {times} times");
        erased += times;
    }
    erased
}

/// Every release: when, and at whose wish.
async fn releases(app: &TestApp) -> Vec<(i64, Uuid)> {
    let tenant = app.stage.service.tenant_named(None).await.unwrap();
    let read = move |tx: &mut dyn muster_storage::Tx| {
        let sql = "select released_at, principal_id from guard_ledger where tenant_id = $1 order by released_at";
        tx.all(sql, args![tenant], |row| Ok((row.int(0)?, row.id(1)?)))
    };
    app.stage.service.store.read(tenant, read).await.unwrap()
}

async fn velocity_limit_holds(engine: Engine) {
    let app = TestApp::new(engine).await;
    let beside = app.beside().await;
    let (phones, devices) = fleet(&app).await;
    if let Some(beside) = &beside {
        for phone in phones.iter().step_by(2) {
            beside.takes(phone).await;
        }
    }
    app.advance(25 * HOUR).await;
    let second = app.token("second", "owner").await;
    lift_the_limit_of_a_day(&app, &second).await;

    // One asks for forty, six for ten each; a second person agrees to all of it at once, on
    // whichever server the balancer picks.
    let mut askers = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        askers.push(app.token(name, "administrator").await);
    }
    let mut approvals = Vec::new();
    for (number, device) in devices.iter().enumerate() {
        let asker = &askers[if number < 40 { 0 } else { number % 6 + 1 }];
        let asked = app.act(asker, device, "wipe", &json!({})).await;
        approvals.push(asked.header("x-muster-approval").unwrap_or_else(|| panic!("{}", asked.body)).to_owned());
    }
    let there = beside.as_ref().map_or(second.clone(), |beside| beside.api(&second));
    let mut agreeing = tokio::task::JoinSet::new();
    for (number, approval) in approvals.into_iter().enumerate() {
        let second = if number % 2 == 0 { second.clone() } else { there.clone() };
        agreeing.spawn(async move {
            let path = format!("/muster/v1/approvals/{approval}/approve");
            second.call("POST", &path, Some(&json!({}))).await.unwrap().status
        });
    }
    while let Some(status) = agreeing.join_next().await {
        let status = status.unwrap();
        assert!((200..300).contains(&status), "{status}");
    }

    app.settle().await;
    assert_eq!(erased(&phones).await, OF_ALL, "the hour is filled");
    app.advance(HOUR - 1).await;
    assert_eq!(erased(&phones).await, OF_ALL, "and nothing goes before it is over");
    // From here on both servers look for work, in steps smaller than the window.
    for _ in 0..40 {
        app.clock.advance(10 * MINUTE);
        if let Some(beside) = &beside {
            let (here, there) = tokio::join!(app.stage.service.run_due(app.now()), beside.service.run_due(app.now()));
            here.and(there).unwrap();
        }
        app.settle().await;
        if erased(&phones).await == DEVICES {
            break;
        }
    }
    assert_eq!(erased(&phones).await, DEVICES, "all of them in the end");

    let releases = releases(&app).await;
    assert_eq!(releases.len(), DEVICES, "each was released once");
    for (from, _) in &releases {
        let window: Vec<_> = releases.iter().filter(|(at, _)| at >= from && *at < from + HOUR).collect();
        assert!(window.len() <= OF_ALL, "{} in an hour", window.len());
        let mut of_one: BTreeMap<Uuid, usize> = BTreeMap::new();
        for (_, who) in window {
            *of_one.entry(*who).or_default() += 1;
        }
        assert!(of_one.values().all(|count| *count <= OF_ONE), "{of_one:?}");
    }
    // Forty of one person take four hours, whatever room the others leave.
    let (first, last) = (releases[0].0, releases[DEVICES - 1].0);
    assert!(last - first >= 3 * HOUR, "{} minutes", (last - first) / MINUTE);
    if let Some(beside) = beside {
        beside.end().await;
    }
    // A hundred times the same documents: other stories hold one set against the schema.
    app.end_but(|_| true).await;
}
