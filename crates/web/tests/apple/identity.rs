//! Who may speak for a device: threats A1-A5, A7-A9.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use muster_apple::{
    CheckIn, CommandResult, Dictionary, EnrollmentIds, Status,
    check_in::{Authenticate, TokenUpdate},
};
use muster_pki::{Digest, Name, Usage, cms::SignRequest};

use crate::kit::{Phone, Proof, Site, certificate, command};

const CHECK_IN: &str = "application/x-apple-aspen-mdm-checkin";
const COMMAND: &str = "application/x-apple-aspen-mdm";

async fn two(site: &Site) -> (Phone, Phone) {
    let (ada, bob) = (site.person("grace@example.org").await, site.person("bob@example.org").await);
    (site.enrolled(ada, "UDID-A").await, site.enrolled(bob, "UDID-B").await)
}

#[tokio::test]
async fn a1_a_certificate_speaks_for_its_own_device_only() {
    let site = Site::new().await;
    let (a, b) = two(&site).await;
    let posing = Phone { ids: b.ids.clone(), ..a };
    for answer in [
        posing.authenticate(&site).await,
        posing.token_update(&site, 9).await,
        posing.check_out(&site).await,
        posing.result(&site, CommandResult::idle(b.ids.clone())).await,
    ] {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    }
    assert_eq!(site.alerts().await, vec!["identityMismatch"; 4]);
    // B is as it was.
    assert!(b.idle(&site).await.is_some());
}

#[tokio::test]
async fn a2_a_certificate_of_our_authority_without_a_record_is_a_stranger() {
    let site = Site::new().await;
    let authority = site.test.authorities().await.unwrap();
    let issuer = (
        muster_pki::KeyPair::from_pkcs8(authority.device.key.to_pkcs8().expose()).unwrap(),
        authority.device.certificate.clone(),
    );
    let person = site.person("grace@example.org").await;
    let phone = site.enrolled(person, "UDID-A").await;
    let (key, identity) = certificate(Name::common("forged"), Usage::client(), Some(&issuer));
    let forged = Phone { key, identity, ..phone };
    for answer in [forged.authenticate(&site).await, forged.token_update(&site, 2).await] {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a3_a_revoked_certificate_is_told_to_leave_and_an_expired_one_refused_at_once() {
    let site = Site::new().await;
    let (a, b) = two(&site).await;
    assert_eq!(a.check_out(&site).await.status, StatusCode::OK);
    let answer = a.result(&site, CommandResult::idle(a.ids.clone())).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text().contains("com.apple.unrecognized.device"), "{}", answer.text());
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json");
    site.test.clock.advance(3 * 365 * crate::kit::DAY);
    let answer = b.result(&site, CommandResult::idle(b.ids.clone())).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a4_renewal_keeps_the_device_and_retires_the_former_certificate_at_first_use() {
    let site = Site::new().await;
    let person = site.person("grace@example.org").await;
    let phone = site.enrolled(person, "UDID-A").await;
    crate::lifecycle::drain(&phone, &site).await;
    site.test.clock.advance((2 * 365 - 20) * crate::kit::DAY);
    assert_eq!(site.test.renew_identities(site.actor.tenant).await.unwrap(), 1);
    assert_eq!(site.test.renew_identities(site.actor.tenant).await.unwrap(), 0);
    let mut next = phone.idle(&site).await;
    let mut renewed = None;
    while let Some(command) = next {
        if command.request.request_type == "InstallProfile" {
            let signed = command.request.parameters["Payload"].as_data().unwrap();
            let fresh = site.install(signed, phone.ids.clone(), None).await;
            assert_eq!(fresh.profile.identifier, phone.profile.identifier);
            assert_eq!(fresh.profile.mdm.topic, phone.profile.mdm.topic);
            assert_eq!(fresh.profile.mdm.server_url, phone.profile.mdm.server_url);
            assert_ne!(fresh.profile.mdm.identity_certificate_uuid, phone.profile.mdm.identity_certificate_uuid);
            renewed = Some(fresh);
        }
        next = phone.answer(&site, Status::Acknowledged, &command.uuid, Dictionary::new()).await;
    }
    let renewed = renewed.expect("the device got a new profile");
    // Until the new one speaks, the former is good.
    assert!(phone.idle(&site).await.is_none());
    assert_eq!(renewed.authenticate(&site).await.status, StatusCode::OK);
    assert_eq!(renewed.token_update(&site, 2).await.status, StatusCode::OK);
    assert!(renewed.idle(&site).await.is_none(), "a renewal is no new enrollment: nothing is asked again");
    let answer = phone.result(&site, CommandResult::idle(phone.ids.clone())).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a5_the_signature_is_over_the_exact_body_by_one_known_signer() {
    let site = Site::new().await;
    let (a, b) = two(&site).await;
    let body = CommandResult::idle(a.ids.clone()).encode();
    let send = async |body: Vec<u8>, signature: Option<String>, extra: Option<String>| {
        let mut request = Request::put("/mdm/apple").header(header::CONTENT_TYPE, COMMAND);
        for value in [signature, extra].into_iter().flatten() {
            request = request.header("Mdm-Signature", value);
        }
        site.send(&site.device, request.body(Body::from(body)).unwrap()).await.status
    };
    let good = a.signature(&body);
    assert_eq!(send(body.clone(), Some(good.clone()), None).await, StatusCode::OK);
    let mut flipped = body.clone();
    let at = flipped.len() - 20;
    flipped[at] ^= 1;
    assert_eq!(send(flipped, Some(good.clone()), None).await, StatusCode::BAD_REQUEST);
    let other = CommandResult::idle(b.ids.clone()).encode();
    assert_eq!(send(other, Some(good.clone()), None).await, StatusCode::BAD_REQUEST);
    assert_eq!(send(body.clone(), Some(good.clone()), Some(good.clone())).await, StatusCode::BAD_REQUEST);
    assert_eq!(send(body.clone(), None, None).await, StatusCode::BAD_REQUEST);
    assert_eq!(send(body.clone(), Some("@@@".into()), None).await, StatusCode::BAD_REQUEST);
    assert_eq!(send(body.clone(), Some("AAAA".into()), None).await, StatusCode::BAD_REQUEST);
    let sha1 = SignRequest { digest: Digest::Sha1, ..SignRequest::new(&a.key, &a.identity) }.detached(&body);
    if let Ok(sha1) = sha1 {
        use base64::{Engine, engine::general_purpose::STANDARD};
        assert_eq!(send(body.clone(), Some(STANDARD.encode(sha1)), None).await, StatusCode::BAD_REQUEST);
    }
    let stranger = certificate(Name::common("x"), Usage::client(), None);
    let strange = Phone { key: stranger.0, identity: stranger.1, ..b };
    assert_eq!(send(body.clone(), Some(strange.signature(&body)), None).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn either_proof_serves_and_two_different_ones_are_refused() {
    let site = Site::new().await;
    let (a, b) = two(&site).await;
    let body = CommandResult::idle(a.ids.clone()).encode();
    for (proof, status) in [
        (Proof::Signature, StatusCode::OK),
        (Proof::Tls, StatusCode::OK),
        (Proof::Both, StatusCode::OK),
        (Proof::None, StatusCode::BAD_REQUEST),
    ] {
        let answer = site.send(&site.device, a.request(COMMAND, body.clone(), proof)).await;
        assert_eq!(answer.status, status, "{proof:?}");
    }
    let mut mixed = a.request(COMMAND, body.clone(), Proof::Tls);
    mixed.headers_mut().insert("Mdm-Signature", b.signature(&body).parse().unwrap());
    assert_eq!(site.send(&site.device, mixed).await.status, StatusCode::BAD_REQUEST);
    // A broken signature is not forgiven because TLS is good.
    let mut broken = a.request(COMMAND, body, Proof::Tls);
    broken.headers_mut().insert("Mdm-Signature", "AAAA".parse().unwrap());
    assert_eq!(site.send(&site.device, broken).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a7_old_messages_sent_again_change_nothing() {
    let site = Site::new().await;
    let person = site.person("grace@example.org").await;
    let phone = site.enrolled(person, "UDID-A").await;
    let first = phone.idle(&site).await.unwrap();
    let next = phone.answer(&site, Status::Acknowledged, &first.uuid, Dictionary::new()).await.unwrap();
    // The recorded answer again: the same next command, no alert.
    let again = phone.answer(&site, Status::Acknowledged, &first.uuid, Dictionary::new()).await.unwrap();
    assert_eq!(again.uuid, next.uuid);
    assert!(site.alerts().await.is_empty());
    // A newer token came; the recorded older TokenUpdate does not replace it.
    assert_eq!(phone.token_update(&site, 2).await.status, StatusCode::OK);
    assert_eq!(phone.token_update(&site, 1).await.status, StatusCode::OK);
    assert_eq!(site.alerts().await, ["staleTokenUpdate"]);
    site.test.push.sent.lock().unwrap().clear();
    site.test.run_due(site.test.clock.now_ms()).await.unwrap();
    let pushed = site.test.push.sent.lock().unwrap().clone();
    assert!(!pushed.is_empty() && pushed.iter().all(|target| target.magic == "magic-2"), "{pushed:?}");
    // After a new enrollment the old certificate's CheckOut means nothing.
    let fresh = site.phone(person, "UDID-A").await;
    assert_eq!(fresh.authenticate(&site).await.status, StatusCode::OK);
    assert_eq!(fresh.token_update(&site, 3).await.status, StatusCode::OK);
    assert_eq!(phone.check_out(&site).await.status, StatusCode::BAD_REQUEST);
    assert!(fresh.idle(&site).await.is_some());
}

#[tokio::test]
async fn a8_a_result_for_another_devices_command_is_ignored_and_told() {
    let site = Site::new().await;
    let (a, b) = two(&site).await;
    let of_b = b.idle(&site).await.unwrap();
    a.answer(&site, Status::Acknowledged, &of_b.uuid, Dictionary::new()).await;
    assert_eq!(site.alerts().await, ["foreignResult"]);
    assert_eq!(b.idle(&site).await.unwrap().uuid, of_b.uuid, "B's command still waits for B");
    a.answer(&site, Status::Acknowledged, "not-a-uuid", Dictionary::new()).await;
    assert_eq!(site.alerts().await.len(), 2);
}

#[tokio::test]
async fn a9_certificates_in_headers_mean_nothing_here() {
    let site = Site::new().await;
    let person = site.person("grace@example.org").await;
    let phone = site.enrolled(person, "UDID-A").await;
    use base64::{Engine, engine::general_purpose::STANDARD};
    let der = STANDARD.encode(phone.identity.der());
    for (name, value) in [
        ("Client-Cert", format!(":{der}:")),
        ("X-SSL-Client-Cert", der.clone()),
        ("client_cert", der.clone()),
        ("X-Forwarded-Client-Cert", format!("Cert=\"{der}\"")),
    ] {
        let body = CommandResult::idle(phone.ids.clone()).encode();
        let mut request = phone.request(COMMAND, body, Proof::None);
        request.headers_mut().insert(header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        assert_eq!(site.send(&site.device, request).await.status, StatusCode::BAD_REQUEST, "{name}");
    }
}

#[tokio::test]
async fn no_refusal_on_a_device_route_is_a_401() {
    let site = Site::new().await;
    let person = site.person("grace@example.org").await;
    let phone = site.enrolled(person, "UDID-A").await;
    let garbage: Vec<(&str, Vec<u8>)> = vec![
        (CHECK_IN, b"<plist".to_vec()),
        (CHECK_IN, Vec::new()),
        (CHECK_IN, b"bplist00".to_vec()),
        (COMMAND, b"<plist><dict/></plist>".to_vec()),
        ("text/plain", CommandResult::idle(phone.ids.clone()).encode()),
    ];
    for (kind, body) in garbage {
        for proof in [Proof::Signature, Proof::Tls, Proof::None] {
            let answer = site.send(&site.device, phone.request(kind, body.clone(), proof)).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{kind} {proof:?}");
        }
    }
    let unknown = CheckIn::Authenticate(Authenticate { ids: EnrollmentIds::device("?"), ..Default::default() });
    assert_eq!(phone.check_in(&site, unknown).await.status, StatusCode::BAD_REQUEST);
    let _ = command;
}

#[tokio::test]
async fn e11_a_device_does_not_make_users_without_end() {
    let site = Site::new().await;
    let mac = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    let login = async |n: u32| {
        let ids = EnrollmentIds {
            user_id: Some(format!("11111111-2222-3333-4444-{n:012}")),
            user_short_name: Some(format!("user{n}")),
            ..mac.ids.clone()
        };
        let update = CheckIn::TokenUpdate(TokenUpdate {
            ids,
            topic: mac.profile.mdm.topic.clone(),
            token: vec![8; 32],
            push_magic: format!("user-{n}"),
            unlock_token: None,
            awaiting_configuration: None,
        });
        mac.check_in(&site, update).await.status
    };
    for n in 0..100 {
        assert_eq!(login(n).await, StatusCode::OK);
    }
    assert_eq!(login(100).await, StatusCode::BAD_REQUEST);
    assert_eq!(site.alerts().await, ["tooManyUsers"]);
    assert_eq!(login(7).await, StatusCode::OK, "those it has go on");
}

#[tokio::test]
async fn the_session_of_a_device_that_left_is_over() {
    use muster_storage::enrollment_sessions;
    let site = Site::new().await;
    let phone = site.enrolled(site.person("grace@example.org").await, "UDID-1").await;
    let (tenant, device) = (site.actor.tenant, crate::lifecycle::device_of(&site, "UDID-1").await);
    let state = async || {
        let session = site.test.store.read(tenant, move |tx| enrollment_sessions::of_device(tx, tenant, device)).await;
        session.unwrap().unwrap().state
    };
    assert_eq!(state().await, "bound");
    assert_eq!(phone.check_out(&site).await.status, StatusCode::OK);
    assert_eq!(state().await, "closed", "so that it is pruned");
}
