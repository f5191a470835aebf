//! Authorities, data keys, secrets, certificates and SCEP challenges, on both engines.

use muster_storage::{
    Error, Scope, Tx,
    authorities::{self, Authority},
    certificates::{self, Certificate},
    device_identities, lookups, on_both_engines,
    scep_challenges::{self, ScepChallenge},
    secrets::{self, StoredSecret},
    tenant_keys::{self, TenantKey},
    testing,
};
use uuid::Uuid;

const NOW: i64 = 1_767_225_600_000;

fn certificate(device: Uuid, seed: u8) -> Certificate {
    Certificate {
        id: testing::id(),
        fingerprint: vec![seed; 32],
        serial: vec![seed; 16],
        issuer: "device".into(),
        purpose: "identity".into(),
        device_id: Some(device),
        public_key_hash: vec![seed ^ 0xff; 32],
        state: "active".into(),
        generation: 1,
        not_before: NOW - 1,
        not_after: NOW + 1_000,
        der: vec![seed; 100],
        created_at: NOW,
        ..Certificate::default()
    }
}

fn challenge(command: Option<Uuid>, session: Option<Uuid>, seed: u8) -> ScepChallenge {
    ScepChallenge {
        id: testing::id(),
        hash: vec![seed; 32],
        purpose: "identity".into(),
        command_id: command,
        enrollment_session_id: session,
        subject: "{}".into(),
        state: "open".into(),
        created_at: NOW,
        expires_at: NOW + 100,
        ..ScepChallenge::default()
    }
}

on_both_engines! {
    async fn authorities_have_one_of_a_purpose_in_use(store) {
        let authority = |seed: u8| Authority {
            id: testing::id(),
            purpose: "listener".into(),
            certificate: vec![seed],
            private_key: vec![seed; 4],
            created_at: NOW,
        };
        let (first, second) = (authority(1), authority(2));
        let (id, row) = (first.id, first.clone());
        store.write(Scope::Server, move |tx| authorities::insert(tx, &row)).await.unwrap();
        let row = second.clone();
        let refused = store.write(Scope::Server, move |tx| authorities::insert(tx, &row)).await;
        assert!(matches!(refused, Err(Error::Constraint(_))), "{refused:?}");
        let row = second.clone();
        let replace = move |tx: &mut dyn Tx| {
            authorities::retire(tx, id, NOW + 1)?;
            authorities::insert(tx, &row)
        };
        store.write(Scope::Server, replace).await.unwrap();
        assert_eq!(store.read(Scope::Server, authorities::current).await.unwrap(), [second]);
        let reseal = move |tx: &mut dyn Tx| {
            Ok::<_, Error>((authorities::reseal(tx, id, &[9], &[7])?, authorities::reseal(tx, id, &[1; 4], &[7])?))
        };
        assert_eq!(store.write(Scope::Server, reseal).await.unwrap(), (false, true));
        assert_eq!(store.read(Scope::Server, authorities::private_keys).await.unwrap().len(), 2);
    }

    async fn data_keys_are_added_once_and_rewrapped_from_what_was_read(store) {
        let tenant = testing::id();
        let key = |wrapped: u8| TenantKey { version: 1, wrapped: vec![wrapped], created_at: NOW };
        let both = move |tx: &mut dyn Tx| {
            Ok::<_, Error>((tenant_keys::insert(tx, tenant, &key(1))?, tenant_keys::insert(tx, tenant, &key(2))?))
        };
        assert_eq!(store.write(tenant, both).await.unwrap(), (true, false));
        let rewrap = move |tx: &mut dyn Tx| {
            let stale = tenant_keys::rewrap(tx, tenant, 1, &[2], &[3])?;
            Ok::<_, Error>((stale, tenant_keys::rewrap(tx, tenant, 1, &[1], &[4])?))
        };
        assert_eq!(store.write(tenant, rewrap).await.unwrap(), (false, true));
        assert_eq!(store.read(tenant, move |tx| tenant_keys::all(tx, tenant)).await.unwrap(), [key(4)]);
    }

    async fn secrets_are_found_by_their_owner_and_removed_with_it(store) {
        let (tenant, owner) = (testing::id(), testing::id());
        let secret = |name: &str, sealed: u8, at: i64| StoredSecret {
            id: testing::id(),
            owner_kind: "device".into(),
            owner_id: owner,
            name: name.into(),
            sealed: vec![sealed],
            created_at: at,
        };
        let rows = [secret("fileVaultKey", 1, NOW), secret("fileVaultKey", 2, NOW + 1), secret("lockPin", 3, NOW)];
        let (newest, replacing) = (rows[1].clone(), secret("lockPin", 4, NOW));
        let fill = move |tx: &mut dyn Tx| {
            rows.iter().try_for_each(|row| secrets::insert(tx, tenant, row))?;
            secrets::replace(tx, tenant, &replacing)
        };
        store.write(tenant, fill).await.unwrap();
        let read = move |name: &'static str| {
            move |tx: &mut dyn Tx| secrets::newest(tx, tenant, "device", owner, name)
        };
        assert_eq!(store.read(tenant, read("fileVaultKey")).await.unwrap(), Some(newest.clone()));
        assert_eq!(store.read(tenant, read("lockPin")).await.unwrap().unwrap().sealed, [4]);
        let id = newest.id;
        assert_eq!(store.read(tenant, move |tx| secrets::by_id(tx, tenant, id)).await.unwrap(), Some(newest));
        assert!(store.write(tenant, move |tx| secrets::remove_id(tx, tenant, id)).await.unwrap());
        let empty = move |tx: &mut dyn Tx| secrets::remove_all(tx, tenant, "device", owner);
        assert_eq!(store.write(tenant, empty).await.unwrap(), 2);
    }

    async fn certificates_are_found_by_fingerprint_key_and_device(store) {
        let (tenant, device) = (testing::id(), testing::id());
        let (old, new) = (certificate(device, 1), Certificate { generation: 2, ..certificate(device, 2) });
        let rows = [old.clone(), new.clone()];
        store
            .write(tenant, move |tx| rows.iter().try_for_each(|row| certificates::insert(tx, tenant, row)))
            .await
            .unwrap();
        let found = store.read(Scope::Server, |tx| lookups::find(tx, certificates::LOOKUP, &[1; 32])).await.unwrap();
        assert_eq!(found.map(|found| (found.tenant, found.subject)), Some((tenant, old.id)));
        let by = old.clone();
        let reads = move |tx: &mut dyn Tx| {
            assert_eq!(certificates::by_id(tx, tenant, by.id)?, Some(by.clone()));
            assert_eq!(certificates::by_fingerprint(tx, tenant, &by.fingerprint)?, Some(by.clone()));
            assert_eq!(certificates::by_public_key(tx, tenant, &by.public_key_hash)?, std::slice::from_ref(&by));
            certificates::of_device(tx, tenant, device)
        };
        assert_eq!(store.read(tenant, reads).await.unwrap(), [new.clone(), old.clone()], "the newest first");
        let due = move |tx: &mut dyn Tx| certificates::expiring(tx, tenant, "identity", NOW + 2_000, None, 10);
        assert_eq!(store.read(tenant, due).await.unwrap().len(), 2);
        let again = old.clone();
        let twice = store.write(tenant, move |tx| certificates::insert(tx, tenant, &again)).await;
        assert!(matches!(twice, Err(Error::Constraint(_))));
    }

    async fn revoked_certificates_are_listed_until_they_expire(store) {
        let (tenant, device) = (testing::id(), testing::id());
        let rows = [certificate(device, 1), certificate(device, 2), certificate(device, 3)];
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let (first, second) = (ids[0], ids[1]);
        store
            .write(tenant, move |tx| {
                rows.iter().try_for_each(|row| certificates::insert(tx, tenant, row))?;
                assert!(certificates::revoke(tx, tenant, first, "superseded", NOW)?);
                assert!(certificates::revoke(tx, tenant, second, "keyCompromise", NOW + 1)?);
                assert!(!certificates::revoke(tx, tenant, first, "unspecified", NOW + 2)?, "the first reason stays");
                Ok::<_, Error>(())
            })
            .await
            .unwrap();
        let list = move |now: i64, after: Option<Uuid>| {
            move |tx: &mut dyn Tx| certificates::revoked_after(tx, tenant, "device", now, after, 1)
        };
        let one = store.read(tenant, list(NOW, None)).await.unwrap();
        assert_eq!(one, [(first, vec![1; 16], NOW, "superseded".to_owned())]);
        let next = store.read(tenant, list(NOW, Some(first))).await.unwrap();
        assert_eq!(next, [(second, vec![2; 16], NOW + 1, "keyCompromise".to_owned())]);
        assert!(store.read(tenant, list(NOW + 1_000, None)).await.unwrap().is_empty(), "expired ones are left out");
        let bind = move |tx: &mut dyn Tx| device_identities::bind(tx, tenant, first, device, device);
        assert!(!store.write(tenant, bind).await.unwrap(), "a revoked one is not taken into use");
    }

    async fn c1_a_challenge_is_spent_once_and_voided_by_the_next_of_its_command_or_session(store) {
        let tenant = testing::id();
        let (command, session) = (Some(testing::id()), Some(testing::id()));
        let rows = [
            challenge(command, None, 1),
            challenge(command, None, 2),
            challenge(None, session, 3),
            challenge(None, session, 4),
            challenge(None, None, 5),
            challenge(None, None, 6),
        ];
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        store
            .write(tenant, move |tx| {
                rows.iter().try_for_each(|row| scep_challenges::insert(tx, tenant, row, NOW + 200))
            })
            .await
            .unwrap();
        let known = ids.clone();
        let states = move |tx: &mut dyn Tx| -> Result<Vec<String>, Error> {
            known.iter().map(|id| Ok(scep_challenges::by_id(tx, tenant, *id)?.unwrap().state)).collect()
        };
        let now = store.read(tenant, states).await.unwrap();
        assert_eq!(now, ["void", "open", "void", "open", "open", "open"]);

        let (void, open, late, issued) = (ids[0], ids[1], ids[4], testing::id());
        store
            .write(tenant, move |tx| {
                let mut spend = |id, now| scep_challenges::spend(tx, tenant, id, "T", &[7; 32], issued, now);
                assert!(!spend(void, NOW)?);
                assert!(spend(open, NOW + 99)?);
                assert!(!spend(open, NOW + 99)?);
                assert!(!spend(late, NOW + 100)?, "expired");
                Ok::<_, Error>(())
            })
            .await
            .unwrap();
        let used = store.read(tenant, move |tx| scep_challenges::by_id(tx, tenant, open)).await.unwrap().unwrap();
        assert_eq!((used.state.as_str(), used.transaction_id.as_deref()), ("used", Some("T")));
        assert_eq!((used.certificate_id, used.used_at), (Some(issued), Some(NOW + 99)));
        let prune = move |tx: &mut dyn Tx| scep_challenges::prune(tx, tenant, NOW + 101, 4);
        assert_eq!(store.write(tenant, prune).await.unwrap(), 4);
    }
}
