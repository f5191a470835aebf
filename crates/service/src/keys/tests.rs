//! Sealed values, wrapped keys and rotation over a real database.

use muster_storage::testing;

use super::*;
use crate::testing::{SeededRandom, TestService, service};

const COLUMN: &str = "sealed";

async fn tenant(service: &TestService) -> Uuid {
    let tenant = tenants::Tenant { id: testing::id(), name: "A".into(), created_at: 0 };
    let id = tenant.id;
    service.store.write(id, move |tx| tenants::insert(tx, &tenant)).await.unwrap();
    id
}

#[tokio::test]
async fn g1_ciphertext_moved_to_another_row_or_tenant_does_not_open() {
    let service = service();
    let (a, b) = (tenant(&service).await, tenant(&service).await);
    let place = Place::new("secret", COLUMN, testing::id());
    let sealed = service.seal(a, place, b"recovery key").await.unwrap();
    assert_eq!(service.unseal(a, place, &sealed).await.unwrap().expose(), b"recovery key");
    for (tenant, place) in [
        (a, Place::new("secret", COLUMN, testing::id())),
        (a, Place { column: "other", ..place }),
        (a, Place { table: "other", ..place }),
        (b, place),
    ] {
        assert!(service.unseal(tenant, place, &sealed).await.is_err(), "{place:?}");
    }
}

#[tokio::test]
async fn g1_data_keys_survive_the_process_and_need_its_key_file() {
    let first = service();
    let tenant = tenant(&first).await;
    let place = Place::new("secret", COLUMN, testing::id());
    let sealed = first.seal(tenant, place, b"value").await.unwrap();

    let mut again = first.service.clone();
    again.keys = Arc::new(Keys::new(first.keys.file()));
    assert_eq!(again.unseal(tenant, place, &sealed).await.unwrap().expose(), b"value");
    again.check_keys().await.unwrap();

    again.keys = Arc::new(Keys::new(KeyFile::generate(&*SeededRandom::new(99))));
    let error = again.unseal(tenant, place, &sealed).await.unwrap_err().to_string();
    assert!(error.contains("key file"), "{error}");
    assert!(again.check_keys().await.is_err());
}

#[tokio::test]
async fn g1_rotation_rewraps_and_a_running_server_follows() {
    let command = service();
    let tenant = tenant(&command).await;
    command.authorities().await.unwrap();
    let place = Place::new("secret", COLUMN, testing::id());
    let sealed = command.seal(tenant, place, b"value").await.unwrap();
    let before = command.keys.file();

    let written = Arc::new(Mutex::new(before.to_text().expose().clone()));
    let mut server = command.service.clone();
    let read = written.clone();
    server.keys = Arc::new(Keys::with_reread(before.clone(), move || Some(read.lock().unwrap().clone().into_bytes())));

    let rotated = command
        .rotate_keys(|text| {
            written.lock().unwrap().clone_from(text.expose());
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(rotated.data_keys, 1);
    assert!(rotated.private_keys >= 3);
    assert_eq!(server.unseal(tenant, place, &sealed).await.unwrap().expose(), b"value");

    // The old key alone opens nothing any more.
    let mut old = command.service.clone();
    old.keys = Arc::new(Keys::new(before));
    assert!(old.check_keys().await.is_err());
}

#[tokio::test]
async fn a_rotation_after_another_process_rotated_keeps_both_keys() {
    let first = service();
    let tenant = tenant(&first).await;
    let place = Place::new("secret", COLUMN, testing::id());
    let sealed = first.seal(tenant, place, b"value").await.unwrap();
    let written = Arc::new(Mutex::new(first.keys.file().to_text().expose().clone()));
    let process = || {
        let mut process = first.service.clone();
        let read = written.clone();
        let reread = move || Some(read.lock().unwrap().clone().into_bytes());
        process.keys = Arc::new(Keys::with_reread(first.keys.file(), reread));
        process
    };
    let write = |text: &Secret<String>| {
        written.lock().unwrap().clone_from(text.expose());
        Ok(())
    };
    // Both were started with the first key; the second reads what the first wrote.
    let (a, b) = (process(), process());
    a.rotate_keys(write).await.unwrap();
    b.rotate_keys(write).await.unwrap();
    assert_eq!(written.lock().unwrap().lines().filter(|line| line.starts_with("key ")).count(), 3);
    let after = process();
    after.keys.read_again().unwrap();
    assert_eq!(after.unseal(tenant, place, &sealed).await.unwrap().expose(), b"value");

    let refused = a.rotate_keys(|_| Err(std::io::Error::other("disk full"))).await.unwrap_err();
    assert!(refused.to_string().contains("disk full"));
    a.check_keys().await.unwrap();
}

#[tokio::test]
async fn g2_two_installations_share_no_key() {
    let texts = [4, 5].map(|seed| KeyFile::generate(&*SeededRandom::new(seed)).to_text());
    assert_ne!(texts[0], texts[1]);
    let mut keys = Vec::new();
    for seed in [6, 7] {
        let mut installation = service();
        installation.service.keys = Arc::new(Keys::new(KeyFile::generate(&*SeededRandom::new(seed))));
        let made = installation.authorities().await.unwrap();
        keys.extend([&made.root, &made.device, &made.access, &made.signer].map(|one| one.key.public().fingerprint()));
        let hosts = ["localhost".to_owned()];
        keys.push(muster_pki::sha256(installation.listener_certificate(&hosts).await.unwrap().key.expose()));
    }
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 10);
}

#[tokio::test]
async fn a_database_is_fresh_until_something_is_in_it() {
    let service = service();
    assert!(database_is_fresh(&service.store).await.unwrap());
    tenant(&service).await;
    assert!(!database_is_fresh(&service.store).await.unwrap());
}
