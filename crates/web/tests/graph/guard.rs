//! The guard as its callers see it: headers, lists, codes.

use muster_service::{Error, testing::START};
use muster_storage::{
    devices::{self, Device},
    enrollments::{self, Enrollment},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Api, Reply};

const DEVICES: &str = "/v1.0/deviceManagement/managedDevices";

async fn phone(api: &Api, n: u128) -> Uuid {
    let tenant = api.tenant;
    let device = Device {
        id: Uuid::from_u128(0x1000 + n),
        directory_id: Uuid::from_u128(0x2000 + n),
        azure_ad_device_id: Uuid::from_u128(0x3000 + n),
        source: "mdm".into(),
        name: format!("phone-{n}"),
        platform: "iOS".into(),
        operating_system: "iOS".into(),
        owner_type: "company".into(),
        enrollment_type: "userEnrollment".into(),
        management_state: "managed".into(),
        compliance_state: "unknown".into(),
        state: "enrolled".into(),
        document: "{}".into(),
        scope_tags: "[\"0\"]".into(),
        enrolled_at: Some(START),
        version: 1,
        created_at: START,
        modified_at: START,
        ..Device::default()
    };
    let channel = Enrollment {
        id: Uuid::from_u128(0x4000 + n),
        device_id: device.id,
        channel: enrollments::channel::DEVICE.into(),
        protocol_id: format!("udid-{n}"),
        state: enrollments::state::ENROLLED.into(),
        push_state: "unknown".into(),
        push_past: "[]".into(),
        created_at: START,
        ..Enrollment::default()
    };
    let id = device.id;
    api.service
        .store
        .write(tenant, move |tx| {
            devices::put(tx, tenant, &device)?;
            enrollments::put(tx, tenant, &channel)?;
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    id
}

fn approval(reply: &Reply) -> String {
    let header = reply.headers.get("x-muster-approval").expect("the answer names the approval");
    header.to_str().unwrap().to_owned()
}

async fn results(api: &Api, device: Uuid) -> Value {
    let one = api.get(&format!("{DEVICES}/{device}")).await.expect(200);
    json!([one.body["managementState"], one.body["deviceActionResults"][0]["actionState"]])
}

#[tokio::test]
async fn h1_a_held_wipe_answers_as_graph_and_names_its_approval() {
    let api = Api::start().await;
    let device = phone(&api, 1).await;
    let second = api.new_token("administrator").await;
    let body = json!({
        "keepEnrollmentData": false, "keepUserData": false, "macOsUnlockCode": null, "persistEsimDataPlan": true
    });
    let held = api.post(&format!("{DEVICES}/{device}/wipe"), body.clone()).await.expect(204);
    let id = approval(&held);
    assert_eq!(results(&api, device).await, json!(["managed", "pending"]));
    let again = api.post(&format!("{DEVICES}/{device}/wipe"), body).await.expect(204);
    assert_eq!(approval(&again), id, "asked again it is the waiting one");

    let pending = api.get("/muster/v1/approvals?state=pending").await.expect(200);
    let row = &pending.items()[0];
    assert_eq!(row["id"], json!(id));
    assert_eq!(row["action"], json!("wipe"));
    assert_eq!(row["deviceIds"], json!([device]));
    assert_eq!(row["requester"], json!("owner token"));
    assert_eq!(row["expirationDateTime"], json!("2026-01-02T00:00:00Z"));
    assert!(row.as_object().unwrap().contains_key("reason"));

    let path = format!("/muster/v1/approvals/{id}");
    let own = api.post(&format!("{path}/approve"), json!({})).await.expect(403);
    assert_eq!(own.body["error"]["code"], json!("selfApproval"));
    let reader = api.new_token("helpdesk").await;
    api.call("POST", &format!("{path}/approve"), Some(&reader), None).await.expect(403);
    let agreed = api.call("POST", &format!("{path}/approve"), Some(&second), None).await.expect(200);
    assert_eq!(agreed.body["state"], json!("approved"));
    assert_eq!(results(&api, device).await, json!(["wipePending", "pending"]));
    assert!(api.get("/muster/v1/approvals?state=pending").await.expect(200).items().is_empty());
    api.get("/muster/v1/approvals?state=nonsense").await.expect(400);
}

#[tokio::test]
async fn a_denied_wipe_shows_canceled_and_the_device_stays_managed() {
    let api = Api::start().await;
    let device = phone(&api, 1).await;
    let second = api.new_token("administrator").await;
    let id = approval(&api.post(&format!("{DEVICES}/{device}/wipe"), json!({})).await.expect(204));
    api.call("POST", &format!("/muster/v1/approvals/{id}/deny"), Some(&second), None).await.expect(200);
    assert_eq!(results(&api, device).await, json!(["managed", "canceled"]));
}

#[tokio::test]
async fn h7_what_cannot_apply_is_refused_at_once() {
    let api = Api::start().await;
    let device = phone(&api, 1).await;
    let tenant = api.tenant;
    api.service
        .store
        .write(tenant, move |tx| {
            let mut one = devices::by_id(tx, tenant, device)?.unwrap();
            one.enrollment_type = "appleAccountDrivenUserEnrollment".into();
            one.owner_type = "personal".into();
            Ok::<_, Error>(devices::put(tx, tenant, &one)?)
        })
        .await
        .unwrap();
    api.post(&format!("{DEVICES}/{device}/wipe"), json!({})).await.expect(400);
    api.post(&format!("{DEVICES}/{device}/rebootNow"), json!({})).await.expect(400);
    api.post(&format!("{DEVICES}/{device}/remoteLock"), json!({})).await.expect(204);
    assert!(api.get("/muster/v1/approvals").await.expect(200).items().is_empty(), "never an approval");
}

#[tokio::test]
async fn h4_the_emergency_stop_is_lifted_by_two() {
    let api = Api::start().await;
    let second = api.new_token("administrator").await;
    let path = "/muster/v1/emergencyStop";
    assert_eq!(api.get(path).await.expect(200).body["stopped"], json!(false));
    assert_eq!(api.post(path, json!({})).await.expect(200).body["stopped"], json!(true));
    let lift = api.delete(path).await.expect(202);
    assert_eq!(lift.body["stopped"], json!(true), "not by one");
    let id = approval(&lift);
    api.post(&format!("/muster/v1/approvals/{id}/approve"), json!({})).await.expect(403);
    api.call("POST", &format!("/muster/v1/approvals/{id}/approve"), Some(&second), None).await.expect(200);
    assert_eq!(api.get(path).await.expect(200).body["stopped"], json!(false));
}

#[tokio::test]
async fn h9_guard_settings_weaken_only_later_and_by_two() {
    let api = Api::start().await;
    let path = "/muster/v1/guardSettings";
    let now = api.get(path).await.expect(200);
    assert_eq!(now.body["wipesPerHour"], json!(50));
    assert_eq!(now.body["personalDeviceWipe"], json!("userOnly"));
    assert_eq!(api.patch(path, json!({ "wipesPerHour": 20 })).await.expect(200).body["wipesPerHour"], json!(20));
    let weaker = api.patch(path, json!({ "wipesPerHour": 21, "wipeApproval": "never" })).await.expect(202);
    assert_eq!(weaker.body["wipesPerHour"], json!(20), "still in force");
    assert_eq!(weaker.body["pendingChange"]["weakens"], json!(["wipeApproval", "wipesPerHour"]));
    approval(&weaker);
    let unknown = api.patch(path, json!({ "wipesPerHuor": 1 })).await.expect(400);
    assert!(unknown.message().contains("wipesPerHuor"));
    // Owners only.
    let administrator = api.new_token("administrator").await;
    api.call("PATCH", path, Some(&administrator), Some(r#"{"wipesPerHour": 1}"#)).await.expect(403);
}

#[tokio::test]
async fn bulk_and_execute_action_answer_with_lists_per_device() {
    let api = Api::start().await;
    let (one, two, nobody) = (phone(&api, 1).await, phone(&api, 2).await, Uuid::from_u128(9));
    let ask = json!({
        "actionName": "syncDevice", "deviceIds": [one, two, nobody], "keepEnrollmentData": false, "deviceName": null
    });
    let path = "/beta/deviceManagement/managedDevices/executeAction";
    let done = api.post(path, ask).await.expect(200);
    assert_eq!(done.body["value"]["successfulDeviceIds"], json!([one, two]));
    assert_eq!(done.body["value"]["notFoundDeviceIds"], json!([nobody]));
    api.post(path, json!({ "actionName": "syncDevice", "deviceIds": [one], "bogus": 1 })).await.expect(400);

    let ask = json!({ "actionName": "wipe", "deviceIds": [one, two], "persistEsimDataPlan": true });
    let bulk = api.post("/muster/v1/bulkActions", ask).await.expect(202);
    let id = approval(&bulk);
    assert!(bulk.body["estimatedEndDateTime"].is_string());
    let row = api.get(&format!("/muster/v1/approvals/{id}")).await.expect(200);
    assert_eq!(row.body["deviceIds"], json!([one, two]));
    let location = bulk.headers["location"].to_str().unwrap();
    let location = location.strip_prefix("https://localhost:9443").unwrap();
    assert_eq!(api.get(location).await.expect(200).body["states"], json!({ "held": 2 }));
    let taken = api.post(&format!("{location}/cancel"), json!({})).await.expect(200);
    assert_eq!((&taken.body["canceled"], &taken.body["states"]), (&json!(2), &json!({ "canceled": 2 })));
}

#[tokio::test]
async fn an_owner_is_not_made_by_one_person() {
    let api = Api::start().await;
    let user = json!({
        "displayName": "Eve", "mailNickname": "eve", "userPrincipalName": "eve@contoso.example",
        "accountEnabled": true, "passwordProfile": { "password": "correct horse battery staple 2" }
    });
    api.post("/v1.0/users", user).await.expect(201);
    let asked = api.post("/muster/v1/operators", json!({ "user": "eve@contoso.example", "role": "owner" })).await;
    approval(&asked.expect(202));
    let list = api.get("/muster/v1/operators").await.expect(200);
    assert!(list.items().iter().all(|row| row["userPrincipalName"] != json!("eve@contoso.example")));
    api.post("/muster/v1/operators", json!({ "user": "eve@contoso.example", "role": "helpdesk" })).await.expect(201);
}

#[tokio::test]
async fn g5_the_pin_of_a_locked_mac_is_for_entitled_eyes() {
    let api = Api::start().await;
    let mac = phone(&api, 1).await;
    let tenant = api.tenant;
    api.service
        .store
        .write(tenant, move |tx| {
            let mut one = devices::by_id(tx, tenant, mac)?.unwrap();
            (one.platform, one.operating_system) = ("macOS".into(), "macOS".into());
            Ok::<_, Error>(devices::put(tx, tenant, &one)?)
        })
        .await
        .unwrap();
    api.post(&format!("{DEVICES}/{mac}/remoteLock"), json!({})).await.expect(204);
    let plain = api.get(&format!("{DEVICES}/{mac}")).await.expect(200);
    assert!(plain.body["deviceActionResults"][0].get("unlockPin").is_none());
    let path = format!("{DEVICES}/{mac}?$select=id,deviceActionResults");
    let shown = api.get(&path).await.expect(200);
    let pin = shown.body["deviceActionResults"][0]["unlockPin"].as_str().expect("an owner sees it");
    assert_eq!(pin.len(), 6);
    let reader = api.new_token("readonly").await;
    let hidden = api.call("GET", &path, Some(&reader), None).await.expect(200);
    assert_eq!(hidden.body["deviceActionResults"][0]["unlockPin"], Value::Null);
}

#[tokio::test]
async fn all_devices_of_a_leaver_are_retired_and_nobody_elses() {
    let api = Api::start().await;
    let (mut hers, others) = (Vec::new(), phone(&api, 100).await);
    let user = json!({
        "displayName": "Grace", "mailNickname": "grace", "userPrincipalName": "grace@contoso.example",
        "accountEnabled": true, "passwordProfile": { "password": "correct horse battery staple 2" }
    });
    let grace: Uuid = api.post("/v1.0/users", user).await.expect(201).id().parse().unwrap();
    for n in 1..=7 {
        let device = phone(&api, n).await;
        let tenant = api.tenant;
        api.service
            .store
            .write(tenant, move |tx| {
                let mut one = devices::by_id(tx, tenant, device)?.unwrap();
                one.person_id = Some(grace);
                Ok::<_, Error>(devices::put(tx, tenant, &one)?)
            })
            .await
            .unwrap();
        hers.push(device);
    }
    let path = format!("/v1.0/users/{grace}/removeAllDevicesFromManagement");
    let reader = api.new_token("readonly").await;
    api.call("POST", &path, Some(&reader), None).await.expect(403);
    api.call("POST", &path, Some(&api.token), None).await.expect(204);
    let mut seen = Vec::new();
    for device in hers {
        seen.push(api.get(&format!("{DEVICES}/{device}")).await.expect(200).body["managementState"].clone());
    }
    // Five go at once; from the sixth on a second person is asked (ruling 3).
    assert_eq!(seen[..5], vec![json!("retirePending"); 5], "{seen:?}");
    assert_eq!(seen[5..], vec![json!("managed"); 2], "{seen:?}");
    assert_eq!(api.get("/muster/v1/approvals?state=pending").await.items().len(), 2);
    assert_eq!(results(&api, others).await[0], json!("managed"));
}
