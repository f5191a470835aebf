//! Seeded human behaviour: what people do with their devices, and when.
//!
//! One tokio task a device ([`live`]); everything it needs between two sessions is its
//! [`Handset`] and a [`Temper`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    model::device::Passcode,
    random::Seeded,
    shell::{Handset, handset::SessionEnd},
    standins::push::PushService,
};

/// What a person is like with their device.
#[derive(Clone, Debug)]
pub struct Temper {
    /// Percent of the pushes that find the device locked.
    pub locked: u64,
    /// Percent of the looks at the device that end with leaving management.
    pub leaves: u64,
    /// Time between two looks at the device, on average.
    pub look: Duration,
    /// Longest time between a push and the answer to it.
    pub sluggish: Duration,
}

impl Temper {
    /// People as a demonstration needs them: lively, and loyal.
    pub fn lively(random: &mut Seeded) -> Self {
        Temper {
            locked: random.below(30),
            leaves: 0,
            look: Duration::from_secs(120 + random.below(480)),
            sluggish: Duration::from_millis(100 + random.below(2400)),
        }
    }

    /// A device that answers at once and is never locked.
    pub fn eager() -> Self {
        Temper { locked: 0, leaves: 0, look: Duration::from_secs(3600), sluggish: Duration::ZERO }
    }
}

/// Counts of a living swarm.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Devices enrolled now.
    pub enrolled: AtomicU64,
    /// Enrollments that failed in the end.
    pub failed: AtomicU64,
    /// Devices that left, for whatever reason.
    pub left: AtomicU64,
    /// Sessions held.
    pub sessions: AtomicU64,
    /// Sessions that broke or were refused.
    pub broken: AtomicU64,
}

impl Pulse {
    fn count(of: &AtomicU64) {
        of.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lives with an enrolled device until it leaves or `stop` is called; answers the device.
pub async fn live(
    mut handset: Handset,
    push: Arc<PushService>,
    temper: Temper,
    pulse: Arc<Pulse>,
    mut random: Seeded,
    stop: CancellationToken,
) -> Handset {
    Pulse::count(&pulse.enrolled);
    let mut registered = None;
    let mut trouble = 0u32;
    while let Some(management) = &handset.device.management {
        let (token, magic) = (management.push.token.clone(), management.push.magic.clone());
        let user = management.user_push.clone();
        if registered.as_ref().is_none_or(|(known, _, _)| *known != token) {
            let device = push.register(&token);
            let other = user.as_ref().map(|target| push.register(&target.token));
            registered = Some((token, device, other));
        }
        let Some((_, pushes, user_pushes)) = &mut registered else { break };
        let look = temper.look.mul_f64(0.5 + random.below(1000) as f64 / 1000.0);
        let look = if trouble > 0 { Duration::from_secs(2 << trouble.min(6)).min(look) } else { look };
        let from_user = async {
            match user_pushes {
                Some(pushes) => pushes.recv().await,
                None => std::future::pending().await,
            }
        };
        let pushed = tokio::select! {
            () = stop.cancelled() => break,
            got = pushes.recv() => got.is_some_and(|got| got == magic),
            got = from_user => got.is_some_and(|got| user.is_some_and(|target| target.magic == got)),
            () = sleep(look) => {
                if trouble == 0 {
                    look_at(&mut handset, &temper, &mut random);
                }
                true
            }
        };
        if !pushed {
            continue;
        }
        let delay = temper.sluggish.mul_f64(random.below(1000) as f64 / 1000.0);
        sleep(delay).await;
        // Pushes that came meanwhile are the same wish.
        while pushes.try_recv().is_ok() {}
        if random.chance(temper.locked) && handset.device.passcode.is_some() {
            handset.device.locked = true;
        }
        trouble = if talk(&mut handset, &pulse).await { 0 } else { trouble + 1 };
        if handset.device.locked || handset.device.power_nap {
            sleep(Duration::from_secs(3 + random.below(20))).await;
            handset.device.wake();
            talk(&mut handset, &pulse).await;
        }
        if handset.device.management.is_some() {
            comply(&mut handset, &mut random);
        }
    }
    if let Some((token, _, _)) = &registered {
        push.forget(token);
    }
    if handset.device.management.is_none() {
        Pulse::count(&pulse.left);
        pulse.enrolled.fetch_sub(1, Ordering::Relaxed);
    }
    handset
}

async fn talk(handset: &mut Handset, pulse: &Pulse) -> bool {
    Pulse::count(&pulse.sessions);
    let quiet = matches!(handset.session().await, Ok(SessionEnd::Quiet));
    if !quiet {
        Pulse::count(&pulse.broken);
    }
    quiet
}

/// A person looks at the device.
fn look_at(handset: &mut Handset, temper: &Temper, random: &mut Seeded) {
    let device = &mut handset.device;
    device.wake();
    if device.hardware.family.is_mac() {
        device.log_in();
    }
    match random.below(10) {
        0 => device.report_status(true),
        1 => device.report_status(false),
        2 if device.hardware.family.is_mac() => device.power_nap = random.chance(30),
        3 if device.is_enrolled() && random.chance(temper.leaves) => device.remove_management(),
        _ => {}
    }
}

/// A person is reminded to choose a better passcode, sooner or later does.
fn comply(handset: &mut Handset, random: &mut Seeded) {
    let device = &mut handset.device;
    if !device.passcode_complies() && random.chance(60) {
        device.passcode = Some(Passcode { length: 8, alphanumeric: true });
    }
}
