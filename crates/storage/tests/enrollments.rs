//! Channels, their sessions, identities, devices and push certificates, on both engines.

use muster_storage::{
    certificates::{self, Certificate},
    commands, device_identities, device_states,
    devices::{self, Device},
    enrollment_sessions::{self, EnrollmentSession},
    enrollments::{self, Enrollment},
    on_both_engines,
    people::{self, Person},
    push_certificates::{self, PushCertificate},
    tenants,
    testing::{self, TestStore},
};
use uuid::Uuid;

const NOW: i64 = 1_767_225_600_000;

async fn tenant(store: &TestStore) -> Uuid {
    let id = testing::id();
    let tenant = tenants::Tenant { id, name: "Example".into(), created_at: NOW };
    store.write(id, move |tx| tenants::insert(tx, &tenant)).await.unwrap();
    id
}

fn device(person: Uuid) -> Device {
    Device {
        id: testing::id(),
        directory_id: testing::id(),
        azure_ad_device_id: testing::id(),
        source: "mdm".into(),
        person_id: Some(person),
        name: "iPhone".into(),
        platform: "iOS".into(),
        operating_system: "iOS".into(),
        serial_number: Some("S-1".into()),
        udid: Some("UDID-1".into()),
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
        ..Default::default()
    }
}

fn channel(device: Uuid, kind: &str, protocol_id: &str) -> Enrollment {
    Enrollment {
        id: testing::id(),
        device_id: device,
        channel: kind.into(),
        protocol_id: protocol_id.into(),
        state: enrollments::state::ENROLLED.into(),
        topic: Some("t".into()),
        push_token: Some(vec![1; 32]),
        push_magic: Some("m".into()),
        push_state: "reachable".into(),
        push_changed_at: Some(NOW),
        push_past: "[]".into(),
        created_at: NOW,
        ..Default::default()
    }
}

fn certificate(device: Option<Uuid>, state: &str) -> Certificate {
    let id = testing::id();
    Certificate {
        id,
        fingerprint: id.as_bytes().to_vec(),
        serial: vec![1],
        issuer: "device".into(),
        purpose: "identity".into(),
        device_id: device,
        public_key_hash: vec![2],
        state: state.into(),
        generation: 1,
        not_before: NOW,
        not_after: NOW + 1000,
        der: vec![3],
        created_at: NOW,
        ..Default::default()
    }
}

/// A device with both its channels, and its identity.
async fn enrolled(store: &TestStore, tenant: Uuid) -> (Device, Enrollment, Enrollment, Certificate) {
    let record = device(testing::id());
    let own = channel(record.id, "appleDevice", "UDID-1");
    let user = channel(record.id, "appleUser", "UDID-1:U");
    let identity = certificate(Some(record.id), "active");
    let rows = (record.clone(), own.clone(), user.clone(), identity.clone());
    store
        .write(tenant, move |tx| {
            devices::put(tx, tenant, &rows.0)?;
            enrollments::put(tx, tenant, &rows.1)?;
            enrollments::put(tx, tenant, &rows.2)?;
            certificates::insert(tx, tenant, &rows.3)
        })
        .await
        .unwrap();
    (record, own, user, identity)
}

on_both_engines! {
    async fn one_statement_tells_where_the_holder_of_a_certificate_stands(store) {
        let tenant = tenant(store).await;
        let (record, own, _, identity) = enrolled(store, tenant).await;
        let (id, enrollment, device) = (identity.id, own.id, record.id);
        let ask = async |protocol_id: &'static str| {
            store
                .read_single(tenant, move |tx| device_identities::standing(tx, tenant, id, protocol_id, NOW))
                .await
                .unwrap()
                .unwrap()
        };
        let standing = ask("UDID-1").await;
        assert_eq!((standing.device, standing.certificate_state.as_str()), (Some(device), "active"));
        assert_eq!(standing.device_protocol_id.as_deref(), Some("UDID-1"));
        let channel = standing.channel.unwrap();
        assert_eq!((channel.enrollment, channel.dirty, channel.head), (enrollment, true, None));
        assert_eq!(ask("UDID-1:U").await.channel.unwrap().channel, "appleUser");
        assert_eq!(ask("UDID-2").await.channel, None);

        let command = testing::id();
        store
            .write(tenant, move |tx| {
                device_states::mark_dirty(tx, tenant, enrollment)?;
                let computed = device_states::Computed {
                    enrollment, seq: 10, desired_hash: b"h".to_vec(), reported_hash: b"h".to_vec(),
                    declarations_token: None, at: NOW,
                };
                device_states::set_computed(tx, tenant, &[computed])?;
                let new = commands::NewCommand {
                    id: command, enrollment, device, request_type: "EraseDevice".into(), payload: "{}".into(),
                    origin: "action".into(), action: None, destructive: true, priority: 1, held: false,
                    not_before: 0, expires_at: None, now: NOW,
                };
                commands::enqueue(tx, tenant, &new)
            })
            .await
            .unwrap();
        let channel = ask("UDID-1").await.channel.unwrap();
        assert_eq!((channel.dirty, channel.head), (false, Some(command)));
        store
            .write(tenant, move |tx| {
                tx.execute(
                    "update organization set stop_epoch = 1 where tenant_id = $1", muster_storage::args![tenant],
                )
            })
            .await
            .unwrap();
        assert_eq!(ask("UDID-1").await.channel.unwrap().head, None, "nothing destructive while stopped");
    }

    async fn identities_are_bound_once_and_superseded_by_their_successor(store) {
        let tenant = tenant(store).await;
        let (record, own, _, former) = enrolled(store, tenant).await;
        let fresh = certificate(None, "issued");
        let (device, enrollment, old, new) = (record.id, own.id, former.id, fresh.id);
        store.write(tenant, move |tx| certificates::insert(tx, tenant, &fresh)).await.unwrap();
        let bind = async |to: Uuid| {
            store.write(tenant, move |tx| device_identities::bind(tx, tenant, new, to, enrollment)).await.unwrap()
        };
        assert!(bind(device).await);
        assert!(bind(device).await, "the same again");
        assert!(!bind(testing::id()).await, "another device");
        let superseded =
            store.write(tenant, move |tx| device_identities::activate(tx, tenant, device, new)).await.unwrap();
        assert_eq!(superseded, 1);
        let state = store.read(tenant, move |tx| certificates::by_id(tx, tenant, old)).await.unwrap().unwrap().state;
        assert_eq!(state, "superseded");
    }

    async fn a_session_is_bound_to_one_device(store) {
        let tenant = tenant(store).await;
        let session = EnrollmentSession {
            id: testing::id(), person_id: testing::id(), method: "byod".into(), owner_type: "personal".into(),
            enrollment_type: "userEnrollment".into(), platform: "unknown".into(), state: "open".into(),
            details: "{}".into(), created_at: NOW, expires_at: NOW + 10, ..Default::default()
        };
        let (id, device) = (session.id, testing::id());
        store.write(tenant, move |tx| enrollment_sessions::insert(tx, tenant, &session)).await.unwrap();
        let fetched = async || store.write(tenant, move |tx| enrollment_sessions::fetched(tx, tenant, id, "iOS")).await.unwrap();
        assert!(fetched().await && fetched().await);
        let bind = async |to: &'static str| {
            store.write(tenant, move |tx| enrollment_sessions::bind(tx, tenant, id, to, device)).await.unwrap()
        };
        assert!(bind("E-1").await && bind("E-1").await);
        assert!(!bind("E-2").await);
        assert!(!fetched().await, "a bound session gives out no further profile");
        let found = store.read(tenant, move |tx| enrollment_sessions::of_device(tx, tenant, device)).await.unwrap();
        assert_eq!(found.map(|session| session.id), Some(id));
        let closed =
            store.write(tenant, move |tx| enrollment_sessions::close_of_device(tx, tenant, device)).await.unwrap();
        assert_eq!(closed, 1);
        assert!(!bind("E-1").await);
        assert_eq!(store.write(tenant, move |tx| enrollment_sessions::prune(tx, tenant, NOW + 11)).await.unwrap(), 1);
    }

    async fn when_a_channel_was_heard_never_moves_back(store) {
        let tenant = tenant(store).await;
        let (record, own, ..) = enrolled(store, tenant).await;
        let (device, id) = (record.id, own.id);
        for at in [NOW + 5, NOW + 3] {
            store.write(tenant, move |tx| enrollments::touch(tx, tenant, id, at)).await.unwrap();
        }
        let seen = store.read(tenant, move |tx| enrollments::by_id(tx, tenant, id)).await.unwrap().unwrap();
        assert_eq!(seen.last_seen_at, Some(NOW + 5));
        let record = store.read(tenant, move |tx| devices::by_id(tx, tenant, device)).await.unwrap().unwrap();
        assert_eq!(record.last_sync_at, Some(NOW + 5));
        let silent = async |before: i64| {
            store.read(tenant, move |tx| enrollments::silent(tx, tenant, before, None, 10)).await.unwrap()
        };
        assert_eq!(silent(NOW + 5).await.len(), 1, "the user's channel was never heard");
        assert_eq!(silent(NOW + 6).await.len(), 2);
    }

    async fn a_push_state_is_not_written_over_newer_push_values(store) {
        let tenant = tenant(store).await;
        let (record, own, ..) = enrolled(store, tenant).await;
        let (device, id) = (record.id, own.id);
        let set = async |as_of: i64| {
            store
                .write(tenant, move |tx| enrollments::set_push_state(tx, tenant, id, "unreachable", as_of))
                .await
                .unwrap()
        };
        assert!(!set(NOW - 1).await);
        assert!(set(NOW).await);
        store
            .write(tenant, move |tx| {
                enrollments::set_declarative(tx, tenant, id)?;
                enrollments::set_state(tx, tenant, device, enrollments::state::LEFT)?;
                enrollments::forget_push(tx, tenant, device)?;
                enrollments::remove_users(tx, tenant, device)
            })
            .await
            .unwrap();
        let rest = store.read(tenant, move |tx| enrollments::of_device(tx, tenant, device)).await.unwrap();
        assert_eq!(rest.len(), 1);
        assert_eq!((rest[0].state.as_str(), rest[0].push_token.as_ref(), rest[0].declarative), ("left", None, true));
    }

    async fn devices_count_against_their_owners_limit(store) {
        let tenant = tenant(store).await;
        let person = Person {
            id: testing::id(), source: "local".into(), external_id: None,
            user_principal_name: "ada@example.org".into(), display_name: "Ada".into(), mail: None,
            account_enabled: true, licensed: true, managed_apple_account: None, document: "{}".into(),
            deleted_at: None, version: 1, created_at: NOW, modified_at: NOW,
        };
        let owner = person.id;
        let records: Vec<Device> =
            ["enrolled", "pending", "left"].map(|state| Device { state: state.into(), ..device(owner) }).into();
        let first = records[0].id;
        store
            .write(tenant, move |tx| {
                people::insert(tx, tenant, &person)?;
                records.iter().try_for_each(|record| devices::put(tx, tenant, record))
            })
            .await
            .unwrap();
        let count = async |except: Option<Uuid>| {
            store
                .write(tenant, move |tx| {
                    devices::lock_owner(tx, tenant, owner)?;
                    devices::count_for_limit(tx, tenant, owner, except)
                })
                .await
                .unwrap()
        };
        assert_eq!((count(None).await, count(Some(first)).await), (2, 1));
        let serial = store.read(tenant, move |tx| devices::live_by_serial(tx, tenant, "S-1")).await.unwrap();
        assert_eq!(serial.len(), 2);
        let changed = store
            .write(tenant, move |tx| devices::set_state(tx, tenant, first, "left", "retireIssued", Some(NOW), NOW))
            .await
            .unwrap();
        assert!(changed);
        assert_eq!(count(None).await, 1);
    }

    async fn a_tenant_has_one_push_certificate(store) {
        let (tenant, other) = (tenant(store).await, tenant(store).await);
        for topic in ["com.apple.mgmt.1", "com.apple.mgmt.2"] {
            let push = PushCertificate { topic: Some(topic.into()), modified_at: NOW, ..Default::default() };
            store.write(tenant, move |tx| push_certificates::put(tx, tenant, &push)).await.unwrap();
        }
        let found = store.read(tenant, move |tx| push_certificates::by_tenant(tx, tenant)).await.unwrap().unwrap();
        assert_eq!(found.topic.as_deref(), Some("com.apple.mgmt.2"));
        assert_eq!(store.read(other, move |tx| push_certificates::by_tenant(tx, other)).await.unwrap(), None);
    }
}
