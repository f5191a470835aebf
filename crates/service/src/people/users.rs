//! Graph's users: make, change, disable, delete, restore.

use muster_storage::{
    self as storage, Tx, audit, credentials, operators, people, people::Person, sessions, tenants, tokens,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::mark;
use crate::{
    Actor, Error, Result, Service,
    audit::{Act, subject},
    operators::may_touch,
    sign_in::password,
};

/// Id of the one licence there is: the same on every server.
pub const SKU_ID: Uuid = Uuid::from_u128(0x4d55_5354_4552_4000_8000_0000_0000_0001);
/// Its part number.
pub const SKU_PART_NUMBER: &str = "MUSTER";
/// A deleted person can be restored this long, ms.
const RESTORABLE: i64 = 30 * 24 * 3_600_000;

/// Properties that stand in columns of their own or that only the server writes.
const NOT_IN_DOCUMENT: [&str; 14] = [
    "id",
    "displayName",
    "userPrincipalName",
    "mail",
    "accountEnabled",
    "passwordProfile",
    "assignedLicenses",
    "assignedPlans",
    "licenseAssignmentStates",
    "createdDateTime",
    "deletedDateTime",
    "lastPasswordChangeDateTime",
    "managedAppleAccount",
    "securityIdentifier",
];

/// RFC 3339 text of a time in unix ms.
pub(crate) fn time_text(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

/// A person as Graph's user.
pub fn user_view(person: &Person) -> Map<String, Value> {
    let mut view = Map::new();
    view.insert("id".into(), json!(person.id));
    view.insert("displayName".into(), json!(person.display_name));
    view.insert("userPrincipalName".into(), json!(person.user_principal_name));
    view.insert("mail".into(), json!(person.mail));
    view.insert("accountEnabled".into(), json!(person.account_enabled));
    view.insert("createdDateTime".into(), json!(time_text(person.created_at)));
    let licences = if person.licensed { json!([{"disabledPlans": [], "skuId": SKU_ID}]) } else { json!([]) };
    view.insert("assignedLicenses".into(), licences);
    if let Some(at) = person.deleted_at {
        view.insert("deletedDateTime".into(), json!(time_text(at)));
    }
    if let Ok(Value::Object(document)) = serde_json::from_str(&person.document) {
        for (name, value) in document {
            view.entry(name).or_insert(value);
        }
    }
    for (name, empty) in [
        ("businessPhones", json!([])),
        ("givenName", Value::Null),
        ("jobTitle", Value::Null),
        ("mobilePhone", Value::Null),
        ("officeLocation", Value::Null),
        ("preferredLanguage", Value::Null),
        ("surname", Value::Null),
    ] {
        view.entry(name).or_insert(empty);
    }
    view
}

/// A new password as a body carries it.
struct PasswordProfile {
    password: Option<String>,
    must_change: bool,
}

fn password_profile(body: &Map<String, Value>) -> Result<Option<PasswordProfile>> {
    let Some(profile) = body.get("passwordProfile") else { return Ok(None) };
    let Value::Object(profile) = profile else {
        return match profile {
            Value::Null => Ok(None),
            _ => Err(Error::bad_request(
                "passwordProfile must be an object with password and forceChangePasswordNextSignIn",
            )),
        };
    };
    let flag = |name: &str| match profile.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Error::bad_request(format!("passwordProfile.{name} must be true or false"))),
    };
    let password = match profile.get("password") {
        None | Some(Value::Null) => None,
        Some(Value::String(password)) => Some(password.clone()),
        Some(_) => return Err(Error::bad_request("passwordProfile.password must be a string")),
    };
    let must_change = flag("forceChangePasswordNextSignIn")? || flag("forceChangePasswordNextSignInWithMfa")?;
    Ok(Some(PasswordProfile { password, must_change }))
}

pub(crate) fn text(body: &Map<String, Value>, name: &str) -> Result<Option<Option<String>>> {
    match body.get(name) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(value)) if value.chars().count() <= 256 => Ok(Some(Some(value.clone()))),
        Some(Value::String(_)) => Err(Error::bad_request(format!("{name} has at most 256 characters"))),
        Some(_) => Err(Error::bad_request(format!("{name} must be a string"))),
    }
}

fn required(body: &Map<String, Value>, name: &str) -> Result<String> {
    text(body, name)?
        .flatten()
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Error::bad_request(format!("a user needs {name}")))
}

/// Refuses a sign-in name that is no mail-like name in a domain of the tenant.
pub(crate) fn check_principal_name(tx: &mut dyn Tx, tenant: Uuid, name: &str) -> Result<()> {
    let (local, domain) =
        name.rsplit_once('@').ok_or_else(|| Error::bad_request("userPrincipalName must look like name@domain"))?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || "\"<>()[],;:\\@".contains(c);
    if local.is_empty() || local.len() > 64 || local.contains(odd) {
        return Err(Error::bad_request("the part of userPrincipalName before the @ is not valid"));
    }
    if tenants::by_domain(tx, domain)? != Some(tenant) {
        return Err(Error::bad_request(
            "the domain of userPrincipalName is not one of this organization's; add the domain first, or use one of /domains",
        ));
    }
    Ok(())
}

/// Moves everything that has no column into the document.
fn merge_document(document: &str, body: &Map<String, Value>) -> Result<String> {
    let mut document: Map<String, Value> = serde_json::from_str(document).map_err(Error::internal)?;
    for (name, value) in body {
        if name.contains('@') || NOT_IN_DOCUMENT.contains(&name.as_str()) {
            continue;
        }
        if value.is_null() {
            document.remove(name);
        } else {
            document.insert(name.clone(), value.clone());
        }
    }
    Ok(Value::Object(document).to_string())
}

pub(crate) fn unique_name(error: storage::Error) -> Error {
    match error {
        // Graph's words, which scripts look for.
        storage::Error::Constraint(_) => Error::refused(
            crate::Kind::BadRequest,
            "Request_BadRequest",
            "Another object with the same value for property userPrincipalName already exists.",
        ),
        other => other.into(),
    }
}

pub(crate) fn unknown_user(id: impl std::fmt::Display) -> Error {
    Error::not_found(format!("there is no user {id}"))
}

/// Refuses when nobody else could manage the tenant without this person.
pub(crate) fn keep_an_owner(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<()> {
    let owner = operators::by_person(tx, tenant, person)?.is_some_and(|operator| operator.role == "owner");
    if owner && operators::count_others(tx, tenant, "owner", person)? == 0 {
        return Err(Error::refused(
            crate::Kind::Conflict,
            "lastOwner",
            "this is the last owner; make another one first",
        ));
    }
    Ok(())
}

impl Service {
    /// The audit row of an act on a person.
    pub(super) fn user_entry(
        &self,
        actor: &Actor,
        (operation, activity): (&'static str, &'static str),
        (id, name): (Uuid, &str),
        now: i64,
    ) -> audit::Entry {
        let act = Act { operation, activity, category: "User", component: "user" };
        let mut entry = self.audit_entry(actor, act, now);
        entry.resources.push(subject("user", id, Some(name)));
        entry
    }

    /// Makes a person from Graph's body of POST /users.
    pub async fn create_user(&self, actor: &Actor, body: Map<String, Value>) -> Result<Map<String, Value>> {
        let tenant = actor.tenant;
        let display_name = required(&body, "displayName")?;
        let name = required(&body, "userPrincipalName")?;
        let mail = text(&body, "mail")?.flatten();
        let enabled = match body.get("accountEnabled") {
            None | Some(Value::Null) => true,
            Some(Value::Bool(enabled)) => *enabled,
            Some(_) => return Err(Error::bad_request("accountEnabled must be true or false")),
        };
        let profile = password_profile(&body)?;
        let mut hashed = None;
        if let Some(PasswordProfile { password: Some(new), must_change }) = profile {
            password::check_new(&new, &name)?;
            hashed = Some((password::hash(&*self.random, new).await?, must_change));
        }
        let now = self.clock.now();
        let person = Person {
            id: self.random.id(now),
            source: "local".into(),
            external_id: None,
            user_principal_name: name,
            display_name,
            mail,
            account_enabled: enabled,
            licensed: false,
            managed_apple_account: None,
            document: merge_document("{}", &body)?,
            deleted_at: None,
            version: 1,
            created_at: now,
            modified_at: now,
        };
        let entry = self.user_entry(actor, ("Create", "Create a user"), (person.id, &person.user_principal_name), now);
        let person = self
            .store
            .write(tenant, move |tx| {
                check_principal_name(tx, tenant, &person.user_principal_name)?;
                let mut person = person.clone();
                person.licensed = super::licences::seat_for_new(tx, tenant)?;
                people::insert(tx, tenant, &person).map_err(unique_name)?;
                if let Some((hash, must_change)) = &hashed {
                    let password =
                        credentials::Password { hash: hash.clone(), must_change: *must_change, changed_at: now };
                    credentials::set_password(tx, tenant, person.id, &password)?;
                }
                audit::record(tx, tenant, &entry)?;
                Ok::<_, Error>(person)
            })
            .await?;
        Ok(user_view(&person))
    }

    /// One living person, by id or sign-in name.
    pub async fn person(&self, tenant: Uuid, id_or_name: &str) -> Result<Person> {
        let key = id_or_name.to_owned();
        self.store.read(tenant, move |tx| find_person(tx, tenant, &key)).await?.ok_or_else(|| unknown_user(id_or_name))
    }

    /// Changes a person by Graph's body of PATCH /users/{id}.
    pub async fn update_user(&self, actor: &Actor, id_or_name: &str, body: Map<String, Value>) -> Result<()> {
        let tenant = actor.tenant;
        let before = self.person(tenant, id_or_name).await?;
        let mut hashed = None;
        let mut must_change_only = None;
        if let Some(profile) = password_profile(&body)? {
            match profile.password {
                Some(new) => {
                    password::check_new(&new, &before.user_principal_name)?;
                    hashed = Some((password::hash(&*self.random, new).await?, profile.must_change));
                }
                None => must_change_only = Some(profile.must_change),
            }
        }
        let now = self.clock.now();
        let id = before.id;
        let mut entry = self.user_entry(actor, ("Patch", "Change a user"), (id, &before.user_principal_name), now);
        // Names of what changed; values of people are personal and stay out.
        entry.resources[0].modified = body.keys().map(|name| (name.clone(), None, None)).collect();
        let (ids, caller) = (self.ids(now), actor.clone());
        self.store
            .write(tenant, move |tx| {
                let mut person = people::by_id(tx, tenant, id)?.ok_or_else(|| unknown_user(id))?;
                if ["passwordProfile", "accountEnabled", "userPrincipalName"]
                    .iter()
                    .any(|name| body.contains_key(*name))
                {
                    may_touch(tx, tenant, &caller, id)?;
                }
                if let Some(name) = text(&body, "displayName")? {
                    person.display_name = name
                        .filter(|name| !name.trim().is_empty())
                        .ok_or_else(|| Error::bad_request("displayName must not be empty"))?;
                }
                if let Some(name) = text(&body, "userPrincipalName")? {
                    let name = name.ok_or_else(|| Error::bad_request("userPrincipalName must not be null"))?;
                    check_principal_name(tx, tenant, name.trim())?;
                    person.user_principal_name = name.trim().to_owned();
                }
                if let Some(mail) = text(&body, "mail")? {
                    person.mail = mail;
                }
                match body.get("accountEnabled") {
                    None | Some(Value::Null) => {}
                    Some(Value::Bool(enabled)) => {
                        if !enabled && person.account_enabled {
                            keep_an_owner(tx, tenant, id)?;
                            sessions::remove_of_person(tx, tenant, id, None)?;
                        }
                        person.account_enabled = *enabled;
                    }
                    Some(_) => return Err(Error::bad_request("accountEnabled must be true or false")),
                }
                person.document = merge_document(&person.document, &body)?;
                person.modified_at = now;
                if !people::update(tx, tenant, &person).map_err(unique_name)? {
                    return Err(Error::conflict("the user changed meanwhile; read it again"));
                }
                if let Some((hash, must_change)) = &hashed {
                    let password =
                        credentials::Password { hash: hash.clone(), must_change: *must_change, changed_at: now };
                    credentials::set_password(tx, tenant, id, &password)?;
                    sessions::remove_of_person(tx, tenant, id, None)?;
                }
                if let Some(must_change) = must_change_only
                    && let Some(mut password) = credentials::password(tx, tenant, id)?
                {
                    password.must_change = must_change;
                    credentials::set_password(tx, tenant, id, &password)?;
                }
                mark::person(tx, tenant, id, &mut ids.clone(), now)?;
                Ok::<_, Error>(audit::record(tx, tenant, &entry)?)
            })
            .await
    }

    /// Deletes a person: everything they could do ends at once, the record waits 30 days.
    pub async fn delete_user(&self, actor: &Actor, id_or_name: &str) -> Result<()> {
        let tenant = actor.tenant;
        let person = self.person(tenant, id_or_name).await?;
        let (id, now) = (person.id, self.clock.now());
        let entry = self.user_entry(actor, ("Delete", "Delete a user"), (id, &person.user_principal_name), now);
        let (ids, caller) = (self.ids(now), actor.clone());
        self.store
            .write(tenant, move |tx| {
                let mut person = people::by_id(tx, tenant, id)?.ok_or_else(|| unknown_user(id))?;
                may_touch(tx, tenant, &caller, id)?;
                keep_an_owner(tx, tenant, id)?;
                person.deleted_at = Some(now);
                person.modified_at = now;
                if !people::update(tx, tenant, &person)? {
                    return Err(Error::conflict("the user changed meanwhile; read it again"));
                }
                operators::remove(tx, tenant, id)?;
                tokens::revoke_of_person(tx, tenant, id, now)?;
                sessions::remove_of_person(tx, tenant, id, None)?;
                mark::person(tx, tenant, id, &mut ids.clone(), now)?;
                Ok::<_, Error>(audit::record(tx, tenant, &entry)?)
            })
            .await
    }

    /// Brings a deleted person back, without roles and tokens.
    pub async fn restore_user(&self, actor: &Actor, id: Uuid) -> Result<Map<String, Value>> {
        let (tenant, now) = (actor.tenant, self.clock.now());
        let entry = self.user_entry(actor, ("Action", "Restore a user"), (id, ""), now);
        let ids = self.ids(now);
        let person = self
            .store
            .write(tenant, move |tx| {
                let mut person = people::any_by_id(tx, tenant, id)?
                    .filter(|person| person.deleted_at.is_some_and(|at| now - at < RESTORABLE))
                    .ok_or_else(|| Error::not_found(format!("there is no deleted user {id}")))?;
                person.deleted_at = None;
                person.modified_at = now;
                if !people::update(tx, tenant, &person).map_err(unique_name)? {
                    return Err(Error::conflict("the user changed meanwhile; read it again"));
                }
                mark::person(tx, tenant, id, &mut ids.clone(), now)?;
                audit::record(tx, tenant, &entry)?;
                Ok::<_, Error>(person)
            })
            .await?;
        Ok(user_view(&person))
    }

    /// Deleted people that can still be restored.
    pub async fn deleted_users(&self, tenant: Uuid) -> Result<Vec<Map<String, Value>>> {
        let now = self.clock.now();
        let mut views = Vec::new();
        let mut after = Uuid::nil();
        loop {
            let page = self
                .store
                .read(tenant, move |tx| people::deleted_page(tx, tenant, after, 1000).map_err(Error::from))
                .await?;
            let Some(last) = page.last() else { return Ok(views) };
            after = last.id;
            let restorable = |person: &&Person| person.deleted_at.is_some_and(|at| now - at < RESTORABLE);
            views.extend(page.iter().filter(restorable).map(user_view));
        }
    }

    /// Removes people whose 30 days in deletion are over.
    pub async fn purge_deleted_users(&self, tenant: Uuid) -> Result<u64> {
        let before = self.clock.now() - RESTORABLE;
        self.store.write(tenant, move |tx| people::purge(tx, tenant, before).map_err(Error::from)).await
    }
}

/// A living person by id or sign-in name.
pub(crate) fn find_person(tx: &mut dyn Tx, tenant: Uuid, id_or_name: &str) -> Result<Option<Person>> {
    Ok(match Uuid::parse_str(id_or_name) {
        Ok(id) => people::by_id(tx, tenant, id)?,
        Err(_) => people::by_name(tx, tenant, id_or_name)?,
    })
}
