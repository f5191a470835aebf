//! What the messages of a device cost the database: an idle one a single statement outside a
//! transaction, every other one a single transaction beside it, whatever it brings and gets.

mod support;

use std::sync::{Arc, atomic::Ordering};

use muster_storage::{
    commands::{self, NewCommand},
    enrollments, testing,
};
use muster_swarm::load;
use support::{Engine, TestApp, on_both_engines};
use uuid::Uuid;

on_both_engines!(an_idle_check_in_is_one_statement, an_answer_is_taken_and_the_next_command_chosen_in_one_transaction);

/// Statements and commits of the server's store so far.
fn work(app: &TestApp) -> (u64, u64) {
    let counters = app.stage.service.store.counters();
    (counters.statements.load(Ordering::Relaxed), counters.commits.load(Ordering::Relaxed))
}

async fn an_idle_check_in_is_one_statement(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    let phone = app.enrolled_iphone(&ada).await;
    let prepared = Arc::new(vec![load::idle(&mut *phone.lock().await).unwrap()]);
    let before = work(&app);
    let measured = load::run(app.stage.network.clone(), prepared, 1, 10).await.unwrap();
    assert_eq!(measured.answered, 10);
    let after = work(&app);
    assert_eq!((after.0 - before.0, after.1 - before.1), (10, 0), "ten statements, no commit");
    app.end().await;
}

async fn an_answer_is_taken_and_the_next_command_chosen_in_one_transaction(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    let phone = app.enrolled_iphone(&ada).await;
    let device: Uuid = app.managed_device(&ada).await["id"].as_str().unwrap().parse().unwrap();
    let store = app.stage.service.store.clone();
    let tenant = app.stage.service.tenant_named(None).await.unwrap();
    let now = app.now();
    for _ in 0..2 {
        let id = testing::id();
        store
            .write(tenant, move |tx| {
                let channel = enrollments::device_channel(tx, tenant, device)?.unwrap();
                let new = NewCommand {
                    id,
                    enrollment: channel.id,
                    device,
                    request_type: "SecurityInfo".into(),
                    payload: "{}".into(),
                    origin: "inventory".into(),
                    action: None,
                    destructive: false,
                    priority: 40,
                    held: false,
                    not_before: 0,
                    expires_at: None,
                    now,
                };
                commands::enqueue(tx, tenant, &new)
            })
            .await
            .unwrap();
    }
    let before = work(&app);
    phone.check_in().await.unwrap();
    let after = work(&app);
    // Idle: standing, what was put off before, hand-out. Twice an answer: standing, out of the queue, into history, the query, the
    // device, its facts, hand-out; behind the last one nothing is left that was put off.
    assert_eq!((after.0 - before.0, after.1 - before.1), (3 + 2 * 7 + 1, 3), "statements, commits");
    assert_eq!(phone.see(|device| device.acknowledged("SecurityInfo")).await, 3);
    app.end().await;
}
