//! From an assignment to a command, and from the answer to the truth.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use muster_apple::{
    CommandResult, EnrollmentIds, Request, Status,
    plist::{Dictionary, Read},
    profile::{Payload, Profile},
};
use muster_storage::{
    assignments::{self, Assignment},
    commands::{self, Command, Ending},
    device_states,
    devices::{self, Device},
    documents::{self, Document},
    enrollments::{self, Enrollment},
    groups::{self, Group, Member, MemberKind},
    items::{self, state},
    setting_states,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{CONFIGURATIONS, answers, batch, profile_identifier};
use crate::{
    Clock, Result,
    testing::{START, TestService},
};

/// A service with one enrolled iPhone.
pub(crate) struct Fleet {
    pub(crate) service: TestService,
    pub(crate) tenant: Uuid,
    pub(crate) device: Uuid,
    pub(crate) directory: Uuid,
    pub(crate) enrollment: Uuid,
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        Fleet::with("iOS", "17.4", "userEnrollment", false).await
    }

    pub(crate) async fn with(platform: &str, os: &str, enrollment_type: &str, supervised: bool) -> Self {
        let service = crate::testing::service();
        let id = || service.random.id(START);
        let (tenant, device, directory, enrollment) = (id(), id(), id(), id());
        let row = Device {
            id: device,
            directory_id: directory,
            azure_ad_device_id: id(),
            source: "mdm".into(),
            name: "Ann's iPhone".into(),
            platform: platform.into(),
            operating_system: platform.into(),
            os_version: Some(os.into()),
            owner_type: "company".into(),
            enrollment_type: enrollment_type.into(),
            management_state: "managed".into(),
            compliance_state: "unknown".into(),
            is_supervised: supervised,
            serial_number: Some("C02XK1".into()),
            state: "enrolled".into(),
            document: "{}".into(),
            scope_tags: "[\"0\"]".into(),
            ..Device::default()
        };
        let channel = Enrollment {
            id: enrollment,
            device_id: device,
            channel: "appleDevice".into(),
            protocol_id: "UDID-1".into(),
            user_short_name: None,
            state: "enrolled".into(),
            topic: None,
            push_token: None,
            push_magic: None,
            push_state: "unknown".into(),
            push_changed_at: None,
            push_past: "[]".into(),
            awaiting_configuration: false,
            declarative: false,
            access_token_hash: None,
            token_updates: 1,
            certificate_generation: 1,
            os_version: None,
            enrolled_at: Some(START),
            last_seen_at: None,
            created_at: START,
        };
        service
            .store
            .write(tenant, move |tx| {
                devices::put(tx, tenant, &row)?;
                enrollments::put(tx, tenant, &channel)?;
                device_states::mark_dirty(tx, tenant, enrollment)
            })
            .await
            .unwrap();
        Fleet { service, tenant, device, directory, enrollment }
    }

    /// Saves a document assigned to a target and marks the channel.
    pub(crate) async fn assign(&self, odata_type: &str, body: Value, target: &str, group: Option<Uuid>) -> Uuid {
        let id = self.service.random.id(START);
        self.assign_as(id, odata_type, body, target, group).await;
        id
    }

    pub(crate) async fn assign_as(&self, id: Uuid, odata_type: &str, body: Value, target: &str, group: Option<Uuid>) {
        let document = Document {
            kind: CONFIGURATIONS.into(),
            id,
            odata_type: odata_type.into(),
            display_name: format!("Policy {odata_type}"),
            body: body.to_string(),
            priority: None,
            version: 1,
            created_at: START,
            modified_at: START,
        };
        let assignment = Assignment {
            id: self.service.random.id(START),
            kind: CONFIGURATIONS.into(),
            document_id: id,
            target: target.into(),
            exclude: false,
            group_id: group,
            filter_id: None,
            filter_mode: "none".into(),
            intent: "apply".into(),
        };
        let (tenant, enrollment) = (self.tenant, self.enrollment);
        self.write(move |tx| {
            documents::insert(tx, tenant, &document)?;
            if assignment.target != "nobody" {
                assignments::replace(tx, tenant, CONFIGURATIONS, id, std::slice::from_ref(&assignment))?;
            }
            device_states::mark_dirty(tx, tenant, enrollment)
        })
        .await;
    }

    pub(crate) async fn unassign(&self, document: Uuid) {
        let (tenant, enrollment) = (self.tenant, self.enrollment);
        self.write(move |tx| {
            assignments::replace(tx, tenant, CONFIGURATIONS, document, &[])?;
            device_states::mark_dirty(tx, tenant, enrollment)
        })
        .await;
    }

    pub(crate) async fn change(&self, document: Uuid, body: Value) {
        let (tenant, enrollment) = (self.tenant, self.enrollment);
        self.write(move |tx| {
            let mut row = documents::by_id(tx, tenant, CONFIGURATIONS, document)?.unwrap();
            let read = row.version;
            row.body = body.to_string();
            assert!(documents::update(tx, tenant, &row, read, START)?);
            device_states::mark_dirty(tx, tenant, enrollment)
        })
        .await;
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        op: impl Fn(&mut dyn muster_storage::Tx) -> muster_storage::Result<T> + Send + 'static,
    ) -> T {
        self.service.store.write(self.tenant, op).await.unwrap()
    }

    pub(crate) async fn compute(&self) -> usize {
        let (tenant, enrollment, now) = (self.tenant, self.enrollment, self.service.clock.now());
        let (ids, documents) = (self.service.ids(now), self.service.prepared.clone());
        let run = move |tx: &mut dyn muster_storage::Tx| {
            batch::compute(tx, tenant, &[enrollment], &documents, &mut ids.clone(), now)
        };
        self.service.store.write(tenant, run).await.unwrap().iter().map(|(_, queued)| queued).sum()
    }

    pub(crate) async fn queue(&self) -> Vec<Command> {
        let (tenant, enrollment) = (self.tenant, self.enrollment);
        self.write(move |tx| commands::pending(tx, tenant, enrollment, 100)).await
    }

    pub(crate) async fn render(&self, command: &Command) -> Result<Option<Request>> {
        self.service.render_item(self.tenant, self.enrollment, command.id, &command.payload).await
    }

    /// Hands the next command out as a device would get it.
    pub(crate) async fn next(&self) -> Option<(Command, Request)> {
        let (tenant, enrollment) = (self.tenant, self.enrollment);
        let command = self.write(move |tx| commands::hand_out_next(tx, tenant, enrollment, None, START)).await?;
        let request = self.render(&command).await.unwrap().expect("the command is current");
        Some((command, request))
    }

    pub(crate) async fn answer(&self, command: &Command, status: Status) {
        let ids = EnrollmentIds::device("UDID-1");
        let result = CommandResult::of(ids, status, &command.id.to_string(), Dictionary::new());
        let (tenant, enrollment, id) = (self.tenant, self.enrollment, command.id);
        let now = self.service.clock.now();
        self.write(move |tx| {
            let ending = match result.status {
                Status::Acknowledged => Ending::Acknowledged,
                _ => Ending::Error,
            };
            if let Some(done) = commands::finish(tx, tenant, enrollment, id, ending, None, now)? {
                answers::item_answered(tx, tenant, enrollment, id, &done.payload, &result, now)?;
            }
            Ok(())
        })
        .await;
    }

    pub(crate) async fn item_of(&self, document: Uuid) -> Option<items::Item> {
        let (tenant, enrollment) = (self.tenant, self.enrollment);
        self.write(move |tx| items::by_key(tx, tenant, enrollment, &format!("profile:{document}"))).await
    }

    pub(crate) async fn state_of(&self, document: Uuid) -> Option<String> {
        self.item_of(document).await.map(|item| item.state)
    }
}

fn mobileconfig(identifier: &str) -> Value {
    let payload = Payload::new("com.apple.webClip.managed", identifier, "5E5CB2AC-0000-4000-8000-000000000001", {
        let mut content = Dictionary::new();
        content.insert("URL".into(), "https://intra.example.org/{{SERIALNUMBER}}".into());
        content.insert("Label".into(), "Intranet".into());
        content
    });
    let profile = Profile::new("com.example.top", "5E5CB2AC-0000-4000-8000-000000000002", "Clip", vec![payload]);
    json!({ "payloadName": "Clip", "payloadFileName": "clip.mobileconfig", "payload": STANDARD.encode(profile.encode()) })
}

pub(crate) fn profile(request: &Request) -> Profile {
    assert_eq!(request.request_type, "InstallProfile");
    let signed = request.parameters.need_data("Payload").unwrap();
    let legacy = muster_pki::public_key::Legacy::default();
    let attached = muster_pki::cms::verify_attached(&signed, muster_pki::asn1::Limits::default(), legacy).unwrap();
    Profile::decode(&attached.content).unwrap()
}

#[tokio::test]
async fn a_custom_profile_reaches_every_device_and_leaves_with_its_assignment() {
    let fleet = Fleet::new().await;
    let document = fleet.assign("iosCustomConfiguration", mobileconfig("a"), "allDevices", None).await;
    assert_eq!(fleet.compute().await, 1);
    assert_eq!(fleet.state_of(document).await.as_deref(), Some(state::PENDING));

    let (command, request) = fleet.next().await.unwrap();
    let sent = profile(&request);
    conforms("a_custom_profile", &sent);
    assert_eq!(sent.identifier, profile_identifier(document));
    assert_eq!(sent.payloads[0].identifier, format!("{}.a", profile_identifier(document)));
    assert_eq!(sent.payloads[0].content.text("URL").unwrap().unwrap(), "https://intra.example.org/C02XK1");
    fleet.answer(&command, Status::Acknowledged).await;
    assert_eq!(fleet.state_of(document).await.as_deref(), Some(state::SUCCEEDED));

    fleet.unassign(document).await;
    assert_eq!(fleet.compute().await, 1);
    let (command, request) = fleet.next().await.unwrap();
    assert_eq!(request.request_type, "RemoveProfile");
    assert_eq!(request.parameters.need_text("Identifier").unwrap(), profile_identifier(document));
    fleet.answer(&command, Status::Acknowledged).await;
    assert_eq!(fleet.state_of(document).await, None);
    assert_eq!(fleet.compute().await, 0);
}

#[tokio::test]
async fn nothing_is_sent_twice_and_a_clean_channel_costs_nothing() {
    let fleet = Fleet::new().await;
    fleet.assign("iosCustomConfiguration", mobileconfig("a"), "allDevices", None).await;
    assert_eq!(fleet.compute().await, 1);
    assert_eq!(fleet.compute().await, 0);
    let (tenant, enrollment) = (fleet.tenant, fleet.enrollment);
    fleet.write(move |tx| device_states::mark_dirty(tx, tenant, enrollment)).await;
    assert_eq!(fleet.compute().await, 0, "a command on its way is not queued again");
    assert_eq!(fleet.queue().await.len(), 1);
}

#[tokio::test]
async fn a_changed_profile_overtakes_the_one_on_its_way() {
    let fleet = Fleet::new().await;
    let document = fleet.assign("iosCustomConfiguration", mobileconfig("a"), "allDevices", None).await;
    fleet.compute().await;
    let (old, _) = fleet.next().await.unwrap();
    fleet.change(document, mobileconfig("b")).await;
    assert_eq!(fleet.compute().await, 1);
    assert_eq!(fleet.queue().await.len(), 1, "the old command is withdrawn");
    fleet.answer(&old, Status::Acknowledged).await;
    assert_eq!(fleet.state_of(document).await.as_deref(), Some(state::PENDING), "a late answer proves nothing");
    let (new, request) = fleet.next().await.unwrap();
    assert!(profile(&request).payloads[0].identifier.ends_with(".b"));
    fleet.answer(&new, Status::Acknowledged).await;
    assert_eq!(fleet.state_of(document).await.as_deref(), Some(state::SUCCEEDED));
}

#[tokio::test]
async fn what_may_have_arrived_is_removed_though_no_answer_came() {
    let fleet = Fleet::new().await;
    let document = fleet.assign("iosCustomConfiguration", mobileconfig("a"), "allDevices", None).await;
    fleet.compute().await;
    fleet.next().await.unwrap();
    fleet.unassign(document).await;
    assert_eq!(fleet.compute().await, 1);
    assert_eq!(fleet.next().await.unwrap().1.request_type, "RemoveProfile");
}

#[tokio::test]
async fn what_was_never_handed_out_is_just_forgotten() {
    let fleet = Fleet::new().await;
    let document = fleet.assign("iosCustomConfiguration", mobileconfig("a"), "allDevices", None).await;
    fleet.compute().await;
    fleet.unassign(document).await;
    assert_eq!(fleet.compute().await, 0);
    assert!(fleet.queue().await.is_empty());
    assert_eq!(fleet.state_of(document).await, None);
}

#[tokio::test]
async fn an_error_is_settled_until_its_timer() {
    let fleet = Fleet::new().await;
    let document = fleet.assign("iosCustomConfiguration", mobileconfig("a"), "allDevices", None).await;
    fleet.compute().await;
    let (command, _) = fleet.next().await.unwrap();
    fleet.answer(&command, Status::Error).await;
    assert_eq!(fleet.state_of(document).await.as_deref(), Some(state::ERROR));
    let (tenant, enrollment) = (fleet.tenant, fleet.enrollment);
    fleet.write(move |tx| device_states::mark_dirty(tx, tenant, enrollment)).await;
    assert_eq!(fleet.compute().await, 0, "no endless difference");
    fleet.service.clock.advance(16 * 60_000);
    fleet.write(move |tx| device_states::mark_dirty(tx, tenant, enrollment)).await;
    assert_eq!(fleet.compute().await, 1, "tried again when its time has come");
    assert_eq!(fleet.state_of(document).await.as_deref(), Some(state::PENDING));
}

#[tokio::test]
async fn a_device_group_reaches_its_devices_through_nested_groups() {
    let fleet = Fleet::new().await;
    let (tenant, directory) = (fleet.tenant, fleet.directory);
    let (inner, outer) = (fleet.service.random.id(START), fleet.service.random.id(START));
    let group = |id: Uuid| Group {
        id,
        source: "local".into(),
        external_id: None,
        display_name: "G".into(),
        document: "{}".into(),
        version: 1,
        created_at: START,
        modified_at: START,
    };
    let (a, b) = (group(inner), group(outer));
    fleet
        .write(move |tx| {
            groups::insert(tx, tenant, &a)?;
            groups::insert(tx, tenant, &b)?;
            groups::add_member(tx, tenant, inner, Member { kind: MemberKind::Device, id: directory }, START)?;
            groups::add_member(tx, tenant, outer, Member { kind: MemberKind::Group, id: inner }, START)?;
            Ok(())
        })
        .await;
    fleet.assign("iosCustomConfiguration", mobileconfig("a"), "group", Some(outer)).await;
    assert_eq!(fleet.compute().await, 1);
}

#[tokio::test]
async fn two_values_for_one_setting_are_a_conflict_and_the_rest_is_sent() {
    let fleet = Fleet::new().await;
    let kind = "iosGeneralDeviceConfiguration";
    let one = json!({ "passcodeMinimumLength": 6, "cameraBlocked": true });
    let two = json!({ "passcodeMinimumLength": 8, "screenCaptureBlocked": true });
    let first = fleet.assign(kind, one, "allDevices", None).await;
    let second = fleet.assign(kind, two, "allDevices", None).await;
    assert_eq!(fleet.compute().await, 2);
    while let Some((command, request)) = fleet.next().await {
        let profile = profile(&request);
        assert!(profile.payload("com.apple.mobiledevice.passwordpolicy").is_none());
        assert!(profile.payload("com.apple.applicationaccess").is_some());
        fleet.answer(&command, Status::Acknowledged).await;
    }
    assert_eq!(fleet.state_of(first).await.as_deref(), Some(state::CONFLICT));
    assert_eq!(fleet.state_of(second).await.as_deref(), Some(state::CONFLICT));
    let (tenant, device) = (fleet.tenant, fleet.device);
    let rows = fleet.write(move |tx| setting_states::of_device(tx, tenant, device)).await;
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!((row.setting.as_str(), row.state.as_str()), ("passcodeMinimumLength", "conflict"));
        assert!(row.sources.contains(&first.to_string()) && row.sources.contains(&second.to_string()));
    }

    fleet.unassign(first).await;
    fleet.compute().await;
    let rows = fleet.write(move |tx| setting_states::of_device(tx, tenant, device)).await;
    assert!(rows.is_empty(), "the conflict ends with one of its sides");
}

#[tokio::test]
async fn what_user_enrollment_does_not_take_is_named_with_the_reason() {
    let fleet = Fleet::with("iOS", "17.4", "appleAccountDrivenUserEnrollment", false).await;
    let body = json!({ "cameraBlocked": true, "screenCaptureBlocked": true, "passcodeMinimumLength": 8 });
    fleet.assign("iosGeneralDeviceConfiguration", body, "allDevices", None).await;
    assert_eq!(fleet.compute().await, 1);
    let (_, request) = fleet.next().await.unwrap();
    let sent = profile(&request);
    let restrictions = sent.payload("com.apple.applicationaccess").unwrap();
    assert_eq!(restrictions.content.flag("allowScreenShot").unwrap(), Some(false));
    assert_eq!(restrictions.content.flag("allowCamera").unwrap(), None);
    let (tenant, device) = (fleet.tenant, fleet.device);
    let rows = fleet.write(move |tx| setting_states::of_device(tx, tenant, device)).await;
    let reasons: Vec<_> = rows.iter().map(|row| (row.setting.as_str(), row.reason.as_deref().unwrap())).collect();
    assert!(reasons.contains(&("cameraBlocked", "not available under User Enrollment")));
    assert!(reasons.iter().any(|(name, reason)| *name == "passcodeMinimumLength" && reason.contains("six digits")));
}

#[tokio::test]
async fn a_profile_for_macs_does_not_reach_a_phone() {
    let fleet = Fleet::new().await;
    let document = fleet.assign("macOSCustomConfiguration", mobileconfig("a"), "allDevices", None).await;
    assert_eq!(fleet.compute().await, 0);
    assert_eq!(fleet.state_of(document).await, None);
}

/// Holds a profile against Apple's schema, where that is there.
pub(crate) fn conforms(test: &str, profile: &Profile) {
    conforms_as(test, profile, "iOS", "17.4", "device");
}

/// Holds a profile against Apple's schema, where it is there.
pub(crate) fn conforms_as(test: &str, profile: &Profile, os: &str, version: &str, enrollment: &str) {
    if let Some(said) = super::catalogue_tests::check(test, &profile.encode(), os, version, enrollment) {
        assert_eq!(said.trim(), "", "{test}");
    }
}

#[tokio::test]
async fn what_the_api_tells_of_a_policy_is_what_the_device_said() {
    let fleet = Fleet::new().await;
    let kind = "iosGeneralDeviceConfiguration";
    let one = json!({ "passcodeMinimumLength": 6, "cameraBlocked": true, "faceTimeBlocked": true });
    let two = json!({ "passcodeMinimumLength": 8 });
    let first = fleet.assign(kind, one, "allDevices", None).await;
    let second = fleet.assign(kind, two, "allDevices", None).await;
    fleet.compute().await;
    let states = || async {
        let all = fleet.service.configuration_states(fleet.tenant, fleet.device).await.unwrap();
        let mut settings = std::collections::BTreeMap::new();
        let mut documents = std::collections::BTreeMap::new();
        for document in all {
            let id = document["id"].as_str().unwrap()[..36].parse::<Uuid>().unwrap();
            documents.insert(id, document["state"].as_str().unwrap().to_owned());
            for setting in document["settingStates"].as_array().unwrap() {
                let name = setting["settingName"].as_str().unwrap().to_owned();
                settings.insert((id, name), setting.clone());
            }
        }
        (documents, settings)
    };
    let (documents, settings) = states().await;
    assert_eq!(documents[&second], "conflict", "nothing of it can be sent");
    assert_eq!(documents[&first], "unknown", "the device has said nothing");
    let setting = |settings: &std::collections::BTreeMap<(Uuid, String), Value>, id, name: &str| {
        settings[&(id, name.to_owned())]["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(setting(&settings, first, "cameraBlocked"), "unknown");
    assert_eq!(setting(&settings, first, "passcodeMinimumLength"), "conflict");
    assert_eq!(setting(&settings, first, "faceTimeBlocked"), "notApplicable", "the phone is not supervised");
    let sources = settings[&(first, "passcodeMinimumLength".to_owned())]["sources"].as_array().unwrap().len();
    assert_eq!(sources, 2, "both policies are named");

    let (command, _) = fleet.next().await.unwrap();
    fleet.answer(&command, Status::Acknowledged).await;
    let (documents, settings) = states().await;
    assert_eq!(documents[&first], "conflict");
    assert_eq!(setting(&settings, first, "cameraBlocked"), "compliant", "what was sent is in force");
    assert_eq!(setting(&settings, first, "passcodeMinimumLength"), "conflict");
}
