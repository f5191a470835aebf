//! The command queue and device states, on both engines.

use muster_storage::commands::{self, Command, Ending, NewCommand, Which};
use muster_storage::testing::TestStore;
use muster_storage::{Error, TxExt, args, device_states, on_both_engines, tenants, testing};
use uuid::Uuid;

const NOW: i64 = 1_767_225_600_000;

fn new(enrollment: Uuid, request_type: &str) -> NewCommand {
    NewCommand {
        id: testing::id(),
        enrollment,
        device: enrollment,
        request_type: request_type.to_owned(),
        payload: "{}".to_owned(),
        origin: "system".to_owned(),
        action: None,
        destructive: false,
        priority: 50,
        held: false,
        not_before: 0,
        expires_at: None,
        now: NOW,
    }
}

async fn tenant(store: &TestStore) -> Uuid {
    let id = testing::id();
    let tenant = tenants::Tenant { id, name: "Example".into(), created_at: NOW };
    store.write(id, move |tx| tenants::insert(tx, &tenant)).await.unwrap();
    id
}

async fn enqueue(store: &TestStore, tenant: Uuid, command: NewCommand) -> Uuid {
    let id = command.id;
    store.write(tenant, move |tx| commands::enqueue(tx, tenant, &command)).await.unwrap();
    id
}

async fn next(store: &TestStore, tenant: Uuid, enrollment: Uuid, session: Option<Uuid>) -> Option<Command> {
    let head = store.read(tenant, move |tx| commands::head(tx, tenant, enrollment, session, NOW)).await.unwrap();
    let handed =
        store.write(tenant, move |tx| commands::hand_out_next(tx, tenant, enrollment, session, NOW)).await.unwrap();
    assert_eq!(head.map(|command| command.id), handed.as_ref().map(|command| command.id));
    handed
}

async fn answer(store: &TestStore, tenant: Uuid, enrollment: Uuid, id: Uuid, ending: Ending) -> Option<Command> {
    store.write(tenant, move |tx| commands::finish(tx, tenant, enrollment, id, ending, None, NOW)).await.unwrap()
}

fn computed(enrollment: Uuid, seq: i64, hash: u8) -> device_states::Computed {
    device_states::Computed {
        enrollment,
        seq,
        desired_hash: vec![hash],
        reported_hash: vec![hash],
        declarations_token: None,
        at: NOW,
    }
}

on_both_engines! {
    async fn a_command_comes_again_until_it_is_answered_and_its_answer_counts_once(store) {
        let (tenant, phone) = (tenant(store).await, testing::id());
        let id = enqueue(store, tenant, new(phone, "DeviceLock")).await;
        assert!(answer(store, tenant, phone, id, Ending::Acknowledged).await.is_none(), "never handed out");
        for attempt in 1..=2 {
            let command = next(store, tenant, phone, None).await.unwrap();
            assert_eq!((command.id, command.attempts, command.state.as_str()), (id, attempt, "sent"));
        }
        assert_eq!(answer(store, tenant, phone, id, Ending::Acknowledged).await.unwrap().attempts, 2);
        assert!(answer(store, tenant, phone, id, Ending::Error).await.is_none());
        assert!(next(store, tenant, phone, None).await.is_none());
        let history = store.read(tenant, move |tx| commands::history(tx, tenant, phone, 10)).await.unwrap();
        assert_eq!((history.len(), history[0].status.as_str()), (1, "acknowledged"));
    }

    async fn another_device_cannot_answer_a_command(store) {
        let (tenant, phone, other) = (tenant(store).await, testing::id(), testing::id());
        let id = enqueue(store, tenant, new(phone, "DeviceLock")).await;
        next(store, tenant, phone, None).await.unwrap();
        assert!(answer(store, tenant, other, id, Ending::Acknowledged).await.is_none());
        assert!(next(store, tenant, phone, None).await.is_some());
    }

    async fn a_command_answered_not_now_waits_for_the_next_session(store) {
        let (tenant, phone, session) = (tenant(store).await, testing::id(), testing::id());
        let first = enqueue(store, tenant, new(phone, "InstallProfile")).await;
        let second = enqueue(store, tenant, new(phone, "DeviceInformation")).await;
        assert_eq!(next(store, tenant, phone, Some(session)).await.unwrap().id, first);
        store.write(tenant, move |tx| commands::not_now(tx, tenant, phone, first, session)).await.unwrap().unwrap();
        assert_eq!(next(store, tenant, phone, Some(session)).await.unwrap().id, second);
        answer(store, tenant, phone, second, Ending::Acknowledged).await.unwrap();
        assert!(next(store, tenant, phone, Some(session)).await.is_none());
        assert_eq!(next(store, tenant, phone, Some(testing::id())).await.unwrap().id, first);
    }

    async fn order_is_priority_then_age_past_held_waiting_and_expired(store) {
        let (tenant, phone) = (tenant(store).await, testing::id());
        let late = enqueue(store, tenant, new(phone, "late")).await;
        let urgent = enqueue(store, tenant, NewCommand { priority: 1, ..new(phone, "urgent") }).await;
        let held = enqueue(store, tenant, NewCommand { priority: 0, held: true, ..new(phone, "held") }).await;
        enqueue(store, tenant, NewCommand { priority: 0, not_before: NOW + 1, ..new(phone, "waiting") }).await;
        let expired =
            enqueue(store, tenant, NewCommand { priority: 0, expires_at: Some(NOW), ..new(phone, "expired") }).await;
        for expected in [urgent, late] {
            assert_eq!(next(store, tenant, phone, None).await.unwrap().id, expected);
            answer(store, tenant, phone, expected, Ending::Acknowledged).await.unwrap();
        }
        assert!(next(store, tenant, phone, None).await.is_none());
        let ended = store.write(tenant, move |tx| commands::expire(tx, tenant, NOW, 10)).await.unwrap();
        assert_eq!(ended.iter().map(|command| command.id).collect::<Vec<_>>(), [expired]);
        assert!(store.write(tenant, move |tx| commands::release(tx, tenant, phone, held)).await.unwrap());
        assert_eq!(next(store, tenant, phone, None).await.unwrap().id, held);
    }

    async fn a_stopped_tenant_hands_out_nothing_destructive(store) {
        let (tenant, phone) = (tenant(store).await, testing::id());
        let wipe = enqueue(store, tenant, NewCommand { destructive: true, priority: 0, ..new(phone, "EraseDevice") }).await;
        let query = enqueue(store, tenant, new(phone, "DeviceInformation")).await;
        store.write(tenant, move |tx| tenants::raise_stop_epoch(tx, tenant, 0)).await.unwrap();
        assert_eq!(next(store, tenant, phone, None).await.unwrap().id, query);
        let handed = store.write(tenant, move |tx| commands::hand_out(tx, tenant, phone, wipe, NOW)).await.unwrap();
        assert!(handed.is_none());
        store.write(tenant, move |tx| tenants::raise_stop_epoch(tx, tenant, 1)).await.unwrap();
        let handed = store.write(tenant, move |tx| commands::hand_out(tx, tenant, phone, wipe, NOW)).await.unwrap();
        assert_eq!(handed.unwrap().attempts, 1);
    }

    async fn what_is_called_back_is_in_history_as_cancelled(store) {
        let (tenant, phone, action) = (tenant(store).await, testing::id(), testing::id());
        let one = enqueue(store, tenant, NewCommand { action: Some(action), ..new(phone, "EraseDevice") }).await;
        enqueue(store, tenant, new(phone, "DeviceLock")).await;
        let cancelled = store.write(tenant, move |tx| commands::cancel_for(tx, tenant, Which::Action(action), NOW)).await;
        assert_eq!(cancelled.unwrap().iter().map(|command| command.id).collect::<Vec<_>>(), [one]);
        let rest = store.write(tenant, move |tx| commands::cancel_for(tx, tenant, Which::Enrollment(phone), NOW)).await;
        assert_eq!(rest.unwrap().len(), 1);
        let history = store.read(tenant, move |tx| commands::history(tx, tenant, phone, 10)).await.unwrap();
        assert!(history.iter().all(|finished| finished.status == "cancelled"));
        assert_eq!(history.len(), 2);
    }

    async fn e11_a_device_has_a_bounded_queue(store) {
        let (tenant, phone) = (tenant(store).await, testing::id());
        for _ in 0..10 {
            let filler: Vec<NewCommand> = (0..1_000).map(|_| new(phone, "x")).collect();
            store.write(tenant, move |tx| {
                for command in &filler {
                    tx.execute(
                        "insert into command (tenant_id, enrollment_id, id, device_id, request_type, payload, origin,
                                              priority, state, created_at)
                         values ($1, $2, $3, $2, 'x', '{}', 'system', 1, 'queued', 0)",
                        args![tenant, phone, command.id],
                    )?;
                }
                Ok::<(), Error>(())
            }).await.unwrap();
        }
        let more = new(phone, "one too many");
        let refused = store.write(tenant, move |tx| commands::enqueue(tx, tenant, &more)).await;
        assert!(matches!(&refused, Err(Error::Constraint(name)) if name == "command_pending_limit"), "{refused:?}");
    }

    async fn retention_keeps_history_flat(store) {
        let (tenant, phone) = (tenant(store).await, testing::id());
        for _ in 0..3 {
            let id = enqueue(store, tenant, new(phone, "DeviceLock")).await;
            next(store, tenant, phone, None).await.unwrap();
            answer(store, tenant, phone, id, Ending::Acknowledged).await.unwrap();
        }
        let prune = |limit| store.write(tenant, move |tx| commands::prune_history(tx, tenant, NOW + 1, limit));
        assert_eq!(prune(2).await.unwrap(), 2);
        assert_eq!(prune(2).await.unwrap(), 1);
    }

    async fn a_change_during_a_computation_stays_dirty(store) {
        let (tenant, phone, other) = (testing::id(), testing::id(), testing::id());
        let mark = || store.write(tenant, move |tx| device_states::mark_dirty(tx, tenant, phone));
        let read = || store.read(tenant, move |tx| device_states::by_enrollment(tx, tenant, phone));
        mark().await.unwrap();
        let seq = read().await.unwrap().unwrap().dirty_seq;
        mark().await.unwrap();
        let compute = |seq, hash: u8| store.write(tenant, move |tx| {
            let both = [phone, other].map(|enrollment| computed(enrollment, seq, hash));
            device_states::set_computed(tx, tenant, &both)
        });
        compute(seq, 1).await.unwrap();
        assert!(read().await.unwrap().unwrap().is_dirty());
        compute(seq + 1, 2).await.unwrap();
        let state = read().await.unwrap().unwrap();
        assert!(!state.is_dirty());
        assert_eq!((state.desired_hash, state.reported_hash), (Some(vec![2]), Some(vec![2])));
        compute(seq, 1).await.unwrap();
        let state = read().await.unwrap().unwrap();
        assert_eq!(state.desired_hash, Some(vec![2]), "a slower computation of an older mark");
        let locked = store.write(tenant, move |tx| device_states::lock(tx, tenant, &[phone, other])).await.unwrap();
        assert_eq!(locked.iter().map(|state| state.computed_seq).collect::<Vec<_>>(), [seq + 1, seq + 1]);
    }

    async fn computations_of_one_channel_follow_one_another(store) {
        let (tenant, phone) = (testing::id(), testing::id());
        for round in 0..20 {
            store.write(tenant, move |tx| device_states::mark_dirty(tx, tenant, phone)).await.unwrap();
            let computations: Vec<_> = (0..6).map(|_| {
                let store = store.store.clone();
                tokio::spawn(async move {
                    store.write(tenant, move |tx| {
                        let state = device_states::lock(tx, tenant, &[phone])?.pop().unwrap();
                        if !state.is_dirty() {
                            return Ok::<_, Error>(false);
                        }
                        device_states::set_computed(tx, tenant, &[computed(phone, state.dirty_seq, 1)]).map(|()| true)
                    }).await
                })
            }).collect();
            let mut computed = 0;
            for computation in computations {
                computed += i64::from(computation.await.unwrap().unwrap());
            }
            assert_eq!(computed, 1, "round {round}: the others find nothing to do");
        }
    }

    async fn a_mark_that_meets_a_computation_is_not_lost(store) {
        let (tenant, phone) = (testing::id(), testing::id());
        store.write(tenant, move |tx| device_states::mark_dirty(tx, tenant, phone)).await.unwrap();
        let (locked, is_locked) = tokio::sync::watch::channel(false);
        let (marking, is_marking) = std::sync::mpsc::sync_channel(8);
        let is_marking = std::sync::Mutex::new(is_marking);
        let computation = store.write(tenant, move |tx| {
            let state = device_states::lock(tx, tenant, &[phone])?.pop().unwrap();
            locked.send_replace(true);
            // The mark is on its way to a row that this transaction holds.
            let _ = is_marking.lock().unwrap().recv();
            device_states::set_computed(tx, tenant, &[computed(phone, state.dirty_seq, 1)]).map(|()| true)
        });
        let change = async move {
            let mut is_locked = is_locked;
            is_locked.wait_for(|locked| *locked).await.unwrap();
            marking.send(()).unwrap();
            store.write(tenant, move |tx| device_states::mark_dirty(tx, tenant, phone)).await
        };
        let (computed, changed) = tokio::join!(computation, change);
        assert!(computed.unwrap());
        changed.unwrap();
        let state = store.read(tenant, move |tx| device_states::by_enrollment(tx, tenant, phone)).await.unwrap().unwrap();
        assert!(state.is_dirty(), "computed for mark {} of {}", state.computed_seq, state.dirty_seq);
    }

    async fn everybody_is_marked_in_chunks(store) {
        let tenant = testing::id();
        let all: Vec<Uuid> = (0..5).map(|_| testing::id()).collect();
        for enrollment in all.clone() {
            store.write(tenant, move |tx| {
                device_states::mark_dirty(tx, tenant, enrollment)?;
                device_states::set_computed(tx, tenant, &[computed(enrollment, 1, 1)])
            }).await.unwrap();
        }
        let dirty = || store.read(tenant, move |tx| device_states::dirty(tx, tenant, None, 10));
        assert!(dirty().await.unwrap().is_empty());
        let (mut after, mut chunks) = (None, 0);
        loop {
            chunks += 1;
            after = store.write(tenant, move |tx| device_states::mark_chunk_dirty(tx, tenant, after, 2)).await.unwrap();
            if after.is_none() { break; }
        }
        assert_eq!((chunks, dirty().await.unwrap()), (3, all.clone()));
        let gone = all[0];
        assert!(store.write(tenant, move |tx| device_states::remove(tx, tenant, gone)).await.unwrap());
        let count = store.read(tenant, move |tx| {
            tx.one("select count(*) from device_state where tenant_id = $1", args![tenant], |row| row.int(0))
        }).await.unwrap();
        assert_eq!(count, Some(4));
    }
}
