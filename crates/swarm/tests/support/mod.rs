//! A tiny scripted server for the models: no network, commands from a list, answers kept.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{collections::VecDeque, path::Path, process::Command, sync::Arc};

use muster_swarm::{
    crypto::Identity,
    model::{
        Device, EnrollmentMode, Family, Next, Version,
        session::{Answer, Kind},
    },
    plists,
    random::Seeded,
    standins::authority::Authority,
};
use plist::{Dictionary, Value};

pub struct Script {
    pub commands: VecDeque<Vec<u8>>,
    /// Every request: name, document.
    pub heard: Vec<(&'static str, Dictionary)>,
    /// Answers of declarative endpoints.
    pub declarative: Vec<(String, u16, Vec<u8>)>,
    /// Status to answer everything with.
    pub status: u16,
    pub body: Vec<u8>,
    next: u32,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            commands: VecDeque::new(),
            heard: Vec::new(),
            declarative: Vec::new(),
            status: 200,
            body: Vec::new(),
            next: 0,
        }
    }
}

impl Script {
    pub fn command(&mut self, request_type: &str, keys: &[(&str, Value)]) -> String {
        self.next += 1;
        let uuid = format!("C-{}", self.next);
        let mut command = Dictionary::new();
        command.insert("RequestType".into(), request_type.into());
        for (key, value) in keys {
            command.insert((*key).into(), value.clone());
        }
        let document = plists::dictionary([
            ("CommandUUID", Some(uuid.clone().into())),
            ("Command", Some(Value::Dictionary(command))),
        ]);
        self.commands.push_back(plists::write(&document));
        uuid
    }

    /// The last answer to a command.
    pub fn answer(&self, uuid: &str) -> &Dictionary {
        let by_uuid = |(_, d): &&(&str, Dictionary)| d.get("CommandUUID").and_then(Value::as_string) == Some(uuid);
        &self.heard.iter().rev().find(by_uuid).expect("the command was answered").1
    }

    pub fn status_of(&self, uuid: &str) -> &str {
        self.answer(uuid).get("Status").and_then(Value::as_string).unwrap()
    }

    pub fn names(&self) -> Vec<&'static str> {
        self.heard.iter().map(|(name, _)| *name).collect()
    }

    /// One session of the device with this server.
    pub fn session(&mut self, device: &mut Device) {
        let next = device.connect();
        self.run(device, next);
    }

    pub fn run(&mut self, device: &mut Device, mut next: Next) {
        loop {
            next = match next {
                Next::Done | Next::Failed(_) => return,
                Next::Fetch(_) => device.fetched(&Answer { status: 404, body: vec![] }),
                Next::Enroll(install) => {
                    let identities = install.needs.iter().map(|_| identity()).collect();
                    device.identified(*install, Ok(identities))
                }
                Next::Send(message) => {
                    let document = plists::read(&message.body).unwrap();
                    let answer = self.reply(message.kind, &document);
                    self.heard.push((message.name, document));
                    device.answered(&answer)
                }
            };
        }
    }

    fn reply(&mut self, kind: Kind, document: &Dictionary) -> Answer {
        if self.status != 200 {
            return Answer { status: self.status, body: self.body.clone() };
        }
        if let Some(endpoint) = document.get("Endpoint").and_then(Value::as_string) {
            let found = self.declarative.iter().find(|(name, _, _)| name == endpoint);
            let (status, body) = found.map_or((200, vec![]), |(_, status, body)| (*status, body.clone()));
            return Answer { status, body };
        }
        let body = match kind {
            Kind::CheckIn => Vec::new(),
            Kind::Command if document.get("Status").and_then(Value::as_string) == Some("NotNow") => Vec::new(),
            Kind::Command => self.commands.pop_front().unwrap_or_default(),
        };
        Answer { status: 200, body }
    }
}

/// An identity from a throw-away authority.
pub fn identity() -> Arc<Identity> {
    let authority = Authority::new("Test CA", 1_700_000_000_000).unwrap();
    let subject = muster_pki::Name::common("device");
    Arc::new(authority.identity(subject, muster_pki::Usage::client(), vec![], 1_700_000_000_000).unwrap())
}

pub fn profile(identifier: &str, payloads: Vec<Dictionary>) -> Dictionary {
    plists::dictionary([
        ("PayloadType", Some("Configuration".into())),
        ("PayloadVersion", Some(1.into())),
        ("PayloadIdentifier", Some(identifier.into())),
        ("PayloadUUID", Some(Seeded::new(identifier.len() as u64).uuid().into())),
        ("PayloadDisplayName", Some(identifier.into())),
        ("PayloadContent", Some(Value::Array(payloads.into_iter().map(Value::Dictionary).collect()))),
    ])
}

pub fn payload(kind: &str, number: u64, keys: &[(&str, Value)]) -> Dictionary {
    let mut payload = plists::dictionary([
        ("PayloadType", Some(kind.into())),
        ("PayloadVersion", Some(1.into())),
        ("PayloadIdentifier", Some(format!("test.{kind}.{number}").into())),
        ("PayloadUUID", Some(Seeded::new(number).uuid().into())),
    ]);
    for (key, value) in keys {
        payload.insert((*key).into(), value.clone());
    }
    payload
}

/// An enrollment profile; `mode` and further keys go into the MDM payload.
pub fn enrollment_profile(keys: &[(&str, Value)]) -> Vec<u8> {
    let content = plists::dictionary([
        ("URL", Some("https://server.test/scep".into())),
        ("Challenge", Some("once".into())),
        ("Keysize", Some(2048.into())),
    ]);
    let scep = payload("com.apple.security.scep", 11, &[("PayloadContent", Value::Dictionary(content))]);
    let mut mdm = payload(
        "com.apple.mdm",
        12,
        &[
            ("IdentityCertificateUUID", scep["PayloadUUID"].clone()),
            ("Topic", "com.apple.mgmt.test".into()),
            ("ServerURL", "https://server.test/mdm".into()),
            ("SignMessage", true.into()),
            ("CheckOutWhenRemoved", true.into()),
        ],
    );
    for (key, value) in keys {
        mdm.insert((*key).into(), value.clone());
    }
    let profile = profile("test.enrollment", vec![scep, mdm]);
    plists::write(&profile)
}

pub fn enrolled(family: Family, system: Version, supervised: bool) -> (Device, Script) {
    let device = Device::new(family, system, supervised, "Ada", &mut Seeded::new(5));
    let capabilities: Vec<Value> =
        vec!["com.apple.mdm.per-user-connections".into(), "com.apple.mdm.bootstraptoken".into()];
    let keys = [("AccessRights", 8191.into()), ("ServerCapabilities", Value::Array(capabilities))];
    enroll(device, &enrollment_profile(&keys), EnrollmentMode::Profile)
}

pub fn user_enrolled(family: Family, system: Version) -> (Device, Script) {
    let device = Device::new(family, system, false, "Ada", &mut Seeded::new(6));
    let keys = [("EnrollmentMode", "BYOD".into()), ("AssignedManagedAppleID", "ada@apple.example".into())];
    enroll(device, &enrollment_profile(&keys), EnrollmentMode::Byod)
}

fn enroll(mut device: Device, profile: &[u8], mode: EnrollmentMode) -> (Device, Script) {
    let mut script = Script::default();
    let install = device.install_enrollment_profile(profile, mode, None).unwrap();
    let next = device.identified(install, Ok(vec![identity()]));
    script.run(&mut device, next);
    (device, script)
}

/// Runs the schema checker over documents of one kind; `None` where it is not at hand.
pub fn conform(kind: &str, options: &[String], documents: &[Vec<u8>]) -> Option<Result<(), String>> {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tools/apple_schema.py");
    if !tool.exists() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let files = documents.iter().enumerate().map(|(number, document)| {
        let file = folder.path().join(number.to_string());
        std::fs::write(&file, document).unwrap();
        file
    });
    let files: Vec<_> = files.collect();
    let output = Command::new("python3").arg(tool).arg(kind).args(files).args(options).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Some(if output.status.success() { Ok(()) } else { Err(format!("{kind} {options:?}: {said}")) })
}
