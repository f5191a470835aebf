//! The steps of a sign-in: password, second factor, new password, and for an enrollment what the
//! person chooses. One flow session carries them; its value travels in a hidden input and changes
//! at every elevation. The web layer shows the step and sends back what the form held.

use base64::{Engine, engine::general_purpose::STANDARD};
use muster_pki::Secret;
use muster_storage::{Scope, Tx, audit, credentials, groups, lookups, operators, people, sessions, tenants};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    bearer,
    failed::Why,
    generic, limits, password,
    sessions::{Audience, insert_privileged, new_session, over, state_text},
    too_many, totp,
};
use crate::{
    Error, Kind, PrincipalKind, RequestContext, Result, Service,
    audit::{Act, kind_word},
    keys::Place,
};

/// Longest name and password that are looked at.
const LONGEST: usize = 1024;

/// What the person wants to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// The admin listener: an operator, always with a second factor.
    Console,
    /// Enroll a device from the browser.
    Enroll,
    /// Account-driven enrollment: the system opened the page.
    Account,
    /// The person's own devices.
    Portal,
}

/// Where a flow stands; kept with its session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    pub(super) purpose: Purpose,
    /// A second factor was presented (or none is needed and none exists).
    #[serde(default)]
    pub(super) second_factor: bool,
    /// The secret of a second factor being set up, sealed, base64.
    #[serde(default)]
    pub(super) pending: Option<String>,
    /// What the person chose, by field name.
    #[serde(default)]
    pub(super) choices: Choices,
}

/// What a person chose on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Choices {
    /// Device category.
    #[serde(default)]
    pub category: Option<Uuid>,
    /// `iOS`, `iPadOS` or `macOS`.
    #[serde(default)]
    pub platform: Option<String>,
    /// `personal` or `company`, where the person is asked.
    #[serde(default)]
    pub owner: Option<String>,
    /// What the device said about itself when the flow began, for the enrollment service.
    #[serde(default)]
    pub device: Option<serde_json::Value>,
}

/// What the person has to do next.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// Set up a second factor: enter a code made from this secret.
    SetUpSecondFactor {
        /// Base32.
        secret: String,
        /// `otpauth:` address of the same.
        address: String,
    },
    /// Enter a code of the second factor, or a recovery code.
    SecondFactor,
    /// Choose another password.
    NewPassword,
    /// The sign-in is complete.
    SignedIn,
}

/// A flow after a step.
pub struct Flow {
    /// Its value for the hidden input; changes at every elevation.
    pub value: String,
    /// The person's tenant.
    pub tenant: Uuid,
    /// The person.
    pub person: people::Person,
    /// What it is for.
    pub purpose: Purpose,
    /// What comes next.
    pub step: Step,
    /// Recovery codes, shown once, right after a second factor was set up.
    pub recovery_codes: Vec<String>,
    /// What was chosen so far.
    pub choices: Choices,
    /// When a second factor was presented, unix ms.
    pub strong_at: Option<i64>,
}

/// What a form of a flow sent.
#[derive(Clone, Default)]
pub struct Answers {
    /// A code of the second factor, or a recovery code.
    pub code: Option<String>,
    /// Another password.
    pub new_password: Option<String>,
}

/// A console session, ready for the cookie.
pub struct ConsoleSession {
    /// Value of the cookie.
    pub value: String,
    /// Its absolute end, unix ms.
    pub expires_at: i64,
}

struct Loaded {
    tenant: Uuid,
    session: sessions::Session,
    person: people::Person,
    state: State,
}

impl Service {
    /// Checks a user name and password and begins a flow. Every failure before the password is
    /// proven right reads the same and costs the same.
    pub async fn begin_flow(
        &self,
        context: &RequestContext,
        purpose: Purpose,
        username: &str,
        given: &str,
        device: Option<serde_json::Value>,
    ) -> Result<Flow> {
        let (tenant, person) = self.check_password(context, username, given).await?;
        let now = self.clock.now();
        if purpose == Purpose::Console {
            let id = person.id;
            let operator =
                self.store.read(tenant, move |tx| operators::by_person(tx, tenant, id).map_err(Error::from)).await?;
            if operator.is_none() {
                self.note_failed_sign_in(context, tenant, Some(&person), Why::NoRole).await?;
                return Err(Error::refused(
                    Kind::Forbidden,
                    "notAnOperator",
                    "this account has no administrative role; ask an owner for one",
                ));
            }
        }
        let state =
            State { purpose, second_factor: false, pending: None, choices: Choices { device, ..Choices::default() } };
        let (value, session) = new_session(self, Audience::Enrollment, person.id, None, state_text(&state), now);
        let row = session.clone();
        self.store.write(tenant, move |tx| sessions::insert(tx, tenant, &row).map_err(Error::from)).await?;
        self.settle(value, Loaded { tenant, session, person, state }, Vec::new()).await
    }

    /// Takes what a form sent, and says what comes next.
    pub async fn continue_flow(&self, context: &RequestContext, value: &str, answers: Answers) -> Result<Flow> {
        let mut loaded = self.load_flow(value).await?;
        let mut value = value.to_owned();
        let mut recovery = Vec::new();
        let factor = self.factor_of(&loaded).await?;
        if !loaded.state.second_factor
            && let Some(code) = answers.code.as_deref().map(str::trim).filter(|code| !code.is_empty())
        {
            if factor.is_some() {
                self.check_code(context, &loaded, code).await?;
            } else if loaded.state.pending.is_some() {
                recovery = self.set_up_factor(context, &loaded, code).await?;
            }
            if factor.is_some() || !recovery.is_empty() {
                loaded.state.second_factor = true;
                loaded.state.pending = None;
                value = self.elevate(&mut loaded, true).await?;
            }
        }
        if (loaded.state.second_factor || !self.needs_factor(&loaded).await?)
            && let Some(new) = answers.new_password.filter(|new| !new.is_empty())
        {
            self.change_password_in_flow(&loaded, new).await?;
            value = self.elevate(&mut loaded, false).await?;
        }
        self.settle(value, loaded, recovery).await
    }

    /// A flow whose sign-in is complete.
    pub async fn signed_in_flow(&self, value: &str) -> Result<Flow> {
        let loaded = self.load_flow(value).await?;
        let flow = self.settle(value.to_owned(), loaded, Vec::new()).await?;
        if flow.step != Step::SignedIn {
            return Err(over());
        }
        Ok(flow)
    }

    /// Remembers what a person chose.
    pub async fn remember_choices(&self, value: &str, choices: &Choices) -> Result<()> {
        let mut loaded = self.load_flow(value).await?;
        loaded.state.choices = choices.clone();
        let (tenant, id, state, now) = (loaded.tenant, loaded.session.id, state_text(&loaded.state), self.clock.now());
        self.store.write(tenant, move |tx| sessions::touch(tx, tenant, id, &state, now).map_err(Error::from)).await
    }

    /// Ends a flow: nothing more can be done with its value.
    pub async fn end_flow(&self, value: &str) -> Result<()> {
        self.sign_out(value).await
    }

    /// Turns a completed operator's flow into a console session: a new value, the flow's one is void.
    pub async fn open_console(&self, context: &RequestContext, value: &str) -> Result<ConsoleSession> {
        let flow = self.signed_in_flow(value).await?;
        if flow.purpose != Purpose::Console || flow.strong_at.is_none() {
            return Err(over());
        }
        let now = self.clock.now();
        let (cookie, session) = new_session(self, Audience::Console, flow.person.id, flow.strong_at, "{}".into(), now);
        let (tenant, old, expires_at) = (flow.tenant, bearer::hash(value), session.expires_at);
        let act =
            Act { operation: "SignIn", activity: "Sign in to the console", category: "User", component: "session" };
        let entry = audit::Entry {
            actor_kind: kind_word(PrincipalKind::Operator).into(),
            actor_id: Some(flow.person.id),
            actor_name: Some(flow.person.user_principal_name.clone()),
            actor_address: context.address.map(|address| address.to_string()),
            correlation: Some(context.correlation),
            ..self.audit_entry_by_system(act, now)
        };
        self.store
            .write(tenant, move |tx| {
                // The flow's value is taken by exactly one caller.
                let found = lookups::find(tx, sessions::LOOKUP, &old)?.ok_or_else(over)?;
                let flow = sessions::by_id(tx, tenant, found.subject)?.ok_or_else(over)?;
                sessions::remove(tx, tenant, &flow)?;
                operators::by_person(tx, tenant, session.person_id)?.ok_or_else(over)?;
                insert_privileged(tx, tenant, &session, now)?;
                Ok::<_, Error>(audit::record(tx, tenant, &entry)?)
            })
            .await?;
        Ok(ConsoleSession { value: cookie, expires_at })
    }

    /// The person behind a name and password.
    async fn check_password(
        &self,
        context: &RequestContext,
        username: &str,
        given: &str,
    ) -> Result<(Uuid, people::Person)> {
        if username.len() > LONGEST || given.len() > LONGEST {
            return Err(generic());
        }
        let scopes = limits::Scopes::password(username, context.address);
        let now = self.clock.now();
        let early = scopes.clone();
        let wait = self.store.read(Uuid::nil(), move |tx| limits::wait(tx, &early, now).map_err(Error::from)).await?;
        if wait > 0 {
            return Err(too_many(wait));
        }
        let name = username.trim().to_owned();
        let domain = name.rsplit_once('@').map(|(_, domain)| domain.to_owned()).unwrap_or_default();
        let tenant = self
            .store
            .read(Scope::Server, move |tx| tenants::by_domain(tx, &domain).map_err(Error::from))
            .await?
            .unwrap_or(Uuid::nil());
        let found = self
            .store
            .read(tenant, move |tx| {
                let Some(person) = people::by_name(tx, tenant, &name)? else { return Ok(None) };
                let password = credentials::password(tx, tenant, person.id)?;
                Ok::<_, Error>(password.map(|password| (person, password)))
            })
            .await?;
        let turn = password::turn().await?;
        let now = self.clock.now();
        let debited = scopes.clone();
        let wait =
            self.store.write(Uuid::nil(), move |tx| limits::debit(tx, &debited, now).map_err(Error::from)).await?;
        if wait > 0 {
            return Err(too_many(wait));
        }
        let (person, hash) = match found {
            Some((person, password)) => (Some(person), Some(password.hash)),
            None => (None, None),
        };
        let right = password::verify(turn, given.to_owned(), hash).await?;
        if !right {
            self.note_failed_sign_in(context, tenant, person.as_ref(), Why::Password).await?;
        }
        let Some(person) = person.filter(|_| right) else { return Err(generic()) };
        self.store.write(Uuid::nil(), move |tx| limits::give_back(tx, &scopes, now).map_err(Error::from)).await?;
        if !person.account_enabled {
            self.note_failed_sign_in(context, tenant, Some(&person), Why::Disabled).await?;
            return Err(Error::refused(
                Kind::Forbidden,
                "accountDisabled",
                "this account is turned off; ask your administrator",
            ));
        }
        Ok((tenant, person))
    }

    async fn load_flow(&self, value: &str) -> Result<Loaded> {
        let hash = bearer::hash(value);
        let now = self.clock.now();
        let found = self
            .store
            .read(Scope::Server, move |tx| lookups::find(tx, sessions::LOOKUP, &hash).map_err(Error::from))
            .await?
            .ok_or_else(over)?;
        let tenant = found.tenant;
        let (session, person) = self
            .store
            .read(tenant, move |tx| {
                let session = sessions::by_id(tx, tenant, found.subject)?.ok_or_else(over)?;
                let person = people::by_id(tx, tenant, session.person_id)?.ok_or_else(over)?;
                Ok::<_, Error>((session, person))
            })
            .await?;
        let live = session.audience == Audience::Enrollment.word()
            && session.expires_at > now
            && session.hash == hash
            && person.account_enabled;
        if !live {
            return Err(over());
        }
        let state = serde_json::from_str(&session.state).map_err(Error::internal)?;
        Ok(Loaded { tenant, session, person, state })
    }

    async fn factor_of(&self, loaded: &Loaded) -> Result<Option<credentials::SecondFactor>> {
        let (tenant, person) = (loaded.tenant, loaded.person.id);
        self.store.read(tenant, move |tx| credentials::second_factor(tx, tenant, person).map_err(Error::from)).await
    }

    /// True where this flow may not go on without a second factor.
    async fn needs_factor(&self, loaded: &Loaded) -> Result<bool> {
        if loaded.state.purpose == Purpose::Console {
            return Ok(true);
        }
        let (tenant, person) = (loaded.tenant, loaded.person.id);
        self.store
            .read(tenant, move |tx| {
                if credentials::second_factor(tx, tenant, person)?.is_some() {
                    return Ok::<_, Error>(true);
                }
                required_by_group(tx, tenant, person)
            })
            .await
    }

    /// Decides the next step and prepares what it shows.
    async fn settle(&self, value: String, mut loaded: Loaded, recovery_codes: Vec<String>) -> Result<Flow> {
        let step = if !loaded.state.second_factor && self.needs_factor(&loaded).await? {
            if self.factor_of(&loaded).await?.is_some() {
                Step::SecondFactor
            } else {
                self.offer_factor(&mut loaded).await?
            }
        } else if self.must_change(&loaded).await? {
            Step::NewPassword
        } else {
            Step::SignedIn
        };
        Ok(Flow {
            value,
            tenant: loaded.tenant,
            person: loaded.person,
            purpose: loaded.state.purpose,
            step,
            recovery_codes,
            choices: loaded.state.choices,
            strong_at: loaded.session.strong_at,
        })
    }

    async fn must_change(&self, loaded: &Loaded) -> Result<bool> {
        let (tenant, person) = (loaded.tenant, loaded.person.id);
        let password =
            self.store.read(tenant, move |tx| credentials::password(tx, tenant, person).map_err(Error::from)).await?;
        Ok(password.is_some_and(|password| password.must_change))
    }

    /// The secret being set up: the one already offered in this flow, or a new one.
    async fn offer_factor(&self, loaded: &mut Loaded) -> Result<Step> {
        let secret = match &loaded.state.pending {
            Some(sealed) => self.unseal_pending(loaded.tenant, loaded.session.id, sealed).await?,
            None => {
                let secret = Secret::new(totp::new_secret(&*self.random).to_vec());
                let sealed = self.seal_pending(loaded.tenant, loaded.session.id, secret.expose()).await?;
                loaded.state.pending = Some(sealed);
                let (tenant, id) = (loaded.tenant, loaded.session.id);
                let (state, now) = (state_text(&loaded.state), self.clock.now());
                self.store
                    .write(tenant, move |tx| sessions::touch(tx, tenant, id, &state, now).map_err(Error::from))
                    .await?;
                secret
            }
        };
        Ok(Step::SetUpSecondFactor {
            secret: totp::base32(secret.expose()),
            address: totp::address(secret.expose(), "Muster", &loaded.person.user_principal_name),
        })
    }

    /// Checks a code or a recovery code; a code is accepted once.
    async fn check_code(&self, context: &RequestContext, loaded: &Loaded, code: &str) -> Result<()> {
        let (tenant, person) = (loaded.tenant, loaded.person.id);
        let scopes = self.debit_code(context, person).await?;
        let factor = self.factor_of(loaded).await?.ok_or_else(over)?;
        let secret = self.unseal_factor(tenant, person, &factor.sealed).await?;
        let now = self.clock.now();
        let accepted = if let Some(step) = totp::matching_step(secret.expose(), code, now) {
            self.store
                .write(tenant, move |tx| credentials::take_step(tx, tenant, person, step).map_err(Error::from))
                .await?
        } else if let Some(left) = totp::spend_recovery(&factor.recovery, code) {
            let before = factor.recovery;
            self.store
                .write(tenant, move |tx| {
                    credentials::take_recovery(tx, tenant, person, &before, &left).map_err(Error::from)
                })
                .await?
        } else {
            false
        };
        if !accepted {
            self.note_failed_sign_in(context, tenant, Some(&loaded.person), Why::Code).await?;
            return Err(wrong_code());
        }
        self.store.write(Uuid::nil(), move |tx| limits::give_back(tx, &scopes, now).map_err(Error::from)).await
    }

    /// Confirms a second factor with its first code; answers the recovery codes.
    async fn set_up_factor(&self, context: &RequestContext, loaded: &Loaded, code: &str) -> Result<Vec<String>> {
        let (tenant, person) = (loaded.tenant, loaded.person.id);
        let scopes = self.debit_code(context, person).await?;
        let pending = loaded.state.pending.as_deref().ok_or_else(over)?;
        let secret = self.unseal_pending(tenant, loaded.session.id, pending).await?;
        let now = self.clock.now();
        let step = totp::matching_step(secret.expose(), code, now).ok_or_else(wrong_code)?;
        let (codes, recovery) = totp::new_recovery(&*self.random);
        let sealed = self.seal_factor(tenant, person, secret.expose()).await?;
        let factor = credentials::SecondFactor { sealed, last_step: step, recovery, changed_at: now };
        self.store
            .write(tenant, move |tx| {
                // Another flow of the same person may have been faster.
                if credentials::second_factor(tx, tenant, person)?.is_some() {
                    return Err(over());
                }
                Ok(credentials::set_second_factor(tx, tenant, person, &factor)?)
            })
            .await?;
        self.store.write(Uuid::nil(), move |tx| limits::give_back(tx, &scopes, now).map_err(Error::from)).await?;
        Ok(codes)
    }

    async fn debit_code(&self, context: &RequestContext, person: Uuid) -> Result<limits::Scopes> {
        let scopes = limits::Scopes::code(person, context.address);
        let (debited, now) = (scopes.clone(), self.clock.now());
        let wait =
            self.store.write(Uuid::nil(), move |tx| limits::debit(tx, &debited, now).map_err(Error::from)).await?;
        if wait > 0 { Err(too_many(wait)) } else { Ok(scopes) }
    }

    /// Gives the flow a new value, the old one being void.
    async fn elevate(&self, loaded: &mut Loaded, strong: bool) -> Result<String> {
        let now = self.clock.now();
        let strong_at = if strong { Some(now) } else { loaded.session.strong_at };
        let (value, mut session) =
            new_session(self, Audience::Enrollment, loaded.person.id, strong_at, state_text(&loaded.state), now);
        session.expires_at = loaded.session.expires_at;
        let (tenant, old, new) = (loaded.tenant, loaded.session.clone(), session.clone());
        self.store
            .write(tenant, move |tx| {
                sessions::by_id(tx, tenant, old.id)?.ok_or_else(over)?;
                sessions::remove(tx, tenant, &old)?;
                Ok::<_, Error>(sessions::insert(tx, tenant, &new)?)
            })
            .await?;
        loaded.session = session;
        Ok(value)
    }

    async fn change_password_in_flow(&self, loaded: &Loaded, new: String) -> Result<()> {
        password::check_new(&new, &loaded.person.user_principal_name)?;
        let (tenant, person) = (loaded.tenant, loaded.person.id);
        let before = self
            .store
            .read(tenant, move |tx| credentials::password(tx, tenant, person).map_err(Error::from))
            .await?
            .filter(|password| password.must_change)
            .ok_or_else(over)?;
        let same = password::verify(password::turn().await?, new.clone(), Some(before.hash)).await?;
        if same {
            return Err(Error::bad_request("choose a password you have not used before"));
        }
        let hash = password::hash(&*self.random, new).await?;
        let (now, keep) = (self.clock.now(), loaded.session.id);
        self.store
            .write(tenant, move |tx| {
                let password = credentials::Password { hash: hash.clone(), must_change: false, changed_at: now };
                credentials::set_password(tx, tenant, person, &password)?;
                sessions::remove_of_person(tx, tenant, person, Some(keep))?;
                Ok::<_, Error>(())
            })
            .await
    }

    async fn seal_pending(&self, tenant: Uuid, session: Uuid, secret: &[u8]) -> Result<String> {
        Ok(STANDARD.encode(self.seal(tenant, Place::new("session", "state", session), secret).await?))
    }

    async fn unseal_pending(&self, tenant: Uuid, session: Uuid, sealed: &str) -> Result<Secret<Vec<u8>>> {
        let sealed = STANDARD.decode(sealed).map_err(Error::internal)?;
        self.unseal(tenant, Place::new("session", "state", session), &sealed).await
    }

    pub(crate) async fn seal_factor(&self, tenant: Uuid, person: Uuid, secret: &[u8]) -> Result<Vec<u8>> {
        self.seal(tenant, Place::new("second_factor", "sealed", person), secret).await
    }

    async fn unseal_factor(&self, tenant: Uuid, person: Uuid, sealed: &[u8]) -> Result<Secret<Vec<u8>>> {
        self.unseal(tenant, Place::new("second_factor", "sealed", person), sealed).await
    }
}

fn wrong_code() -> Error {
    Error::refused(Kind::Forbidden, "wrongCode", "that code is not right, or it was used before; wait for the next one")
}

/// The tenant setting `secondFactorGroups`: members must have a second factor to enroll.
fn required_by_group(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<bool> {
    let Some(organization) = tenants::organization(tx, tenant)? else { return Ok(false) };
    let settings: serde_json::Value = serde_json::from_str(&organization.settings).map_err(Error::internal)?;
    let Some(required) = settings.get("secondFactorGroups").and_then(|v| v.as_array()) else { return Ok(false) };
    if required.is_empty() {
        return Ok(false);
    }
    let member = groups::Member { kind: groups::MemberKind::User, id: person };
    let of = groups::groups_of(tx, tenant, member)?;
    Ok(required.iter().filter_map(|id| id.as_str()).filter_map(|id| id.parse::<Uuid>().ok()).any(|id| of.contains(&id)))
}
