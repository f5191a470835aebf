//! One connection to the server as a state machine: what to send next, and what an answer means.
//!
//! The shell repeats: [`Device::connect`], then [`Device::answered`] (or [`Device::identified`],
//! [`Device::fetched`]) until [`Next::Done`].

use std::sync::Arc;

use super::{
    command::{Command, Reaction},
    device::{Channel, Device, LeftBecause},
    hardware::Version,
    install::Install,
};
use crate::{crypto::Identity, plists};

/// Something a device still has to tell or ask the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Authenticate,
    TokenUpdate(Channel),
    CheckOut,
    SetBootstrapToken,
    GetBootstrapToken,
    UserAuthenticate,
    Idle(Channel),
    Result(Channel),
    Synchronize(Channel),
}

/// Which of the two content types a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `application/x-apple-aspen-mdm-checkin`
    CheckIn,
    /// `application/x-apple-aspen-mdm`
    Command,
}

/// One request to the server.
#[derive(Clone, Debug)]
pub struct Message {
    /// Decides content type and URL.
    pub kind: Kind,
    /// For people to read: `Authenticate`, `Idle`, ...
    pub name: &'static str,
    /// XML property list.
    pub body: Vec<u8>,
}

/// What the device does next.
#[derive(Debug)]
pub enum Next {
    /// Sends this and waits for the answer.
    Send(Message),
    /// Needs identities for a profile; the shell enrolls them and calls [`Device::identified`].
    Enroll(Box<Install>),
    /// Fetches a document with the device's identity and calls [`Device::fetched`].
    Fetch(String),
    /// Nothing left to say for now.
    Done,
    /// The server could not be used: the device tries again later.
    Failed(u16),
}

/// An answer of the server.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

impl Device {
    /// Opens a session: whatever waits to be told, then a poll of each channel.
    pub fn connect(&mut self) -> Next {
        if self.management.is_none() || !self.is_reachable() {
            return if self.tasks.is_empty() { Next::Done } else { self.next() };
        }
        for channel in self.channels() {
            let poll = match self.results[channel as usize] {
                Some(_) => Task::Result(channel),
                None => Task::Idle(channel),
            };
            if !self.tasks.contains(&poll) {
                self.tasks.push_back(poll);
            }
        }
        self.next()
    }

    /// Asks the server for the bootstrap token in the next session.
    pub fn ask_bootstrap_token(&mut self) {
        self.tasks.push_back(Task::GetBootstrapToken);
    }

    /// A network account logs in at a Mac: the server is asked whether it manages this user.
    pub fn network_user_logs_in(&mut self) {
        self.tasks.push_back(Task::UserAuthenticate);
    }

    /// Sends TokenUpdate again in the next session (new push token, operating system update).
    pub fn renew_push_token(&mut self) {
        let token = self.random.bytes(32);
        if let Some(management) = &mut self.management {
            management.push.token = token;
            self.tasks.push_back(Task::TokenUpdate(Channel::Device));
        }
    }

    fn channels(&self) -> Vec<Channel> {
        match &self.management {
            Some(management) if management.enrolled && management.user_push.is_some() => {
                vec![Channel::Device, Channel::User]
            }
            _ => vec![Channel::Device],
        }
    }

    pub(crate) fn next(&mut self) -> Next {
        let Some(task) = self.tasks.front().cloned() else { return Next::Done };
        let checkin = |name, keys| Next::Send(Message { kind: Kind::CheckIn, name, body: plists::write(&keys) });
        match task {
            Task::Authenticate => checkin("Authenticate", self.authenticate()),
            Task::TokenUpdate(channel) => checkin("TokenUpdate", self.token_update(channel)),
            Task::CheckOut => checkin("CheckOut", self.check_out()),
            Task::SetBootstrapToken => checkin("SetBootstrapToken", self.set_bootstrap_token()),
            Task::GetBootstrapToken => checkin("GetBootstrapToken", self.get_bootstrap_token()),
            Task::UserAuthenticate => checkin("UserAuthenticate", self.user_authenticate()),
            Task::Idle(channel) => {
                let mut keys = self.ids(channel);
                keys.insert("Status".into(), "Idle".into());
                Next::Send(Message { kind: Kind::Command, name: "Idle", body: plists::write(&keys) })
            }
            Task::Result(channel) => match &self.results[channel as usize] {
                Some(body) => Next::Send(Message { kind: Kind::Command, name: "Result", body: body.clone() }),
                None => self.finished(),
            },
            Task::Synchronize(channel) => match self.next_declarative(channel) {
                Some(super::declarations::Ask::Server(endpoint, data)) => {
                    checkin("DeclarativeManagement", self.declarative_management(channel, &endpoint, data))
                }
                Some(super::declarations::Ask::Url(url)) => Next::Fetch(url),
                None => self.finished(),
            },
        }
    }

    fn finished(&mut self) -> Next {
        self.tasks.pop_front();
        self.next()
    }

    /// The answer to the message sent last.
    pub fn answered(&mut self, answer: &Answer) -> Next {
        let Some(task) = self.tasks.front().cloned() else { return Next::Done };
        if task == Task::CheckOut {
            // Best effort, never repeated.
            self.end_management();
            return self.finished();
        }
        match answer.status {
            200..=299 => self.accepted(task, &answer.body),
            401 => self.lost(LeftBecause::Unauthorized),
            403 => {
                self.record("error", Channel::Device, &answer.body);
                match says_unrecognized(&answer.body) && self.hardware.system >= self.unrecognized_since() {
                    true => self.lost(LeftBecause::Unrecognized),
                    false => self.refused(task, 403),
                }
            }
            status => self.refused(task, status),
        }
    }

    fn unrecognized_since(&self) -> Version {
        if self.hardware.family.is_mac() { Version(14, 0, 0) } else { Version(17, 0, 0) }
    }

    fn lost(&mut self, why: LeftBecause) -> Next {
        self.tasks.clear();
        self.forget_management(why);
        Next::Done
    }

    fn refused(&mut self, task: Task, status: u16) -> Next {
        match task {
            // A refused enrollment removes the profile again.
            Task::Authenticate | Task::TokenUpdate(Channel::Device) if !self.is_enrolled() => {
                self.lost(LeftBecause::EnrollmentFailed(format!("the server answered {status}")));
                Next::Failed(status)
            }
            // 410: the server does not manage this user.
            Task::UserAuthenticate => self.finished(),
            Task::Synchronize(channel) => match self.declarative_refused(channel, status) {
                true => self.next(),
                false => {
                    self.tasks.pop_front();
                    self.end_session(status)
                }
            },
            _ => self.end_session(status),
        }
    }

    /// Polls are repeated by the next session; what must be told stays.
    fn end_session(&mut self, status: u16) -> Next {
        self.tasks.retain(|task| !matches!(task, Task::Idle(_) | Task::Result(_)));
        Next::Failed(status)
    }

    fn accepted(&mut self, task: Task, body: &[u8]) -> Next {
        match task {
            Task::Authenticate | Task::SetBootstrapToken | Task::CheckOut | Task::UserAuthenticate => self.finished(),
            Task::TokenUpdate(channel) => {
                self.tasks.pop_front();
                self.token_accepted(channel);
                self.next()
            }
            Task::GetBootstrapToken => {
                if let Ok(reply) = plists::read(body) {
                    use crate::plists::Keys;
                    self.bootstrap_token = reply.data("BootstrapToken").map(<[u8]>::to_vec);
                }
                self.finished()
            }
            Task::Idle(channel) | Task::Result(channel) => {
                self.results[channel as usize] = None;
                if let Some(effect) = self.effect.take() {
                    self.take_effect(effect);
                    if !self.is_reachable() || self.management.is_none() {
                        self.tasks.clear();
                        return Next::Done;
                    }
                    if self.tasks.front() == Some(&Task::CheckOut) {
                        return self.next();
                    }
                }
                if body.is_empty() {
                    return self.finished();
                }
                self.record("command", channel, body);
                self.obey(channel, body)
            }
            Task::Synchronize(channel) => {
                self.declarative_answer(channel, body);
                self.next()
            }
        }
    }

    fn obey(&mut self, channel: Channel, body: &[u8]) -> Next {
        let command = match Command::read(body) {
            Ok(command) => command,
            Err(uuid) => return self.reply(channel, &uuid, "", super::answer::Outcome::Malformed),
        };
        match self.execute(channel, &command) {
            Reaction::Answer(outcome) => self.reply(channel, &command.uuid, &command.request_type, outcome),
            Reaction::Enroll(install) => Next::Enroll(install),
        }
    }

    pub(crate) fn reply(
        &mut self,
        channel: Channel,
        uuid: &str,
        request_type: &str,
        outcome: super::answer::Outcome,
    ) -> Next {
        self.remember(uuid, request_type, outcome.status());
        let mut keys = self.ids(channel);
        keys.insert("CommandUUID".into(), uuid.into());
        for (key, value) in outcome.into_keys() {
            keys.insert(key, value);
        }
        self.results[channel as usize] = Some(plists::write(&keys));
        if let Some(front) = self.tasks.front_mut() {
            *front = Task::Result(channel);
        }
        self.next()
    }

    /// The shell enrolled the identities a profile needs (or could not, with the reason).
    pub fn identified(&mut self, install: Install, identities: Result<Vec<Arc<Identity>>, String>) -> Next {
        let (channel, command) = (install.channel, install.command.clone());
        let outcome = self.complete(install, identities);
        match command {
            Some((uuid, request_type)) => self.reply(channel, &uuid, &request_type, outcome),
            None => self.next(),
        }
    }

    /// A document of a declaration was fetched.
    pub fn fetched(&mut self, answer: &Answer) -> Next {
        if let Some(Task::Synchronize(channel)) = self.tasks.front().cloned() {
            self.declarative_document(channel, answer);
        }
        self.next()
    }

    /// The connection broke: nothing was answered, everything is tried again later.
    pub fn disconnected(&mut self) {
        if self.tasks.front() == Some(&Task::CheckOut) {
            self.end_management();
        }
        if let Some(Task::Synchronize(channel)) = self.tasks.front().cloned() {
            self.declarations[channel as usize].abort();
        }
        self.tasks.retain(|task| !matches!(task, Task::Idle(_) | Task::Result(_) | Task::CheckOut));
    }
}

fn says_unrecognized(body: &[u8]) -> bool {
    const CODE: &str = "com.apple.unrecognized.device";
    let json = serde_json::from_slice::<serde_json::Value>(body).ok();
    let code = json.as_ref().and_then(|json| json.get("code")?.as_str()).map(str::to_owned);
    let code = code.or_else(|| plists::read(body).ok()?.get("code")?.as_string().map(str::to_owned));
    code.as_deref() == Some(CODE)
}
