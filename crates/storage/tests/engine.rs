//! What the store promises of its closures, on both engines.

use muster_storage::{Error, Scope, TxExt, args, on_both_engines, testing};

on_both_engines! {
    async fn a_closure_commits_or_leaves_nothing(store) {
        let tenant = testing::id();
        let wrote = store.write(tenant, move |tx| {
            tx.execute("insert into timer (tenant_id, kind, subject_id, due_at) values ($1, 'a', $1, 5)", args![tenant])
        }).await;
        assert_eq!(wrote.unwrap(), 1);
        let refused: Result<(), Error> = store.write(tenant, move |tx| {
            tx.execute("delete from timer where tenant_id = $1", args![tenant])?;
            Err(Error::Engine("changed my mind".into()))
        }).await;
        assert!(refused.is_err());
        let panicked: Result<(), Error> = store.write(tenant, move |tx| {
            tx.execute("delete from timer where tenant_id = $1", args![tenant])?;
            panic!("broken closure")
        }).await;
        assert!(panicked.unwrap_err().to_string().contains("broken closure"));
        let left = store.read(tenant, move |tx| {
            tx.one("select count(*) from timer where tenant_id = $1", args![tenant], |row| row.int(0))
        }).await.unwrap();
        assert_eq!(left, Some(1));
    }

    async fn parameters_bind_by_number_not_by_order(store) {
        let tenant = testing::id();
        let row = store.read(Scope::Tenant(tenant), move |tx| {
            tx.one("select cast($2 as bigint), cast($1 as text), '$3'", args!["one", 2], |row| {
                Ok((row.int(0)?, row.text(1)?, row.text(2)?))
            })
        }).await.unwrap();
        assert_eq!(row, Some((2, "one".into(), "$3".into())));
    }

    async fn a_constraint_is_named_alike(store) {
        let tenant = testing::id();
        let twice: Result<(), Error> = store.write(tenant, move |tx| {
            for _ in 0..2 {
                tx.execute("insert into timer (tenant_id, kind, subject_id, due_at) values ($1, 'a', $1, 5)", args![tenant])?;
            }
            Ok(())
        }).await;
        assert!(matches!(&twice, Err(Error::Constraint(name)) if name == "timer_pkey"), "{twice:?}");
    }

    async fn a_failed_statement_ends_the_transaction(store) {
        let tenant = testing::id();
        let went_on: Result<(), Error> = store.write(tenant, move |tx| {
            let sql = "insert into timer (tenant_id, kind, subject_id, due_at) values ($1, 'a', $1, 5)";
            tx.execute(sql, args![tenant])?;
            let _ = tx.execute(sql, args![tenant]);
            Ok(())
        }).await;
        assert!(went_on.is_err());
        let left = store.read(tenant, move |tx| {
            tx.one("select count(*) from timer where tenant_id = $1", args![tenant], |row| row.int(0))
        }).await.unwrap();
        assert_eq!(left, Some(0));
    }

    async fn d7_a_statement_on_a_tenants_table_binds_the_tenant(store) {
        let (tenant, other) = (testing::id(), testing::id());
        let with = |scope: Scope, bound| store.read(scope, move |tx| {
            tx.one("select due_at from timer where tenant_id = $1", args![bound], |row| row.int(0))
        });
        assert!(with(tenant.into(), tenant).await.is_ok());
        assert!(with(tenant.into(), other).await.is_err());
        assert!(with(Scope::Server, tenant).await.is_err());
        let without = store.read(tenant, |tx| tx.one("select due_at from timer", &[], |row| row.int(0))).await;
        assert!(without.is_err());
    }

    async fn many_closures_share_commits_and_fail_alone(store) {
        let tenant = testing::id();
        let jobs: Vec<_> = (0..200i64).map(|n| {
            let subject = testing::id();
            let store = store.store.clone();
            tokio::spawn(async move {
                store.write(tenant, move |tx| {
                    tx.execute(
                        "insert into timer (tenant_id, kind, subject_id, due_at) values ($1, 'a', $2, $3)",
                        args![tenant, subject, n],
                    )?;
                    if n % 10 == 0 { Err(Error::Engine("refused".into())) } else { Ok(n) }
                }).await
            })
        }).collect();
        let mut done = 0;
        for job in jobs {
            done += i64::from(job.await.unwrap().is_ok());
        }
        assert_eq!(done, 180);
        let left = store.read(tenant, move |tx| {
            tx.one("select count(*) from timer where tenant_id = $1", args![tenant], |row| row.int(0))
        }).await.unwrap();
        assert_eq!(left, Some(180));
        let commits = store.counters().commits.load(std::sync::atomic::Ordering::Relaxed);
        assert!(commits < 180, "{commits} commits for 200 closures");
    }
}
