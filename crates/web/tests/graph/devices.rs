//! Managed devices: lists, links, changes of the record.

use muster_service::{Error, testing::START};
use muster_storage::devices::{self, Device};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::Api;

const LIST: &str = "/v1.0/deviceManagement/managedDevices";

fn device(n: u128) -> Device {
    Device {
        id: Uuid::from_u128(0x1000 + n),
        directory_id: Uuid::from_u128(0x2000 + n),
        azure_ad_device_id: Uuid::from_u128(0x3000 + n),
        source: "mdm".into(),
        name: format!("phone-{n:02}"),
        platform: "iOS".into(),
        operating_system: "iOS".into(),
        os_version: Some("18.1".into()),
        serial_number: Some(format!("SERIAL{n:02}")),
        udid: Some(format!("00008110-{n:016}")),
        owner_type: "personal".into(),
        enrollment_type: "userEnrollment".into(),
        management_state: "managed".into(),
        compliance_state: "unknown".into(),
        state: "enrolled".into(),
        document: "{}".into(),
        scope_tags: "[\"0\"]".into(),
        enrolled_at: Some(START),
        // Every third one never came.
        last_sync_at: (!n.is_multiple_of(3)).then_some(START + n as i64),
        version: 1,
        created_at: START,
        modified_at: START,
        ..Device::default()
    }
}

async fn with(count: u128) -> Api {
    let api = Api::start().await;
    let tenant = api.tenant;
    api.service
        .store
        .write(tenant, move |tx| {
            for n in 1..=count {
                let mut one = device(n);
                if n == count {
                    one.platform = "macOS".into();
                    one.operating_system = "macOS".into();
                    one.name = "Büro-Mac".into();
                    one.enrollment_type = "appleAccountDrivenUserEnrollment".into();
                }
                devices::put(tx, tenant, &one)?;
            }
            // Left ones are not listed.
            let gone = Device { state: "left".into(), ..device(900) };
            devices::put(tx, tenant, &gone)?;
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    api
}

fn names(reply: &crate::support::Reply) -> Vec<&str> {
    reply.items().iter().map(|item| item["deviceName"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn devices_filter_sort_and_page() {
    let api = with(10).await;
    let all = api.get(&format!("{LIST}?$count=true&$top=3")).await.expect(200);
    assert_eq!((all.body["@odata.count"].as_i64(), all.items().len()), (Some(10), 3));
    assert_eq!(api.get(&format!("{LIST}/$count")).await.text, "10");

    for (filter, expected) in [
        ("deviceName eq 'PHONE-03'", vec!["phone-03"]),
        ("serialNumber eq 'SERIAL04'", vec!["phone-04"]),
        ("operatingSystem eq 'macOS'", vec!["Büro-Mac"]),
        ("azureADDeviceId eq '00000000-0000-0000-0000-000000003005'", vec!["phone-05"]),
        ("endswith(deviceName,'-07') or id eq '00000000-0000-0000-0000-000000001001'", vec!["phone-01", "phone-07"]),
        ("contains(serialNumber,'l08') and managedDeviceOwnerType eq 'personal'", vec!["phone-08"]),
        ("deviceName in ('phone-01','nothing')", vec!["phone-01"]),
        ("not startswith(deviceName,'phone')", vec!["Büro-Mac"]),
        (
            "userPrincipalName eq null and osVersion eq '18.1' and deviceName lt 'phone-02'",
            vec!["phone-01", "Büro-Mac"],
        ),
        ("lastSyncDateTime gt 2026-01-01T00:00:00.007Z", vec!["phone-08", "Büro-Mac"]),
        ("deviceName eq '' or notes ne null", vec![]),
        ("managementAgent ne 'MDM' or easActivated eq true or jailBroken eq 'True'", vec![]),
        (
            "managementAgent eq 'mdm' and azureADRegistered and managedDeviceOwnerType eq 'Personal' and serialNumber eq 'SERIAL02'",
            vec!["phone-02"],
        ),
    ] {
        let reply = api.get(&format!("{LIST}?$filter={filter}")).await.expect(200);
        let mut found = names(&reply);
        let mut expected = expected;
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{filter}");
    }
    let orders = [
        "deviceName",
        "deviceName desc",
        "lastSyncDateTime",
        "lastSyncDateTime desc",
        "id desc",
        "notes",
        "operatingSystem",
        "operatingSystem desc",
        "managedDeviceOwnerType",
        "azureADDeviceId desc",
    ];
    for order in orders {
        for skip in [0, 2] {
            let mut seen = Vec::new();
            let mut at = format!("{LIST}?$orderby={order}&$top=3&$select=deviceName&$skip={skip}");
            loop {
                let page = api.get(&at).await.expect(200);
                seen.extend(names(&page).iter().map(|name| (*name).to_owned()));
                let Some(next) = page.body["@odata.nextLink"].as_str() else { break };
                at = next.trim_start_matches("https://localhost:9443").to_owned();
            }
            assert_eq!(seen.len(), 10 - skip, "{order}: {seen:?}");
            seen.sort();
            seen.dedup();
            assert_eq!(seen.len(), 10 - skip, "{order} shows one twice");
        }
    }
    let never = api.get(&format!("{LIST}?$orderby=lastSyncDateTime desc&$select=lastSyncDateTime")).await;
    assert_eq!(never.items()[9]["lastSyncDateTime"], "0001-01-01T00:00:00Z");
    api.get(&format!("{LIST}?$filter=wiFiMacAddress eq 'x'")).await.expect(501);
    api.get(&format!("{LIST}?$filter=isSupervised eq 'x'")).await.expect(400);
    let found = api.get(&format!("{LIST}?$search=\"serial02\"").replace('"', "%22")).await.expect(200);
    assert_eq!(names(&found), ["phone-02"]);
}

#[tokio::test]
async fn e15_no_text_of_a_request_becomes_sql() {
    let api = with(3).await;
    for evil in [
        "' or 1=1 --",
        "'; drop table device; --",
        "'' union select hash from token --",
        "x') or (1=1",
        "%",
        "_",
        "\\",
        "1 and sleep(5)",
    ] {
        let quoted = evil.replace('\'', "''");
        for filter in [
            format!("deviceName eq '{quoted}'"),
            format!("contains(serialNumber,'{quoted}')"),
            format!("startswith(deviceName,'{quoted}')"),
            format!("id eq '{quoted}'"),
            format!("deviceName in ('{quoted}','{quoted}')"),
        ] {
            let encoded: String = filter.bytes().map(|b| format!("%{b:02x}")).collect();
            let reply = api.get(&format!("{LIST}?$filter={encoded}")).await.expect(200);
            assert!(reply.items().is_empty(), "{filter}: {}", reply.text);
        }
        let encoded: String = evil.bytes().map(|b| format!("%{b:02x}")).collect();
        for option in ["$orderby", "$filter", "$select", "$top", "$skiptoken"] {
            let reply = api.get(&format!("{LIST}?{option}={encoded}")).await;
            assert_eq!(reply.status, 400, "{option} {evil}: {}", reply.text);
        }
    }
    assert_eq!(api.get(LIST).await.items().len(), 3);
}

#[tokio::test]
async fn v1_has_its_own_word_for_account_driven_enrollment() {
    let api = with(2).await;
    let id = "00000000-0000-0000-0000-000000001002";
    let v1 = api.get(&format!("{LIST}/{id}")).await.expect(200);
    assert_eq!(v1.body["deviceEnrollmentType"], "appleUserEnrollment");
    assert!(v1.body.get("ownerType").is_none());
    let beta = api.get(&format!("/beta/deviceManagement/managedDevices/{id}")).await.expect(200);
    assert_eq!(beta.body["deviceEnrollmentType"], "appleAccountDrivenUserEnrollment");
    assert!(beta.body["activationLockBypassCode"].is_null());
    let shown = "deviceEnrollmentType%20eq%20'appleUserEnrollment'";
    assert_eq!(
        api.get(&format!("{LIST}?$filter={shown}")).await.items().len(),
        1,
        "found by the word it is shown under"
    );
    assert_eq!(api.get(&format!("{LIST}?$filter=not({shown})")).await.items().len(), 1);
}

#[tokio::test]
async fn the_record_changes_and_is_audited() {
    let api = with(2).await;
    let item = format!("{LIST}/00000000-0000-0000-0000-000000001001");
    let change = json!({"notes": "lent to Anna", "managedDeviceOwnerType": "company", "serialNumber": "ignored"});
    let changed = api.patch(&item, change).await.expect(200);
    assert_eq!(changed.body["notes"], "lent to Anna");
    assert_eq!(changed.body["managedDeviceOwnerType"], "company");
    assert_eq!(changed.body["serialNumber"], "SERIAL01");
    api.patch(&item, json!({"managedDeviceOwnerType": "personal"})).await.expect(200);
    api.patch(&item, json!({"managedDeviceOwnerType": "mine"})).await.expect(400);
    // Under User Enrollment a device is its user's own.
    let own = format!("{LIST}/00000000-0000-0000-0000-000000001002");
    let refused = api.patch(&own, json!({"managedDeviceOwnerType": "company"})).await.expect(400);
    assert!(refused.message().contains("User Enrollment"));

    let category = json!({"displayName": "Sales"});
    let category = api.post("/v1.0/deviceManagement/deviceCategories", category).await.expect(201).id();
    let body =
        json!({"@odata.id": format!("https://graph.microsoft.com/beta/deviceManagement/deviceCategories/{category}")});
    let token = api.token.clone();
    api.call("PUT", &format!("{item}/deviceCategory/$ref"), Some(&token), Some(&body.to_string())).await.expect(204);
    assert_eq!(api.get(&item).await.body["deviceCategoryDisplayName"], "Sales");
    let path = format!("/v1.0/deviceManagement/deviceCategories/{category}");
    api.patch(&path, json!({"displayName": "Field"})).await.expect(200);
    assert_eq!(api.get(&item).await.body["deviceCategoryDisplayName"], "Field");
    assert_eq!(api.get(&format!("{item}?$expand=deviceCategory")).await.body["deviceCategory"]["displayName"], "Field");

    let user = json!({
        "accountEnabled": true, "displayName": "Anna", "mailNickname": "anna", "usageLocation": "DE",
        "userPrincipalName": "anna@contoso.example",
        "passwordProfile": {"password": "correct horse battery staple"},
    });
    let user = api.post("/v1.0/users", user).await.expect(201).id();
    let body = json!({"@odata.id": format!("https://localhost:9443/v1.0/users/{user}")});
    let set = api.post(&format!("{item}/users/$ref"), body).await;
    assert_eq!(set.status, 204, "{}", set.text);
    let read = api.get(&format!("{item}?$expand=users")).await.expect(200);
    assert_eq!(read.body["userDisplayName"], "Anna");
    assert_eq!(read.body["users"][0]["id"], user.as_str());
    assert_eq!(api.get(&format!("/v1.0/users/{user}/managedDevices")).await.items().len(), 1);
    api.delete(&format!("{item}/users/$ref")).await.expect(204);
    assert_eq!(api.get(&item).await.body["userId"], Value::Null);

    let events = api.get("/beta/deviceManagement/auditEvents?$filter=category eq 'Device'").await.expect(200);
    let modified: Vec<&str> = events
        .items()
        .iter()
        .flat_map(|event| event["resources"].as_array().unwrap())
        .flat_map(|resource| resource["modifiedProperties"].as_array().unwrap())
        .map(|property| property["displayName"].as_str().unwrap())
        .collect();
    for name in ["notes", "managedDeviceOwnerType", "deviceCategory", "primaryUser"] {
        assert!(modified.contains(&name), "{name}: {modified:?}");
    }
}

#[tokio::test]
async fn the_directory_has_its_own_ids() {
    let api = with(2).await;
    let list = api.get("/v1.0/devices?$filter=displayName eq 'phone-01'").await.expect(200);
    assert_eq!(list.items()[0]["id"], "00000000-0000-0000-0000-000000002001");
    assert_eq!(list.items()[0]["deviceId"], "00000000-0000-0000-0000-000000003001");
    api.get("/v1.0/devices/00000000-0000-0000-0000-000000002001").await.expect(200);
    api.get("/v1.0/devices/00000000-0000-0000-0000-000000001001").await.expect(404);
    let group = json!({"displayName": "g", "mailEnabled": false, "mailNickname": "g", "securityEnabled": true});
    let group = api.post("/v1.0/groups", group).await.expect(201).id();
    let member = |id: &str| json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/devices/{id}")});
    let path = format!("/v1.0/groups/{group}/members/$ref");
    api.post(&path, member("00000000-0000-0000-0000-000000001001")).await.expect(404);
    api.post(&path, member("00000000-0000-0000-0000-000000002001")).await.expect(204);
    let of = api.get("/v1.0/devices/00000000-0000-0000-0000-000000002001/memberOf").await.expect(200);
    assert_eq!(of.items()[0]["displayName"], "g");
    // Enrollment profiles are decided before there is a device.
    let profile = json!({"displayName": "p", "platform": "iOS", "defaultEnrollmentType": "device"});
    let profiles = "/beta/deviceManagement/appleUserInitiatedEnrollmentProfiles";
    let profile = api.post(profiles, profile).await.expect(201).id();
    let target = json!({"target": {"@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": group}});
    let refused = api.post(&format!("{profiles}/{profile}/assignments"), target).await.expect(400);
    assert!(refused.message().contains("holds devices"));
    let overview = api.get("/v1.0/deviceManagement/managedDeviceOverview").await.expect(200);
    assert_eq!(overview.body["enrolledDeviceCount"], 2);
    assert_eq!(overview.body["deviceOperatingSystemSummary"]["macOSCount"], 1);
}

#[tokio::test]
async fn lists_of_the_directory_narrow_to_a_person() {
    let api = with(4).await;
    let anna = json!({"displayName": "anna", "userPrincipalName": "anna@contoso.example"});
    let anna = api.post("/v1.0/users", anna).await.expect(201).id();
    let link = json!({"@odata.id": format!("https://graph.microsoft.com/beta/users/{anna}")});
    let device = Uuid::from_u128(0x1002);
    api.post(&format!("{LIST}/{device}/users/$ref"), link).await.expect(204);
    for list in ["ownedDevices", "registeredDevices"] {
        let found = api.get(&format!("/v1.0/users/{anna}/{list}?$count=true")).await.expect(200);
        let ids: Vec<&Value> = found.items().iter().map(|one| &one["id"]).collect();
        assert_eq!(ids, [&json!(Uuid::from_u128(0x2002))], "{}", found.text);
    }
    let found =
        api.get("/v1.0/devices?$filter=isManaged eq true and trustType eq 'Workplace' and isCompliant eq false");
    assert_eq!(found.await.expect(200).items().len(), 4);
}

#[tokio::test]
async fn a_bulk_action_names_ids_it_does_not_know() {
    let api = with(2).await;
    let path = "/beta/deviceManagement/managedDevices/executeAction";
    let known = Uuid::from_u128(0x1001).to_string();
    let body = |ids: Value| json!({"actionName": "syncDevice", "platform": "ios", "deviceIds": ids});
    let answer = api.post(path, body(json!(["nonsense", Uuid::from_u128(9)]))).await.expect(200);
    assert_eq!(answer.body["value"]["notFoundDeviceIds"], json!(["nonsense", Uuid::from_u128(9)]), "{}", answer.text);
    let only = api.post(path, body(json!(["nonsense"]))).await.expect(200);
    assert_eq!(only.body["value"]["notFoundDeviceIds"], json!(["nonsense"]));
    api.post(path, body(json!([7]))).await.expect(400);
    let many: Vec<&str> = vec![known.as_str(); 101];
    api.post(path, body(json!(many))).await.expect(400);
}

#[tokio::test]
async fn the_zero_guid_takes_the_category_away() {
    let api = with(1).await;
    let made = api.post("/v1.0/deviceManagement/deviceCategories", json!({"displayName": "Lab"})).await.expect(201);
    let device = format!("{LIST}/{}", Uuid::from_u128(0x1001));
    for (id, shown) in [(made.id(), "Lab"), (Uuid::nil().to_string(), "Unknown")] {
        let link =
            json!({"@odata.id": format!("https://graph.microsoft.com/beta/deviceManagement/deviceCategories/{id}")});
        let path = format!("{device}/deviceCategory/$ref");
        api.call("PUT", &path, Some(&api.token), Some(&link.to_string())).await.expect(204);
        assert_eq!(api.get(&device).await.body["deviceCategoryDisplayName"], shown);
    }
}

#[tokio::test]
async fn hardware_information_repeats_what_is_known() {
    let api = with(1).await;
    let device = format!("deviceManagement/managedDevices/{}", Uuid::from_u128(0x1001));
    let read = api.get(&format!("/beta/{device}")).await.expect(200);
    let hardware = &read.body["hardwareInformation"];
    assert_eq!((&hardware["serialNumber"], &hardware["wiredIPv4Addresses"]), (&json!("SERIAL01"), &json!([])));
    assert_eq!(hardware["totalStorageSpace"], read.body["totalStorageSpaceInBytes"]);
    let named = api.get("/beta/deviceManagement/managedDevices?$select=hardwareInformation").await.expect(200);
    assert_eq!(&named.items()[0]["hardwareInformation"], hardware);
    let whole = api.get("/beta/deviceManagement/managedDevices").await.expect(200);
    assert_eq!(whole.items()[0].get("hardwareInformation"), None, "only where it is asked for by name");
    assert_eq!(api.get(&format!("/v1.0/{device}")).await.expect(200).body.get("hardwareInformation"), None);
}
