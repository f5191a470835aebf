//! From a person's choices to an enrollment session: which enrollment profile decides, which way
//! the device comes in, and the token that leads to the session. Ownership, kind and rights stand
//! in the session; the token says nothing about them.

use muster_domain::enrollment::{ByAccount, ByWeb, Initiated, InitiatedType, Owner, by_account, by_web};
use muster_storage::{
    Scope, Tx, assignments, documents,
    enrollment_sessions::{self, EnrollmentSession},
    groups, lookups,
    people::Person,
};
use serde_json::Value;
use uuid::Uuid;

use super::settings;
use crate::{
    Error, Kind, Result, Service,
    sign_in::{Choices, hash_of_value, new_value},
};

/// The kind under which enrollment tokens stand in `lookups`.
pub const ENROLLMENT_TOKEN: &str = "enrollmentToken";
/// A session must be bound to a device in this time, ms.
const BINDING: i64 = 60 * 60_000;
const PROFILES: &str = "appleUserInitiatedEnrollmentProfiles";

/// How a device comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Device enrollment by a profile from the web.
    Profile,
    /// User Enrollment by a profile (before iOS 15).
    UserProfile,
    /// Account-driven User Enrollment.
    Byod,
    /// Account-driven device enrollment.
    Adde,
}

impl Method {
    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Method::Profile => "profile",
            Method::UserProfile => "userProfile",
            Method::Byod => "byod",
            Method::Adde => "adde",
        }
    }

    /// Graph's deviceEnrollmentType, by beta's word.
    fn enrollment_type(self) -> &'static str {
        match self {
            Method::Profile | Method::Adde => "userEnrollment",
            Method::UserProfile => "appleUserEnrollment",
            Method::Byod => "appleAccountDrivenUserEnrollment",
        }
    }
}

/// The enrollment profile that decides for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidingProfile {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it says.
    pub initiated: Initiated,
}

/// A session that was started, and the token that leads to it.
pub struct StartedEnrollment {
    /// Random, for the link of the profile or the bearer of the device.
    pub token: String,
    /// The session.
    pub session: EnrollmentSession,
}

/// The enrollment profile of the platform with the best priority that is assigned to the person.
pub fn deciding_profile(
    tx: &mut dyn Tx,
    tenant: Uuid,
    person: Uuid,
    platform: &str,
) -> Result<Option<DecidingProfile>> {
    let member = groups::Member { kind: groups::MemberKind::User, id: person };
    let of = groups::groups_of(tx, tenant, member)?;
    // Graph's devicePlatformType knows iOS (with iPadOS) and macOS.
    let wanted = if platform.eq_ignore_ascii_case("macOS") { "macos" } else { "ios" };
    for document in documents::all_by_priority(tx, tenant, PROFILES)? {
        let body: Value = serde_json::from_str(&document.body).map_err(Error::internal)?;
        let platform = body.get("platform").and_then(Value::as_str).unwrap_or("iOS").to_ascii_lowercase();
        if platform != wanted {
            continue;
        }
        let all = assignments::of_document(tx, tenant, PROFILES, document.id)?;
        let inside = |group: Option<Uuid>| group.is_some_and(|group| of.contains(&group));
        let excluded = all.iter().any(|a| a.exclude && inside(a.group_id));
        let included = all.iter().any(|a| !a.exclude && (a.target == "allUsers" || inside(a.group_id)));
        if included && !excluded {
            let word = |value: Option<&Value>| InitiatedType::parse(value.and_then(Value::as_str).unwrap_or_default());
            let options = body.get("availableEnrollmentTypeOptions").and_then(Value::as_array);
            let options = options
                .into_iter()
                .flatten()
                .filter_map(|option| {
                    let owner = Owner::parse(option.get("ownerType")?.as_str()?)?;
                    Some((owner, word(option.get("enrollmentType"))))
                })
                .collect();
            let initiated = Initiated { default: word(body.get("defaultEnrollmentType")), options };
            return Ok(Some(DecidingProfile { id: document.id, name: document.display_name, initiated }));
        }
    }
    Ok(None)
}

/// The Managed Apple Account of a person: their own, or by the tenant's rule (`managedAppleAccount`:
/// `userPrincipalName` by default, `mail`, or the name before the @ in a given `domain`).
pub(crate) fn managed_apple_account(tx: &mut dyn Tx, tenant: Uuid, person: &Person) -> Result<String> {
    if let Some(own) = &person.managed_apple_account {
        return Ok(own.clone());
    }
    let settings = settings::read(tx, tenant)?;
    let rule = settings.get("managedAppleAccount");
    let word = rule.and_then(|rule| rule.get("rule")).and_then(Value::as_str).unwrap_or("userPrincipalName");
    let domain = rule.and_then(|rule| rule.get("domain")).and_then(Value::as_str);
    let local = person.user_principal_name.split('@').next().unwrap_or_default();
    Ok(match (word, domain, &person.mail) {
        ("mail", _, Some(mail)) => mail.clone(),
        ("domain", Some(domain), _) => format!("{local}@{domain}"),
        _ => person.user_principal_name.clone(),
    })
}

impl Service {
    /// How a person who chose a platform at the enrollment page goes on.
    pub async fn way_by_web(
        &self,
        tenant: Uuid,
        person: Uuid,
        choices: &Choices,
        os_major: Option<u32>,
    ) -> Result<ByWeb> {
        let platform = choices.platform.clone().unwrap_or_default();
        let owner = choices.owner.as_deref().and_then(Owner::parse);
        let profile = self.store.read(tenant, move |tx| deciding_profile(tx, tenant, person, &platform)).await?;
        Ok(by_web(profile.as_ref().map(|profile| &profile.initiated), owner, os_major))
    }

    /// What an account-driven enrollment of a person becomes on a platform.
    pub async fn way_by_account(&self, tenant: Uuid, person: Uuid, platform: &str) -> Result<ByAccount> {
        let platform = platform.to_owned();
        let profile = self.store.read(tenant, move |tx| deciding_profile(tx, tenant, person, &platform)).await?;
        Ok(by_account(profile.as_ref().map(|profile| &profile.initiated)))
    }

    /// Starts an enrollment session for a person and makes the token that leads to it.
    pub async fn start_enrollment_session(
        &self,
        tenant: Uuid,
        person: &Person,
        choices: &Choices,
        method: Method,
        owner: Owner,
    ) -> Result<StartedEnrollment> {
        let now = self.clock.now();
        let token = new_value(&*self.random);
        let id = self.random.id(now);
        let platform = choices.platform.clone().unwrap_or_else(|| "unknown".into());
        let (person, hash, category) = (person.clone(), hash_of_value(&token).to_vec(), choices.category);
        let details = Value::from_iter(choices.device.clone().map(|device| ("device".to_owned(), device))).to_string();
        let session = self
            .store
            .write(tenant, move |tx| {
                let profile = deciding_profile(tx, tenant, person.id, &platform)?;
                let account_driven = matches!(method, Method::Byod | Method::Adde | Method::UserProfile);
                let managed_apple_account =
                    if account_driven { Some(managed_apple_account(tx, tenant, &person)?) } else { None };
                let session = EnrollmentSession {
                    id,
                    person_id: person.id,
                    method: method.word().into(),
                    owner_type: owner.word().into(),
                    enrollment_type: method.enrollment_type().into(),
                    profile_id: profile.as_ref().map(|profile| profile.id),
                    profile_name: profile.map(|profile| profile.name),
                    category_id: category,
                    platform: platform.clone(),
                    managed_apple_account,
                    token_hash: Some(hash.clone()),
                    protocol_id: None,
                    device_id: None,
                    state: enrollment_sessions::state::OPEN.into(),
                    details: details.clone(),
                    created_at: now,
                    expires_at: now + BINDING,
                };
                enrollment_sessions::insert(tx, tenant, &session)?;
                lookups::put(tx, ENROLLMENT_TOKEN, &hash, tenant, id, Some(session.expires_at))?;
                Ok::<_, Error>(session)
            })
            .await?;
        Ok(StartedEnrollment { token, session })
    }

    /// The open session behind a token.
    pub async fn enrollment_session(&self, token: &str) -> Result<(Uuid, EnrollmentSession)> {
        let now = self.clock.now();
        let hash = hash_of_value(token);
        let over = || {
            Error::refused(Kind::Gone, "enrollmentOver", "this link was used or is too old; start the enrollment again")
        };
        let found = self
            .store
            .read(Scope::Server, move |tx| lookups::find(tx, ENROLLMENT_TOKEN, &hash).map_err(Error::from))
            .await?
            .ok_or_else(over)?;
        let tenant = found.tenant;
        let session = self
            .store
            .read(tenant, move |tx| enrollment_sessions::by_id(tx, tenant, found.subject).map_err(Error::from))
            .await?
            .filter(|session| session.expires_at > now && session.state != enrollment_sessions::state::CLOSED)
            .ok_or_else(over)?;
        Ok((tenant, session))
    }
}
