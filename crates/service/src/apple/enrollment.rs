//! How a person may enroll: gates every enrollment passes, the choice that
//! `appleUserInitiatedEnrollmentProfiles` make, and the session that keeps what was agreed.
//!
//! Graph: appleUserInitiatedEnrollmentProfile, deviceEnrollmentLimitConfiguration.

use muster_domain::{
    assignment::{self, Subject},
    enrollment::{self, ByAccount, ByWeb, Initiated, InitiatedType, Owner},
};
use muster_storage::{
    Tx, devices, documents, enrollment_failures,
    enrollment_sessions::{self, EnrollmentSession},
    groups, lookups,
    people::{self, Person},
    push_certificates, subjects, tenants,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{authenticate::device_limit, model, note};
use crate::people::managed_apple_account;
use crate::{
    Error, Kind, Result, Service,
    settings::{HOUR, MINUTE},
};

/// The collection whose documents decide.
pub const INITIATED_PROFILES: &str = "appleUserInitiatedEnrollmentProfiles";
/// Kind of the look-up from an access token to its session.
pub(super) const TOKEN_LOOKUP: &str = "enrollmentToken";
/// A session must lead to Authenticate within this time.
const SESSION: i64 = HOUR;

/// Where the person comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `/enroll` in a browser.
    Web,
    /// The work account in the device's settings.
    Account,
}

/// How the device enrolls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A profile from a web page: device enrollment.
    Profile,
    /// Account-driven User Enrollment.
    Byod,
    /// Account-driven Device Enrollment.
    Adde,
}

impl Method {
    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Method::Profile => "profile",
            Method::Byod => "byod",
            Method::Adde => "adde",
        }
    }

    /// Graph's deviceEnrollmentType, by beta's word.
    pub fn enrollment_type(self) -> &'static str {
        match self {
            Method::Profile | Method::Adde => "userEnrollment",
            Method::Byod => "appleAccountDrivenUserEnrollment",
        }
    }
}

/// What a person brings.
#[derive(Clone, Debug)]
pub struct EnrollmentRequest {
    /// Where they come from.
    pub entry: Entry,
    /// `iOS`, `iPadOS`, `macOS`; none where it is not known yet.
    pub platform: Option<String>,
    /// OS version, where known.
    pub os_version: Option<String>,
    /// Their answer to "my own or the company's".
    pub owner: Option<Owner>,
    /// Device category: id and name.
    pub category: Option<(Uuid, String)>,
    /// Id of the request.
    pub correlation: Uuid,
}

/// What comes of it. A refusal is an error with a reason for the person to read.
#[derive(Debug)]
pub enum Started {
    /// Go on: fetch the profile with this session, or hand the token over.
    Session {
        /// The session.
        id: Uuid,
        /// What was agreed.
        method: Method,
        /// What leads to the session: the bearer of account-driven enrollments, the end of the
        /// profile's link for web ones; shown once.
        token: muster_pki::Secret<String>,
    },
    /// Ask whose device it is, and come again with the answer.
    AskOwner,
    /// Not by this page: the person adds their work account in the device's settings.
    UseAccount {
        /// The account to type there.
        account: String,
    },
}

/// The `appleUserInitiatedEnrollmentProfile` that decides for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Deciding {
    id: Uuid,
    name: String,
    says: Initiated,
}

#[derive(Debug, PartialEq, Eq)]
enum Ruling {
    Enroll(Method, Owner),
    AskOwner,
    UseAccount,
    Refuse(&'static str, String),
}

/// Which way for this person, coming from there, with that system.
fn rule(profile: Option<&Deciding>, request: &EnrollmentRequest) -> Ruling {
    let says = profile.map(|profile| &profile.says);
    let major = request.os_version.as_deref().filter(|version| !version.is_empty()).map(model::major);
    match request.entry {
        Entry::Web => match enrollment::by_web(says, request.owner, major) {
            ByWeb::AskOwner => Ruling::AskOwner,
            ByWeb::Profile(owner) => Ruling::Enroll(Method::Profile, owner),
            ByWeb::AccountDriven => Ruling::UseAccount,
            ByWeb::TooOld => Ruling::Refuse(
                "deviceNotSupported",
                "your organisation manages only the work part of personal devices, and that needs iOS 15 or iPadOS 15: \
                 update this device first"
                    .into(),
            ),
        },
        Entry::Account => match enrollment::by_account(says) {
            ByAccount::Byod => Ruling::Enroll(Method::Byod, Owner::Personal),
            ByAccount::Adde => Ruling::Enroll(Method::Adde, Owner::Personal),
            ByAccount::Web => Ruling::Refuse(
                "enrollmentRestrictionsEnforced",
                "your organisation enrolls devices through its web page, not through an account in the settings".into(),
            ),
        },
    }
}

/// 403 with a reason for the person.
fn refuse(reason: impl Into<String>) -> Error {
    Error::refused(Kind::Forbidden, "enrollmentRefused", reason)
}

impl Service {
    /// Begins an enrollment for a signed-in person, or says why not.
    pub async fn start_enrollment(&self, tenant: Uuid, person: Uuid, request: EnrollmentRequest) -> Result<Started> {
        let now = self.clock.now();
        let mut random = [0u8; 32];
        self.random.fill(&mut random);
        let token = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, random);
        let hash = muster_pki::sha256(token.as_bytes());
        let ids = self.ids(now);
        let done = self
            .store
            .write(tenant, move |tx| start(tx, tenant, person, &request, &hash, &mut ids.clone(), now))
            .await?;
        match done {
            Done::Session(session) => {
                let method = match session.method.as_str() {
                    "byod" => Method::Byod,
                    "adde" => Method::Adde,
                    _ => Method::Profile,
                };
                Ok(Started::Session { id: session.id, method, token: muster_pki::Secret::new(token) })
            }
            Done::AskOwner => Ok(Started::AskOwner),
            Done::UseAccount(account) => Ok(Started::UseAccount { account }),
            Done::Refused(reason) => Err(refuse(reason)),
        }
    }

    /// Refuses a person who cannot enroll whatever they choose next, with the reason for them and an
    /// event for the administrator.
    pub async fn check_may_enroll(&self, tenant: Uuid, person: Uuid, correlation: Uuid) -> Result<()> {
        let now = self.clock.now();
        let ids = self.ids(now);
        let request = EnrollmentRequest {
            entry: Entry::Web,
            platform: None,
            os_version: None,
            owner: None,
            category: None,
            correlation,
        };
        let refused = self
            .store
            .write(tenant, move |tx| {
                let Some(person) = people::by_id(tx, tenant, person)? else {
                    return Err(refuse("this account does not exist"));
                };
                let Some((category, reason)) = gates(tx, tenant, &person, now)? else { return Ok(None) };
                failed(tx, tenant, &person, &request, category, &reason, &mut ids.clone(), now)?;
                Ok(Some(reason))
            })
            .await?;
        refused.map_or(Ok(()), |reason| Err(refuse(reason)))
    }

    /// Which account-driven enrollment a person of that name would get; a stranger gets the same
    /// answer as a person whom no profile names.
    pub(super) async fn account_method(&self, tenant: Uuid, user: &str, platform: &str) -> Result<Method> {
        let (user, platform) = (user.to_owned(), platform.to_owned());
        self.store
            .read(tenant, move |tx| {
                let Some(person) = people::by_name(tx, tenant, &user)? else { return Ok(Method::Byod) };
                let request = EnrollmentRequest {
                    entry: Entry::Account,
                    platform: Some(platform.clone()),
                    os_version: None,
                    owner: None,
                    category: None,
                    correlation: Uuid::nil(),
                };
                let profile = deciding_profile(tx, tenant, &person, Some(&platform))?;
                match rule(profile.as_ref(), &request) {
                    Ruling::Enroll(method, _) => Ok(method),
                    Ruling::Refuse(_, reason) => Err(refuse(reason)),
                    Ruling::AskOwner | Ruling::UseAccount => Ok(Method::Byod),
                }
            })
            .await
    }
}

impl Service {
    /// The session as it stands for a device of this platform. A web view does not tell a Mac from an
    /// iPad; the signed description does, and the profile for that platform decides, as it did at
    /// discovery.
    pub(super) async fn agreed(
        &self,
        tenant: Uuid,
        session: EnrollmentSession,
        platform: &'static str,
    ) -> Result<EnrollmentSession> {
        if session.platform == platform || session.method == Method::Profile.word() {
            return Ok(session);
        }
        self.store
            .write(tenant, move |tx| {
                let Some(person) = people::by_id(tx, tenant, session.person_id)? else {
                    return Err(refuse("this account does not exist"));
                };
                let request = EnrollmentRequest {
                    entry: Entry::Account,
                    platform: Some(platform.into()),
                    os_version: None,
                    owner: None,
                    category: None,
                    correlation: Uuid::nil(),
                };
                let profile = deciding_profile(tx, tenant, &person, Some(platform))?;
                let (method, owner) = match rule(profile.as_ref(), &request) {
                    Ruling::Enroll(method, owner) => (method, owner),
                    Ruling::Refuse(_, reason) => return Err(refuse(reason)),
                    Ruling::AskOwner | Ruling::UseAccount => return Ok(session.clone()),
                };
                let session = EnrollmentSession {
                    method: method.word().into(),
                    owner_type: owner.word().into(),
                    enrollment_type: method.enrollment_type().into(),
                    profile_id: profile.as_ref().map(|profile| profile.id),
                    profile_name: profile.map(|profile| profile.name),
                    platform: platform.into(),
                    ..session.clone()
                };
                match enrollment_sessions::agree(tx, tenant, &session)? {
                    true => Ok(session),
                    false => Err(refuse("this enrollment is over: start again")),
                }
            })
            .await
    }
}

enum Done {
    Session(Box<EnrollmentSession>),
    AskOwner,
    UseAccount(String),
    Refused(String),
}

fn start(
    tx: &mut dyn Tx,
    tenant: Uuid,
    person: Uuid,
    request: &EnrollmentRequest,
    token_hash: &[u8; 32],
    ids: &mut crate::Ids,
    now: i64,
) -> Result<Done> {
    let Some(person) = people::by_id(tx, tenant, person)? else { return Err(refuse("this account does not exist")) };
    let ruling = match gates(tx, tenant, &person, now)? {
        Some((category, reason)) => Ruling::Refuse(category, reason),
        None => {
            let profile = deciding_profile(tx, tenant, &person, request.platform.as_deref())?;
            match rule(profile.as_ref(), request) {
                Ruling::Enroll(method, owner) => {
                    let session = session(tx, tenant, &person, request, profile, (method, owner), ids, now)?;
                    let session = EnrollmentSession { token_hash: Some(token_hash.to_vec()), ..session };
                    enrollment_sessions::insert(tx, tenant, &session)?;
                    lookups::put(tx, TOKEN_LOOKUP, token_hash, tenant, session.id, Some(session.expires_at))?;
                    return Ok(Done::Session(Box::new(session)));
                }
                other => other,
            }
        }
    };
    match ruling {
        Ruling::AskOwner => Ok(Done::AskOwner),
        Ruling::UseAccount => Ok(Done::UseAccount(managed_apple_account(tx, tenant, &person)?)),
        Ruling::Refuse(category, reason) => {
            failed(tx, tenant, &person, request, category, &reason, ids, now)?;
            Ok(Done::Refused(reason))
        }
        Ruling::Enroll(..) => unreachable!("answered above"),
    }
}

/// What every enrollment needs, whatever its kind: (failure category, reason).
fn gates(tx: &mut dyn Tx, tenant: Uuid, person: &Person, now: i64) -> Result<Option<(&'static str, String)>> {
    let refused = |category: &'static str, reason: &str| Ok(Some((category, reason.to_owned())));
    if !person.account_enabled {
        return refused("userValidation", "this account is disabled: ask your help desk");
    }
    if !person.licensed {
        return refused("userValidation", "this account has no licence for device management: ask your help desk");
    }
    let authority = tenants::organization(tx, tenant)?.map(|organization| organization.mdm_authority);
    if authority.is_none_or(|authority| authority == "unknown") {
        return refused("featureNotSupported", "your organisation has not set itself as the authority for devices yet");
    }
    let push = push_certificates::by_tenant(tx, tenant)?.unwrap_or_default();
    match (push.topic, push.not_after) {
        (Some(_), Some(ends)) if ends > now => {}
        (Some(_), _) => {
            return refused("featureNotSupported", "your organisation's Apple push certificate has expired");
        }
        (None, _) => return refused("featureNotSupported", "your organisation has no Apple push certificate yet"),
    }
    let limit = device_limit(tx, tenant)?;
    if devices::count_for_limit(tx, tenant, person.id, None)? >= limit {
        let reason = format!("{} already has {limit} devices, the most allowed", person.user_principal_name);
        return Ok(Some(("enrollmentRestrictionsEnforced", reason)));
    }
    Ok(None)
}

/// The assigned profile of the highest priority for that platform.
fn deciding_profile(
    tx: &mut dyn Tx,
    tenant: Uuid,
    person: &Person,
    platform: Option<&str>,
) -> Result<Option<Deciding>> {
    let subject = Subject {
        user_groups: groups::groups_of(tx, tenant, groups::Member { kind: groups::MemberKind::User, id: person.id })?
            .into_iter()
            .collect(),
        licensed_user: person.licensed,
        ..Default::default()
    };
    let assignments = subjects::assignments(tx, tenant, INITIATED_PROFILES)?;
    for document in documents::all_by_priority(tx, tenant, INITIATED_PROFILES)? {
        let own: Vec<_> = assignments.iter().filter(|(id, _)| *id == document.id).map(|(_, a)| *a).collect();
        if assignment::reach(&own, &subject, &|_| None).intent.is_none() {
            continue;
        }
        let body = document.properties()?;
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let for_mac = text("platform") == "macOS";
        if platform.is_some_and(|platform| (platform == "macOS") != for_mac) {
            continue;
        }
        let options = body.get("availableEnrollmentTypeOptions").and_then(Value::as_array);
        let options = options.into_iter().flatten().filter_map(|option| {
            let word = |key: &str| option.get(key).and_then(Value::as_str);
            Some((Owner::parse(word("ownerType")?)?, InitiatedType::parse(word("enrollmentType")?)))
        });
        let says =
            Initiated { default: InitiatedType::parse(&text("defaultEnrollmentType")), options: options.collect() };
        return Ok(Some(Deciding { id: document.id, name: document.display_name, says }));
    }
    Ok(None)
}

#[expect(clippy::too_many_arguments, reason = "everything that a session keeps")]
fn session(
    tx: &mut dyn Tx,
    tenant: Uuid,
    person: &Person,
    request: &EnrollmentRequest,
    profile: Option<Deciding>,
    (method, owner): (Method, Owner),
    ids: &mut crate::Ids,
    now: i64,
) -> Result<EnrollmentSession> {
    let account = match method {
        Method::Profile => None,
        Method::Byod | Method::Adde => Some(managed_apple_account(tx, tenant, person)?),
    };
    let category = request.category.clone();
    Ok(EnrollmentSession {
        id: ids.next(),
        person_id: person.id,
        method: method.word().into(),
        owner_type: owner.word().into(),
        enrollment_type: method.enrollment_type().into(),
        profile_id: profile.as_ref().map(|profile| profile.id),
        profile_name: profile.map(|profile| profile.name),
        category_id: category.as_ref().map(|(id, _)| *id),
        platform: request.platform.clone().unwrap_or_else(|| "unknown".into()),
        managed_apple_account: account,
        token_hash: None,
        protocol_id: None,
        device_id: None,
        state: enrollment_sessions::state::OPEN.into(),
        details: json!({ "categoryName": category.map(|(_, name)| name) }).to_string(),
        created_at: now,
        expires_at: now + SESSION + 5 * MINUTE,
    })
}

#[expect(clippy::too_many_arguments, reason = "the parts of one failure event")]
fn failed(
    tx: &mut dyn Tx,
    tenant: Uuid,
    person: &Person,
    request: &EnrollmentRequest,
    category: &str,
    reason: &str,
    ids: &mut crate::Ids,
    now: i64,
) -> Result<()> {
    let failure = enrollment_failures::EnrollmentFailure {
        id: ids.next(),
        person_id: Some(person.id),
        category: category.into(),
        reason: reason.into(),
        platform: request.platform.clone(),
        os_version: request.os_version.clone(),
        correlation_id: Some(request.correlation),
        at: now,
    };
    enrollment_failures::insert(tx, tenant, &failure)?;
    let origin = note::Origin { correlation: request.correlation, address: None };
    let details = json!({ "category": category, "reason": reason, "person": person.id });
    Ok(note::alert(tx, tenant, ids, &origin, "enrollmentFailed", None, details, now)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(entry: Entry, version: &str, owner: Option<Owner>) -> EnrollmentRequest {
        EnrollmentRequest {
            entry,
            platform: Some("iOS".into()),
            os_version: Some(version.into()),
            owner,
            category: None,
            correlation: Uuid::nil(),
        }
    }

    fn profile(kind: &str) -> Deciding {
        let says = Initiated { default: InitiatedType::parse(kind), options: vec![] };
        Deciding { id: Uuid::nil(), name: "P".into(), says }
    }

    fn ruled(kind: &str, entry: Entry, version: &str, owner: Option<Owner>) -> Ruling {
        rule(Some(&profile(kind)), &request(entry, version, owner))
    }

    #[test]
    fn profiles_decide_the_way() {
        use Entry::{Account, Web};
        use Method::{Adde, Byod};
        use Owner::{Company, Personal};
        assert_eq!(rule(None, &request(Web, "17.0", None)), Ruling::Enroll(Method::Profile, Personal));
        assert_eq!(rule(None, &request(Account, "17.0", None)), Ruling::Enroll(Byod, Personal));
        let own = "accountDrivenUserEnrollment";
        assert_eq!(ruled(own, Account, "17.0", None), Ruling::Enroll(Byod, Personal));
        assert_eq!(ruled(own, Web, "17.0", None), Ruling::UseAccount);
        assert_eq!(ruled("device", Account, "17.0", None), Ruling::Enroll(Adde, Personal));
        assert_eq!(ruled("device", Web, "17.0", None), Ruling::Enroll(Method::Profile, Personal));
        assert_eq!(ruled("webDeviceEnrollment", Web, "17.0", None), Ruling::Enroll(Method::Profile, Personal));
        assert!(matches!(ruled("webDeviceEnrollment", Account, "17.0", None), Ruling::Refuse(..)));
        assert_eq!(ruled("unknown", Web, "17.0", None), Ruling::AskOwner);
        assert_eq!(ruled("unknown", Web, "17.0", Some(Personal)), Ruling::UseAccount);
        assert_eq!(ruled("unknown", Web, "17.0", Some(Company)), Ruling::Enroll(Method::Profile, Company));
        assert_eq!(ruled("unknown", Account, "17.0", None), Ruling::Enroll(Byod, Personal));
    }

    #[test]
    fn below_ios_15_nobody_meant_for_user_enrollment_gets_a_device_enrollment() {
        for kind in ["accountDrivenUserEnrollment", "user"] {
            assert!(matches!(ruled(kind, Entry::Web, "14.8", None), Ruling::Refuse("deviceNotSupported", _)));
        }
        let own = ruled("unknown", Entry::Web, "14.8", Some(Owner::Personal));
        assert!(matches!(own, Ruling::Refuse("deviceNotSupported", _)));
        let company = ruled("unknown", Entry::Web, "14.8", Some(Owner::Company));
        assert_eq!(company, Ruling::Enroll(Method::Profile, Owner::Company));
    }
}
