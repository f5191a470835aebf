//! The audit log and tenant isolation, on both engines; what only PostgreSQL enforces, on it.

use muster_storage::audit::{self, Checkpoint, Entry, Link, Page, Resource};
use muster_storage::testing::TestStore;
use muster_storage::{Error, TxExt, args, migrate, on_both_engines, testing, timers};
use uuid::Uuid;

const NOW: i64 = 1_767_225_600_000;

fn entry(actor: Uuid, name: &str) -> Entry {
    Entry {
        id: testing::id(),
        salt: [3; 16],
        activity: "wipe".into(),
        activity_type: "Action managedDevice".into(),
        operation: "Action".into(),
        category: "Device".into(),
        component: "managedDevice".into(),
        success: true,
        actor_kind: "operator".into(),
        actor_id: Some(actor),
        actor_name: Some(name.into()),
        actor_address: Some("192.0.2.7".into()),
        reason: None,
        correlation: None,
        resources: vec![Resource {
            kind: "managedDevice".into(),
            id: "1".into(),
            name: Some("Anna's phone".into()),
            modified: vec![("notes".into(), None, Some("lost in a taxi".into()))],
        }],
        at: NOW,
    }
}

async fn record(store: &TestStore, tenant: Uuid, entry: Entry) -> Uuid {
    let id = entry.id;
    store.write(tenant, move |tx| audit::record(tx, tenant, &entry)).await.unwrap();
    id
}

async fn chain(store: &TestStore, tenant: Uuid) -> Vec<Link> {
    store.read(tenant, move |tx| audit::links(tx, tenant, 0, &[], 100)).await.unwrap()
}

async fn sealed(store: &TestStore, count: usize) -> (Uuid, Uuid, Vec<Uuid>) {
    let (tenant, actor) = (testing::id(), testing::id());
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(record(store, tenant, entry(actor, "anna@example.com")).await);
    }
    let rows = store.write(tenant, move |tx| audit::seal(tx, tenant, 100)).await.unwrap();
    assert_eq!(rows, count as u64);
    (tenant, actor, ids)
}

on_both_engines! {
    async fn records_are_sealed_in_order_and_verify(store) {
        let (tenant, actor, ids) = sealed(store, 3).await;
        let links = chain(store, tenant).await;
        assert_eq!(links.iter().map(|link| link.audit).collect::<Vec<_>>(), ids);
        assert!(links.iter().all(Link::is_intact));
        // The second batch continues the chain.
        record(store, tenant, entry(actor, "anna@example.com")).await;
        assert_eq!(store.read(tenant, move |tx| audit::unsealed(tx, tenant, 9)).await.unwrap(), 1);
        store.write(tenant, move |tx| audit::seal(tx, tenant, 100)).await.unwrap();
        let links = chain(store, tenant).await;
        assert_eq!(links.len(), 4);
        assert!(links.iter().all(Link::is_intact));
        let (n, hash) = store.read(tenant, move |tx| audit::tail(tx, tenant)).await.unwrap();
        let behind = store.read(tenant, {
            let previous = links[1].hash.clone();
            move |tx| audit::links(tx, tenant, 2, &previous, 100)
        }).await.unwrap();
        assert_eq!((n, &hash, behind.len()), (4, &links[3].hash, 2));
        assert!(behind.iter().all(Link::is_intact));
        assert!(store.read(tenant, move |tx| audit::strays(tx, tenant, 9)).await.unwrap().is_empty());
    }

    async fn i1_erasing_a_person_keeps_the_chain_whole(store) {
        let (tenant, actor, ids) = sealed(store, 2).await;
        assert!(store.dump().contains("anna@example.com"));
        let erased = store.write(tenant, move |tx| audit::erase_person(tx, tenant, actor, NOW, 100)).await.unwrap();
        assert_eq!(erased, 2);
        for canary in ["anna@example.com", "192.0.2.7", "Anna", "taxi"] {
            assert!(!store.dump().contains(canary), "{canary}");
        }
        assert!(chain(store, tenant).await.iter().all(Link::is_intact));
        let id = ids[0];
        let row = store.read(tenant, move |tx| audit::by_id(tx, tenant, id)).await.unwrap().unwrap();
        assert_eq!((row.activity.as_str(), row.personal), ("wipe", serde_json::Value::Null));
    }

    async fn i2_a_refused_effect_leaves_no_audit_row_and_a_lost_row_no_effect(store) {
        let (tenant, actor) = (testing::id(), testing::id());
        let refused: Result<(), Error> = store.write(tenant, move |tx| {
            timers::set(tx, tenant, "wipe", actor, NOW, "{}")?;
            audit::record(tx, tenant, &entry(actor, "anna@example.com"))?;
            Err(Error::Engine("fault between".into()))
        }).await;
        assert!(refused.is_err());
        let twice = entry(actor, "anna@example.com");
        record(store, tenant, twice.clone()).await;
        let lost = store.write(tenant, move |tx| {
            timers::set(tx, tenant, "wipe", actor, NOW, "{}")?;
            audit::record(tx, tenant, &twice)
        }).await;
        assert!(matches!(&lost, Err(Error::Constraint(name)) if name == "audit_pkey"), "{lost:?}");
        let (timer, rows) = store.read(tenant, move |tx| {
            let rows = audit::list(tx, tenant, &Page { limit: 10, ..Page::default() })?;
            Ok::<_, Error>((timers::due_at(tx, tenant, "wipe", actor)?, rows))
        }).await.unwrap();
        assert_eq!((timer, rows.len()), (None, 1));
    }

    async fn the_log_is_listed_newest_first_in_pages(store) {
        let (tenant, actor) = (testing::id(), testing::id());
        let mut ids = Vec::new();
        for n in 0..5 {
            let category = if n % 2 == 0 { "Device" } else { "Role" };
            ids.push(record(store, tenant, Entry { at: NOW + n, category: category.into(), ..entry(actor, "a") }).await);
        }
        ids.reverse();
        let list = |page: Page<'static>| store.read(tenant, move |tx| audit::list(tx, tenant, &page));
        let first = list(Page { limit: 3, ..Page::default() }).await.unwrap();
        let last = first.last().unwrap();
        let second = list(Page { limit: 3, behind: Some((last.at, last.id)), ..Page::default() }).await.unwrap();
        let seen: Vec<Uuid> = first.iter().chain(&second).map(|row| row.id).collect();
        assert_eq!(seen, ids);
        assert_eq!(list(Page { limit: 9, category: Some("Role"), ..Page::default() }).await.unwrap().len(), 2);
        assert_eq!(list(Page { limit: 9, from: Some(NOW + 4), ..Page::default() }).await.unwrap().len(), 1);
        assert_eq!(first[0].personal["names"][0], "Anna's phone");
    }

    async fn a_checkpoint_stands(store) {
        let (tenant, ..) = sealed(store, 1).await;
        for (hash, expected) in [(vec![1], true), (vec![2], false)] {
            let point = Checkpoint { n: 1, hash, signature: vec![9], at: NOW };
            let added = store.write(tenant, move |tx| audit::add_checkpoint(tx, tenant, &point)).await.unwrap();
            assert_eq!(added, expected);
        }
        let points = store.read(tenant, move |tx| audit::checkpoints(tx, tenant, 0, 10)).await.unwrap();
        assert_eq!(points.iter().map(|point| point.hash.clone()).collect::<Vec<_>>(), [vec![1]]);
    }

    async fn i1_a_touched_record_is_named(store) {
        let (tenant, _, ids) = sealed(store, 3).await;
        let changed = ids[1];
        match store.database() {
            Some(database) => {
                let id = format!("set muster.tenant = '{tenant}'; update audit set result = 'Failure' where id = '{changed}'");
                database.batch_as_owner(&id).unwrap();
            }
            None => {
                store.write(tenant, move |tx| {
                    tx.execute("update audit set result = 'Failure' where tenant_id = $1 and id = $2", args![tenant, changed])
                }).await.unwrap();
            }
        }
        let touched: Vec<Uuid> = chain(store, tenant).await.iter().filter(|link| !link.is_intact()).map(|l| l.audit).collect();
        assert_eq!(touched, [changed]);
    }

    async fn m6_both_engines_have_the_tables_of_the_text(store) {
        for (table, columns) in testing::tables() {
            let list = format!("select {} from {table} limit 0", columns.join(", "));
            assert_eq!(store.prepare(&[list]), []);
        }
    }
}

/// Runs with a PostgreSQL store, or says that it was skipped.
fn on_postgres(test: &str, body: impl AsyncFnOnce(&TestStore)) {
    match testing::postgres_store() {
        Some(store) => testing::block_on(body(&store)),
        None => testing::skipped(test, "MUSTER_TEST_POSTGRES is not set"),
    }
}

fn tenant_tables() -> Vec<String> {
    let all = testing::tables().into_iter().map(|(table, _)| table);
    all.filter(|table| !migrate::SERVER_WIDE.contains(&table.as_str())).collect()
}

#[test]
fn d7_postgres_shows_no_row_without_the_tenant_and_takes_none() {
    on_postgres("d7_postgres_shows_no_row_without_the_tenant", async |store| {
        let (tenant, ..) = sealed(store, 1).await;
        store.write(tenant, move |tx| timers::set(tx, tenant, "x", tenant, NOW, "{}")).await.unwrap();
        let database = store.database().unwrap();
        let other = testing::id();
        for table in tenant_tables() {
            for run in [&|sql: &str| database.sql_as_server(sql), &|sql: &str| database.sql_as_owner(sql)]
                as [&dyn Fn(&str) -> Result<u64, String>; 2]
            {
                assert_eq!(run(&format!("select * from {table}")), Ok(0), "{table} without a tenant");
            }
        }
        let visible = |tenant: Uuid| {
            store.read(tenant, move |tx| {
                // The other tenant's id is bound as well, so that only the database can tell them apart.
                tx.one("select count(*) from timer where tenant_id <> $1 or tenant_id = $1", args![tenant], |row| {
                    row.int(0)
                })
            })
        };
        assert_eq!(visible(tenant).await.unwrap(), Some(1));
        assert_eq!(visible(other).await.unwrap(), Some(0));
        let smuggled = store
            .write(other, move |tx| {
                tx.execute(
                    "insert into timer (tenant_id, kind, subject_id, due_at) values ($1, 'x', $2, 1)",
                    args![tenant, other],
                )
            })
            .await;
        assert!(smuggled.unwrap_err().to_string().contains("row-level security"));
        let refused = database.sql_as_server(&format!(
            "insert into timer (tenant_id, kind, subject_id, due_at) values ('{tenant}', 'y', '{tenant}', 1)"
        ));
        assert!(refused.unwrap_err().contains("row-level security"));
    });
}

#[test]
fn i1_the_servers_role_can_only_add_to_the_audit_log() {
    on_postgres("i1_the_servers_role_can_only_add_to_the_audit_log", async |store| {
        let database = store.database().unwrap();
        for table in migrate::APPEND_ONLY {
            for sql in [
                format!("update {table} set tenant_id = tenant_id"),
                format!("delete from {table}"),
                format!("truncate {table}"),
            ] {
                let refused = database.sql_as_server(&sql).unwrap_err();
                assert!(refused.contains("permission denied"), "{sql}: {refused}");
            }
        }
        for sql in
            ["alter table audit no force row level security", "drop policy audit_tenant on audit", "drop table audit"]
        {
            assert!(database.sql_as_server(sql).unwrap_err().contains("must be owner"), "{sql}");
        }
    });
}

#[test]
fn d7_a_role_that_bypasses_row_level_security_is_refused() {
    on_postgres("d7_a_role_that_bypasses_row_level_security_is_refused", async |store| {
        let url = store.database().unwrap().url.replace("muster_app", "postgres");
        let refused = muster_storage::Store::open_postgres(&url, None).unwrap_err();
        assert!(refused.to_string().contains("bypasses row-level security"), "{refused}");
    });
}

#[test]
fn the_connection_to_postgres_is_encrypted_and_its_certificate_checked() {
    let test = "the_connection_to_postgres_is_encrypted";
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(url), Some(root), Some(migrate)) = (
        variable("MUSTER_TEST_POSTGRES_TLS"),
        variable("MUSTER_TEST_POSTGRES_ROOT"),
        variable("MUSTER_TEST_POSTGRES_MIGRATE"),
    ) else {
        return testing::skipped(test, "MUSTER_TEST_POSTGRES_TLS is not set");
    };
    let untrusted = muster_storage::Store::open_postgres(&url, Some(&migrate)).unwrap_err().to_string();
    assert!(untrusted.contains("certificate"), "{untrusted}");
    let store = muster_storage::Store::open_postgres(&format!("{url}&sslrootcert={root}"), Some(&migrate)).unwrap();
    let encrypted = testing::block_on(store.read(muster_storage::Scope::Server, |tx| {
        tx.one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[], |row| row.bool(0))
    }));
    assert_eq!(encrypted.unwrap(), Some(true));
}
