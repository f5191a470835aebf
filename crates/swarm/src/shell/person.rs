//! A person in front of a form: what they know, and what they put where.

use super::forms::{Field, Form};
use crate::{crypto, model::Family};

/// Somebody who enrolls a device or signs in.
#[derive(Clone, Debug, Default)]
pub struct Person {
    /// User principal name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Typed when a new password is asked for.
    pub new_password: Option<String>,
    /// Secret of the authenticator app, base32.
    pub totp_secret: Option<String>,
    /// Ticks the box under the terms.
    pub accepts_terms: bool,
    /// Chosen where categories are offered, else the first one.
    pub category: Option<String>,
    /// Answer to "my own or the company's".
    pub own_device: bool,
}

impl Person {
    /// A person with a name and a password.
    pub fn new(username: &str, password: &str) -> Self {
        Person {
            username: username.into(),
            password: password.into(),
            accepts_terms: true,
            own_device: true,
            ..Person::default()
        }
    }

    /// Fills a form; `None` if the person will not go on.
    pub(crate) fn fill(&mut self, form: &Form, family: Family, now: i64) -> Option<Vec<(String, String)>> {
        let mut filled: Vec<(String, String)> = Vec::new();
        for field in &form.fields {
            if filled.iter().any(|(name, _)| *name == field.name) {
                continue;
            }
            let value = match field.name.as_str() {
                "username" | "user-identifier" => Some(self.username.clone()),
                "password" => Some(self.password.clone()),
                "code" => crypto::totp(self.totp_secret.as_deref()?, now),
                "new_password" | "new_password_again" | "new_password_repeat" => {
                    let fresh = self.new_password.clone().unwrap_or_else(|| format!("{}-changed", self.password));
                    self.new_password = Some(fresh.clone());
                    Some(fresh)
                }
                "accept" if !self.accepts_terms => return None,
                "accept" => Some(if field.value.is_empty() { "on".into() } else { field.value.clone() }),
                "category" => self.choose(field, self.category.clone()),
                "platform" => self.choose(field, platform(field, form, family)),
                "ownership" | "owner" | "own" | "kind" if field.kind != "hidden" => {
                    let wanted = if self.own_device { "personal" } else { "company" };
                    self.choose(field, option(form, &field.name, wanted))
                }
                _ => match field.kind.as_str() {
                    "submit" if field.value.is_empty() => None,
                    "submit" if form.fields.iter().filter(|other| other.kind == "submit").count() > 1 => None,
                    "radio" | "checkbox" if !field.checked => None,
                    _ => Some(field.value.clone()),
                },
            };
            if let Some(value) = value {
                filled.push((field.name.clone(), value));
            }
        }
        if filled.iter().any(|(name, _)| name == "new_password")
            && let Some(fresh) = &self.new_password
        {
            self.password = fresh.clone();
        }
        Some(filled)
    }

    fn choose(&self, field: &Field, wanted: Option<String>) -> Option<String> {
        wanted
            .or_else(|| (!field.value.is_empty()).then(|| field.value.clone()))
            .or_else(|| field.options.first().cloned())
    }
}

/// All values a name can take in a form: options of a select, or several radio buttons.
fn values(form: &Form, name: &str) -> Vec<String> {
    let fields = form.fields.iter().filter(|field| field.name == name);
    fields
        .flat_map(|field| if field.options.is_empty() { vec![field.value.clone()] } else { field.options.clone() })
        .collect()
}

fn option(form: &Form, name: &str, wanted: &str) -> Option<String> {
    values(form, name).into_iter().find(|value| value.to_lowercase().contains(wanted))
}

/// What is preselected stays; otherwise the device's own family.
fn platform(field: &Field, form: &Form, family: Family) -> Option<String> {
    let preselected = form.fields.iter().find(|other| other.name == field.name && other.checked);
    if let Some(preselected) = preselected {
        return Some(preselected.value.clone());
    }
    if field.kind == "hidden" || (field.kind == "select" && !field.value.is_empty()) {
        return Some(field.value.clone());
    }
    let wanted = if family.is_mac() { "mac" } else { "ios" };
    option(form, &field.name, wanted)
}
