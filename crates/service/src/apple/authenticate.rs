//! `Authenticate`: a device enrolls, enrolls again, or comes back with a renewed identity.
//!
//! Apple: "Authenticate"; design: same UDID again, ruling 9; threats A1, A2, A4, B1, B7, B9.

use muster_apple::check_in::Authenticate;
use muster_storage::{
    Tx, commands, device_identities,
    device_identities::Standing,
    device_states,
    devices::{self, Device},
    documents, enrollment_failures,
    enrollment_sessions::{self, EnrollmentSession},
    enrollments::{self, Enrollment},
    items, people, push_certificates, timers,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Contact, Reply, abandoned, hooks,
    identity::{refused, unrecognized},
    model::{self, Model},
    note::{self, Origin},
};
use crate::{Ids, Result, Service};

/// Devices a person may enroll where the tenant has not said otherwise.
pub(super) const DEVICE_LIMIT: i64 = 15;

struct Attempt {
    tenant: Uuid,
    certificate: Uuid,
    message: Authenticate,
    bearer: Option<[u8; 32]>,
    origin: Origin,
    now: i64,
}

enum Outcome {
    Done,
    Unrecognized,
    Refused(String),
}

impl Service {
    pub(super) async fn authenticate(&self, contact: &Contact, message: Authenticate) -> Result<Reply> {
        let now = self.clock.now();
        let attempt = Attempt {
            tenant: contact.identity.tenant,
            certificate: contact.identity.certificate,
            message,
            bearer: contact.bearer.as_deref().map(|bearer| muster_pki::sha256(bearer.as_bytes())),
            origin: contact.origin(),
            now,
        };
        let ids = self.ids(now);
        let tenant = attempt.tenant;
        let outcome = self.store.write(tenant, move |tx| authenticate(tx, &attempt, &mut ids.clone())).await?;
        match outcome {
            Outcome::Done => Ok(Reply::Empty),
            Outcome::Unrecognized => Err(unrecognized()),
            Outcome::Refused(why) => Err(refused(&why)),
        }
    }
}

fn authenticate(tx: &mut dyn Tx, a: &Attempt, ids: &mut Ids) -> Result<Outcome> {
    let sender = &a.message.ids;
    let standing = device_identities::standing(tx, a.tenant, a.certificate, &sender.protocol_id(), a.now)?;
    let Some(standing) = standing else { return Ok(Outcome::Refused("this certificate is no device identity".into())) };
    match standing.certificate_state.as_str() {
        "issued" | "active" if standing.not_after >= a.now => {}
        "revoked" => return Ok(Outcome::Unrecognized),
        _ => return alerted(tx, a, ids, "retiredCertificate", standing.device, "this certificate is no longer valid"),
    }
    if sender.channel_user().is_some() {
        return alerted(
            tx,
            a,
            ids,
            "malformedAuthenticate",
            standing.device,
            "Authenticate comes from the device itself",
        );
    }
    if standing.device.is_some() && standing.device_protocol_id.as_deref() != Some(sender.device_id()) {
        return alerted(tx, a, ids, "identityMismatch", standing.device, "this certificate belongs to another device");
    }
    let push = push_certificates::by_tenant(tx, a.tenant)?;
    if push.as_ref().and_then(|push| push.topic.as_deref()) != Some(a.message.topic.as_str()) {
        return alerted(tx, a, ids, "topicMismatch", standing.device, "the push topic is not this organisation's");
    }
    match (standing.session, standing.device) {
        (Some(session), _) => match enrollment_sessions::by_id(tx, a.tenant, session)? {
            Some(session) => enroll(tx, a, ids, &standing, &session),
            None => alerted(tx, a, ids, "unknownSession", standing.device, "this enrollment is over"),
        },
        (None, Some(device)) => renewed(tx, a, ids, &standing, device),
        (None, None) => alerted(tx, a, ids, "unboundCertificate", None, "this certificate belongs to no enrollment"),
    }
}

/// The identity was renewed by our own profile: nothing is purged.
fn renewed(tx: &mut dyn Tx, a: &Attempt, ids: &mut Ids, standing: &Standing, device: Uuid) -> Result<Outcome> {
    if standing.channel.as_ref().is_none_or(|channel| channel.state != enrollments::state::ENROLLED) {
        return alerted(tx, a, ids, "identityMismatch", Some(device), "this enrollment has ended");
    }
    device_identities::activate(tx, a.tenant, device, a.certificate)?;
    note::device_did(tx, a.tenant, ids, &a.origin, device, "renew device identity", vec![], a.now)?;
    Ok(Outcome::Done)
}

fn enroll(
    tx: &mut dyn Tx,
    a: &Attempt,
    ids: &mut Ids,
    standing: &Standing,
    session: &EnrollmentSession,
) -> Result<Outcome> {
    let sender = &a.message.ids;
    let fresh = standing.device.is_none();
    let over = session.state == enrollment_sessions::state::CLOSED
        || (fresh
            && (session.expires_at < a.now
                || session.device_id.is_some_and(|_| session.protocol_id.as_deref() != Some(sender.device_id()))));
    if over {
        return alerted(tx, a, ids, "sessionOver", standing.device, "this enrollment is over; start again");
    }
    let of_user = ["byod", "userProfile"].contains(&session.method.as_str());
    if of_user != sender.is_user_enrollment() {
        return alerted(
            tx,
            a,
            ids,
            "kindMismatch",
            standing.device,
            "this is not the kind of enrollment that was agreed",
        );
    }
    let by_account = ["byod", "adde"].contains(&session.method.as_str());
    if by_account && session.token_hash.as_deref() != a.bearer.as_ref().map(<[u8; 32]>::as_slice) {
        return alerted(
            tx,
            a,
            ids,
            "bearerMismatch",
            standing.device,
            "the access token of this enrollment is missing",
        );
    }
    let person = people::by_id(tx, a.tenant, session.person_id)?;
    let Some(person) = person.filter(|person| person.account_enabled && person.licensed) else {
        let why = "the account may not enroll devices: it is disabled or has no licence";
        return failed(tx, a, ids, session, "userValidation", why);
    };
    let former = match standing.device {
        Some(device) => devices::by_id(tx, a.tenant, device)?,
        None => former_record(tx, a, ids, session)?,
    };
    // Two devices at once: the second one counts the first.
    devices::lock_owner(tx, a.tenant, session.person_id)?;
    let limit = device_limit(tx, a.tenant)?;
    let except = former.as_ref().map(|device| device.id);
    if devices::count_for_limit(tx, a.tenant, session.person_id, except)? >= limit {
        let why = format!("{} already has {limit} devices, the most allowed", person.user_principal_name);
        return failed(tx, a, ids, session, "enrollmentRestrictionsEnforced", &why);
    }

    let again = former.is_some();
    let category = match session.category_id {
        Some(id) => documents::by_id(tx, a.tenant, "deviceCategories", id)?.map(|category| category.display_name),
        None => None,
    };
    let device = device_record(a, ids, session, &person, former, category);
    let channel = reset_channel(tx, a, ids, session, device.id)?;
    devices::put(tx, a.tenant, &device)?;
    enrollments::put(tx, a.tenant, &channel)?;
    if !device_identities::bind(tx, a.tenant, a.certificate, device.id, channel.id)? {
        return Err(muster_storage::Error::Retry("the certificate was bound meanwhile".into()).into());
    }
    device_identities::supersede_others(tx, a.tenant, device.id, a.certificate)?;
    if !enrollment_sessions::bind(tx, a.tenant, session.id, sender.device_id(), device.id)? {
        return Err(muster_storage::Error::Retry("the session was bound meanwhile".into()).into());
    }
    device_states::mark_dirty(tx, a.tenant, channel.id)?;
    timers::set(tx, a.tenant, abandoned::TIMER, device.id, a.now + abandoned::PATIENCE, "{}")?;
    let activity = if again { "enroll device again" } else { "enroll device" };
    note::device_did(tx, a.tenant, ids, &a.origin, device.id, activity, vec![], a.now)?;
    Ok(Outcome::Done)
}

/// The record this enrollment continues: the same person's of the same UDID. Another person's record
/// is left alone, somebody is told, and a wipe that waited for it is called back (rulings 2 and 9).
fn former_record(tx: &mut dyn Tx, a: &Attempt, ids: &mut Ids, session: &EnrollmentSession) -> Result<Option<Device>> {
    let mut own = None;
    let mut others: Vec<Device> = Vec::new();
    if let Some(udid) = &a.message.ids.udid {
        for device in devices::by_udid(tx, a.tenant, udid)? {
            if device.person_id == Some(session.person_id) {
                own = own.or(Some(device));
            } else if ["pending", "enrolled", "leaving"].contains(&device.state.as_str()) {
                others.push(device);
            }
        }
    }
    if let Some(serial) = &a.message.serial_number {
        for device in devices::live_by_serial(tx, a.tenant, serial)? {
            let known = device.person_id == Some(session.person_id) || others.iter().any(|other| other.id == device.id);
            if !known {
                others.push(device);
            }
        }
    }
    for other in others {
        // A wipe that waited for the other person's record dies here: it must not hit this one's data.
        hooks::taken_over(tx, ids, a.tenant, other.id, a.now)?;
        let details = json!({ "formerDevice": other.id });
        note::alert(tx, a.tenant, ids, &a.origin, "sameDeviceOtherPerson", Some(other.id), details, a.now)?;
    }
    Ok(own)
}

fn device_record(
    a: &Attempt,
    ids: &mut Ids,
    session: &EnrollmentSession,
    person: &people::Person,
    former: Option<Device>,
    category_name: Option<String>,
) -> Device {
    let m = &a.message;
    let model = Model::of(m.product_name.as_deref().unwrap_or_default());
    let again = former.is_some();
    let base = former.unwrap_or_else(|| Device {
        id: ids.next(),
        directory_id: ids.next(),
        azure_ad_device_id: ids.next(),
        source: "mdm".into(),
        document: "{}".into(),
        scope_tags: "[\"0\"]".into(),
        compliance_state: "unknown".into(),
        version: 1,
        created_at: a.now,
        ..Default::default()
    });
    let owner_changed = again && base.owner_type != session.owner_type;
    let local = person.user_principal_name.split('@').next().unwrap_or_default();
    Device {
        person_id: Some(person.id),
        user_principal_name: Some(person.user_principal_name.clone()),
        name: m.device_name.clone().unwrap_or_else(|| if again { base.name.clone() } else { model.family.into() }),
        managed_device_name: base
            .managed_device_name
            .clone()
            .or_else(|| Some(format!("{local}_{}_{}", model.family, model::date(a.now)))),
        platform: model.platform.into(),
        operating_system: model.platform.into(),
        os_version: m.os_version.clone(),
        manufacturer: Some("Apple".into()),
        model: m.model_name.clone().or_else(|| Some(model.family.into())),
        product_name: m.product_name.clone().or_else(|| m.model.clone()),
        serial_number: m.serial_number.clone(),
        udid: m.ids.udid.clone(),
        imei: m.imei.clone(),
        owner_type_before: if owner_changed { Some(base.owner_type.clone()) } else { base.owner_type_before.clone() },
        owner_type_changed_at: if owner_changed { Some(a.now) } else { base.owner_type_changed_at },
        owner_type: session.owner_type.clone(),
        enrollment_type: session.enrollment_type.clone(),
        enrollment_profile_name: session.profile_name.clone(),
        management_state: "managed".into(),
        is_supervised: model.platform == "macOS" && !m.ids.is_user_enrollment(),
        is_encrypted: None,
        category_id: session.category_id.or(base.category_id),
        category_name: category_name.or(base.category_name),
        state: "pending".into(),
        left_at: None,
        modified_at: a.now,
        ..base
    }
}

/// The device's own channel, as new: no push values, no queue but a wipe that follows the device,
/// nothing that the former enrollment had.
fn reset_channel(
    tx: &mut dyn Tx,
    a: &Attempt,
    ids: &mut Ids,
    session: &EnrollmentSession,
    device: Uuid,
) -> Result<Enrollment> {
    let former = enrollments::device_channel(tx, a.tenant, device)?;
    hooks::re_enrolled(tx, ids, a.tenant, device, a.now)?;
    for channel in enrollments::of_device(tx, a.tenant, device)? {
        for command in commands::pending(tx, a.tenant, channel.id, commands::PENDING_LIMIT)? {
            if command.request_type != "EraseDevice" {
                commands::cancel_for(tx, a.tenant, commands::Which::One(channel.id, command.id), a.now)?;
            }
        }
        items::clear(tx, a.tenant, channel.id)?;
        if channel.channel == enrollments::channel::USER {
            device_states::remove(tx, a.tenant, channel.id)?;
        }
    }
    enrollments::remove_users(tx, a.tenant, device)?;
    super::escrow::forget_enrollment(tx, a.tenant, device)?;
    Ok(Enrollment {
        id: former.as_ref().map_or_else(|| ids.next(), |channel| channel.id),
        device_id: device,
        channel: enrollments::channel::DEVICE.into(),
        protocol_id: a.message.ids.device_id().into(),
        state: enrollments::state::PENDING.into(),
        topic: Some(a.message.topic.clone()),
        push_state: "unknown".into(),
        push_past: "[]".into(),
        access_token_hash: session.token_hash.clone().filter(|_| ["byod", "adde"].contains(&session.method.as_str())),
        os_version: a.message.os_version.clone(),
        created_at: former.map_or(a.now, |channel| channel.created_at),
        ..Default::default()
    })
}

/// Most devices a person may enroll: the tenant's default limit configuration.
pub(super) fn device_limit(tx: &mut dyn Tx, tenant: Uuid) -> Result<i64> {
    for document in documents::all_by_priority(tx, tenant, "deviceEnrollmentConfigurations")? {
        if document.odata_type.ends_with("deviceEnrollmentLimitConfiguration")
            && let Some(limit) = document.properties()?.get("limit").and_then(Value::as_i64)
        {
            return Ok(limit);
        }
    }
    Ok(DEVICE_LIMIT)
}

fn alerted(
    tx: &mut dyn Tx,
    a: &Attempt,
    ids: &mut Ids,
    kind: &str,
    device: Option<Uuid>,
    why: &str,
) -> Result<Outcome> {
    let details = json!({ "claimed": a.message.ids.device_id(), "certificate": a.certificate });
    note::alert(tx, a.tenant, ids, &a.origin, kind, device, details, a.now)?;
    Ok(Outcome::Refused(why.into()))
}

fn failed(
    tx: &mut dyn Tx,
    a: &Attempt,
    ids: &mut Ids,
    session: &EnrollmentSession,
    category: &str,
    why: &str,
) -> Result<Outcome> {
    let failure = enrollment_failures::EnrollmentFailure {
        id: ids.next(),
        person_id: Some(session.person_id),
        category: category.into(),
        reason: why.into(),
        platform: Some(session.platform.clone()),
        os_version: a.message.os_version.clone(),
        correlation_id: Some(a.origin.correlation),
        at: a.now,
    };
    enrollment_failures::insert(tx, a.tenant, &failure)?;
    let details = json!({ "category": category, "reason": why });
    note::alert(tx, a.tenant, ids, &a.origin, "enrollmentFailed", None, details, a.now)?;
    Ok(Outcome::Refused(why.into()))
}
