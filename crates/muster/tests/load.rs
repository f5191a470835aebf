//! The load generator's prepared check-ins are what the server takes from a device.

mod support;

use std::sync::Arc;

use muster_swarm::load;
use support::{Engine, TestApp, on_both_engines};

on_both_engines!(prepared_check_ins_are_answered);

async fn prepared_check_ins_are_answered(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    let phone = app.enrolled_iphone(&ada).await;
    let prepared = load::idle(&mut *phone.lock().await).unwrap();
    let measured = load::run(app.stage.network.clone(), Arc::new(vec![prepared]), 2, 20).await.unwrap();
    assert_eq!((measured.answered, measured.failed), (20, 0));
    assert!(phone.see(|device| device.is_enrolled()).await);
    app.end().await;
}
