//! What stands between a signed-in person and their enrollment: what they still have to choose.
//! Whether they may, and which way, is `apple/enrollment.rs`.

use muster_domain::enrollment::Owner;
use muster_storage::{Tx, audit, documents};
use serde_json::Value;
use uuid::Uuid;

use super::settings;
use crate::{
    Error, PrincipalKind, RequestContext, Result, Service,
    apple::enrollment::{EnrollmentRequest, Entry},
    audit::{Act, kind_word, subject},
    sign_in::{Choices, Flow, Purpose},
};

/// A device category a person may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryChoice {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
}

/// Terms of use a person has not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What is accepted: raised when everybody has to agree anew.
    pub version: i64,
    /// Title.
    pub title: String,
    /// Text.
    pub text: String,
}

/// What the person has to choose next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextChoice {
    /// Accept these terms.
    Terms(Terms),
    /// Choose one of these categories.
    Category(Vec<CategoryChoice>),
    /// Say what kind of device it is.
    Platform,
    /// Nothing is left to choose.
    Ready,
}

/// What a form of these steps sent.
#[derive(Clone, Debug, Default)]
pub struct ChoiceAnswers {
    /// `accept`: agreed to the version of the terms that was shown.
    pub accept: Option<i64>,
    /// `category`
    pub category: Option<String>,
    /// `platform`
    pub platform: Option<String>,
    /// `owner`
    pub owner: Option<String>,
}

/// The platform a form or a device names, in our spelling.
pub fn platform_named(word: &str) -> Option<&'static str> {
    Some(match word.trim().to_ascii_lowercase().as_str() {
        "ios" | "iphone" | "ipod" => "iOS",
        "ipados" | "ipad" => "iPadOS",
        "macos" | "mac" => "macOS",
        _ => return None,
    })
}

const CATEGORIES: &str = "deviceCategories";
/// Categories that are offered.
const MOST_CATEGORIES: i64 = 200;

fn categories(tx: &mut dyn Tx, tenant: Uuid) -> Result<Vec<CategoryChoice>> {
    let mut rows = Vec::new();
    for document in documents::page(tx, tenant, CATEGORIES, None, MOST_CATEGORIES)? {
        let body: serde_json::Value = serde_json::from_str(&document.body).map_err(Error::internal)?;
        let description = body.get("description").and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        rows.push(CategoryChoice { id: document.id, name: document.display_name, description });
    }
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rows)
}

const ACCEPT: Act =
    Act { operation: "Action", activity: "Accept terms of use", category: "User", component: "termsOfUse" };

/// The tenant's terms of use, where it has any: `terms` of its settings.
fn terms(tx: &mut dyn Tx, tenant: Uuid) -> Result<Option<Terms>> {
    let settings = settings::read(tx, tenant)?;
    let Some(terms) = settings.get("terms").and_then(Value::as_object) else { return Ok(None) };
    let text = |name: &str| terms.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = terms.get("version").and_then(Value::as_i64).unwrap_or(1);
    Ok(Some(Terms { version, title: text("title"), text: text("text") }))
}

impl Service {
    /// The terms of use that the person of a flow has not accepted in the version in force.
    async fn terms_to_accept(&self, flow: &Flow) -> Result<Option<Terms>> {
        let (tenant, person) = (flow.tenant, flow.person.id);
        self.store
            .read(tenant, move |tx| {
                let Some(terms) = terms(tx, tenant)? else { return Ok(None) };
                let accepted = muster_storage::terms::accepted(tx, tenant, person, terms.version)?;
                Ok((!accepted).then_some(terms))
            })
            .await
    }

    /// Notes that the person of a flow agreed to the version of the terms they were shown.
    async fn accept_terms(&self, flow: &Flow, version: i64) -> Result<()> {
        let (tenant, person, now) = (flow.tenant, flow.person.id, self.clock.now());
        let mut entry = self.audit_entry_by_system(ACCEPT, now);
        entry.actor_kind = kind_word(PrincipalKind::Person).to_owned();
        entry.actor_id = Some(person);
        entry.actor_name = Some(flow.person.user_principal_name.clone());
        let mut resource = subject("termsOfUse", tenant, None);
        resource.modified.push(("acceptedVersion".into(), None, Some(version.to_string())));
        entry.resources.push(resource);
        self.store
            .write(tenant, move |tx| {
                if terms(tx, tenant)?.is_none_or(|terms| terms.version != version) {
                    return Err(Error::bad_request("the terms of use have changed; read them again"));
                }
                if muster_storage::terms::accept(tx, tenant, person, version, now)? {
                    audit::record(tx, tenant, &entry)?;
                }
                Ok(())
            })
            .await
    }

    /// What the person chose, as the enrollment wants it.
    pub async fn enrollment_request(
        &self,
        context: &RequestContext,
        flow: &Flow,
        entry: Entry,
        os_version: Option<String>,
    ) -> Result<EnrollmentRequest> {
        let tenant = flow.tenant;
        let category = match flow.choices.category {
            None => None,
            Some(id) => {
                let offered = self.store.read(tenant, move |tx| categories(tx, tenant)).await?;
                offered.into_iter().find(|category| category.id == id).map(|category| (id, category.name))
            }
        };
        let owner = flow.choices.owner.as_deref().and_then(Owner::parse);
        Ok(EnrollmentRequest {
            entry,
            platform: flow.choices.platform.clone(),
            os_version,
            owner,
            category,
            correlation: context.correlation,
        })
    }

    /// Takes what a form sent into the flow's choices, and says what is left to choose.
    pub async fn choose(&self, flow: &mut Flow, answers: &ChoiceAnswers) -> Result<NextChoice> {
        let tenant = flow.tenant;
        let offered = self.store.read(tenant, move |tx| categories(tx, tenant)).await?;
        let mut choices: Choices = flow.choices.clone();
        if let Some(word) = &answers.category {
            let id = word.parse::<Uuid>().ok();
            let known = offered.iter().find(|category| Some(category.id) == id || category.name == *word);
            let category = known.ok_or_else(|| Error::bad_request("choose one of the categories shown"))?;
            choices.category = Some(category.id);
        }
        if let Some(word) = &answers.platform {
            let platform =
                platform_named(word).ok_or_else(|| Error::bad_request("choose one of the kinds of device shown"))?;
            choices.platform = Some(platform.to_owned());
        }
        if let Some(word) = &answers.owner {
            if word != "personal" && word != "company" {
                return Err(Error::bad_request("say whether the device is your own or your organisation's"));
            }
            choices.owner = Some(word.clone());
        }
        if choices != flow.choices {
            self.remember_choices(&flow.value, &choices).await?;
            flow.choices = choices;
        }
        if let Some(version) = answers.accept {
            self.accept_terms(flow, version).await?;
        }
        if let Some(terms) = self.terms_to_accept(flow).await? {
            return Ok(NextChoice::Terms(terms));
        }
        Ok(if !offered.is_empty() && flow.choices.category.is_none_or(|id| offered.iter().all(|c| c.id != id)) {
            NextChoice::Category(offered)
        } else if flow.choices.platform.is_none() && flow.purpose != Purpose::Account {
            // A device that opened the page itself says what it is when it fetches the profile.
            NextChoice::Platform
        } else {
            NextChoice::Ready
        })
    }
}
