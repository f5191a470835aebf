//! Account-driven enrollment from discovery to the managed device: threats B1, B3, B10.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use muster_apple::{
    CommandResult, EnrollmentIds,
    discovery::{self, Version},
    enrollment_profile::Mode,
    machine_info::MachineInfo,
    profile::Scope,
    refusal::Refusal,
};
use muster_pki::{Name, Usage};
use muster_service::apple::enrollment::Entry;

use crate::{
    kit::{Answer, Phone, Site, certificate},
    lifecycle::drain,
};

fn info() -> MachineInfo {
    MachineInfo {
        language: Some("en".into()),
        product: "iPhone14,5".into(),
        version: "22C161".into(),
        ..Default::default()
    }
}

pub async fn post(site: &Site, path: &str, body: Vec<u8>, bearer: Option<&str>) -> Answer {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/pkcs7-signature");
    if let Some(bearer) = bearer {
        request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
    }
    site.send(&site.public, request.body(Body::from(body)).unwrap()).await
}

async fn discover(site: &Site, user: &str) -> Answer {
    let path =
        format!("{}?user-identifier={}&model-family=iPhone", discovery::WELL_KNOWN_PATH, user.replace('@', "%40"));
    site.send(&site.public, Request::get(path).body(Body::empty()).unwrap()).await
}

pub const BYOD: &str = "/mdm/apple/enroll/byod";

#[tokio::test]
async fn an_account_leads_to_a_user_enrollment() {
    let site = Site::new().await;
    let person = site.person("grace@example.org").await;
    let answer = discover(&site, "grace@example.org").await;
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
    let server = discovery::decode(&answer.body).unwrap();
    assert_eq!((server.version, server.base_url.ends_with(BYOD)), (Version::Byod, true));

    let body = site.machine_info(&info(), &site.apple_root);
    let answer = post(&site, BYOD, body.clone(), None).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::UNAUTHORIZED, 0));
    let challenge = answer.headers[header::WWW_AUTHENTICATE].to_str().unwrap();
    assert!(discovery::decode_web_challenge(challenge).unwrap().ends_with("/authenticate"));

    let token = site.start(person, Entry::Account).await.unwrap();
    let answer = post(&site, BYOD, body.clone(), Some(token.expose())).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.headers[header::CONTENT_TYPE], discovery::PROFILE_TYPE);
    // A first check-in that failed may be tried again: the profile comes once more.
    let answer = post(&site, BYOD, body.clone(), Some(token.expose())).await;
    let ids = EnrollmentIds::user_enrollment("E-1");
    let phone = site.install(&answer.body, ids, Some(token.expose().clone())).await;
    assert_eq!((phone.profile.mdm.mode, phone.profile.mdm.access_rights), (Some(Mode::Byod), None));
    assert_eq!(phone.profile.mdm.assigned_managed_apple_id.as_deref(), Some("grace@example.org"));
    assert_eq!(phone.profile.profile().scope, Some(Scope::User));
    assert_eq!(phone.authenticate(&site).await.status, StatusCode::OK);
    assert_eq!(phone.token_update(&site, 1).await.status, StatusCode::OK);
    let seen = drain(&phone, &site).await;
    assert!(seen.contains(&"DeviceInformation".into()), "{seen:?}");
    // The token is bound now: it fetches no other profile.
    let answer = post(&site, BYOD, body, Some(token.expose())).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    // Its time may pass without breaking the enrollment.
    site.test.clock.advance(30 * crate::kit::DAY);
    assert_eq!(phone.result(&site, CommandResult::idle(phone.ids.clone())).await.status, StatusCode::OK);
}

#[tokio::test]
async fn b1_a_token_serves_its_person_kind_and_time_only() {
    let site = Site::new().await;
    let person = site.person("grace@example.org").await;
    let body = site.machine_info(&info(), &site.apple_root);
    let token = site.start(person, Entry::Account).await.unwrap();
    assert!(token.expose().len() >= 22, "at least 128 bits");
    let other_kind = post(&site, "/mdm/apple/enroll/adde", body.clone(), Some(token.expose())).await;
    assert_eq!(other_kind.status, StatusCode::FORBIDDEN);
    let guessed = post(&site, BYOD, body.clone(), Some("guess")).await;
    assert_eq!(guessed.status, StatusCode::UNAUTHORIZED);
    let of_the_web = site.start(person, Entry::Web).await.unwrap();
    let answer = post(&site, BYOD, body.clone(), Some(of_the_web.expose())).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);

    // Two phones with one token: one of them has it.
    let mut phones = Vec::new();
    for id in ["E-1", "E-2"] {
        let answer = post(&site, BYOD, body.clone(), Some(token.expose())).await;
        let ids = EnrollmentIds::user_enrollment(id);
        phones.push(site.install(&answer.body, ids, Some(token.expose().clone())).await);
    }
    let (one, two) = tokio::join!(phones[0].authenticate(&site), phones[1].authenticate(&site));
    let mut statuses = [one.status, two.status];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::BAD_REQUEST], "at once as well");

    // Without the token, or with another one, the certificate alone does not enroll.
    let token = site.start(person, Entry::Account).await.unwrap();
    let answer = post(&site, BYOD, body.clone(), Some(token.expose())).await;
    let mut phone = site.install(&answer.body, EnrollmentIds::user_enrollment("E-3"), None).await;
    assert_eq!(phone.authenticate(&site).await.status, StatusCode::BAD_REQUEST);
    phone.bearer = Some("another".into());
    assert_eq!(phone.authenticate(&site).await.status, StatusCode::BAD_REQUEST);
    // A device enrollment cannot be slipped in by naming a UDID.
    phone.bearer = Some(token.expose().clone());
    let posing = Phone { ids: EnrollmentIds::device("UDID-9"), ..phone };
    assert_eq!(posing.authenticate(&site).await.status, StatusCode::BAD_REQUEST);

    site.test.clock.advance(2 * 3_600_000);
    let late = post(&site, BYOD, body, Some(token.expose())).await;
    assert_eq!(late.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn b3_a_description_that_no_apple_device_signed_is_refused() {
    let site = Site::new().await;
    let stranger = certificate(Name::common("Other Root"), Usage::root(), None);
    let (key, alone) = certificate(Name::common("device"), Usage::client(), None);
    let self_signed = muster_pki::cms::SignRequest::new(&key, &alone).attached(&info().encode()).unwrap();
    for body in [site.machine_info(&info(), &stranger), self_signed, info().encode(), b"0\x80".to_vec()] {
        assert_eq!(post(&site, BYOD, body, None).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(post(&site, BYOD, Vec::new(), None).await.status, StatusCode::BAD_REQUEST);
    let named = MachineInfo { serial: Some("S".into()), udid: Some("U".into()), ..info() };
    let person = site.person("grace@example.org").await;
    let token = site.start(person, Entry::Account).await.unwrap();
    let body = site.machine_info(&named, &site.apple_root);
    assert_eq!(post(&site, BYOD, body, Some(token.expose())).await.status, StatusCode::FORBIDDEN);
    site.test.clock.advance(400 * crate::kit::DAY);
    let body = site.machine_info(&info(), &site.apple_root);
    assert_eq!(
        post(&site, BYOD, body, None).await.status,
        StatusCode::FORBIDDEN,
        "the signer's certificate has expired"
    );
}

#[tokio::test]
async fn b10_the_domain_alone_chooses_and_strangers_look_like_people() {
    let site = Site::new().await;
    site.person("grace@example.org").await;
    let known = discover(&site, "grace@example.org").await;
    let unknown = discover(&site, "nobody@example.org").await;
    assert_eq!((known.status, &known.body), (unknown.status, &unknown.body));
    for user in ["grace@elsewhere.example", "grace", "grace@example.org@elsewhere.example", "", "@"] {
        let answer = discover(&site, user).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{user}");
        assert_eq!(Refusal::decode(&answer.body).unwrap().code, "com.apple.well-known.failed");
    }
}
