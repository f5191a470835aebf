//! A pending wipe and what the phone itself gets of it.

use axum::http::StatusCode;
use muster_apple::{Dictionary, Status};
use muster_domain::actions::Verb;
use muster_service::{
    RequestContext, actions::ActionRequest, devices::DeviceChange, guard::Decide, operators::NewKeyboardToken,
};
use uuid::Uuid;

use crate::{
    kit::{DAY, Site},
    lifecycle::drain,
};

/// An agreed wipe that waits for the phone to come.
async fn agreed_wipe(site: &Site, device: Uuid) -> Uuid {
    let company = serde_json::json!({ "managedDeviceOwnerType": "company" }).as_object().unwrap().clone();
    site.test.change_device(&site.actor, device, DeviceChange::Properties(company), None).await.unwrap();
    // The switch of owner counts once the cooling period is over.
    site.test.clock.advance(DAY + 1);
    let new = NewKeyboardToken { tenant: None, name: "second".into(), role: "owner".into(), user: None, life: None };
    let token = site.test.create_keyboard_token(new).await.unwrap();
    let second = site.test.authenticate_token(&token, &RequestContext::default()).await.unwrap();
    let asked = site.test.request_action(&site.actor, device, ActionRequest::bare(Verb::Wipe)).await.unwrap();
    site.test.decide_approval(&second, asked.approval.unwrap(), Decide::Approve).await.unwrap();
    asked.action
}

#[tokio::test]
async fn h8_a_wipe_that_waited_eight_days_is_not_given_to_the_phone() {
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    drain(&phone, &site).await;
    let device = site.test.device_ids_by_udid(site.actor.tenant, "UDID-1").await[0];
    agreed_wipe(&site, device).await;
    site.test.clock.advance(8 * DAY);
    // Nothing swept in between: the phone is simply the first to come.
    assert!(!drain(&phone, &site).await.contains(&"EraseDevice".to_owned()));
    site.test.run_due(site.test.clock.now_ms()).await.unwrap();
    assert!(!drain(&phone, &site).await.contains(&"EraseDevice".to_owned()));
    let results = site.test.action_results(site.actor.tenant, device).await.unwrap();
    assert_eq!(results.iter().find(|result| result.name == "wipe").unwrap().state.word(), "canceled");

    // In time it would have been given.
    agreed_wipe(&site, device).await;
    site.test.clock.advance(6 * DAY);
    assert!(drain(&phone, &site).await.contains(&"EraseDevice".to_owned()));
}

#[tokio::test]
async fn h8_a_wipe_dies_when_another_person_enrolls_the_phone_and_follows_the_same_one() {
    let site = Site::new().await;
    let (grace, eve) = (site.person("grace@example.org").await, site.person("eve@example.org").await);
    let phone = site.enrolled(grace, "UDID-1").await;
    drain(&phone, &site).await;
    let device = site.test.device_ids_by_udid(site.actor.tenant, "UDID-1").await[0];
    agreed_wipe(&site, device).await;
    let theirs = site.enrolled(eve, "UDID-1").await;
    assert!(!drain(&theirs, &site).await.contains(&"EraseDevice".to_owned()), "not on the other person's phone");
    assert!(!drain(&phone, &site).await.contains(&"EraseDevice".to_owned()), "nor by the old certificate");
    let events = site.test.events(site.actor.tenant).await;
    assert!(events.iter().any(|(kind, _)| kind == "action.diedAtTakeover"), "somebody is told");

    let mine = site.enrolled(grace, "UDID-2").await;
    drain(&mine, &site).await;
    let device = site.test.device_ids_by_udid(site.actor.tenant, "UDID-2").await[0];
    agreed_wipe(&site, device).await;
    let again = site.enrolled(grace, "UDID-2").await;
    let first = again.idle(&site).await.expect("the wipe comes first of all");
    assert_eq!(first.request.request_type, "EraseDevice");
    again.answer(&site, Status::Acknowledged, &first.uuid, Dictionary::new()).await;
    let gone = again.token_update(&site, 9).await;
    assert_ne!(gone.status, StatusCode::UNAUTHORIZED);
}
