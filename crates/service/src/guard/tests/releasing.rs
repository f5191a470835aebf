//! How much goes and when.

use std::{collections::BTreeSet, sync::Mutex};

use muster_domain::{
    actions::Verb,
    guard::{DAY, HOUR, MINUTE},
};
use muster_storage::{Dialect, Result, Row, Tx, TxExt, Value, args, commands::Ending};
use uuid::Uuid;

use super::world::{World, code, on_both, settings_of_a_small_fleet};
use crate::{
    Actor,
    actions::{BulkRequest, device_re_enrolled, device_taken_over},
    guard::{Decide, release::step},
    settings::GuardDefaults,
};

fn bulk(verb: Verb, devices: &[Uuid]) -> BulkRequest {
    BulkRequest { verb, parameters: Default::default(), devices: devices.to_vec(), override_personal: false, cap: None }
}

async fn phones(w: &World, count: usize) -> Vec<Uuid> {
    let mut phones = Vec::new();
    for _ in 0..count {
        phones.push(w.phone().await);
    }
    phones
}

/// In no hour more than the limits, by what the ledger says.
async fn check_ledger(w: &World, per_principal: usize, per_hour: usize) -> usize {
    let tenant = w.tenant;
    let rows =
        w.s.store
            .read(tenant, move |tx| {
                tx.all(
                    "select released_at, principal_id, action_id from guard_ledger where tenant_id = $1",
                    args![tenant],
                    |row| Ok((row.int(0)?, row.id(1)?, row.id(2)?)),
                )
            })
            .await
            .unwrap();
    for (from, who, _) in &rows {
        let window: Vec<_> = rows.iter().filter(|(at, ..)| at >= from && *at < from + HOUR).collect();
        assert!(window.len() <= per_hour, "{} in an hour", window.len());
        assert!(window.iter().filter(|(_, w, _)| w == who).count() <= per_principal);
    }
    let distinct: BTreeSet<_> = rows.iter().map(|(.., action)| action).collect();
    assert_eq!(distinct.len(), rows.len(), "nothing was released twice");
    rows.len()
}

pub(super) async fn a_hundred_wipes(w: &World, other: Option<&crate::Service>) {
    let approver = w.operator("bob", "owner").await;
    let mut askers: Vec<Actor> = Vec::new();
    for n in 0..5 {
        askers.push(w.operator(&format!("ann{n}"), "administrator").await);
    }
    let phones = phones(w, 100).await;
    let mut approvals = Vec::new();
    for (n, phone) in phones.iter().enumerate() {
        approvals.push(w.ask(&askers[n % 5], *phone, Verb::Wipe).await.unwrap().approval.unwrap());
    }
    // A hundred approvals at once, each of which runs the releaser, on one server or two.
    let mut running = tokio::task::JoinSet::new();
    for (n, approval) in approvals.into_iter().enumerate() {
        let service = match other {
            Some(other) if n % 2 == 0 => other.clone(),
            _ => w.s.service.clone(),
        };
        let approver = approver.clone();
        running.spawn(async move { service.decide_approval(&approver, approval, Decide::Approve).await });
    }
    while let Some(done) = running.join_next().await {
        done.expect("no panic").expect("approved");
    }
    assert_eq!(check_ledger(w, 10, 50).await, 50, "exactly the limit went");
    assert_eq!(w.count("approved").await, 50, "the rest is held, not lost");
    assert!(w.events("guard.overflow").await > 0, "and somebody is told");
    w.s.clock.advance(HOUR - 1);
    w.s.release_all(w.tenant).await.unwrap();
    assert_eq!(check_ledger(w, 10, 50).await, 50);
    w.s.clock.advance(1);
    w.s.release_all(w.tenant).await.unwrap();
    assert_eq!(check_ledger(w, 10, 50).await, 100);
    let mut erased = 0;
    for phone in phones {
        while let Some(command) = w.fetch(phone).await {
            w.answer(&command, Ending::Acknowledged).await;
            erased += 1;
        }
    }
    assert_eq!(erased, 100, "every phone was erased once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn velocity_limit_holds() {
    let w = World::new().await;
    a_hundred_wipes(&w, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn velocity_limit_holds_with_two_servers_on_one_postgresql() {
    let Some(database) = muster_storage::testing::postgres_store() else {
        muster_storage::testing::skipped(
            "velocity_limit_holds_with_two_servers_on_one_postgresql",
            "MUSTER_TEST_POSTGRES is not set",
        );
        return;
    };
    let another = database.open_again().expect("a second server opens the same database");
    let w = World::over(database, settings_of_a_small_fleet()).await;
    let second = crate::Service { store: another, ..w.s.service.clone() };
    a_hundred_wipes(&w, Some(&second)).await;
}

/// A transaction that lets somebody else have their turn after a statement.
struct Interrupted<'a> {
    tx: &'a mut dyn Tx,
    after: &'static str,
    turn: &'a dyn Fn(),
}

impl Tx for Interrupted<'_> {
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64> {
        self.tx.execute(sql, args)
    }
    fn query(&mut self, sql: &str, args: &[Value], each: &mut dyn FnMut(&dyn Row) -> Result<()>) -> Result<()> {
        self.tx.query(sql, args, each)?;
        if sql.contains(self.after) {
            (self.turn)();
        }
        Ok(())
    }
    fn dialect(&self) -> Dialect {
        self.tx.dialect()
    }
}

/// The order of events that a hundred racing approvals meet only by luck: a server has counted what
/// was released, another releases up to the limit, the first finds others waiting and goes on.
#[tokio::test]
async fn h2_a_server_that_counted_before_another_released_lets_nothing_go() {
    let Some(database) = muster_storage::testing::postgres_store() else {
        return muster_storage::testing::skipped(
            "h2_a_server_that_counted_before_another_released_lets_nothing_go",
            "MUSTER_TEST_POSTGRES is not set",
        );
    };
    let slow = database.open_again().expect("a second server opens the same database");
    let w = World::over(database, settings_of_a_small_fleet()).await;
    let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
    let phones = phones(&w, 20).await;
    let asked = w.s.request_bulk_action(&ann, bulk(Verb::Wipe, &phones)).await.unwrap();
    w.s.decide_approval(&bob, asked.approval.unwrap(), Decide::Approve).await.unwrap();
    w.s.clock.advance(10 * MINUTE);

    let (counted, has_counted) = tokio::sync::oneshot::channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
    let pause = Mutex::new(Some((counted, may_go_on)));
    let (tenant, now, ids, defaults) = (w.tenant, w.now(), w.s.ids(w.now()), w.s.settings.guard);
    let late = tokio::spawn(async move {
        let run = move |tx: &mut dyn Tx| {
            let turn = || {
                if let Some((counted, may_go_on)) = pause.lock().unwrap().take() {
                    counted.send(()).unwrap();
                    may_go_on.recv().unwrap();
                }
            };
            let mut tx = Interrupted { tx, after: "from guard_ledger", turn: &turn };
            step(&mut tx, &mut ids.clone(), tenant, (Verb::Wipe, 20), &defaults, now)
        };
        slow.write(tenant, run).await
    });
    has_counted.await.unwrap();
    assert_eq!(w.s.release_all(tenant).await.unwrap().actions.len(), 10);
    go_on.send(()).unwrap();
    let late = late.await.unwrap().unwrap();
    assert_eq!((late.contended, late.released), (true, vec![]), "what it counted is no longer true");
    assert_eq!(check_ledger(&w, 10, 50).await, 10);
}

#[tokio::test]
async fn h2_the_daily_ceiling_is_a_share_of_the_fleet() {
    let mut settings = settings_of_a_small_fleet();
    settings.guard = GuardDefaults { fleet_percent: 2, ..settings.guard };
    let w = World::over(muster_storage::testing::store(), settings).await;
    let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
    for phone in phones(&w, 8).await {
        let approval = w.ask(&ann, phone, Verb::Wipe).await.unwrap().approval.unwrap();
        w.s.decide_approval(&bob, approval, Decide::Approve).await.unwrap();
    }
    assert_eq!(w.count("queued").await, 5);
    w.s.clock.advance(2 * HOUR);
    w.s.release_all(w.tenant).await.unwrap();
    assert_eq!(w.count("queued").await, 5);
    w.s.clock.advance(DAY - 2 * HOUR);
    let run = w.s.release_all(w.tenant).await.unwrap();
    assert_eq!((w.count("queued").await, run.again_at), (8, None));
}

on_both! {
    async fn h2_one_principal_at_its_limit_holds_up_nobody_else(w) {
        let (ann, eve) = (w.operator("ann", "administrator").await, w.operator("eve", "administrator").await);
        let bob = w.operator("bob", "owner").await;
        for (n, phone) in phones(&w, 40).await.into_iter().enumerate() {
            let asker = if n < 39 { &ann } else { &eve };
            let approval = w.ask(asker, phone, Verb::Wipe).await.unwrap().approval.unwrap();
            w.s.decide_approval(&bob, approval, Decide::Approve).await.unwrap();
        }
        assert_eq!(w.count("queued").await, 11, "ten of one, and the other's one");
    }
}

on_both! {
    async fn h3_bulk_waits_ten_minutes_and_can_be_taken_back(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let phones = phones(&w, 6).await;
        let asked = w.s.request_bulk_action(&ann, bulk(Verb::Wipe, &phones)).await.unwrap();
        assert_eq!(asked.successful.len(), 6);
        let approval = asked.approval.expect("one approval for all");
        w.s.decide_approval(&bob, approval, Decide::Approve).await.unwrap();
        w.s.clock.advance(10 * MINUTE - 1);
        w.s.release_all(w.tenant).await.unwrap();
        assert_eq!(w.count("queued").await, 0, "ten minutes to think again");
        w.s.decide_approval(&ann, approval, Decide::Cancel).await.unwrap();
        w.s.clock.advance(DAY);
        w.s.release_all(w.tenant).await.unwrap();
        for phone in &phones {
            assert!(w.fetch(*phone).await.is_none(), "zero devices affected");
            assert_eq!(w.state_on(*phone, "wipe").await, "canceled");
        }

        // Not taken back, it goes.
        let asked = w.s.request_bulk_action(&ann, bulk(Verb::Wipe, &phones)).await.unwrap();
        w.s.decide_approval(&bob, asked.approval.unwrap(), Decide::Approve).await.unwrap();
        w.s.clock.advance(10 * MINUTE);
        w.s.release_all(w.tenant).await.unwrap();
        assert_eq!(w.count("queued").await, 6);
    }
}

on_both! {
    async fn h1_bulk_is_one_approval_over_a_frozen_list_with_an_estimated_end(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let phones = phones(&w, 25).await;
        let byod = w.device("iOS", "appleUserEnrollment", "personal", None).await;
        let own = w.device("iOS", "userEnrollment", "personal", None).await;
        let nobody = w.s.random.id(w.now());
        let mut wanted = phones.clone();
        wanted.extend([byod, own, nobody]);
        let asked = w.s.request_bulk_action(&ann, bulk(Verb::Wipe, &wanted)).await.unwrap();
        assert_eq!((asked.not_supported, asked.failed, asked.not_found), (vec![byod], vec![own], vec![nobody]));
        assert_eq!(asked.successful.len(), 25);
        let approval = w.s.approval(w.tenant, asked.approval.unwrap()).await.unwrap();
        assert_eq!(approval.subjects, asked.successful, "the list is frozen");
        // Ten an hour, after the hold: 10, 10, 5.
        assert_eq!(asked.estimated_end, Some(w.now() + 10 * MINUTE + 2 * HOUR));
        w.s.decide_approval(&bob, approval.id, Decide::Approve).await.unwrap();
        w.s.clock.advance(10 * MINUTE);
        let run = w.s.release_all(w.tenant).await.unwrap();
        assert_eq!((run.actions.len(), run.again_at), (10, Some(w.now() + HOUR)));
        w.s.clock.advance(2 * HOUR);
        w.s.release_all(w.tenant).await.unwrap();
        assert_eq!(w.count("queued").await, 20);
        w.s.clock.advance(HOUR);
        w.s.release_all(w.tenant).await.unwrap();
        let state = w.s.bulk_action(w.tenant, asked.bulk).await.unwrap();
        assert_eq!(state.states.get("queued"), Some(&25));
    }
}

on_both! {
    async fn execute_action_is_for_one_system_and_a_hundred_devices(w) {
        let ann = w.operator("ann", "administrator").await;
        let phone = w.phone().await;
        let mac = w.device("macOS", "userEnrollment", "company", None).await;
        let mixed = w.s.request_bulk_action(&ann, bulk(Verb::SyncDevice, &[phone, mac])).await;
        assert_eq!(code(mixed).0, 400);
        let many: Vec<Uuid> = (0..101).map(|_| w.s.random.id(w.now())).collect();
        let capped = BulkRequest { cap: Some(100), ..bulk(Verb::SyncDevice, &many) };
        assert_eq!(code(w.s.request_bulk_action(&ann, capped).await).0, 400);
        let asked = w.s.request_bulk_action(&ann, bulk(Verb::SyncDevice, &[phone])).await.unwrap();
        assert_eq!((asked.successful, asked.approval), (vec![phone], None));
        assert_eq!(w.fetch(phone).await.unwrap().request_type, "DeviceInformation");
    }
}

on_both! {
    async fn h8_a_wipe_nobody_fetched_dies_after_seven_days(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let phone = w.phone().await;
        let asked = w.ask(&ann, phone, Verb::Wipe).await.unwrap();
        w.s.decide_approval(&bob, asked.approval.unwrap(), Decide::Approve).await.unwrap();
        w.s.clock.advance(8 * DAY);
        assert!(w.fetch(phone).await.is_none(), "even before any sweep nothing is sent");
        w.s.guard_sweep(w.tenant).await.unwrap();
        assert_eq!(w.action(asked.action).await.state, "expired");
        assert_eq!(w.state_on(phone, "wipe").await, "canceled");
        assert_eq!(w.record(phone).await.management_state, "managed");
    }
}

on_both! {
    async fn h8_a_pending_wipe_follows_the_person_and_dies_with_another(w) {
        let (ann, bob) = (w.operator("ann", "administrator").await, w.operator("bob", "administrator").await);
        let (same, other) = (w.phone().await, w.phone().await);
        for phone in [same, other] {
            let approval = w.ask(&ann, phone, Verb::Wipe).await.unwrap().approval.unwrap();
            w.s.decide_approval(&bob, approval, Decide::Approve).await.unwrap();
        }
        let (tenant, now, ids) = (w.tenant, w.now(), w.s.ids(w.now()));
        w.s.store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                device_re_enrolled(tx, &mut ids, tenant, same, now)?;
                device_taken_over(tx, &mut ids, tenant, other, now)
            })
            .await
            .unwrap();
        assert_eq!(w.fetch(same).await.expect("it follows the device").request_type, "EraseDevice");
        assert!(w.fetch(other).await.is_none());
        assert_eq!(w.state_on(other, "wipe").await, "canceled");
        assert_eq!(w.events("action.diedAtTakeover").await, 1, "a critical alert");

        // Handed out once and enrolled again: the erase happened, and is not sent a second time.
        let (tenant, now, ids) = (w.tenant, w.now(), w.s.ids(w.now()));
        w.s.store.write(tenant, move |tx| device_re_enrolled(tx, &mut ids.clone(), tenant, same, now)).await.unwrap();
        assert!(w.fetch(same).await.is_none());
        assert_eq!(w.state_on(same, "wipe").await, "done");
    }
}

on_both! {
    async fn retire_takes_back_on_release_and_forgets_on_the_answer(w) {
        let ann = w.operator("ann", "administrator").await;
        let phone = w.phone().await;
        let lock = w.ask(&ann, phone, Verb::RemoteLock).await.unwrap();
        let (tenant, now) = (w.tenant, w.now());
        w.s.store
            .write(tenant, move |tx| {
                tx.execute(
                    "insert into fact (tenant_id, device_id, name, value, source, observed_at, changed_at)
                     values ($1, $2, 'wifiMac', '\"aa\"', 'deviceInformation', $3, $3)",
                    args![tenant, phone, now],
                )
            })
            .await
            .unwrap();
        w.ask(&ann, phone, Verb::Retire).await.unwrap();
        assert_eq!(w.action(lock.action).await.state, "canceled", "every other command is cancelled");
        let record = w.record(phone).await;
        assert_eq!((record.state.as_str(), record.compliance_state.as_str()), ("leaving", "noncompliant"));
        let removal = w.fetch(phone).await.unwrap();
        assert_eq!(removal.request_type, "RemoveProfile");
        w.answer(&removal, Ending::Acknowledged).await;
        let record = w.record(phone).await;
        assert_eq!((record.state.as_str(), record.serial_number), ("left", None));
        let facts = w
            .s
            .store
            .read(tenant, move |tx| {
                tx.one("select count(*) from fact where tenant_id = $1 and device_id = $2", args![tenant, phone], |row| {
                    row.int(0)
                })
            })
            .await
            .unwrap();
        assert_eq!(facts, Some(0));
        assert_eq!(code(w.ask(&ann, phone, Verb::SyncDevice).await).0, 404);

        // A silent one counts as left after 30 days.
        let silent = w.phone().await;
        w.ask(&ann, silent, Verb::Retire).await.unwrap();
        w.s.leaving_overdue(tenant, silent).await.unwrap();
        assert_eq!(w.record(silent).await.state, "left");
    }
}

on_both! {
    async fn h2_counts_taken_before_another_release_let_nothing_go(w) {
        let (store, tenant) = (w.s.store.clone(), w.tenant);
        let seen = store.write(tenant, move |tx| muster_storage::guard::budget(tx, tenant, "wipe")).await.unwrap();
        let take = || {
            let store = store.clone();
            async move { store.write(tenant, move |tx| muster_storage::guard::take(tx, tenant, "wipe", seen)).await }
        };
        assert!(take().await.unwrap(), "the first releaser that saw this version");
        assert!(!take().await.unwrap(), "every other one counts again");
    }
}
