//! Jobs, timers and the sealed audit log, with a clock moved by hand, on both engines.

use muster_service::audit::{Act, Finding, subject};
use muster_service::testing::{START, TestService, service_with, settings};
use muster_storage::audit::Entry;
use muster_storage::jobs::{self, NewJob};
use muster_storage::testing::TestStore;
use muster_storage::{Scope, TxExt, args, audit, outbox, tenants, testing, timers};
use uuid::Uuid;

const ACT: Act = Act { operation: "Action", activity: "wipe", category: "Device", component: "managedDevice" };

/// A service over each engine in turn; PostgreSQL only where there is one.
fn on_both(test: &str, body: impl AsyncFn(TestService)) {
    testing::block_on(body(service_with(testing::store(), settings())));
    match testing::postgres_store() {
        Some(store) => testing::block_on(body(service_with(store, settings()))),
        None => testing::skipped(test, "MUSTER_TEST_POSTGRES is not set"),
    }
}

async fn tenant(service: &TestService) -> Uuid {
    let id = service.random.id(START);
    let tenant = tenants::Tenant { id, name: "Example".into(), created_at: START };
    service.store.write(id, move |tx| tenants::insert(tx, &tenant)).await.unwrap();
    id
}

async fn enqueue(service: &TestService, tenant: Uuid, kind: &'static str, payload: String) {
    let id = service.random.id(START);
    service
        .store
        .write(tenant, move |tx| {
            let new = NewJob { id, tenant, kind, coalesce_key: None, payload: &payload, run_at: START, now: START };
            jobs::enqueue(tx, &new)
        })
        .await
        .unwrap();
}

async fn record(service: &TestService, tenant: Uuid, person: Uuid) -> Entry {
    let mut entry = service.audit_entry_by_system(ACT, START);
    entry.actor_id = Some(person);
    entry.actor_name = Some("anna@example.com".into());
    entry.resources.push(subject("managedDevice", person, Some("Anna's phone")));
    let written = entry.clone();
    service.store.write(tenant, move |tx| audit::record(tx, tenant, &written)).await.unwrap();
    entry
}

#[test]
fn a_due_timer_becomes_a_job_and_the_job_is_done_once() {
    on_both("a_due_timer_becomes_a_job", async |service| {
        let tenant = tenant(&service).await;
        let person = service.random.id(START);
        record(&service, tenant, person).await;
        let payload = serde_json::json!({"person": person}).to_string();
        enqueue(&service, tenant, "audit.erase", payload).await;
        assert_eq!(service.run_due(START).await.unwrap(), 1);
        assert_eq!(service.run_due(START).await.unwrap(), 0);
        assert!(!service.database.dump().contains("anna@example.com"));
        assert!(service.verify_audit(tenant).await.unwrap().is_intact());

        service
            .store
            .write(tenant, move |tx| timers::set(tx, tenant, "unknown", person, START + 10, "{}"))
            .await
            .unwrap();
        assert_eq!(service.run_due(START + 9).await.unwrap(), 0);
        assert_eq!(service.run_due(START + 10).await.unwrap(), 1);
    });
}

#[test]
fn a_poisoned_job_is_set_aside_and_alerted_and_others_go_on() {
    on_both("a_poisoned_job_is_set_aside", async |service| {
        let tenant = tenant(&service).await;
        enqueue(&service, tenant, "audit.erase", "not json".into()).await;
        let mut now = START;
        let mut runs = 0;
        while runs < 10 {
            now += 3_600_000;
            runs += service.run_due(now).await.unwrap();
        }
        assert_eq!(service.run_due(now + 3_600_000).await.unwrap(), 0);
        let aside = service.store.read(tenant, move |tx| jobs::set_aside_list(tx, tenant, 10)).await.unwrap();
        assert_eq!((aside.len(), aside[0].attempts), (1, 10));
        let events = service.store.read(tenant, move |tx| outbox::after(tx, tenant, None, i64::MAX, 10)).await.unwrap();
        assert_eq!(events[0].kind, "jobSetAside");
        let payload = serde_json::json!({"person": tenant}).to_string();
        enqueue(&service, tenant, "audit.erase", payload).await;
        assert_eq!(service.run_due(now).await.unwrap(), 1);
    });
}

#[test]
fn the_runner_is_woken_by_a_commit_and_drains_on_stop() {
    on_both("the_runner_is_woken_by_a_commit", async |service| {
        let tenant = tenant(&service).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let runner = tokio::spawn(service.service.clone().run_jobs(stop.clone()));
        for _ in 0..20 {
            enqueue(&service, tenant, "audit.erase", serde_json::json!({"person": tenant}).to_string()).await;
        }
        while service.store.read(Scope::Server, jobs::counts).await.unwrap() != (0, 0) {}
        stop.cancel();
        runner.await.unwrap();
    });
}

/// Changes a row behind the server's back, as a superuser or an editor of the file would.
async fn tamper(database: &TestStore, tenant: Uuid, sql: &'static str) {
    match database.database() {
        Some(postgres) => {
            let bound = sql.replace("$1", &format!("'{tenant}'"));
            postgres.batch_as_owner(&format!("set muster.tenant = '{tenant}'; {bound}")).unwrap();
        }
        None => {
            database.write(tenant, move |tx| tx.execute(sql, args![tenant])).await.unwrap();
        }
    }
}

async fn log_of_five(service: &TestService) -> Uuid {
    let tenant = tenant(service).await;
    for _ in 0..5 {
        record(service, tenant, tenant).await;
    }
    service.checkpoint_audit(tenant, START).await.unwrap();
    let report = service.verify_audit(tenant).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.links, report.checkpoints, report.unsealed), (5, 1, 0));
    tenant
}

#[test]
fn i1_verify_names_a_changed_record_a_cut_tail_and_a_forged_checkpoint() {
    on_both("i1_verify_names", async |service| {
        let one = log_of_five(&service).await;
        tamper(&service.database, one, "update audit set result = 'Failure' where tenant_id = $1 and id in (select audit_id from audit_chain where tenant_id = $1 and n = 2)").await;
        let findings = service.verify_audit(one).await.unwrap().findings;
        assert!(matches!(findings[..], [Finding::Changed { n: 2, .. }]), "{findings:?}");

        let two = log_of_five(&service).await;
        tamper(&service.database, two, "delete from audit_chain where tenant_id = $1 and n = 5").await;
        let findings = service.verify_audit(two).await.unwrap().findings;
        assert!(matches!(findings[..], [Finding::Checkpoint { n: 5 }, Finding::Stray { .. }]), "{findings:?}");

        let three = log_of_five(&service).await;
        tamper(&service.database, three, "delete from audit where tenant_id = $1 and id in (select audit_id from audit_chain where tenant_id = $1 and n = 3)").await;
        let findings = service.verify_audit(three).await.unwrap().findings;
        assert!(matches!(findings[..], [Finding::Missing { n: 3, .. }]), "{findings:?}");

        let four = log_of_five(&service).await;
        tamper(&service.database, four, "update audit_checkpoint set n = 4, hash = (select c.hash from audit_chain c where c.tenant_id = $1 and c.n = 4) where tenant_id = $1").await;
        let findings = service.verify_audit(four).await.unwrap().findings;
        assert!(matches!(findings[..], [Finding::Signature { n: 4 }]), "{findings:?}");

        let five = log_of_five(&service).await;
        tamper(
            &service.database,
            five,
            "update audit_person set fields = '{\"actorName\":\"mallory\"}' where tenant_id = $1",
        )
        .await;
        assert_eq!(service.verify_audit(five).await.unwrap().found, 5);
    });
}

#[test]
fn i1_a_chain_written_anew_is_found_by_checkpoints_kept_elsewhere() {
    on_both("i1_a_chain_written_anew", async |service| {
        let tenant = log_of_five(&service).await;
        let kept = service.audit_checkpoints(tenant).await.unwrap();
        let lines: Vec<String> = kept.iter().map(ToString::to_string).collect();
        let read: Vec<_> = lines.iter().map(|line| line.parse().unwrap()).collect();
        assert_eq!((kept.len(), &read), (1, &kept), "a line reads what it was written from");
        assert!(service.verify_audit_against(tenant, read).await.unwrap().is_intact());

        // Who has database and key file leaves a row out and lets the server seal the rest anew.
        for sql in [
            "delete from audit_checkpoint where tenant_id = $1",
            "delete from audit where tenant_id = $1 and id in (select audit_id from audit_chain where tenant_id = $1 and n = 3)",
            "insert into audit_unsealed (tenant_id, audit_id) select tenant_id, id from audit where tenant_id = $1",
            "delete from audit_chain where tenant_id = $1",
        ] {
            tamper(&service.database, tenant, sql).await;
        }
        record(&service, tenant, tenant).await;
        service.checkpoint_audit(tenant, START).await.unwrap();
        assert!(service.verify_audit(tenant).await.unwrap().is_intact(), "by itself it looks whole");
        let findings = service.verify_audit_against(tenant, kept).await.unwrap().findings;
        assert_eq!(findings, [Finding::Kept { n: 5 }]);
    });
}

#[test]
fn i1_two_sealers_make_one_chain() {
    on_both("i1_two_sealers_make_one_chain", async |service| {
        let tenant = tenant(&service).await;
        for _ in 0..50 {
            record(&service, tenant, tenant).await;
        }
        let other = service.service.clone();
        let (one, two) = tokio::join!(service.seal_audit(tenant), other.seal_audit(tenant));
        one.and(two).unwrap();
        service.seal_audit(tenant).await.unwrap();
        let report = service.verify_audit(tenant).await.unwrap();
        assert!(report.is_intact(), "{report:?}");
        assert_eq!(report.links, 50);
    });
}

#[test]
fn retention_removes_what_was_kept_long_enough() {
    on_both("retention_removes", async |service| {
        let tenant = tenant(&service).await;
        let event = service.random.id(START);
        service
            .store
            .write(tenant, move |tx| outbox::emit(tx, tenant, event, "enrolled", "device", None, "{}", START))
            .await
            .unwrap();
        let events = || {
            service.store.read(tenant, move |tx| {
                tx.one("select count(*) from outbox where tenant_id = $1", args![tenant], |row| row.int(0))
            })
        };
        service.run_due(START + 1).await.unwrap();
        assert_eq!(events().await.unwrap(), Some(1));
        service.run_due(START + 8 * 86_400_000).await.unwrap();
        assert_eq!(events().await.unwrap(), Some(0));
    });
}
