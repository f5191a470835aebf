//! What stands between a signed-in person and their enrollment: may they, and what do they still
//! have to choose. The enrollment itself is `apple`'s.

use muster_storage::{Tx, documents, enrollment_failures, people, tenants};
use uuid::Uuid;

use crate::{
    Error, Kind, RequestContext, Result, Service,
    sign_in::{Choices, Flow},
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
    /// Title.
    pub title: String,
    /// Text.
    pub text: String,
}

/// What the person has to choose next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextChoice {
    /// Accept these terms.
    Terms(Vec<Terms>),
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

/// Why a person may not enroll: Graph's failure category and words for the person.
fn refusal(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<Option<(&'static str, &'static str)>> {
    let organization =
        tenants::organization(tx, tenant)?.ok_or_else(|| Error::not_found("there is no such organization"))?;
    let Some(person) = people::by_id(tx, tenant, person)? else {
        return Ok(Some(("authorization", "this account no longer exists; ask your administrator")));
    };
    Ok(if !person.account_enabled {
        Some(("authorization", "this account is turned off; ask your administrator"))
    } else if organization.mdm_authority == "unknown" {
        Some((
            "enrollmentCriteriaNotMet",
            "your organisation has not set its MDM authority yet, so no device can be enrolled; ask your administrator",
        ))
    } else if !person.licensed {
        Some(("userValidation", "your account has no licence for device management; ask your administrator for one"))
    } else {
        None
    })
}

impl Service {
    /// Refuses a person who may not enroll, with the reason in words for them and an event for the
    /// administrator.
    pub async fn check_may_enroll(&self, context: &RequestContext, flow: &Flow) -> Result<()> {
        let (tenant, person) = (flow.tenant, flow.person.id);
        let found = self.store.read(tenant, move |tx| refusal(tx, tenant, person)).await?;
        let Some((category, reason)) = found else { return Ok(()) };
        self.record_enrollment_failure(context, flow, category, reason).await?;
        Err(Error::refused(Kind::Forbidden, "enrollmentRefused", reason))
    }

    /// Records why an enrollment was refused.
    pub async fn record_enrollment_failure(
        &self,
        context: &RequestContext,
        flow: &Flow,
        category: &str,
        reason: &str,
    ) -> Result<()> {
        let now = self.clock.now();
        let failure = enrollment_failures::EnrollmentFailure {
            id: self.random.id(now),
            person_id: Some(flow.person.id),
            category: category.into(),
            reason: reason.into(),
            platform: flow.choices.platform.clone(),
            os_version: None,
            correlation_id: Some(context.correlation),
            at: now,
        };
        let tenant = flow.tenant;
        self.store.write(tenant, move |tx| enrollment_failures::insert(tx, tenant, &failure).map_err(Error::from)).await
    }

    /// Id and name of the category that the person chose, as far as it still exists.
    pub async fn chosen_category(&self, flow: &Flow) -> Result<Option<(Uuid, String)>> {
        let tenant = flow.tenant;
        let Some(id) = flow.choices.category else { return Ok(None) };
        let offered = self.store.read(tenant, move |tx| categories(tx, tenant)).await?;
        Ok(offered.into_iter().find(|category| category.id == id).map(|category| (category.id, category.name)))
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
        Ok(if !offered.is_empty() && flow.choices.category.is_none_or(|id| offered.iter().all(|c| c.id != id)) {
            NextChoice::Category(offered)
        } else if flow.choices.platform.is_none() {
            NextChoice::Platform
        } else {
            NextChoice::Ready
        })
    }
}
