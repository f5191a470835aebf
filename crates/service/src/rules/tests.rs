//! What rules see of people, and the walk of a changed rule.

use muster_domain::rules::membership;
use muster_storage::{
    assignments, device_states,
    devices::{self, Device, Patch},
    documents, groups, people,
    people::Person,
    tenants,
};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    Actor, PrincipalKind,
    desired::{CONFIGURATIONS, tests::Fleet},
    documents::{Draft, Kind, NewAssignment, Target},
    testing::{START, TestService, service},
};

fn person(id: u128, department: &str) -> Person {
    Person {
        id: Uuid::from_u128(id),
        source: "local".into(),
        external_id: None,
        user_principal_name: format!("p{id}@example.org"),
        display_name: format!("P {id}"),
        mail: Some(format!("p{id}@example.org")),
        account_enabled: true,
        licensed: false,
        managed_apple_account: None,
        document: json!({
            "department": department, "mobilePhone": "+49 1", "businessPhones": ["+49 30 1", "+49 30 2"],
            "otherMails": ["x@y.org"], "onPremisesExtensionAttributes": { "extensionAttribute7": "blue" },
            "onPremisesSyncEnabled": true, "officeLocation": "B2",
        })
        .to_string(),
        deleted_at: None,
        version: 1,
        created_at: START,
        modified_at: START,
    }
}

#[test]
fn rules_see_graphs_properties_under_the_directorys_names() {
    let facts = facts::of_user(&person(7, "Lab"));
    for rule in [
        r#"user.department -eq "lab" -and user.mobile -eq "+49 1""#,
        r#"user.telephoneNumber -eq "+49 30 1" -and user.extensionAttribute7 -eq "blue""#,
        r#"user.dirSyncEnabled -eq true -and user.accountEnabled -eq true"#,
        r#"user.physicalDeliveryOfficeName -eq "B2" -and user.userType -eq "Member""#,
        r#"user.otherMails -any (_ -match ".*@y") -and user.city -eq null"#,
        r#"user.objectId -eq "00000000-0000-0000-0000-000000000007" -and user.mail -eq "p7@example.org""#,
    ] {
        assert!(membership(rule).unwrap().1.matches(&facts), "{rule}");
    }
}

async fn tenant_with(service: &TestService, people: u128) -> (Uuid, Actor) {
    let id = service.random.id(START);
    let tenant = tenants::Tenant { id, name: "Example".into(), created_at: START };
    service.store.write(id, move |tx| tenants::insert(tx, &tenant)).await.unwrap();
    for n in 0..people {
        let one = person(n + 1, if n % 3 == 0 { "Sales" } else { "Lab" });
        service.store.write(id, move |tx| people::insert(tx, id, &one)).await.unwrap();
    }
    let actor = Actor {
        tenant: id,
        kind: PrincipalKind::Operator,
        id,
        person: None,
        name: "Ada".into(),
        role: "owner".into(),
        scopes: None,
        maker: None,
        own_person: true,
        strong_at: None,
        established_at: START,
        address: None,
        correlation: id,
        reason: None,
    };
    (id, actor)
}

async fn count(service: &TestService, tenant: Uuid, group: Uuid) -> usize {
    service.store.read(tenant, move |tx| groups::transitive_members(tx, tenant, group)).await.unwrap().len()
}

/// More people than a chunk of the walk, and one chunk's worth exactly.
#[tokio::test]
async fn a_changed_rule_is_evaluated_for_everybody_in_chunks() {
    for people in [250, 601] {
        let service = service();
        let (tenant, actor) = tenant_with(&service, people).await;
        let body = json!({
            "displayName": "Sales", "groupTypes": ["DynamicMembership"], "membershipRule": "user.department -eq 'Sales'",
        });
        let made = service.create_group(&actor, body.as_object().unwrap().clone(), vec![]).await.unwrap();
        let group: Uuid = made["id"].as_str().unwrap().parse().unwrap();
        service.run_due(START).await.unwrap();
        assert_eq!(count(&service, tenant, group).await as u128, people.div_ceil(3));

        let change = json!({ "membershipRule": "user.department -ne 'Sales'" });
        service.update_group(&actor, group, change.as_object().unwrap().clone()).await.unwrap();
        service.run_due(START).await.unwrap();
        assert_eq!(count(&service, tenant, group).await as u128, people - people.div_ceil(3));
        // The same once more moves nobody, and no rule waits.
        let rule = service.store.read(tenant, move |tx| muster_storage::membership_rules::by_group(tx, tenant, group));
        let rule = rule.await.unwrap().unwrap();
        assert_eq!((rule.seq, rule.walked_seq), (2, 2));
    }
}

/// A walk that was begun for a rule which is no more begins anew with the one that is.
#[tokio::test]
async fn a_rule_that_changes_during_its_walk_is_walked_from_the_start() {
    let service = service();
    let (tenant, actor) = tenant_with(&service, 10).await;
    // Nobody is due: only the walk can bring members.
    service.run_due(START).await.unwrap();
    let body = json!({
        "displayName": "Sales", "groupTypes": ["DynamicMembership"], "membershipRule": "user.department -eq 'Sales'",
    });
    let made = service.create_group(&actor, body.as_object().unwrap().clone(), vec![]).await.unwrap();
    let group: Uuid = made["id"].as_str().unwrap().parse().unwrap();
    // As if the job had come half way for a former rule.
    let (now, ids) = (START, service.ids(START));
    let half = json!({ "group": group, "seq": 0, "after": Uuid::from_u128(5) });
    service
        .store
        .write(tenant, move |tx| {
            let key = group.to_string();
            crate::jobs::enqueue_now(tx, tenant, ids.clone().next(), walk::JOB, Some(&key), &half, now)
        })
        .await
        .unwrap();
    service.run_due(START).await.unwrap();
    assert_eq!(count(&service, tenant, group).await, 4);
}

async fn filter_of(service: &TestService, actor: &Actor, platform: &str, rule: &str) -> Uuid {
    let kind = Kind::of(filters::FILTERS).unwrap();
    let body = json!({ "displayName": "Filter", "platform": platform, "rule": rule });
    let draft = Draft {
        odata_type: "deviceAndAppManagementAssignmentFilter".into(),
        properties: body.as_object().unwrap().clone(),
    };
    service.create_document(actor, kind, draft).await.unwrap().id
}

fn everybody(filter: Uuid) -> NewAssignment {
    NewAssignment { target: Target::AllUsers, filter: Some((filter, "include".into())), intent: "apply".into() }
}

/// An id of another tenant is the id of nothing: the whole list is refused, and the one before stays.
#[tokio::test]
async fn d6_a_filter_of_another_tenant_refuses_the_whole_list() {
    let service = service();
    let ((_, one), (_, other)) = (tenant_with(&service, 0).await, tenant_with(&service, 0).await);
    let rule = r#"(device.model -eq "iPhone")"#;
    let (own, foreign) = (filter_of(&service, &one, "iOS", rule).await, filter_of(&service, &other, "iOS", rule).await);
    let kind = Kind::of("deviceConfigurations").unwrap();
    let body = json!({ "displayName": "Camera", "cameraBlocked": true });
    let draft =
        Draft { odata_type: "iosGeneralDeviceConfiguration".into(), properties: body.as_object().unwrap().clone() };
    let id = service.create_document(&one, kind, draft).await.unwrap().id;
    let before = service.assign_document(&one, kind, id, vec![everybody(own)]).await.unwrap();

    let devices = NewAssignment { target: Target::AllDevices, ..everybody(own) };
    for wanted in
        [vec![everybody(foreign)], vec![devices.clone(), everybody(foreign)], vec![everybody(foreign), devices]]
    {
        let refused = service.assign_document(&one, kind, id, wanted).await.unwrap_err();
        assert!(matches!(&refused, Error::Refused(refusal) if refusal.kind == crate::Kind::NotFound), "{refused}");
        assert_eq!(service.assignments(one.tenant, kind, id).await.unwrap(), before);
    }
    // Nor can the other one be read, changed or taken away.
    let filters = Kind::of(filters::FILTERS).unwrap();
    assert!(service.document(one.tenant, filters, foreign).await.is_err());
    assert!(service.delete_document(&one, filters, foreign, None).await.is_err());
    assert_eq!(service.filter_payloads(other.tenant).await.unwrap().len(), 0);
    assert_eq!(service.filter_payloads(one.tenant).await.unwrap()[&own].len(), 1);
}

/// What filters see of a Mac: its processor is a fact, and a change of it marks the device.
#[tokio::test]
async fn a_fact_that_filters_see_marks_the_device() {
    let service = service();
    let (tenant, _) = tenant_with(&service, 0).await;
    let mac = Device {
        id: service.random.id(START),
        platform: "macOS".into(),
        operating_system: "macOS".into(),
        state: "enrolled".into(),
        owner_type: "company".into(),
        document: "{}".into(),
        scope_tags: "[]".into(),
        ..Device::default()
    };
    let id = mac.id;
    let put = mac.clone();
    service.store.write(tenant, move |tx| muster_storage::devices::put(tx, tenant, &put)).await.unwrap();
    service.settle_subjects(tenant).await.unwrap();
    let due = || service.store.read(tenant, move |tx| muster_storage::rule_subjects::due(tx, tenant, None, 10));
    let arm = muster_domain::rules::filter(r#"(device.cpuArchitecture -eq "arm64")"#, "macOS").unwrap();
    let seen = || {
        let mac = mac.clone();
        service.store.read(tenant, move |tx| filters::seen(tx, tenant, &mac))
    };
    assert!(due().await.unwrap().is_empty() && !arm.matches(&seen().await.unwrap()));
    for (name, marked) in [("batteryLevel", 0), ("isAppleSilicon", 1)] {
        let fact = muster_storage::facts::Fact {
            name: name.into(),
            value: "true".into(),
            source: "deviceInformation".into(),
            observed_at: START,
            changed_at: START,
        };
        service.store.write(tenant, move |tx| muster_storage::facts::put(tx, tenant, id, &fact)).await.unwrap();
        assert_eq!(due().await.unwrap().len(), marked, "{name}");
    }
    assert!(arm.matches(&seen().await.unwrap()));
}

/// Nobody but the rules sees that a category got another name: the device must look again by them.
#[tokio::test]
async fn what_a_filter_asks_about_changes_what_a_device_gets() {
    let fleet = Fleet::new().await;
    let (tenant, device, enrollment) = (fleet.tenant, fleet.device, fleet.enrollment);
    let (filter, category) = (fleet.service.random.id(START), fleet.service.random.id(START));
    let rule = json!({ "platform": "iOS", "rule": r#"(device.deviceCategory -eq "Kiosk")"# });
    let document = documents::Document {
        kind: filters::FILTERS.into(),
        id: filter,
        odata_type: "deviceAndAppManagementAssignmentFilter".into(),
        display_name: "Kiosks".into(),
        body: rule.to_string(),
        priority: None,
        version: 1,
        created_at: START,
        modified_at: START,
    };
    let body = json!({ "diagnosticDataBlockSubmission": true });
    let policy = fleet.assign("iosGeneralDeviceConfiguration", body, "allDevices", None).await;
    fleet
        .write(move |tx| {
            documents::insert(tx, tenant, &document)?;
            let mut standing = assignments::of_document(tx, tenant, CONFIGURATIONS, policy)?;
            standing[0].filter_id = Some(filter);
            standing[0].filter_mode = "include".into();
            assignments::replace(tx, tenant, CONFIGURATIONS, policy, &standing)
        })
        .await;
    let dirty = async || {
        fleet.service.settle_subjects(tenant).await.unwrap();
        fleet.write(move |tx| device_states::by_enrollment(tx, tenant, enrollment)).await.unwrap().is_dirty()
    };
    fleet.compute().await;
    assert_eq!(fleet.state_of(policy).await, None);
    assert!(!dirty().await, "computing settles what was due");

    let kiosk = Patch { category: Some(Some((category, "Kiosk".into()))), ..Patch::default() };
    fleet.write(move |tx| devices::patch(tx, tenant, device, &kiosk, START)).await;
    assert!(dirty().await);
    fleet.compute().await;
    assert_eq!(fleet.state_of(policy).await.as_deref(), Some("pending"));

    // What no rule can see has nobody look again.
    let notes = Patch { notes: Some(Some("scratched".into())), ..Patch::default() };
    fleet.write(move |tx| devices::patch(tx, tenant, device, &notes, START)).await;
    assert!(!dirty().await);

    fleet.write(move |tx| devices::rename_category(tx, tenant, category, "Counter", START)).await;
    assert!(dirty().await);
    fleet.compute().await;
    assert_eq!(fleet.state_of(policy).await, None);
}
