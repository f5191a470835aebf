//! Jobs, leases, timers, outbox and lookups, on both engines.

use muster_storage::jobs::{self, NewJob};
use muster_storage::testing::TestStore;
use muster_storage::{Error, Scope, args, leases, lookups, on_both_engines, outbox, tenants, testing, timers};
use serde_json::json;
use uuid::Uuid;

const NOW: i64 = 1_767_225_600_000;
const LEASE: i64 = 60_000;

async fn enqueue(store: &TestStore, tenant: Uuid, key: Option<&'static str>, payload: &'static str, run_at: i64) {
    let id = testing::id();
    store
        .write(tenant, move |tx| {
            jobs::enqueue(tx, &NewJob { id, tenant, kind: "push", coalesce_key: key, payload, run_at, now: NOW })
        })
        .await
        .unwrap();
}

async fn claim(store: &TestStore, now: i64) -> (Uuid, Vec<jobs::Job>) {
    let claim = testing::id();
    let claimed = store.write(Scope::Server, move |tx| jobs::claim(tx, claim, now, LEASE, 10)).await.unwrap();
    (claim, claimed)
}

/// Lets every claim run out, whichever clock the engine's leases use.
async fn let_claims_run_out(store: &TestStore) {
    store
        .write(Scope::Server, |tx| tx.execute("update job set claimed_until = 1 where claim is not null", args![]))
        .await
        .unwrap();
}

on_both_engines! {
    async fn jobs_of_one_key_coalesce_while_they_wait(store) {
        let tenant = testing::id();
        enqueue(store, tenant, Some("phone"), "1", NOW + 5).await;
        enqueue(store, tenant, Some("phone"), "2", NOW).await;
        enqueue(store, tenant, Some("tablet"), "3", NOW).await;
        let (first, claimed) = claim(store, NOW).await;
        assert_eq!(claimed.iter().map(|job| job.payload.as_str()).collect::<Vec<_>>(), ["2", "3"]);
        // What comes while one runs waits behind it.
        enqueue(store, tenant, Some("phone"), "4", NOW).await;
        let (_, claimed_again) = claim(store, NOW).await;
        assert_eq!(claimed_again.iter().map(|job| job.payload.as_str()).collect::<Vec<_>>(), ["4"]);
        let id = claimed[0].id;
        assert!(store.write(Scope::Server, move |tx| jobs::finish(tx, id, first)).await.unwrap());
    }

    async fn a_job_whose_worker_died_runs_again_and_the_dead_one_cannot_finish_it(store) {
        let tenant = testing::id();
        enqueue(store, tenant, None, "{}", NOW).await;
        let (dead, claimed) = claim(store, NOW).await;
        assert_eq!(claimed.len(), 1);
        assert!(claim(store, NOW).await.1.is_empty());
        let_claims_run_out(store).await;
        let (living, again) = claim(store, NOW).await;
        assert_eq!((again.len(), again[0].attempts), (1, 2));
        let id = again[0].id;
        assert!(!store.write(Scope::Server, move |tx| jobs::finish(tx, id, dead)).await.unwrap());
        assert!(store.write(Scope::Server, move |tx| jobs::finish(tx, id, living)).await.unwrap());
    }

    async fn a_failed_job_waits_and_a_poisoned_one_is_set_aside(store) {
        let tenant = testing::id();
        enqueue(store, tenant, Some("key"), "{}", NOW).await;
        let (holder, claimed) = claim(store, NOW).await;
        let id = claimed[0].id;
        store.write(Scope::Server, move |tx| jobs::retry(tx, id, holder, NOW + 1_000, "no answer")).await.unwrap();
        assert!(claim(store, NOW).await.1.is_empty());
        assert_eq!(store.read(Scope::Server, jobs::next_due).await.unwrap(), Some(NOW + 1_000));
        let (holder, claimed) = claim(store, NOW + 1_000).await;
        assert_eq!(claimed[0].last_error.as_deref(), Some("no answer"));
        store.write(Scope::Server, move |tx| jobs::set_aside(tx, id, holder, "poison", NOW)).await.unwrap();
        assert!(claim(store, NOW + 10_000).await.1.is_empty());
        let aside = store.read(tenant, move |tx| jobs::set_aside_list(tx, tenant, 10)).await.unwrap();
        assert_eq!(aside.len(), 1);
        assert_eq!(store.read(Scope::Server, jobs::counts).await.unwrap(), (0, 1));
    }

    async fn a_failed_job_gives_way_to_a_newer_one_of_its_key(store) {
        let tenant = testing::id();
        enqueue(store, tenant, Some("key"), "old", NOW).await;
        let (holder, claimed) = claim(store, NOW).await;
        enqueue(store, tenant, Some("key"), "new", NOW).await;
        let id = claimed[0].id;
        assert!(store.write(Scope::Server, move |tx| jobs::retry(tx, id, holder, NOW, "no answer")).await.unwrap());
        let (_, claimed) = claim(store, NOW).await;
        assert_eq!(claimed.iter().map(|job| job.payload.as_str()).collect::<Vec<_>>(), ["new"]);
    }

    async fn a_lease_has_one_holder(store) {
        let (one, other) = (testing::id(), testing::id());
        let take = |holder| store.write(Scope::Server, move |tx| leases::take(tx, "sealer", holder, NOW, LEASE));
        assert!(take(one).await.unwrap());
        assert!(take(one).await.unwrap());
        assert!(!take(other).await.unwrap());
        assert!(store.write(Scope::Server, move |tx| leases::release(tx, "sealer", one)).await.unwrap());
        assert!(take(other).await.unwrap());
        store.write(Scope::Server, |tx| tx.execute("update lease set until = 1", args![])).await.unwrap();
        assert!(take(one).await.unwrap());
    }

    async fn a_timer_rings_once_at_its_last_time(store) {
        let (tenant, device) = (testing::id(), testing::id());
        let set = |due| store.write(tenant, move |tx| timers::set(tx, tenant, "leave", device, due, "{}"));
        set(NOW).await.unwrap();
        let early = store.read(tenant, move |tx| timers::due(tx, tenant, NOW, 10)).await.unwrap();
        set(NOW + 5).await.unwrap();
        let moved = early[0].clone();
        assert!(!store.write(tenant, move |tx| timers::take(tx, tenant, &moved)).await.unwrap());
        let due = store.read(tenant, move |tx| timers::due(tx, tenant, NOW + 5, 10)).await.unwrap();
        for expected in [true, false] {
            let timer = due[0].clone();
            assert_eq!(store.write(tenant, move |tx| timers::take(tx, tenant, &timer)).await.unwrap(), expected);
        }
        set(NOW).await.unwrap();
        assert_eq!(store.read(tenant, move |tx| timers::due_at(tx, tenant, "leave", device)).await.unwrap(), Some(NOW));
        assert!(store.write(tenant, move |tx| timers::clear(tx, tenant, "leave", device)).await.unwrap());
    }

    async fn events_are_read_in_order_behind_a_cursor(store) {
        let tenant = testing::id();
        let ids: Vec<Uuid> = (0..3).map(|_| testing::id()).collect();
        for (at, id) in ids.clone().into_iter().enumerate() {
            store.write(tenant, move |tx| {
                outbox::emit(tx, tenant, id, "enrolled", "device", Some(id), "{}", NOW + at as i64)
            }).await.unwrap();
        }
        let read = |position, settled| store.read(tenant, move |tx| outbox::after(tx, tenant, position, settled, 10));
        let kinds = |events: Vec<outbox::Event>| events.into_iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(kinds(read(None, NOW + 1).await.unwrap()), ids[..2]);
        assert_eq!(kinds(read(Some(ids[0]), NOW + 9).await.unwrap()), ids[1..]);
        for position in [ids[1], ids[0]] {
            store.write(tenant, move |tx| outbox::advance(tx, tenant, "console", position)).await.unwrap();
        }
        let cursor = store.read(tenant, move |tx| outbox::cursor(tx, tenant, "console")).await.unwrap();
        assert_eq!(cursor, Some(ids[1]));
        assert_eq!(store.write(tenant, move |tx| outbox::prune(tx, tenant, NOW + 2, 10)).await.unwrap(), 2);
    }

    async fn a_hash_leads_to_one_record(store) {
        let (tenant, subject, other) = (testing::id(), testing::id(), testing::id());
        let put = |subject, until| {
            store.write(Scope::Server, move |tx| lookups::put(tx, "token", &[1; 32], tenant, subject, until))
        };
        put(subject, None).await.unwrap();
        put(subject, Some(NOW)).await.unwrap();
        assert!(matches!(put(other, None).await, Err(Error::Constraint(_))));
        let found = store.read(Scope::Server, |tx| lookups::find(tx, "token", &[1; 32])).await.unwrap().unwrap();
        assert_eq!((found.tenant, found.subject, found.expires_at), (tenant, subject, Some(NOW)));
        assert_eq!(store.write(Scope::Server, |tx| lookups::remove_expired(tx, NOW, 10)).await.unwrap(), 1);
        put(other, None).await.unwrap();
        let gone = store.write(Scope::Server, move |tx| lookups::remove_subject(tx, tenant, "token", other)).await;
        assert_eq!(gone.unwrap(), 1);
        assert!(store.read(Scope::Server, |tx| lookups::find(tx, "token", &[1; 32])).await.unwrap().is_none());
    }

    async fn a_tenant_has_settings_domains_and_one_authority(store) {
        let (tenant, other) = (testing::id(), testing::id());
        for id in [tenant, other] {
            store.write(id, move |tx| {
                tenants::insert(tx, &tenants::Tenant { id, name: "Example".into(), created_at: NOW })
            }).await.unwrap();
        }
        for (key, value) in [("a", json!(1)), ("b", json!("two")), ("a", json!(null))] {
            store.write(tenant, move |tx| tenants::set_setting(tx, tenant, key, value.clone())).await.unwrap();
        }
        let settings = store.read(tenant, move |tx| {
            Ok::<_, Error>((tenants::setting(tx, tenant, "a")?, tenants::setting(tx, tenant, "b")?))
        }).await.unwrap();
        assert_eq!(settings, (None, Some(json!("two"))));
        for (owner, expected) in [(tenant, true), (other, false)] {
            let added = store.write(owner, move |tx| tenants::add_domain(tx, owner, "Example.com", NOW)).await.unwrap();
            assert_eq!(added, expected);
        }
        let owner = store.read(Scope::Server, |tx| tenants::by_domain(tx, "EXAMPLE.com")).await.unwrap();
        assert_eq!(owner, Some(tenant));
        let stop = |from| store.write(tenant, move |tx| tenants::raise_stop_epoch(tx, tenant, from));
        assert!(stop(0).await.unwrap());
        assert!(!stop(0).await.unwrap());
        let organization = store.read(tenant, move |tx| tenants::organization(tx, tenant)).await.unwrap().unwrap();
        assert!(organization.is_stopped());
    }
}
