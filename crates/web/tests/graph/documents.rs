//! Configuration entities: create, read, change, delete, assign.

use serde_json::{Value, json};

use crate::support::Api;

const PROFILES: &str = "/beta/deviceManagement/deviceConfigurations";

/// A profile that devices take.
fn payload() -> String {
    use base64::Engine as _;
    let profile = r#"<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0"><dict>
<key>PayloadType</key><string>Configuration</string>
<key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>example.test</string>
<key>PayloadUUID</key><string>0F8FAD5B-D9CB-469F-A165-70867728950E</string>
<key>PayloadDisplayName</key><string>Test</string>
<key>PayloadContent</key><array><dict>
<key>PayloadType</key><string>com.apple.webClip.managed</string>
<key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>example.test.clip</string>
<key>PayloadUUID</key><string>1F8FAD5B-D9CB-469F-A165-70867728950E</string>
<key>URL</key><string>https://example.test</string>
<key>Label</key><string>Test</string>
</dict></array>
</dict></plist>"#;
    base64::engine::general_purpose::STANDARD.encode(profile)
}

fn custom(name: &str) -> Value {
    json!({
        "@odata.type": "#microsoft.graph.iosCustomConfiguration",
        "displayName": name, "payloadName": "a", "payloadFileName": "a.mobileconfig", "payload": payload(),
    })
}

#[tokio::test]
async fn a_document_lives() {
    let api = Api::start().await;
    let made = api.post(PROFILES, custom("one")).await.expect(201);
    let id = made.id();
    assert_eq!(made.body["@odata.type"], "#microsoft.graph.iosCustomConfiguration");
    assert_eq!(made.body["version"], 1);
    assert_eq!(made.body["roleScopeTagIds"], json!(["0"]));
    assert!(made.body["createdDateTime"].as_str().unwrap().ends_with('Z'));
    assert!(
        made.body["@odata.context"]
            .as_str()
            .unwrap()
            .ends_with("$metadata#deviceManagement/deviceConfigurations/$entity")
    );

    let item = format!("{PROFILES}/{id}");
    let reply = api.patch(&item, json!({"displayName": "two", "version": 99, "id": "x"})).await.expect(204);
    assert!(reply.text.is_empty());
    let read = api.get(&item).await.expect(200);
    assert_eq!(read.body["displayName"], "two");
    assert_eq!(read.body["version"], 2);
    assert_eq!(read.body["payload"], payload());
    assert_eq!(read.headers["etag"], "W/\"2\"");

    api.delete(&item).await.expect(204);
    let gone = api.get(&item).await.expect(404);
    assert_eq!(gone.body["error"]["code"], "ResourceNotFound");
    assert!(gone.body["error"]["innerError"]["request-id"].is_string());
}

/// A trusted root of iOS, its body.
async fn trusted_root(api: &Api, name: &str) -> Value {
    use base64::Engine as _;
    let pem = api.service.ca_export().await.unwrap();
    json!({
        "@odata.type": "#microsoft.graph.iosTrustedRootCertificate", "displayName": name,
        "trustedRootCertificate": base64::engine::general_purpose::STANDARD.encode(pem), "certFileName": "root.cer",
    })
}

#[tokio::test]
async fn links_between_configurations_are_kept_followed_and_checked() {
    let api = Api::start().await;
    let root = api.post(PROFILES, trusted_root(&api, "root").await).await.expect(201).id();
    let address = |id: &str| format!("https://graph.microsoft.com/beta/deviceManagement/deviceConfigurations('{id}')");
    let scep = json!({
        "@odata.type": "#microsoft.graph.iosScepCertificateProfile", "displayName": "scep",
        "rootCertificate@odata.bind": address(&root),
    });
    let scep = api.post(PROFILES, scep).await.expect(201);
    assert!(scep.body.as_object().unwrap().keys().all(|key| !key.contains("odata.bind")), "{}", scep.text);
    let scep = scep.id();
    let network = |roots: Vec<String>| {
        json!({
            "@odata.type": "#microsoft.graph.iosEnterpriseWiFiConfiguration", "displayName": "wifi", "ssid": "corp",
            "wiFiSecurityType": "wpa2Enterprise",
            "identityCertificateForClientAuthentication@odata.bind": address(&scep),
            "rootCertificatesForServerValidation@odata.bind": roots,
        })
    };
    let wifi = api.post(PROFILES, network(vec![address(&root)])).await.expect(201).id();

    let followed = |link: &str| format!("{PROFILES}/{wifi}/microsoft.graph.iosEnterpriseWiFiConfiguration/{link}");
    let identity = api.get(&followed("identityCertificateForClientAuthentication")).await.expect(200);
    assert_eq!(identity.id(), scep);
    let roots = api.get(&followed("rootCertificatesForServerValidation")).await.expect(200);
    assert_eq!(roots.items()[0]["id"], root);
    let expanded = api.get(&format!("{PROFILES}/{scep}?$expand=rootCertificate")).await.expect(200);
    assert_eq!(expanded.body["rootCertificate"]["displayName"], "root");

    // A change of something else keeps the links; an empty list takes them away.
    api.patch(&format!("{PROFILES}/{wifi}"), json!({"displayName": "other"})).await.expect(204);
    assert_eq!(api.get(&followed("rootCertificatesForServerValidation")).await.items().len(), 1);
    api.patch(&format!("{PROFILES}/{wifi}"), json!({"rootCertificatesForServerValidation@odata.bind": []}))
        .await
        .expect(204);
    assert_eq!(api.get(&followed("rootCertificatesForServerValidation")).await.items().len(), 0);

    let gone = "0190aaaa-0000-7000-8000-000000000001";
    let refused = api.post(PROFILES, network(vec![address(gone)])).await.expect(400);
    assert!(refused.message().contains(gone), "{}", refused.text);
    let refused = api.post(PROFILES, network(vec![address(&scep)])).await.expect(400);
    assert!(refused.message().contains("iosTrustedRootCertificate"), "{}", refused.text);
    let mut unknown = trusted_root(&api, "x").await;
    unknown["rootCertificate@odata.bind"] = json!(address(&root));
    let refused = api.post(PROFILES, unknown).await.expect(400);
    assert!(refused.message().contains("rootCertificate"), "{}", refused.text);
}

#[tokio::test]
async fn lists_filter_select_order_and_page() {
    let api = Api::start().await;
    for name in ["delta", "alpha", "charlie", "bravo", "echo"] {
        api.post(PROFILES, custom(name)).await.expect(201);
    }
    let mac = json!({"@odata.type": "microsoft.graph.macOSGeneralDeviceConfiguration", "displayName": "mac"});
    api.post(PROFILES, mac).await.expect(201);

    let page = api.get(&format!("{PROFILES}?$orderby=displayName desc&$top=2&$count=true&$select=displayName")).await;
    assert_eq!(page.body["@odata.count"], 6);
    assert_eq!(page.items().len(), 2);
    assert_eq!(page.items()[0]["displayName"], "mac");
    assert!(page.items()[0]["id"].is_string(), "id comes back even when it was not selected");
    assert!(page.items()[0].get("version").is_none());

    let mut seen = Vec::new();
    let mut at = format!("{PROFILES}?$orderby=displayName&top=2");
    loop {
        let page = api.get(&at).await.expect(200);
        seen.extend(page.items().iter().map(|item| item["displayName"].as_str().unwrap().to_owned()));
        match page.body.get("@odata.nextLink").and_then(Value::as_str) {
            Some(next) => {
                assert!(next.starts_with("https://localhost:9443/beta/deviceManagement/"), "{next}");
                at = next.trim_start_matches("https://localhost:9443").to_owned();
            }
            None => break,
        }
    }
    assert_eq!(seen, ["alpha", "bravo", "charlie", "delta", "echo", "mac"]);

    let names = |reply: crate::support::Reply| {
        let mut names: Vec<String> =
            reply.items().iter().map(|item| item["displayName"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let filter = |text: &str| format!("{PROFILES}?$filter={text}");
    assert_eq!(names(api.get(&filter("isof('microsoft.graph.macOSGeneralDeviceConfiguration')")).await), ["mac"]);
    assert_eq!(
        names(api.get(&filter("startsWith(displayName,'A') or displayName eq 'ECHO'")).await),
        ["alpha", "echo"]
    );
    assert_eq!(names(api.get(&filter("contains(tolower(displayName),'ar')")).await), ["charlie"]);
    assert_eq!(names(api.get(&filter("microsoft.graph.iosCustomConfiguration/payloadName eq 'a'")).await).len(), 5);
    let count = api.get(&format!("{PROFILES}/$count?$filter=displayName ne 'mac'")).await.expect(200);
    assert_eq!(count.text, "5");
    let wrong = api.get(&filter("displayNam eq 'x'")).await.expect(400);
    assert!(wrong.message().contains("'displayNam'"));
}

#[tokio::test]
async fn if_match_guards_a_change() {
    let api = Api::start().await;
    let id = api.post(PROFILES, custom("one")).await.expect(201).id();
    let item = format!("{PROFILES}/{id}");
    let change = Some(r#"{"description": "x"}"#);
    let token = api.token.clone();
    let with = |etag: &'static str| [("if-match", etag)];
    api.send("PATCH", &item, Some(&token), change, &with("W/\"1\"")).await.expect(204);
    let stale = api.send("PATCH", &item, Some(&token), change, &with("W/\"1\"")).await.expect(412);
    assert_eq!(stale.body["error"]["code"], "PreconditionFailed");
    api.send("DELETE", &item, Some(&token), None, &with("\"1\"")).await.expect(412);
    api.send("DELETE", &item, Some(&token), None, &with("*")).await.expect(204);
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let api = Api::start().await;
    let refused = |body: Value, part: &'static str| {
        let api = &api;
        async move {
            let reply = api.post(PROFILES, body).await.expect(400);
            assert!(reply.message().contains(part), "{}", reply.text);
        }
    };
    refused(json!({"displayName": "x"}), "@odata.type").await;
    refused(json!({"@odata.type": "#microsoft.graph.windows10GeneralConfiguration", "displayName": "x"}), "windows10")
        .await;
    refused(json!({"@odata.type": "#microsoft.graph.deviceConfiguration", "displayName": "x"}), "@odata.type").await;
    let mut body = custom("x");
    body["payloadd"] = "x".into();
    refused(body, "'payloadd'").await;
    let mut body = custom("x");
    body["payload"] = "not base64!".into();
    refused(body, "payload").await;
    let mut body = custom("x");
    body.as_object_mut().unwrap().shift_remove("payload");
    refused(body, "payload is needed").await;
    let doubled =
        r##"{"@odata.type": "#microsoft.graph.iosCustomConfiguration", "displayName": "a", "displayName": "b"}"##;
    let reply = api.call("POST", PROFILES, Some(&api.token), Some(doubled)).await.expect(400);
    assert!(reply.message().contains("stands twice"));
    let plain = [("content-type", "text/plain")];
    api.send("POST", PROFILES, Some(&api.token), None, &plain).await.expect(400);
}

#[tokio::test]
async fn assignments_are_replaced_as_a_whole() {
    let api = Api::start().await;
    let id = api.post(PROFILES, custom("one")).await.expect(201).id();
    let item = format!("{PROFILES}/{id}");
    let body = json!({"assignments": [
        {"id": "ignored", "source": "direct", "intent": null, "target": {
            "@odata.type": "#microsoft.graph.allDevicesAssignmentTarget",
            "deviceAndAppManagementAssignmentFilterId": "00000000-0000-0000-0000-000000000000",
            "deviceAndAppManagementAssignmentFilterType": "none"}},
        {"target": {"@odata.type": "microsoft.graph.allLicensedUsersAssignmentTarget"}},
    ]});
    let reply = api.post(&format!("{item}/microsoft.graph.assign"), body).await.expect(200);
    assert_eq!(reply.items().len(), 2);
    let read = api.get(&format!("{item}/assignments")).await.expect(200);
    let context = read.body["@odata.context"].as_str().unwrap();
    assert!(context.ends_with(&format!("#deviceManagement/deviceConfigurations('{id}')/assignments")), "{context}");
    assert_eq!(read.items()[0]["target"]["@odata.type"], "#microsoft.graph.allDevicesAssignmentTarget");

    let list = api.get(&format!("{PROFILES}?$expand=assignments")).await.expect(200);
    assert_eq!(list.items()[0]["assignments"].as_array().unwrap().len(), 2);
    let context = list.items()[0]["assignments@odata.context"].as_str().unwrap();
    assert!(context.contains(&format!("deviceConfigurations('{id}')/assignments")), "{context}");
    let one = api.get(&format!("{item}?$expand=assignments($select=id)&$select=displayName")).await.expect(200);
    assert!(one.body["assignments"][0].get("intent").is_none());
    assert!(one.body["assignments"][0]["id"].is_string());

    let replaced = json!({"assignments": [{"target": {"@odata.type": "#microsoft.graph.allDevicesAssignmentTarget"}}]});
    let kept = api.post(&format!("{item}/assign"), replaced).await.expect(200);
    assert_eq!(kept.items()[0]["id"], read.items()[0]["id"], "an assignment that stays keeps its id");
    api.post(&format!("{item}/assign"), json!({"assignments": []})).await.expect(200);
    assert!(api.get(&format!("{item}/assignments")).await.items().is_empty());
}

#[tokio::test]
async fn d6_groups_of_nobody_or_of_others_change_nothing() {
    let api = Api::start().await;
    let id = api.post(PROFILES, custom("one")).await.expect(201).id();
    let item = format!("{PROFILES}/{id}");
    let all = json!({"target": {"@odata.type": "#microsoft.graph.allDevicesAssignmentTarget"}});
    api.post(&format!("{item}/assign"), json!({"assignments": [all.clone()]})).await.expect(200);
    for group in ["0f8fad5b-d9cb-469f-a165-70867728950e", "not-a-guid"] {
        let foreign = json!({"target": {"@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": group}});
        api.post(&format!("{item}/assign"), json!({"assignments": [all.clone(), foreign]})).await.expect(404);
        assert_eq!(api.get(&format!("{item}/assignments")).await.items().len(), 1);
    }
}

#[tokio::test]
async fn d8_another_tenant_sees_nothing() {
    let api = Api::start().await;
    let id = api.post(PROFILES, custom("canary-of-contoso")).await.expect(201).id();
    api.service.create_tenant("fabrikam", "fabrikam.example").await.unwrap();
    let token = api
        .service
        .create_keyboard_token(muster_service::operators::NewKeyboardToken {
            tenant: Some("fabrikam".into()),
            name: "t2".into(),
            role: "owner".into(),
            user: None,
            life: None,
        })
        .await
        .unwrap();
    for path in [
        PROFILES.to_owned(),
        format!("{PROFILES}?$filter=contains(displayName,'canary')&$count=true"),
        format!("{PROFILES}?$search=\"canary\"&$expand=assignments"),
        "/beta/deviceManagement/auditEvents".to_owned(),
    ] {
        let reply = api.call("GET", &path.replace(' ', "%20").replace('"', "%22"), Some(&token), None).await;
        assert!(!reply.text.contains("canary"), "{path}: {}", reply.text);
    }
    for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/assignments")] {
        api.call(method, &format!("{PROFILES}/{id}{path}"), Some(&token), None).await.expect(404);
    }
    api.call("PATCH", &format!("{PROFILES}/{id}"), Some(&token), Some(r#"{"displayName": "x"}"#)).await.expect(404);
    assert_eq!(api.get(&format!("{PROFILES}/{id}")).await.body["displayName"], "canary-of-contoso");
}

#[tokio::test]
async fn the_default_limit_is_there_and_changes() {
    let api = Api::start().await;
    let path = "/beta/deviceManagement/deviceEnrollmentConfigurations";
    let list = api.get(path).await.expect(200);
    assert_eq!(list.items().len(), 1);
    let first = &list.items()[0];
    assert_eq!(first["limit"], 15);
    let id = first["id"].as_str().unwrap().to_owned();
    assert!(id.ends_with("_DefaultLimit"));
    let named = json!({"@odata.type": "#microsoft.graph.deviceEnrollmentLimitConfiguration", "limit": 3});
    let changed = api.patch(&format!("{path}/{id}"), named).await;
    assert_eq!(changed.expect(200).body["limit"], 3);
    assert_eq!(api.get(&format!("{path}('{id}')")).await.expect(200).body["limit"], 3);
    api.patch(&format!("{path}/{id}"), json!({"limit": 0})).await.expect(400);
    api.delete(&format!("{path}/{id}")).await.expect(400);
    let other =
        json!({"@odata.type": "#microsoft.graph.deviceEnrollmentLimitConfiguration", "limit": 1, "displayName": "x"});
    api.post(path, other).await.expect(501);
}

#[tokio::test]
async fn enrollment_profiles_have_an_order() {
    let api = Api::start().await;
    let path = "/beta/deviceManagement/appleUserInitiatedEnrollmentProfiles";
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        let body = json!({
            "displayName": name, "platform": "iOS", "defaultEnrollmentType": "accountDrivenUserEnrollment",
            "availableEnrollmentTypeOptions": [{"@odata.type": "microsoft.graph.appleOwnerTypeEnrollmentType",
                "ownerType": "personal", "enrollmentType": "user"}],
        });
        ids.push(api.post(path, body).await.expect(201).id());
    }
    let names = |reply: &crate::support::Reply| -> Vec<String> {
        reply
            .items()
            .iter()
            .map(|item| format!("{} {}", item["displayName"].as_str().unwrap(), item["priority"]))
            .collect()
    };
    assert_eq!(names(&api.get(path).await), ["a 1", "b 2", "c 3"]);
    api.post(&format!("{path}/{}/setpriority", ids[2]), json!({"priority": 1})).await.expect(200);
    assert_eq!(names(&api.get(path).await), ["c 1", "a 2", "b 3"]);
    api.delete(&format!("{path}/{}", ids[0])).await.expect(204);
    assert_eq!(names(&api.get(path).await), ["c 1", "b 2"]);
    api.post(&format!("{path}/{}/setPriority", ids[1]), json!({"priority": 9})).await.expect(400);
    let everyone = json!({"target": {"@odata.type": "#microsoft.graph.allDevicesAssignmentTarget"}});
    api.post(&format!("{path}/{}/assignments", ids[1]), everyone).await.expect(400);
    let users = json!({"target": {"@odata.type": "#microsoft.graph.allLicensedUsersAssignmentTarget"}});
    let made = api.post(&format!("{path}/{}/assignments", ids[1]), users).await.expect(201).id();
    api.get(&format!("{path}/{}/assignments/{made}", ids[1])).await.expect(200);
    api.delete(&format!("{path}/{}/assignments/{made}", ids[1])).await.expect(204);
    api.get("/v1.0/deviceManagement/appleUserInitiatedEnrollmentProfiles").await.expect(404);
}

#[tokio::test]
async fn e13_templates_in_names_stay_text() {
    let api = Api::start().await;
    for evil in ["${7*7}", "{{7*7}}", "#{7*7}", "%{7*7}", "<script>alert(1)</script>"] {
        let id = api.post(PROFILES, custom(evil)).await.expect(201).id();
        assert_eq!(api.get(&format!("{PROFILES}/{id}")).await.body["displayName"], evil);
    }
}

#[tokio::test]
async fn g5_a_wifi_key_is_shown_to_who_may_and_names_it_and_the_audit_says_so() {
    let api = Api::start().await;
    let key = "correct-horse-42";
    let wifi = json!({
        "@odata.type": "#microsoft.graph.iosWiFiConfiguration", "displayName": "office", "networkName": "office",
        "ssid": "office", "wiFiSecurityType": "wpa2Personal", "preSharedKey": key, "connectAutomatically": true,
        "connectWhenNetworkNameIsHidden": false, "proxySettings": "none",
    });
    let list = "/beta/deviceManagement/deviceConfigurations";
    let made = api.post(list, wifi).await.expect(201);
    assert!(!made.text.contains(key));
    let one = format!("{list}/{}", made.id());
    let named = format!("{one}?$select=ssid,preSharedKey");
    for path in [&one, &list.to_owned(), &format!("{list}?$select=preSharedKey"), &format!("{one}?$select=ssid")] {
        assert!(!api.get(path).await.expect(200).text.contains(key), "{path}");
    }
    for role in ["readonly", "helpdesk"] {
        let token = api.new_token(role).await;
        let read = api.call("GET", &named, Some(&token), None).await.expect(200);
        assert_eq!(read.body["preSharedKey"], Value::Null, "{role}");
    }
    let events = "/beta/deviceManagement/auditEvents?$filter=activity eq 'Reveal secret'";
    assert!(api.get(events).await.expect(200).items().is_empty());
    let read = api.get(&named).await.expect(200);
    assert_eq!(read.body["preSharedKey"], key, "{}", read.text);
    let found = api.get(events).await.expect(200);
    assert_eq!(found.items()[0]["resources"][0]["resourceId"], made.id().as_str(), "{}", found.text);
    assert!(!found.text.contains(key));
}

#[tokio::test]
async fn e12_names_from_outside_never_become_paths() {
    // Neither the edge nor the decisions open files at all: only the program's own configuration does.
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders = vec![crates.join("web/src"), crates.join("service/src")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(".rs") && !path.to_string_lossy().ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(!text.contains("std::fs") && !text.contains("tokio::fs"), "{} opens files", path.display());
                read += 1;
            }
        }
    }
    assert!(read > 100, "{read} files were read");

    let api = Api::start().await;
    let folder = api.service.database.directory().unwrap().to_owned();
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    for name in ["../../evil", "/etc/evil", "\\\\host\\share", "C:\\evil", "a\u{0}b", "CON", "....//evil"] {
        let body = json!({
            "@odata.type": "#microsoft.graph.iosCustomConfiguration",
            "displayName": name, "payloadName": name, "payloadFileName": name, "payload": payload(),
        });
        let made = api.post(PROFILES, body).await;
        assert!([201, 400].contains(&made.status.as_u16()), "{name}: {}", made.text);
        if made.status == 201 {
            assert_eq!(api.get(&format!("{PROFILES}/{}", made.id())).await.body["payloadFileName"], name);
        }
    }
    assert_eq!(files(), before, "a name made a file");
}
