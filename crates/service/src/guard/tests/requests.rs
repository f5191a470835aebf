//! Who may ask and who may agree.

use muster_domain::{actions::Verb, guard::DAY, guard::HOUR};
use muster_storage::{args, commands::Ending};
use serde_json::json;

use super::world::{World, code, on_both};
use crate::{Actor, PrincipalKind, actions::ActionRequest, guard::Decide, testing::START};

on_both! {
    async fn wipe_needs_second_person(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let phone = w.phone().await;

        let asked = w.ask(&ann, phone, Verb::Wipe).await.unwrap();
        let approval = asked.approval.expect("a wipe waits for a second person");
        assert!(w.fetch(phone).await.is_none(), "nothing reaches the phone before that");
        assert_eq!(w.record(phone).await.management_state, "managed");
        assert_eq!(w.state_on(phone, "wipe").await, "pending");

        // Asked again, it is the waiting one.
        let again = w.ask(&bob, phone, Verb::Wipe).await.unwrap();
        assert_eq!((again.action, again.approval, again.repeated), (asked.action, Some(approval), true));

        assert_eq!(code(w.s.decide_approval(&ann, approval, Decide::Approve).await), (403, "selfApproval"));
        assert_eq!(code(w.s.decide_approval(&ann, approval, Decide::Deny).await), (403, "selfApproval"));
        w.s.decide_approval(&bob, approval, Decide::Approve).await.unwrap();
        assert_eq!(code(w.s.decide_approval(&bob, approval, Decide::Approve).await).0, 409);

        assert_eq!(w.record(phone).await.management_state, "wipePending");
        let command = w.fetch(phone).await.expect("the erase goes out");
        assert_eq!(command.request_type, "EraseDevice");
        assert_eq!(w.record(phone).await.management_state, "wipeIssued");
        w.answer(&command, Ending::Acknowledged).await;
        assert_eq!(w.state_on(phone, "wipe").await, "done");
        assert_eq!(w.record(phone).await.state, "wiped");
        // Exactly one effect: a repeated answer changes nothing.
        w.answer(&command, Ending::Error).await;
        assert_eq!(w.state_on(phone, "wipe").await, "done");
    }
}

on_both! {
    async fn denied_and_expired_requests_show_canceled(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let (one, two) = (w.phone().await, w.phone().await);
        let first = w.ask(&ann, one, Verb::Wipe).await.unwrap();
        w.s.decide_approval(&bob, first.approval.unwrap(), Decide::Deny).await.unwrap();
        assert_eq!(w.state_on(one, "wipe").await, "canceled");

        let second = w.ask(&ann, two, Verb::Wipe).await.unwrap().approval.unwrap();
        w.s.clock.advance(DAY);
        assert_eq!(code(w.s.decide_approval(&bob, second, Decide::Approve).await), (409, "expired"));
        w.s.guard_sweep(w.tenant).await.unwrap();
        assert_eq!(w.s.approval(w.tenant, second).await.unwrap().state, "expired");
        assert_eq!(w.state_on(two, "wipe").await, "canceled");
        assert!(w.fetch(two).await.is_none());
        // It may be asked anew.
        assert!(!w.ask(&ann, two, Verb::Wipe).await.unwrap().repeated);
    }
}

on_both! {
    async fn h1_an_account_the_requester_just_made_cannot_approve(w) {
        let ann = w.operator("ann", "owner").await;
        let fresh = w.operator_since("puppet", "owner", Some(ann.id), START - HOUR).await;
        let phone = w.phone().await;
        let approval = w.ask(&ann, phone, Verb::Wipe).await.unwrap().approval.unwrap();
        assert_eq!(code(w.s.decide_approval(&fresh, approval, Decide::Approve).await), (403, "madeByRequester"));
        assert!(w.fetch(phone).await.is_none());
    }
}

on_both! {
    async fn h1_weak_sign_in_and_api_tokens_cannot_approve_and_count_as_their_maker(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let phone = w.phone().await;
        let approval = w.ask(&ann, phone, Verb::Wipe).await.unwrap().approval.unwrap();
        let weak = Actor { strong_at: None, ..bob.clone() };
        assert_eq!(code(w.s.decide_approval(&weak, approval, Decide::Approve).await).1, "strongAuthenticationRequired");
        let token = Actor {
            kind: PrincipalKind::Application,
            id: w.s.random.id(w.now()),
            maker: Some(bob.id),
            own_person: false,
            strong_at: None,
            ..bob.clone()
        };
        assert_eq!(code(w.s.decide_approval(&token, approval, Decide::Approve).await), (403, "apiToken"));

        // A request by the token is its maker's request.
        let other = w.phone().await;
        let theirs = w.ask(&token, other, Verb::Wipe).await.unwrap().approval.unwrap();
        assert_eq!(code(w.s.decide_approval(&bob, theirs, Decide::Approve).await), (403, "selfApproval"));
        w.s.decide_approval(&ann, theirs, Decide::Approve).await.unwrap();
    }
}

on_both! {
    async fn h1_edit_after_approval_is_void(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let (phone, victim) = (w.phone().await, w.phone().await);
        let before = w.ask(&ann, phone, Verb::Wipe).await.unwrap();
        let tenant = w.tenant;
        // Somebody with the database changes what was asked, before the second person looks ...
        let subjects = json!([victim]).to_string();
        let approval = before.approval.unwrap();
        w.s.store
            .write(tenant, move |tx| {
                tx.execute(
                    "update approval set subjects = $3 where tenant_id = $1 and id = $2",
                    args![tenant, approval, &subjects],
                )
            })
            .await
            .unwrap();
        assert_eq!(code(w.s.decide_approval(&bob, approval, Decide::Approve).await), (409, "void"));
        assert_eq!(w.s.approval(tenant, approval).await.unwrap().state, "void");

        // ... or between the approval and the release.
        let again = w.ask(&ann, phone, Verb::Wipe).await.unwrap();
        w.s.stop_everything(&bob).await.unwrap();
        w.s.decide_approval(&bob, again.approval.unwrap(), Decide::Approve).await.unwrap();
        let action = again.action;
        w.s.store
            .write(tenant, move |tx| {
                tx.execute("update organization set stop_epoch = 2 where tenant_id = $1", args![tenant])?;
                tx.execute(
                    "update action set device_id = $3 where tenant_id = $1 and id = $2",
                    args![tenant, action, victim],
                )
            })
            .await
            .unwrap();
        w.s.release_all(tenant).await.unwrap();
        assert!(w.fetch(victim).await.is_none(), "a device that nobody agreed to is left alone");
        assert_eq!(w.action(action).await.state, "canceled");
    }
}

on_both! {
    async fn h5_command_audit_and_result_carry_actor_approval_and_reason(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let phone = w.phone().await;
        let asked = w.ask(&ann, phone, Verb::Wipe).await.unwrap();
        let approval = asked.approval.unwrap();
        w.s.decide_approval(&bob, approval, Decide::Approve).await.unwrap();
        let command = w.fetch(phone).await.unwrap();
        assert_eq!(command.action, Some(asked.action));
        w.answer(&command, Ending::Acknowledged).await;

        let action = w.action(asked.action).await;
        assert_eq!((action.approval_id, action.actor_id), (Some(approval), ann.id));
        assert_eq!(action.reason.as_deref(), Some("a test"));
        let result = w.s.action_results(w.tenant, phone).await.unwrap().remove(0);
        assert_eq!((result.approval, result.actor_name.as_str()), (Some(approval), "ann@contoso.example"));

        let audit = w.audit().await;
        for activity in ["Ask for action: wipe", "Release action: wipe", "Hand out action: wipe", "Device answered: wipe"] {
            let row = audit.iter().find(|row| row.activity == activity).unwrap_or_else(|| panic!("{activity} is audited"));
            assert_eq!(row.actor_id, Some(ann.id), "{activity}");
            assert!(row.personal.to_string().contains(&approval.to_string()), "{activity} names the approval");
        }
        let row = audit.iter().find(|row| row.activity == "Approve request").expect("the approval is audited");
        assert_eq!(row.actor_id, Some(bob.id));
    }
}

on_both! {
    async fn h6_new_or_changed_admins_cannot_destroy_for_a_day(w) {
        let fresh = w.operator_since("top", "owner", None, START).await;
        let bob = w.operator("bob", "administrator").await;
        let phone = w.phone().await;
        assert_eq!(code(w.ask(&fresh, phone, Verb::Wipe).await), (403, "cooling_period"));
        assert_eq!(code(w.ask(&fresh, phone, Verb::Retire).await), (403, "cooling_period"));
        assert!(w.ask(&fresh, phone, Verb::RemoteLock).await.is_ok(), "a lock destroys nothing and never waits");
        let approval = w.ask(&bob, phone, Verb::Wipe).await.unwrap().approval.unwrap();
        assert_eq!(code(w.s.decide_approval(&fresh, approval, Decide::Approve).await), (403, "cooling_period"));
        w.s.clock.advance(DAY - 1);
        assert_eq!(code(w.ask(&fresh, phone, Verb::Retire).await), (403, "cooling_period"));
        w.s.clock.advance(1);
        let other = w.phone().await;
        assert!(w.ask(&fresh, other, Verb::Wipe).await.is_ok());
    }
}

on_both! {
    async fn h7_ownership_and_enrollment_type_decide_before_any_approval(w) {
        let ann = w.operator("ann", "administrator").await;
        let user = w.operator("pat", "readonly").await;
        let byod = w.device("iOS", "appleAccountDrivenUserEnrollment", "personal", Some(user.id)).await;
        let own = w.device("iOS", "userEnrollment", "personal", Some(user.id)).await;
        let company = w.device("iOS", "userEnrollment", "company", Some(user.id)).await;

        // The protocol cannot: 400 at once, whoever asks, never an approval.
        assert_eq!(code(w.ask(&ann, byod, Verb::Wipe).await).0, 400);
        assert_eq!(code(w.ask(&w.user(&user), byod, Verb::Wipe).await).0, 400);
        // The tenant's rule: a personal device is wiped by its user only, and then nobody else must agree.
        assert_eq!(code(w.ask(&ann, own, Verb::Wipe).await), (403, "personalDevice"));
        assert_eq!(w.ask(&w.user(&user), own, Verb::Wipe).await.unwrap().approval, None);
        assert_eq!(w.fetch(own).await.unwrap().request_type, "EraseDevice");
        // A company device waits, also when its user asks.
        assert!(w.ask(&w.user(&user), company, Verb::Wipe).await.unwrap().approval.is_some());
        assert_eq!(w.s.approvals(w.tenant, Some("pending".into()), None).await.unwrap().rows.len(), 1);
        // Retire works on every one of them, and never becomes a wipe.
        w.ask(&ann, byod, Verb::Retire).await.unwrap();
        assert_eq!(w.fetch(byod).await.unwrap().request_type, "RemoveProfile");

        // Declaring a phone the company's does not open it for a wipe within the cooling period.
        let switched = w.device("iOS", "userEnrollment", "personal", None).await;
        let (tenant, now) = (w.tenant, w.now());
        w.s.store
            .write(tenant, move |tx| {
                let patch = muster_storage::devices::Patch { owner_type: Some("company".into()), ..Default::default() };
                muster_storage::devices::patch(tx, tenant, switched, &patch, now)
            })
            .await
            .unwrap();
        assert_eq!(code(w.ask(&ann, switched, Verb::Wipe).await), (403, "personalDevice"));
        w.s.clock.advance(DAY);
        assert!(w.ask(&ann, switched, Verb::Wipe).await.unwrap().approval.is_some());
    }
}

on_both! {
    async fn h7_a_device_that_became_personal_after_the_approval_is_not_erased(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let (released, held) = (w.phone().await, w.phone().await);
        let mut actions = Vec::new();
        for phone in [released, held] {
            if phone == held {
                w.s.stop_everything(&bob).await.unwrap();
            }
            let asked = w.ask(&ann, phone, Verb::Wipe).await.unwrap();
            w.s.decide_approval(&bob, asked.approval.unwrap(), Decide::Approve).await.unwrap();
            actions.push(asked.action);
        }
        w.s.clock.advance(HOUR);
        // One waits in its queue: the change of owner takes it out.
        w.make_personal(&ann, released).await;
        assert!(w.fetch(released).await.is_none());
        assert_eq!(w.record(released).await.management_state, "wipeCanceled");
        // One waits for the releaser, and the row is changed past the service.
        let (tenant, now) = (w.tenant, w.now());
        w.s.store
            .write(tenant, move |tx| {
                tx.execute("update organization set stop_epoch = 2 where tenant_id = $1", args![tenant])?;
                let personal = Some("personal".into());
                let patch = muster_storage::devices::Patch { owner_type: personal, ..Default::default() };
                muster_storage::devices::patch(tx, tenant, held, &patch, now)
            })
            .await
            .unwrap();
        w.s.release_all(tenant).await.unwrap();
        assert!(w.fetch(held).await.is_none());
        for action in actions {
            assert_eq!(w.action(action).await.state, "canceled");
        }
        assert_eq!(w.events("guard.actionVoid").await, 2, "somebody is told");
    }
}

on_both! {
    async fn h1_who_was_made_the_primary_user_for_the_occasion_is_no_second_person(w) {
        let ann = w.operator("ann", "administrator").await;
        let puppet = w.operator("puppet", "readonly").await;
        let phone = w.phone().await;
        let change = crate::devices::DeviceChange::User(Some(puppet.id));
        w.s.change_device(&ann, phone, change, None).await.unwrap();
        let approval = w.ask(&ann, phone, Verb::Wipe).await.unwrap().approval.unwrap();
        let confirm = w.s.decide_approval(&w.user(&puppet), approval, Decide::Approve).await;
        assert_eq!(code(confirm), (403, "cooling_period"));
        w.s.clock.advance(DAY + 1);
        w.s.guard_sweep(w.tenant).await.unwrap();
        let later = w.ask(&ann, phone, Verb::Wipe).await.unwrap().approval.unwrap();
        w.s.decide_approval(&w.user(&puppet), later, Decide::Approve).await.unwrap();
        assert!(w.fetch(phone).await.is_some());
    }
}

on_both! {
    async fn retire_and_delete_wait_after_five_in_ten_minutes(w) {
        let ann = w.operator("ann", "administrator").await;
        for n in 0..7 {
            let phone = w.phone().await;
            let asked = w.ask(&ann, phone, Verb::Retire).await.unwrap();
            assert_eq!(asked.approval.is_some(), n >= 5, "the {n}th");
        }
        w.s.clock.advance(11 * 60_000);
        let phone = w.phone().await;
        assert_eq!(w.ask(&ann, phone, Verb::Retire).await.unwrap().approval, None);
    }
}

on_both! {
    async fn the_only_approver_may_release_after_an_hour_with_a_fresh_second_factor(w) {
        let ann = w.operator("ann", "owner").await;
        let phone = w.phone().await;
        let approval = w.ask(&ann, phone, Verb::Wipe).await.unwrap().approval.unwrap();
        assert_eq!(code(w.s.decide_approval(&ann, approval, Decide::Approve).await), (403, "selfApproval"));
        assert_eq!(w.mails().await.len(), 1, "every operator hears of it");
        w.s.clock.advance(HOUR);
        assert_eq!(code(w.s.decide_approval(&ann, approval, Decide::Approve).await), (403, "freshSecondFactorRequired"));
        let fresh = Actor { strong_at: Some(w.now()), ..ann.clone() };
        w.s.decide_approval(&fresh, approval, Decide::Approve).await.unwrap();
        assert!(w.fetch(phone).await.is_some());

        // Not where somebody else could have agreed.
        let other = w.phone().await;
        let approval = w.ask(&fresh, other, Verb::Wipe).await.unwrap().approval.unwrap();
        w.operator("bob", "administrator").await;
        w.s.clock.advance(HOUR);
        let fresh = Actor { strong_at: Some(w.now()), ..ann.clone() };
        assert_eq!(code(w.s.decide_approval(&fresh, approval, Decide::Approve).await), (403, "selfApproval"));
    }
}

on_both! {
    async fn the_user_in_the_portal_and_the_keyboard_are_second_persons(w) {
        let ann = w.operator("ann", "administrator").await;
        let (user, stranger) = (w.operator("pat", "readonly").await, w.operator("sam", "readonly").await);
        let (one, two) = (
            w.device("iOS", "userEnrollment", "company", Some(user.id)).await,
            w.device("iOS", "userEnrollment", "company", Some(user.id)).await,
        );
        let first = w.ask(&ann, one, Verb::Wipe).await.unwrap().approval.unwrap();
        assert_eq!(code(w.s.decide_approval(&w.user(&stranger), first, Decide::Approve).await).0, 404);
        w.s.decide_approval(&w.user(&user), first, Decide::Approve).await.unwrap();
        assert!(w.fetch(one).await.is_some());
        let second = w.ask(&ann, two, Verb::Wipe).await.unwrap().approval.unwrap();
        let decided = w.s.approve_at_keyboard(w.tenant, second, "root").await.unwrap();
        assert_eq!(decided.decided_by_kind.as_deref(), Some("commandLine"));
        assert!(w.fetch(two).await.is_some());
    }
}

#[tokio::test]
async fn i2_no_effect_without_its_audit_row() {
    let w = World::new().await;
    let ann = w.operator("ann", "administrator").await;
    let phone = w.phone().await;
    let tenant = w.tenant;
    let rename = |from: &'static str, to: &'static str| {
        let (store, sql) = (w.s.store.clone(), format!("alter table {from} rename to {to}"));
        async move { store.write(tenant, move |tx| tx.execute(&sql, args![])).await.unwrap() }
    };
    rename("audit", "audit_gone").await;
    assert!(w.ask(&ann, phone, Verb::RemoteLock).await.is_err());
    rename("audit_gone", "audit").await;
    assert!(w.fetch(phone).await.is_none(), "no audit row, no lock");
    assert_eq!(w.state_on(phone, "remoteLock").await, "none");
    w.ask(&ann, phone, Verb::RemoteLock).await.unwrap();
    assert!(w.fetch(phone).await.is_some());
    assert_eq!(w.audit().await.iter().filter(|row| row.activity == "Ask for action: remoteLock").count(), 1);
}

on_both! {
    async fn permissions_and_absent_devices(w) {
        let reader = w.operator("rea", "readonly").await;
        let helpdesk = w.operator("hel", "helpdesk").await;
        let phone = w.phone().await;
        assert_eq!(code(w.ask(&reader, phone, Verb::SyncDevice).await).0, 403);
        assert_eq!(code(w.ask(&helpdesk, phone, Verb::Delete).await).0, 403);
        assert!(w.ask(&helpdesk, phone, Verb::Wipe).await.unwrap().approval.is_some(), "the help desk may ask");
        assert_eq!(code(w.ask(&helpdesk, w.tenant, Verb::SyncDevice).await).0, 404);
        // Delete with a pending wipe needs the wipe cancelled first.
        let ann = w.operator("ann", "administrator").await;
        assert_eq!(code(w.ask(&ann, phone, Verb::Delete).await).0, 409);
        let wrong = ActionRequest {
            parameters: json!({"keepUserData": true}).as_object().unwrap().clone(),
            ..ActionRequest::bare(Verb::Wipe)
        };
        let other = w.phone().await;
        assert_eq!(code(w.s.request_action(&ann, other, wrong).await).0, 400);
    }
}
