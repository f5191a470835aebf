//! Authorities, listener certificates, signed profiles and revocation over a real database.

use muster_pki::{
    AlternativeName, Certificate, KeyKind, KeyPair,
    asn1::Limits,
    certificate::random_serial,
    chain::{self, Trust},
    cms,
    crl::Crl,
    public_key::Legacy,
};
use muster_storage::{certificates as rows, tenants, testing};

use super::*;
use crate::{
    Clock,
    settings::{DAY, MINUTE},
    testing::service,
};

#[tokio::test]
async fn authorities_are_made_once_and_lead_to_the_root() {
    let service = service();
    let first = service.authorities().await.unwrap();
    let mut again = service.service.clone();
    again.certificates = Arc::default();
    let second = again.authorities().await.unwrap();
    assert_eq!(first.root.certificate, second.root.certificate);
    assert_eq!(first.device.key.public(), second.device.key.public());
    assert_ne!(first.device.key.public(), first.access.key.public());

    let roots = [first.root.certificate.clone()];
    let trust = Trust { roots: &roots, at: Some(service.clock.now()), legacy: Legacy::default() };
    for authority in [&first.device, &first.access, &first.signer] {
        chain::verify(&authority.certificate, &[], trust).unwrap();
    }
    assert!(first.device.key.public().is_rsa(), "SCEP encrypts for this key");
    assert_eq!(Certificate::all_from_pem(&service.ca_export().await.unwrap()).unwrap(), roots);
}

#[tokio::test]
async fn c7_private_keys_are_sealed_in_the_database() {
    let service = service();
    let authorities = service.authorities().await.unwrap();
    let stored: Vec<_> =
        service.store.read(muster_storage::Scope::Server, muster_storage::authorities::private_keys).await.unwrap();
    assert_eq!(stored.len(), 4);
    for authority in [&authorities.root, &authorities.device, &authorities.access, &authorities.signer] {
        let key = authority.key.to_pkcs8().expose();
        let part = &key[key.len() / 2..key.len() / 2 + 16];
        assert!(stored.iter().all(|(_, sealed)| !sealed.windows(16).any(|window| window == part)));
    }
}

#[tokio::test]
async fn listener_certificates_cover_the_hosts_and_are_kept() {
    let service = service();
    let hosts = ["mdm.example.org".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let first = service.listener_certificate(&hosts).await.unwrap();
    let leaf = Certificate::decode(&first.chain[0]).unwrap();
    let names = &leaf.extensions().alternative_names;
    assert!(names.contains(&AlternativeName::Dns("mdm.example.org".into())));
    assert!(names.contains(&AlternativeName::Ip([127, 0, 0, 1].into())));
    let roots = [service.authorities().await.unwrap().root.certificate.clone()];
    let trust = Trust { roots: &roots, at: Some(service.clock.now()), legacy: Legacy::default() };
    chain::verify(&leaf, &[], trust).unwrap();

    assert_eq!(service.listener_certificate(&hosts[..1]).await.unwrap().chain, first.chain);
    let more = service.listener_certificate(&["other.example.org".to_owned()]).await.unwrap();
    assert_ne!(more.chain, first.chain);
    assert_eq!(service.listener_certificate(&hosts).await.unwrap().chain, more.chain, "earlier names are kept");
    service.clock.advance(340 * DAY);
    assert_ne!(service.listener_certificate(&hosts).await.unwrap().chain, more.chain, "renewed before its end");
}

#[tokio::test]
async fn a_signed_profile_verifies_to_the_root() {
    let service = service();
    let signed = service.sign_profile(b"<plist/>".to_vec()).await.unwrap();
    let read = cms::verify_attached(&signed, Limits::default(), Legacy::default()).unwrap();
    assert_eq!(read.content, b"<plist/>");
    let roots = [service.authorities().await.unwrap().root.certificate.clone()];
    let trust = Trust { roots: &roots, at: Some(service.clock.now()), legacy: Legacy::default() };
    chain::verify(&read.signer, &read.certificates, trust).unwrap();

    let other = crate::testing::service();
    let listener = other.listener_certificate(&["mdm.example.org".to_owned()]).await.unwrap();
    let pem = muster_pki::pem::encode("CERTIFICATE", &listener.chain[0]);
    service.use_profile_signer(&pem, listener.key.expose()).unwrap();
    let signed = service.sign_profile(b"<plist/>".to_vec()).await.unwrap();
    let read = cms::verify_attached(&signed, Limits::default(), Legacy::default()).unwrap();
    assert_eq!(read.signer.der(), listener.chain[0]);
}

#[tokio::test]
async fn c8_a_revoked_certificate_is_on_the_list_within_five_minutes() {
    let service = service();
    let authorities = service.authorities().await.unwrap();
    let tenant = tenants::Tenant { id: testing::id(), name: "A".into(), created_at: 0 };
    let (id, now) = (tenant.id, service.clock.now());
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let serial = random_serial(&|bytes| service.random.fill(bytes));
    let issued = Decided::identity("phone")
        .issue(key.public(), serial, authorities.device.issuer(), "http://localhost/crl/device.crl".into(), now)
        .unwrap();
    let row = rows::Certificate {
        id: testing::id(),
        fingerprint: issued.fingerprint().to_vec(),
        serial: issued.serial().to_vec(),
        issuer: "device".into(),
        purpose: "identity".into(),
        public_key_hash: key.public().fingerprint().to_vec(),
        state: rows::state::ACTIVE.into(),
        not_after: issued.not_after(),
        der: issued.der().to_vec(),
        ..rows::Certificate::default()
    };
    let certificate = row.id;
    service
        .store
        .write(id, move |tx| {
            tenants::insert(tx, &tenant)?;
            rows::insert(tx, id, &row)
        })
        .await
        .unwrap();
    let read = |bytes: &[u8]| Crl::decode(bytes, authorities.device.key.public()).unwrap().serials;
    assert_eq!(read(&service.crl("device").await.unwrap().unwrap()), Vec::<Vec<u8>>::new());

    service.store.write(id, move |tx| revoke(tx, id, certificate, Reason::KeyCompromise, now)).await.unwrap();
    service.clock.advance(5 * MINUTE);
    assert_eq!(read(&service.crl("device").await.unwrap().unwrap()), [issued.serial()]);
    let access = service.crl("access").await.unwrap().unwrap();
    assert_eq!(Crl::decode(&access, authorities.access.key.public()).unwrap().serials, Vec::<Vec<u8>>::new());
    assert!(service.crl("root").await.unwrap().is_none());
    service.clock.advance(issued.not_after() - service.clock.now() + 1);
    assert_eq!(read(&service.crl("device").await.unwrap().unwrap()), Vec::<Vec<u8>>::new(), "expired ones go");
}
