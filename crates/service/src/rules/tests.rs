//! What rules see of people, and the walk of a changed rule.

use muster_domain::rules::membership;
use muster_storage::{groups, people, people::Person, tenants};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::{
    Actor, PrincipalKind,
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
