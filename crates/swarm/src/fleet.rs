//! A fleet: many devices of one organisation that enroll by both paths and live.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{
    behaviour::{self, Pulse, Temper},
    model::{Device, Family, Hardware, Version},
    random::Seeded,
    shell::{Error, Handset, Network, Person, unruly::Unruly},
    standins::{factory::Factory, push::PushService},
};

/// By which path a device enrolls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// The person opens the enrollment page and installs the profile.
    Profile,
    /// The person adds a work account in the device's settings.
    Account,
}

/// One device to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number within the fleet, its seed.
    pub number: u64,
    /// Family.
    pub family: Family,
    /// System.
    pub system: Version,
    /// Supervised.
    pub supervised: bool,
    /// How it enrolls.
    pub path: Path,
    /// Whose it is.
    pub person: Person,
    /// Name of that person, for the device's own name.
    pub owner: String,
}

impl Plan {
    /// A plausible fleet of `count` devices over these people (name and account).
    pub fn draw(count: u64, people: &[(String, Person)], seed: u64) -> Vec<Plan> {
        let mut random = Seeded::new(seed);
        let mut plans = Vec::new();
        for number in 0..count {
            let (owner, person) = &people[(number % people.len() as u64) as usize];
            let family = match random.below(10) {
                0..=5 => Family::IPhone,
                6..=7 => Family::IPad,
                _ => Family::Mac,
            };
            let system = Hardware::draw_system(family, &mut random);
            // Account-driven enrollment came with iOS 15 and macOS 14.
            let able = system.0 >= if family.is_mac() { 14 } else { 15 };
            let path = if able && number % 3 == 1 { Path::Account } else { Path::Profile };
            let supervised = path == Path::Profile && !family.is_mac() && random.chance(25);
            let (person, owner) = (person.clone(), owner.clone());
            plans.push(Plan { number, family, system, supervised, path, person, owner });
        }
        plans
    }
}

/// What a fleet shares.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Trust, clock, names.
    pub network: Arc<Network>,
    /// Push service.
    pub push: Arc<PushService>,
    /// Factory.
    pub factory: Arc<Factory>,
    /// The address people are told, `https://.../enroll`.
    pub start: String,
    /// Counts the deaths of the server, where the way to it is an unruly one.
    pub unruly: Option<watch::Receiver<u32>>,
}

/// A living fleet; it ends when this is dropped.
#[derive(Debug)]
pub struct Fleet {
    /// Counts.
    pub pulse: Arc<Pulse>,
    /// Ends all devices.
    pub stop: CancellationToken,
    tasks: JoinSet<Handset>,
}

impl Fleet {
    /// Starts all devices; at most `together` enroll at a time.
    pub fn start(plans: Vec<Plan>, around: Surroundings, together: usize) -> Self {
        let (pulse, stop) = (Arc::new(Pulse::default()), CancellationToken::new());
        let gate = Arc::new(Semaphore::new(together.max(1)));
        let mut tasks = JoinSet::new();
        for plan in plans {
            let (around, pulse, stop, gate) = (around.clone(), pulse.clone(), stop.clone(), gate.clone());
            tasks.spawn(async move {
                let mut random = Seeded::new(plan.number.wrapping_mul(0x9E37_79B9).wrapping_add(17));
                let mut handset = make(&plan, &around, &mut random);
                let enrolled = tokio::select! {
                    () = stop.cancelled() => false,
                    enrolled = enroll_patiently(&mut handset, &plan, &around, &gate, &mut random) => enrolled,
                };
                if !enrolled {
                    pulse.failed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    return handset;
                }
                let temper = Temper::lively(&mut random);
                behaviour::live(handset, around.push.clone(), temper, pulse, random, stop).await
            });
        }
        Fleet { pulse, stop, tasks }
    }

    /// Stops all devices and answers them.
    pub async fn end(mut self) -> Vec<Handset> {
        self.stop.cancel();
        let mut all = Vec::new();
        while let Some(result) = self.tasks.join_next().await {
            all.extend(result);
        }
        all
    }
}

/// A device out of its box.
pub fn make(plan: &Plan, around: &Surroundings, random: &mut Seeded) -> Handset {
    let device = Device::new(plan.family, plan.system, plan.supervised, &plan.owner, random);
    let mut handset = Handset::new(device, around.network.clone());
    handset.unruly = around.unruly.clone().map(|deaths| Box::new(Unruly::new(random.next(), deaths)));
    match (plan.path, around.factory.identity(&handset.device.hardware)) {
        (Path::Account, Ok(identity)) => handset.with_factory_identity(identity),
        _ => handset,
    }
}

async fn enroll_patiently(
    handset: &mut Handset,
    plan: &Plan,
    around: &Surroundings,
    gate: &Semaphore,
    random: &mut Seeded,
) -> bool {
    let mut person = plan.person.clone();
    for attempt in 0..5u64 {
        let result = {
            let Ok(_place) = gate.acquire().await else { return false };
            match plan.path {
                Path::Profile => handset.enroll_by_profile(&around.start, &mut person).await,
                Path::Account => handset.enroll_account_driven(&mut person).await,
            }
        };
        match result {
            Ok(()) => return true,
            // A clear no is a no.
            Err(Error::Refused { status: 403 | 404, reason }) => {
                tracing::warn!(device = plan.number, reason, "enrollment refused");
                return false;
            }
            Err(error) => {
                tracing::warn!(device = plan.number, attempt, %error, "enrollment failed");
                tokio::time::sleep(Duration::from_secs(2 + attempt * 3 + random.below(4))).await;
            }
        }
    }
    false
}
