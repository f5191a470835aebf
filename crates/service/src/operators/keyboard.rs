//! What somebody at the server's own keyboard may do: tenants, operators, tokens. Credentials made
//! here count as established (time 0): whoever sits there owns the server anyway.

use muster_domain::roles::{self, Role};
use muster_storage::{Scope, audit, credentials, operators, people, people::Person, tenants, tokens};
use uuid::Uuid;

use crate::{
    Error, PrincipalKind, Result, Service,
    audit::{Act, kind_word, subject},
    people::unique_name,
    sign_in::{self, COMMAND_LINE, password, totp},
};

/// An operator to make.
pub struct NewAdmin {
    /// Tenant by name; none: the one that owns the domain, or `default`.
    pub tenant: Option<String>,
    /// Sign-in name.
    pub user: String,
    /// Password.
    pub password: String,
    /// Role.
    pub role: String,
    /// Base32 secret of a second factor, to skip setting it up at the first sign-in.
    pub totp_secret: Option<String>,
}

/// A token to make.
pub struct NewKeyboardToken {
    /// Tenant by name; none: the person's, or the only one.
    pub tenant: Option<String>,
    /// Name for people to read.
    pub name: String,
    /// Role.
    pub role: String,
    /// The person it acts for.
    pub user: Option<String>,
    /// Life in ms; none: until revoked.
    pub life: Option<i64>,
}

pub(super) fn known_role(role: &str) -> Result<Role> {
    Role::parse(role).ok_or_else(|| {
        let names: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
        Error::bad_request(format!("there is no role {role:?}; choose one of {}", names.join(", ")))
    })
}

/// The lower-case domain of a sign-in name.
pub(super) fn domain_of(user: &str) -> Result<String> {
    user.rsplit_once('@')
        .map(|(_, domain)| domain.trim().to_lowercase())
        .filter(|domain| check_domain(domain).is_ok())
        .ok_or_else(|| Error::bad_request(format!("{user:?} is not of the form name@domain")))
}

/// Refuses what cannot be a mail domain.
pub(crate) fn check_domain(domain: &str) -> Result<()> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if domain.len() <= 253 && domain.split('.').all(label) {
        Ok(())
    } else {
        Err(Error::bad_request(format!("{domain:?} is not a domain name")))
    }
}

impl Service {
    /// The audit row of what somebody at the keyboard made.
    fn keyboard_entry(&self, activity: &'static str, resource: audit::Resource, now: i64) -> audit::Entry {
        let act = Act { operation: "Create", activity, category: "Role", component: "commandLine" };
        let mut entry = self.audit_entry_by_system(act, now);
        entry.actor_kind = kind_word(PrincipalKind::CommandLine).to_owned();
        entry.resources.push(resource);
        entry
    }

    /// Makes a tenant that owns a mail domain.
    pub async fn create_tenant(&self, name: &str, domain: &str) -> Result<Uuid> {
        let domain = domain.trim().to_lowercase();
        check_domain(&domain)?;
        let name = name.trim().to_owned();
        if name.is_empty() || name.chars().count() > 256 {
            return Err(Error::bad_request("a tenant's name has 1 to 256 characters"));
        }
        let now = self.clock.now();
        let tenant = tenants::Tenant { id: self.random.id(now), name, created_at: now };
        let id = tenant.id;
        let entry = self.keyboard_entry("Create tenant", subject("tenant", id, Some(&tenant.name)), now);
        self.store
            .write(id, move |tx| {
                if !tenants::by_name(tx, &tenant.name)?.is_empty() {
                    return Err(Error::conflict(format!("there already is a tenant {:?}", tenant.name)));
                }
                tenants::insert(tx, &tenant)?;
                if !tenants::add_domain(tx, id, &domain, now)? {
                    return Err(Error::conflict(format!("the domain {domain} belongs to another tenant")));
                }
                Ok::<_, Error>(audit::record(tx, id, &entry)?)
            })
            .await?;
        Ok(id)
    }

    /// The tenant by name or id, or the only one there is.
    pub async fn tenant_named(&self, name: Option<&str>) -> Result<Uuid> {
        let name = name.map(str::to_owned);
        self.store
            .read(Scope::Server, move |tx| {
                let found = match &name {
                    Some(name) => match name.parse::<Uuid>() {
                        Ok(id) => tenants::by_id(tx, id)?.into_iter().collect(),
                        Err(_) => tenants::by_name(tx, name)?,
                    },
                    None => tenants::all(tx)?,
                };
                match found.as_slice() {
                    [one] => Ok(one.id),
                    [] => Err(Error::not_found("there is no such tenant; make it with `muster tenant create`")),
                    _ => Err(Error::bad_request("there are several tenants; say which with --tenant")),
                }
            })
            .await
    }

    /// Makes a person an operator, with password and optionally a second factor. The first one on
    /// an empty server also makes the tenant `default` with the person's domain. Asked again for the
    /// same person it sets password and role anew.
    pub async fn create_admin(&self, new: NewAdmin) -> Result<(Uuid, Uuid)> {
        known_role(&new.role)?;
        let domain = domain_of(&new.user)?;
        password::check_new(&new.password, &new.user)?;
        let secret = match &new.totp_secret {
            None => None,
            Some(text) => {
                Some(totp::parse_base32(text.trim()).filter(|secret| (16..=64).contains(&secret.len())).ok_or_else(
                    || {
                        Error::bad_request(
                            "the second factor's secret must be base32 of 16 to 64 bytes (32 characters are usual)",
                        )
                    },
                )?)
            }
        };
        let tenant = self.tenant_for_admin(new.tenant.as_deref(), &domain).await?;
        let hash = password::hash(&*self.random, new.password).await?;
        let now = self.clock.now();
        let name = new.user.trim().to_owned();
        let existing = {
            let name = name.clone();
            self.store.read(tenant, move |tx| people::by_name(tx, tenant, &name).map_err(Error::from)).await?
        };
        let id = existing.as_ref().map_or_else(|| self.random.id(now), |person| person.id);
        let factor = match secret {
            None => None,
            Some(secret) => {
                let (_, recovery) = totp::new_recovery(&*self.random);
                let sealed = self.seal_factor(tenant, id, &secret).await?;
                Some(credentials::SecondFactor { sealed, last_step: 0, recovery, changed_at: 0 })
            }
        };
        let role = new.role;
        let entry = self.keyboard_entry("Create operator", subject("operator", id, Some(&name)), now);
        self.store
            .write(tenant, move |tx| {
                audit::record(tx, tenant, &entry)?;
                if people::by_id(tx, tenant, id)?.is_none() {
                    let person = Person {
                        id,
                        source: "local".into(),
                        external_id: None,
                        user_principal_name: name.clone(),
                        display_name: name.split('@').next().unwrap_or_default().to_owned(),
                        mail: Some(name.clone()),
                        account_enabled: true,
                        licensed: crate::people::seat_for_new(tx, tenant)?,
                        managed_apple_account: None,
                        document: "{}".into(),
                        deleted_at: None,
                        version: 1,
                        created_at: now,
                        modified_at: now,
                    };
                    crate::people::check_principal_name(tx, tenant, &name)?;
                    people::insert(tx, tenant, &person).map_err(unique_name)?;
                }
                let password = credentials::Password { hash: hash.clone(), must_change: false, changed_at: 0 };
                credentials::set_password(tx, tenant, id, &password)?;
                if let Some(factor) = &factor {
                    credentials::set_second_factor(tx, tenant, id, factor)?;
                }
                let operator =
                    operators::Operator { person_id: id, role: role.clone(), made_by: None, established_at: 0 };
                operators::put(tx, tenant, &operator)?;
                muster_storage::sessions::remove_of_person(tx, tenant, id, None)?;
                Ok::<_, Error>(())
            })
            .await?;
        Ok((tenant, id))
    }

    async fn tenant_for_admin(&self, named: Option<&str>, domain: &str) -> Result<Uuid> {
        let looked = domain.to_owned();
        let (owner, any) = self
            .store
            .read(Scope::Server, move |tx| {
                Ok::<_, Error>((tenants::by_domain(tx, &looked)?, !tenants::all(tx)?.is_empty()))
            })
            .await?;
        match (named, owner) {
            (Some(name), owner) => {
                let tenant = self.tenant_named(Some(name)).await?;
                if owner != Some(tenant) {
                    return Err(Error::bad_request(format!(
                        "the domain {domain} does not belong to the tenant {name:?}"
                    )));
                }
                Ok(tenant)
            }
            (None, Some(owner)) => Ok(owner),
            (None, None) if !any => self.create_tenant("default", domain).await,
            (None, None) => Err(Error::bad_request(format!(
                "no tenant owns the domain {domain}; make one with `muster tenant create`, or use a domain that exists"
            ))),
        }
    }

    /// Makes a bearer token; its value is in the answer and nowhere else.
    pub async fn create_keyboard_token(&self, new: NewKeyboardToken) -> Result<String> {
        let role = known_role(&new.role)?.name().to_owned();
        let tenant = match (&new.tenant, &new.user) {
            (Some(name), _) => self.tenant_named(Some(name)).await?,
            (None, Some(user)) => {
                let domain = domain_of(user)?;
                self.store
                    .read(Scope::Server, move |tx| tenants::by_domain(tx, &domain).map_err(Error::from))
                    .await?
                    .ok_or_else(|| Error::not_found(format!("no tenant owns the domain of {user}")))?
            }
            (None, None) => self.tenant_named(None).await?,
        };
        let person = match &new.user {
            None => None,
            Some(user) => Some(self.person(tenant, user).await?.id),
        };
        let now = self.clock.now();
        let value = format!("muster_{}", sign_in::new_value(&*self.random));
        let token = tokens::Token {
            id: self.random.id(now),
            name: new.name,
            hash: sign_in::hash_of_value(&value).to_vec(),
            role,
            scopes: None,
            maker_kind: COMMAND_LINE.into(),
            maker_id: None,
            person_id: person,
            created_at: now,
            expires_at: new.life.map(|life| now + life),
            revoked_at: None,
        };
        debug_assert!(roles::Role::parse(&token.role).is_some());
        let entry = self.keyboard_entry("Create token", subject("token", token.id, Some(&token.name)), now);
        self.store
            .write(tenant, move |tx| {
                audit::record(tx, tenant, &entry)?;
                tokens::insert(tx, tenant, &token)?;
                muster_storage::lookups::put(tx, tokens::LOOKUP, &token.hash, tenant, token.id, token.expires_at)?;
                Ok::<_, Error>(())
            })
            .await?;
        Ok(value)
    }
}
