//! From the profile to a command that was acknowledged, and out again.

use axum::http::{StatusCode, header};
use muster_apple::{CheckIn, Dictionary, EnrollmentIds, Status, check_in::*};

use crate::kit::{Phone, Site};

/// Answers everything until nothing is left; the request types in order.
pub(crate) async fn drain(phone: &Phone, site: &Site) -> Vec<String> {
    let mut seen = Vec::new();
    let mut next = phone.idle(site).await;
    while let Some(command) = next {
        seen.push(command.request.request_type.clone());
        assert!(seen.len() < 50, "{seen:?}");
        next = phone.answer(site, Status::Acknowledged, &command.uuid, Dictionary::new()).await;
    }
    seen
}

#[tokio::test]
async fn a_phone_enrolls_and_gets_to_work() {
    let site = Site::new().await;
    let ada = site.person("grace@example.org").await;
    let phone = site.phone(ada, "UDID-1").await;
    let answer = phone.authenticate(&site).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0), "{}", answer.text());
    assert_eq!(answer.headers[header::CONTENT_LENGTH], "0");
    // Before TokenUpdate there is nothing to do.
    assert!(phone.idle(&site).await.is_none());
    assert_eq!(phone.token_update(&site, 1).await.status, StatusCode::OK);
    site.test.run_due(site.test.clock.now_ms()).await.unwrap();
    let pushed = site.test.push.sent.lock().unwrap().clone();
    assert_eq!((pushed.len(), pushed[0].magic.as_str()), (1, "magic-1"));
    let seen = drain(&phone, &site).await;
    assert!(seen.contains(&"DeclarativeManagement".into()) && seen.contains(&"DeviceInformation".into()), "{seen:?}");
    assert!(phone.idle(&site).await.is_none());
    let alerts = site.alerts().await;
    assert!(alerts.is_empty(), "{alerts:?}");
}
