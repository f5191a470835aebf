//! A policy for many devices: each is computed as if it were alone, in few statements.

use std::sync::atomic::Ordering;

use muster_storage::{commands, device_states, devices, enrollments, items};
use serde_json::json;
use uuid::Uuid;

use super::tests::Fleet;
use crate::{Clock as _, documents::Targets, testing::START};

const IOS: &str = "#microsoft.graph.iosGeneralDeviceConfiguration";

/// The fleet's phone, so many more of them, and a user's channel on a Mac beside its own.
async fn grown(fleet: &Fleet, phones: u128) -> Vec<Uuid> {
    let (tenant, device, enrollment) = (fleet.tenant, fleet.device, fleet.enrollment);
    let draw = || fleet.service.random.id(START);
    let drawn: Vec<[Uuid; 4]> = (0..phones + 2).map(|_| [draw(), draw(), draw(), draw()]).collect();
    let mac = drawn[0][0];
    let channels: Vec<Uuid> = std::iter::once(enrollment).chain(drawn.iter().map(|ids| ids[3])).collect();
    fleet
        .write(move |tx| {
            let model = devices::by_id(tx, tenant, device)?.expect("the fleet has a phone");
            let channel = enrollments::by_id(tx, tenant, enrollment)?.expect("it has a channel");
            for (at, [id, directory_id, azure_ad_device_id, own]) in drawn.iter().enumerate() {
                let mut row = devices::Device { id: *id, directory_id: *directory_id, ..model.clone() };
                row.azure_ad_device_id = *azure_ad_device_id;
                let mut line = enrollments::Enrollment { id: *own, device_id: *id, ..channel.clone() };
                line.protocol_id = format!("UDID-{at}-more");
                if at == 0 {
                    row.platform = "macOS".into();
                }
                if at == 1 {
                    // The Mac's user.
                    line = enrollments::Enrollment { device_id: mac, channel: "appleUser".into(), ..line };
                } else {
                    devices::put(tx, tenant, &row)?;
                }
                enrollments::put(tx, tenant, &line)?;
                device_states::mark_dirty(tx, tenant, *own)?;
            }
            Ok(())
        })
        .await;
    channels
}

#[tokio::test]
async fn a_policy_for_everybody_costs_few_statements_and_reaches_each() {
    let fleet = Fleet::new().await;
    let channels = grown(&fleet, 118).await;
    let service = &fleet.service;
    // Who is new is looked at by rules, and asked nothing: that is not what is counted here.
    service.settle_subjects(fleet.tenant).await.unwrap();
    service.compute_dirty(fleet.tenant).await.unwrap();
    fleet.assign(IOS, json!({ "passcodeRequired": true, "cameraBlocked": true }), "allDevices", None).await;

    let before = service.store.counters().statements.load(Ordering::Relaxed);
    let everybody = Targets { everything: true, ..Targets::default() };
    service.mark_targets(fleet.tenant, everybody).await.unwrap();
    service.compute_dirty(fleet.tenant).await.unwrap();
    let statements = service.store.counters().statements.load(Ordering::Relaxed) - before;
    assert!(statements < channels.len() as u64, "{statements} statements for {} channels", channels.len());

    let (tenant, now) = (fleet.tenant, service.clock.now());
    let macs = channels[1..3].to_vec();
    for channel in channels {
        let (queue, items, state) = fleet
            .write(move |tx| {
                let state = device_states::by_enrollment(tx, tenant, channel)?.expect("the channel was marked");
                Ok((commands::pending(tx, tenant, channel, 10)?, items::of_enrollment(tx, tenant, channel)?, state))
            })
            .await;
        assert!(!state.is_dirty());
        assert_eq!(state.computed_at, Some(now));
        let phone = items.iter().any(|item| item.desired_version.is_some());
        assert_eq!(queue.len(), usize::from(phone), "one command for a phone, none for a Mac");
        assert_eq!(queue.first().map(|command| command.id), items.iter().find_map(|item| item.command_id));
        assert_eq!(state.desired_hash == state.reported_hash, !phone, "a phone has something to fetch");
        assert_eq!(phone, !macs.contains(&channel));
    }
    // A second round finds nothing to do, and asks for nothing twice.
    let before = service.store.counters().statements.load(Ordering::Relaxed);
    service.compute_dirty(fleet.tenant).await.unwrap();
    assert!(service.store.counters().statements.load(Ordering::Relaxed) - before <= 1);
}
