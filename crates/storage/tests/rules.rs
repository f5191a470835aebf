//! Rules of groups, and the marks that say of whom something changed, on both engines.

use muster_storage::{
    assignments,
    devices::{self, Device, Patch},
    groups::{self, Group, Member, MemberKind},
    membership_rules as rules, on_both_engines,
    people::{self, Person},
    rule_subjects::{self as subjects, Due, Kind},
    testing::{self, TestStore},
};
use uuid::Uuid;

const NOW: i64 = 1_767_225_600_000;

fn person(name: &str) -> Person {
    Person {
        id: testing::id(),
        source: "local".into(),
        external_id: None,
        user_principal_name: format!("{name}@example.com"),
        display_name: name.into(),
        mail: None,
        account_enabled: true,
        licensed: true,
        managed_apple_account: None,
        document: "{}".into(),
        deleted_at: None,
        version: 1,
        created_at: NOW,
        modified_at: NOW,
    }
}

fn device() -> Device {
    Device {
        id: testing::id(),
        directory_id: testing::id(),
        azure_ad_device_id: testing::id(),
        source: "mdm".into(),
        platform: "iOS".into(),
        operating_system: "iOS".into(),
        owner_type: "personal".into(),
        enrollment_type: "userEnrollment".into(),
        management_state: "managed".into(),
        compliance_state: "unknown".into(),
        state: "enrolled".into(),
        document: "{}".into(),
        scope_tags: "[\"0\"]".into(),
        version: 1,
        created_at: NOW,
        modified_at: NOW,
        ..Device::default()
    }
}

async fn due(store: &TestStore, tenant: Uuid) -> Vec<Due> {
    store.read(tenant, move |tx| subjects::due(tx, tenant, None, 100)).await.unwrap()
}

async fn settle(store: &TestStore, tenant: Uuid) {
    for one in due(store, tenant).await {
        store.write(tenant, move |tx| subjects::done(tx, tenant, &one, b"seen")).await.unwrap();
    }
    assert!(due(store, tenant).await.is_empty());
}

on_both_engines! {
    async fn whoever_writes_a_person_or_a_device_marks_it(store) {
        let tenant = testing::id();
        let (ada, phone) = (person("ada"), device());
        let (ada_id, phone_id, category) = (ada.id, phone.id, testing::id());
        let (new, tablet) = (ada.clone(), phone.clone());
        store.write(tenant, move |tx| people::insert(tx, tenant, &new)).await.unwrap();
        store.write(tenant, move |tx| devices::put(tx, tenant, &tablet)).await.unwrap();
        let marked = due(store, tenant).await;
        assert_eq!(marked.iter().map(|due| (due.kind, due.id)).collect::<Vec<_>>(), [(Kind::Device, phone_id), (Kind::User, ada_id)]);
        settle(store, tenant).await;

        let changed = ada.clone();
        assert!(store.write(tenant, move |tx| people::update(tx, tenant, &changed)).await.unwrap());
        assert_eq!(due(store, tenant).await[0].digest.as_deref(), Some(&b"seen"[..]));
        settle(store, tenant).await;
        // A write that another one overtook changes nothing and marks nothing.
        assert!(!store.write(tenant, move |tx| people::update(tx, tenant, &ada)).await.unwrap());
        assert!(due(store, tenant).await.is_empty());

        let patch = Patch { category: Some(Some((category, "Kiosk".into()))), ..Patch::default() };
        store.write(tenant, move |tx| devices::patch(tx, tenant, phone_id, &patch, NOW)).await.unwrap();
        assert_eq!(due(store, tenant).await.len(), 1);
        settle(store, tenant).await;
        for step in 0..3 {
            store
                .write(tenant, move |tx| match step {
                    0 => devices::rename_category(tx, tenant, category, "Counter", NOW),
                    1 => devices::forget_category(tx, tenant, category, NOW),
                    _ => devices::set_state(tx, tenant, phone_id, "left", "retired", Some(NOW), NOW).map(u64::from),
                })
                .await
                .unwrap();
            assert_eq!(due(store, tenant).await.iter().map(|due| due.id).collect::<Vec<_>>(), [phone_id]);
            settle(store, tenant).await;
        }
        // Nothing that leaves stays behind.
        let gone = Due { kind: Kind::Device, id: phone_id, seq: 0, digest: None };
        store.write(tenant, move |tx| subjects::forget(tx, tenant, &gone)).await.unwrap();
    }

    async fn a_change_while_rules_are_evaluated_stays_due(store) {
        let tenant = testing::id();
        let phone = device();
        let (id, person) = (phone.id, testing::id());
        let again = phone.clone();
        store.write(tenant, move |tx| devices::put(tx, tenant, &phone)).await.unwrap();
        let read = store.read(tenant, move |tx| subjects::due_of(tx, tenant, &[id, person])).await.unwrap();
        store.write(tenant, move |tx| devices::put(tx, tenant, &again)).await.unwrap();
        let stale = read[0].clone();
        store.write(tenant, move |tx| subjects::done(tx, tenant, &stale, b"old")).await.unwrap();
        assert_eq!(due(store, tenant).await[0].seq, read[0].seq + 1);
        let stale = read[0].clone();
        store.write(tenant, move |tx| subjects::forget(tx, tenant, &stale)).await.unwrap();
        assert_eq!(due(store, tenant).await.len(), 1);
    }

    async fn a_rule_is_numbered_by_its_changes_and_goes_with_its_group(store) {
        let tenant = testing::id();
        let (group, ada, phone) = (testing::id(), testing::id(), testing::id());
        let row = Group {
            id: group, source: "local".into(), external_id: None, display_name: "Sales".into(), document: "{}".into(),
            version: 1, created_at: NOW, modified_at: NOW,
        };
        store.write(tenant, move |tx| groups::insert(tx, tenant, &row)).await.unwrap();
        let put = |members, rule: &'static str, active| {
            store.write(tenant, move |tx| rules::put(tx, tenant, group, members, rule, active))
        };
        let read = || store.read(tenant, move |tx| rules::by_group(tx, tenant, group));
        assert!(put(MemberKind::User, "a", true).await.unwrap());
        assert!(!put(MemberKind::User, "a", true).await.unwrap());
        assert!(put(MemberKind::User, "a", false).await.unwrap());
        assert!(put(MemberKind::Device, "a", true).await.unwrap());
        assert!(put(MemberKind::User, "b", true).await.unwrap());
        store.write(tenant, move |tx| rules::walked(tx, tenant, group, 4, NOW)).await.unwrap();
        store.write(tenant, move |tx| rules::walked(tx, tenant, group, 3, NOW + 1)).await.unwrap();
        let rule = read().await.unwrap().unwrap();
        assert_eq!((rule.seq, rule.walked_seq, rule.evaluated_at), (4, 4, Some(NOW)));
        let locked = |kind| store.write(tenant, move |tx| rules::lock(tx, tenant, kind));
        assert_eq!((locked(MemberKind::User).await.unwrap(), locked(MemberKind::Device).await.unwrap()), (vec![rule], vec![]));

        for (kind, id) in [(MemberKind::User, ada), (MemberKind::Device, phone)] {
            store.write(tenant, move |tx| groups::add_member(tx, tenant, group, Member { kind, id }, NOW)).await.unwrap();
        }
        let of = store.read(tenant, move |tx| rules::groups_of(tx, tenant, MemberKind::User, ada)).await.unwrap();
        assert_eq!(of, [group]);
        let between = |after, last| store.read(tenant, move |tx| rules::members_between(tx, tenant, group, MemberKind::User, after, last));
        assert_eq!(between(None, Uuid::max()).await.unwrap(), [ada]);
        assert!(between(Some(ada), Uuid::max()).await.unwrap().is_empty());
        assert_eq!(between(None, ada).await.unwrap(), [ada]);
        let others = store.write(tenant, move |tx| rules::remove_others(tx, tenant, group, MemberKind::User)).await.unwrap();
        assert_eq!(others, [Member { kind: MemberKind::Device, id: phone }]);
        assert!(store.write(tenant, move |tx| groups::remove(tx, tenant, group)).await.unwrap());
        assert_eq!(read().await.unwrap(), None);
    }

    async fn filters_are_found_by_what_stands_on_them(store) {
        let tenant = testing::id();
        let (document, filter) = (testing::id(), testing::id());
        let one = |target: &str, filter_id| assignments::Assignment {
            id: testing::id(), kind: "deviceConfigurations".into(), document_id: document, target: target.into(),
            exclude: false, group_id: None, filter_id, filter_mode: "include".into(), intent: "apply".into(),
        };
        let any = || store.read(tenant, move |tx| assignments::any_filtered(tx, tenant));
        let replace = |all: Vec<assignments::Assignment>| {
            store.write(tenant, move |tx| assignments::replace(tx, tenant, "deviceConfigurations", document, &all))
        };
        replace(vec![one("allUsers", None)]).await.unwrap();
        assert!(!any().await.unwrap());
        let standing = one("allDevices", Some(filter));
        replace(vec![one("allUsers", None), standing.clone()]).await.unwrap();
        assert!(any().await.unwrap());
        let of = |filter| store.read(tenant, move |tx| assignments::of_filter(tx, tenant, filter));
        assert_eq!(of(filter).await.unwrap(), std::slice::from_ref(&standing));
        assert!(of(document).await.unwrap().is_empty());
        assert_eq!(store.read(tenant, move |tx| assignments::with_filters(tx, tenant)).await.unwrap(), [standing]);
    }
}
