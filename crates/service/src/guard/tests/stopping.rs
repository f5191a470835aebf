//! The emergency stop, and changing the rules themselves.

use muster_domain::{
    actions::Verb,
    guard::{DAY, Second},
};
use muster_storage::commands::Ending;
use serde_json::{Map, Value, json};

use super::world::{World, code, on_both};
use crate::{
    Actor,
    guard::{Decide, OwnerRole},
};

fn changes(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

on_both! {
    async fn emergency_stop_halts(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let (waiting, queued, lucky) = (w.phone().await, w.phone().await, w.phone().await);
        let mut approvals = Vec::new();
        for phone in [waiting, queued, lucky] {
            approvals.push(w.ask(&ann, phone, Verb::Wipe).await.unwrap().approval.unwrap());
        }
        w.s.decide_approval(&bob, approvals[1], Decide::Approve).await.unwrap();

        let stop = w.s.stop_everything(&ann).await.unwrap();
        assert!(stop.stopped);
        assert_eq!(w.s.stop_everything(&bob).await.unwrap().epoch, stop.epoch, "stopping twice is stopping once");
        assert!(w.fetch(queued).await.is_none(), "released before the stop, and still not handed out");
        w.s.decide_approval(&bob, approvals[0], Decide::Approve).await.unwrap();
        assert!(w.fetch(waiting).await.is_none(), "approved during the stop, not released");
        assert_eq!(w.count("approved").await, 1);
        // What destroys nothing goes on.
        w.ask(&ann, lucky, Verb::RemoteLock).await.unwrap();
        assert_eq!(w.fetch(lucky).await.unwrap().request_type, "DeviceLock");

        // One person cannot lift it.
        let lift = w.s.ask_to_lift_stop(&ann).await.unwrap().approval.unwrap();
        assert!(w.fetch(queued).await.is_none());
        assert_eq!(code(w.s.decide_approval(&ann, lift, Decide::Approve).await), (403, "selfApproval"));
        assert!(w.s.emergency_stop(w.tenant).await.unwrap().stopped);
        w.s.decide_approval(&bob, lift, Decide::Approve).await.unwrap();
        assert!(!w.s.emergency_stop(w.tenant).await.unwrap().stopped);
        for phone in [waiting, queued] {
            let erase = w.fetch(phone).await.expect("goes on after the lift");
            w.answer(&erase, Ending::Acknowledged).await;
        }
    }
}

on_both! {
    async fn h4_an_old_permission_to_lift_does_not_lift_a_new_stop(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        w.s.stop_everything(&ann).await.unwrap();
        let first = w.s.ask_to_lift_stop(&ann).await.unwrap().approval.unwrap();
        w.s.decide_approval(&bob, first, Decide::Approve).await.unwrap();
        w.s.stop_everything(&bob).await.unwrap();
        let second = w.s.ask_to_lift_stop(&ann).await.unwrap().approval.unwrap();
        assert_ne!(first, second);
        assert_eq!(code(w.s.decide_approval(&bob, first, Decide::Approve).await).0, 409);
        assert!(w.s.emergency_stop(w.tenant).await.unwrap().stopped);
    }
}

on_both! {
    async fn h9_turning_the_guard_off_needs_two_people_and_a_day(w) {
        let (ann, bob) = (w.operator("ann", "owner").await, w.operator("bob", "owner").await);
        w.operator("eve", "administrator").await;
        let off = changes(json!({ "wipeApproval": "never" }));
        let asked = w.s.change_guard_settings(&ann, off).await.unwrap();
        let approval = asked.approval.expect("one person alone changes nothing");
        assert_eq!(asked.weakened, ["wipeApproval"]);
        assert_eq!(w.s.guard_settings(w.tenant).await.unwrap().wipe_approval, Second::Always);
        assert_eq!(w.mails().await.len(), 3, "every operator hears that it was asked");

        w.s.decide_approval(&bob, approval, Decide::Approve).await.unwrap();
        assert_eq!(w.mails().await.len(), 6, "and that it was agreed to");
        w.s.clock.advance(DAY - 1);
        w.s.guard_sweep(w.tenant).await.unwrap();
        assert_eq!(w.s.guard_settings(w.tenant).await.unwrap().wipe_approval, Second::Always);
        let phone = w.phone().await;
        assert!(w.ask(&ann, phone, Verb::Wipe).await.unwrap().approval.is_some());
        w.s.clock.advance(1);
        w.s.guard_sweep(w.tenant).await.unwrap();
        assert_eq!(w.s.guard_settings(w.tenant).await.unwrap().wipe_approval, Second::Never);
        let other = w.phone().await;
        assert_eq!(w.ask(&ann, other, Verb::Wipe).await.unwrap().approval, None);
    }
}

on_both! {
    async fn h9_a_tightening_holds_at_once_and_a_pending_weakening_can_be_stopped(w) {
        let (ann, bob) = (w.operator("ann", "owner").await, w.operator("bob", "owner").await);
        let tight = w.s.change_guard_settings(&ann, changes(json!({ "wipesPerHour": 3 }))).await.unwrap();
        assert_eq!((tight.approval, tight.rules.wipes_per_hour), (None, 3));
        let loose = w.s.change_guard_settings(&ann, changes(json!({ "wipesPerHour": 4 }))).await.unwrap();
        let approval = loose.approval.unwrap();
        w.s.decide_approval(&bob, approval, Decide::Approve).await.unwrap();
        w.s.decide_approval(&bob, approval, Decide::Cancel).await.unwrap();
        w.s.clock.advance(2 * DAY);
        w.s.guard_sweep(w.tenant).await.unwrap();
        assert_eq!(w.s.guard_settings(w.tenant).await.unwrap().wipes_per_hour, 3);
        let unknown = w.s.change_guard_settings(&ann, changes(json!({ "wipesPerHuor": 4 }))).await;
        assert_eq!(code(unknown).0, 400);
    }
}

on_both! {
    async fn an_owner_is_made_by_two_people_and_after_a_day(w) {
        let (ann, bob) = (w.operator("ann", "owner").await, w.operator("bob", "owner").await);
        let eve = w.operator("eve", "readonly").await;
        let asked = w.s.request_owner_role(&ann, OwnerRole { person: eve.id }).await.unwrap();
        w.s.decide_approval(&bob, asked.id, Decide::Approve).await.unwrap();
        let tenant = w.tenant;
        let role = |w: &World| {
            let store = w.s.store.clone();
            async move { store.read(tenant, move |tx| muster_storage::operators::by_person(tx, tenant, eve.id)).await }
        };
        w.s.guard_sweep(tenant).await.unwrap();
        assert_eq!(role(&w).await.unwrap().unwrap().role, "readonly");
        w.s.clock.advance(DAY);
        w.s.guard_sweep(tenant).await.unwrap();
        let made = role(&w).await.unwrap().unwrap();
        assert_eq!((made.role.as_str(), made.made_by), ("owner", Some(ann.id)));
        // A fresh owner destroys nothing for a day.
        let owner = Actor { role: "owner".into(), established_at: made.established_at, ..eve };
        let phone = w.phone().await;
        assert_eq!(code(w.ask(&owner, phone, Verb::Wipe).await), (403, "cooling_period"));
    }
}
