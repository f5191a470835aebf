//! An unruly way between a device and its server: messages arrive twice, late and out of order, again
//! long after, or cut short; answers come only after the server died.
//!
//! What the device itself says and does stays as it is, so that everything the server makes of it
//! can be held against the device afterwards.

use std::{collections::VecDeque, time::Duration};

use tokio::sync::watch;

use crate::{model::Message, random::Seeded};

/// Messages that are kept for a replay.
const KEPT: usize = 40;
/// Longest wait of an answer for the death of the server.
const PATIENCE: Duration = Duration::from_secs(6);

/// What happened on the way, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mischief {
    /// Messages that arrived twice.
    pub duplicated: u32,
    /// Polls that overtook the answer before them.
    pub reordered: u32,
    /// Messages that arrived again later.
    pub replayed: u32,
    /// Messages that arrived cut short.
    pub truncated: u32,
    /// Of those, how many the server took as if they were whole.
    pub truncated_taken: u32,
    /// Answers that came after the server had died since it handed out the command.
    pub orphaned: u32,
}

impl std::ops::AddAssign for Mischief {
    fn add_assign(&mut self, more: Self) {
        self.duplicated += more.duplicated;
        self.reordered += more.reordered;
        self.replayed += more.replayed;
        self.truncated += more.truncated;
        self.truncated_taken += more.truncated_taken;
        self.orphaned += more.orphaned;
    }
}

/// A message beside those that the device sends.
#[derive(Clone, Debug)]
pub(crate) struct Stray {
    pub(crate) message: Message,
    /// It is cut short: the server must refuse it.
    pub(crate) cut: bool,
}

/// The way of one device.
#[derive(Debug)]
pub struct Unruly {
    /// What happened so far.
    pub mischief: Mischief,
    random: Seeded,
    deaths: watch::Receiver<u32>,
    kept: VecDeque<Message>,
}

impl Unruly {
    /// A way whose mischief follows from a seed; `deaths` counts how often the server died.
    pub fn new(seed: u64, deaths: watch::Receiver<u32>) -> Self {
        Unruly { mischief: Mischief::default(), random: Seeded::new(seed), deaths, kept: VecDeque::new() }
    }

    /// What arrives before a message.
    pub(crate) fn before(&mut self, message: &Message) -> Vec<Stray> {
        let mut strays = Vec::new();
        if message.name == "Result"
            && self.random.chance(10)
            && let Some(poll) = self.kept.iter().rev().find(|kept| kept.name == "Idle")
        {
            self.mischief.reordered += 1;
            strays.push(Stray { message: poll.clone(), cut: false });
        }
        if !self.kept.is_empty() && self.random.chance(10) {
            let at = self.random.below(self.kept.len() as u64) as usize;
            self.mischief.replayed += 1;
            strays.push(Stray { message: self.kept[at].clone(), cut: false });
        }
        if self.random.chance(8) {
            self.mischief.truncated += 1;
            let half = message.body.len() / 4 + self.random.below(message.body.len() as u64 / 2) as usize;
            let message = Message { body: message.body[..half].to_vec(), ..message.clone() };
            strays.push(Stray { message, cut: true });
        }
        strays
    }

    /// What arrives after a message: the same again.
    pub(crate) fn after(&mut self, message: &Message) -> Option<Stray> {
        // These two begin and end an enrollment by their meaning: an old one is a new wish, not a
        // message that strayed.
        if !matches!(message.name, "Authenticate" | "CheckOut") {
            self.kept.push_back(message.clone());
            if self.kept.len() > KEPT {
                self.kept.pop_front();
            }
        }
        let again = message.name != "CheckOut" && self.random.chance(10);
        self.mischief.duplicated += u32::from(again);
        again.then(|| Stray { message: message.clone(), cut: false })
    }

    /// The device has done a command and is about to say so: sometimes the server dies first.
    pub(crate) async fn hold(&mut self, message: &Message) {
        if message.name != "Result" || !self.random.chance(8) {
            return;
        }
        self.deaths.mark_unchanged();
        let died = tokio::time::timeout(PATIENCE, self.deaths.changed()).await;
        self.mischief.orphaned += u32::from(matches!(died, Ok(Ok(()))));
    }

    /// What became of a stray.
    pub(crate) fn arrived(&mut self, stray: &Stray, status: u16) {
        if stray.cut && (200..300).contains(&status) {
            self.mischief.truncated_taken += 1;
        }
    }
}
