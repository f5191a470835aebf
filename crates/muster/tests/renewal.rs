//! Before its identity ends a device gets a new one through its enrollment profile, stays the same
//! device, and keeps everything it has.

mod support;

use muster::demo::scenery::all_devices;
use support::{Engine, HOUR, TestApp, on_both_engines};

on_both_engines!(renewal);

async fn renewal(engine: Engine) {
    let app = TestApp::new(engine).await;
    let (ada, ben) = (app.user("Ada").await, app.user("Ben").await);
    app.web_clip("Intranet", all_devices()).await;
    let phone = app.enrolled_iphone(&ada).await;
    let own = app.iphone("Ben").await;
    app.enroll_account_driven(&own, &ben).await.unwrap();
    app.settle().await;

    for (phone, user) in [(&phone, &ada), (&own, &ben)] {
        let before = app.managed_device(user).await;
        let (certificate, ends) = phone
            .see(|device| {
                let identity = &device.management.as_ref().unwrap().identity;
                (identity.certificate.clone(), identity.decoded().not_after())
            })
            .await;
        // Ten days before it ends.
        let ahead = ends - app.now() - 10 * 24 * HOUR;
        if ahead > 0 {
            app.advance(ahead).await;
        }
        app.settle().await;
        let after = phone
            .see(|device| {
                let identity = &device.management.as_ref().unwrap().identity;
                (identity.certificate.clone(), identity.decoded().not_after())
            })
            .await;
        assert!(after.0 != certificate, "a new identity");
        assert!(after.1 > ends, "that ends later");
        assert!(phone.see(|device| device.is_enrolled()).await);
        assert!(phone.has_web_clip("Intranet").await);
        assert_eq!(app.managed_device(user).await["id"], before["id"]);

        // It goes on with the new one.
        app.act(&app.api, &before, "syncDevice", &serde_json::json!({})).await.ok().unwrap();
        app.settle().await;
        assert!(phone.see(|device| device.is_enrolled()).await);
    }
    app.end().await;
}
