//! PINs and recovery keys: sealed before use, shown to few.

use muster_domain::{actions::Verb, guard::DAY, guard::MINUTE};
use muster_storage::{TxExt as _, args, secrets};
use uuid::Uuid;

use super::world::{World, code, on_both};
use crate::{
    Actor, PrincipalKind,
    actions::{ActionRequest, Revealed},
    guard::Decide,
    keys::Place,
};

async fn mac(w: &World) -> Uuid {
    w.device("macOS", "userEnrollment", "company", None).await
}

async fn escrow_key(w: &World, device: Uuid, key: &str) {
    let (tenant, now) = (w.tenant, w.now());
    let row = w.s.random.id(now);
    let sealed = w.s.seal(tenant, Place { table: "secret", column: "sealed", row }, key.as_bytes()).await.unwrap();
    let secret = secrets::StoredSecret {
        id: row,
        owner_kind: "device".into(),
        owner_id: device,
        name: "fileVaultKey".into(),
        sealed,
        created_at: now,
    };
    w.s.store.write(tenant, move |tx| secrets::insert(tx, tenant, &secret)).await.unwrap();
}

/// A value of the command as it goes over the wire.
fn wire(request: &muster_apple::Request) -> String {
    format!("{:?}", request.parameters)
}

on_both! {
    async fn a_macs_pin_is_sealed_before_it_is_sent_and_stands_nowhere_in_the_clear(w) {
        let ann = w.operator("ann", "administrator").await;
        let mac = mac(&w).await;
        let asked = w.ask(&ann, mac, Verb::RemoteLock).await.unwrap();
        let pin = w.s.reveal(&ann, mac, Revealed::LockPin).await.unwrap().expect("readable before anything is sent");
        let pin = pin.expose().clone();
        assert!(pin.len() == 6 && pin.bytes().all(|b| b.is_ascii_digit()), "six digits");
        let command = w.fetch(mac).await.unwrap();
        let request = w.s.render_action(w.tenant, &command).await.unwrap();
        assert!(request.request_type == "DeviceLock" && wire(&request).contains(&pin));
        let again = w.s.render_action(w.tenant, &command).await.unwrap();
        assert_eq!(again, request, "handed out again it is the same PIN");
        assert!(!command.payload.contains(&pin) && !w.action(asked.action).await.parameters.contains(&pin));
        for row in w.audit().await {
            assert!(!row.personal.to_string().contains(&pin), "not in the audit");
        }
    }
}

on_both! {
    async fn a_macs_wipe_carries_the_code_that_was_given(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let mac = mac(&w).await;
        let parameters = serde_json::json!({ "macOsUnlockCode": "271828", "obliterationBehavior": "always" });
        let request =
            ActionRequest { parameters: parameters.as_object().unwrap().clone(), ..ActionRequest::bare(Verb::Wipe) };
        let asked = w.s.request_action(&ann, mac, request).await.unwrap();
        let approval = w.s.approval(w.tenant, asked.approval.unwrap()).await.unwrap();
        assert!(!approval.parameters.contains("271828"), "who approves does not learn the code");
        w.s.decide_approval(&bob, approval.id, Decide::Approve).await.unwrap();
        let command = w.fetch(mac).await.unwrap();
        let request = w.s.render_action(w.tenant, &command).await.unwrap();
        assert!(wire(&request).contains("271828") && wire(&request).contains("Always"), "{request:?}");
    }
}

on_both! {
    async fn g5_a_recovery_key_needs_its_own_right_and_a_fresh_second_factor(w) {
        let mac = mac(&w).await;
        escrow_key(&w, mac, "AAAA-BBBB").await;
        let helpdesk = w.operator("hel", "helpdesk").await;
        let reader = w.operator("rea", "readonly").await;
        assert_eq!(code(w.s.reveal(&reader, mac, Revealed::FileVaultKey).await).0, 403);
        let token = Actor {
            kind: PrincipalKind::Application,
            maker: Some(helpdesk.id),
            own_person: false,
            strong_at: None,
            ..helpdesk.clone()
        };
        assert_eq!(code(w.s.reveal(&token, mac, Revealed::FileVaultKey).await), (403, "apiToken"));
        let key = w.s.reveal(&helpdesk, mac, Revealed::FileVaultKey).await.unwrap().unwrap();
        assert_eq!(key.expose(), "AAAA-BBBB");
        w.s.clock.advance(5 * MINUTE + 1);
        let stale = w.s.reveal(&helpdesk, mac, Revealed::FileVaultKey).await;
        assert_eq!(code(stale), (403, "freshSecondFactorRequired"));
        // A person sees the key of the own Mac only.
        assert_eq!(code(w.s.reveal(&w.user(&helpdesk), mac, Revealed::FileVaultKey).await).0, 403);
        let user = Actor { strong_at: Some(w.now()), ..w.user(&helpdesk) };
        assert_eq!(code(w.s.reveal(&user, mac, Revealed::FileVaultKey).await).0, 404);
    }
}

#[tokio::test]
async fn g5_no_audit_row_no_value_and_ten_a_day() {
    let w = World::new().await;
    let mac = mac(&w).await;
    escrow_key(&w, mac, "AAAA-BBBB").await;
    let ann = w.operator("ann", "administrator").await;
    let tenant = w.tenant;
    let rename = |from: &'static str, to: &'static str| {
        let (store, sql) = (w.s.store.clone(), format!("alter table {from} rename to {to}"));
        async move { store.write(tenant, move |tx| tx.execute(&sql, args![])).await.unwrap() }
    };
    rename("audit", "audit_gone").await;
    assert!(w.s.reveal(&ann, mac, Revealed::FileVaultKey).await.is_err(), "the audit row comes first");
    rename("audit_gone", "audit").await;
    for _ in 0..10 {
        assert!(w.s.reveal(&ann, mac, Revealed::FileVaultKey).await.unwrap().is_some());
    }
    assert_eq!(code(w.s.reveal(&ann, mac, Revealed::FileVaultKey).await), (429, "revealLimit"));
    let audited = w.audit().await.iter().filter(|row| row.activity == "Reveal secret").count();
    assert_eq!(audited, 10, "one row a value");
    w.s.clock.advance(DAY);
    let fresh = Actor { strong_at: Some(w.now()), ..ann };
    assert!(w.s.reveal(&fresh, mac, Revealed::FileVaultKey).await.unwrap().is_some());
}

on_both! {
    async fn a_passcode_is_cleared_with_the_token_the_phone_entrusted(w) {
        let ann = w.operator("ann", "administrator").await;
        let phone = w.phone().await;
        assert_eq!(code(w.ask(&ann, phone, Verb::ResetPasscode).await).0, 400);
        let (tenant, now, channel) = (w.tenant, w.now(), w.channel(phone).await.id);
        let row = w.s.random.id(now);
        let sealed = w.s.seal(tenant, Place { table: "secret", column: "sealed", row }, b"token").await.unwrap();
        let secret = secrets::StoredSecret {
            id: row,
            owner_kind: "enrollment".into(),
            owner_id: channel,
            name: "unlockToken".into(),
            sealed,
            created_at: now,
        };
        w.s.store.write(tenant, move |tx| secrets::insert(tx, tenant, &secret)).await.unwrap();
        w.ask(&ann, phone, Verb::ResetPasscode).await.unwrap();
        let command = w.fetch(phone).await.unwrap();
        assert_eq!(w.s.render_action(tenant, &command).await.unwrap().request_type, "ClearPasscode");

        // After a retire no secret is left.
        w.ask(&ann, phone, Verb::Retire).await.unwrap();
        let removal = w.fetch(phone).await.unwrap();
        w.answer(&removal, muster_storage::commands::Ending::Acknowledged).await;
        let left = w
            .s
            .store
            .read(tenant, move |tx| {
                tx.one("select count(*) from secret where tenant_id = $1", args![tenant], |row| row.int(0))
            })
            .await
            .unwrap();
        assert_eq!(left, Some(0));
    }
}
