//! What people see of the organisation: the `intuneBrandingProfiles` document that applies to a
//! person, or the default one before anybody signed in. Limits are checked when it is written
//! (`documents/rules.rs`).

use base64::{Engine, engine::general_purpose::STANDARD};
use muster_storage::{Scope, Tx, assignments, documents, documents::Document, groups, tenants};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Error, Result, Service};

const KIND: &str = "intuneBrandingProfiles";

/// The look of the pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branding {
    /// Tenant and profile, for the addresses of style sheet and logo.
    pub profile: Option<(Uuid, Uuid)>,
    /// Raised by every change of the profile, for caches.
    pub version: i64,
    /// Name of the organisation.
    pub name: String,
    /// There is a logo, and it is shown.
    pub logo: bool,
    /// The name stands beside it.
    pub show_name: bool,
    /// Support contact.
    pub contact_name: String,
    /// Support phone number.
    pub contact_phone: String,
    /// Support mail address.
    pub contact_mail: String,
    /// Support site.
    pub support_url: String,
    /// Its name.
    pub support_name: String,
    /// Additional information.
    pub notes: String,
    /// Privacy statement.
    pub privacy_url: String,
    /// Colour of buttons.
    pub theme: Option<[u8; 3]>,
}

fn text(body: &Map<String, Value>, name: &str) -> String {
    body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn flag(body: &Map<String, Value>, name: &str) -> Option<bool> {
    body.get(name).and_then(Value::as_bool)
}

/// The picture that stands on a light surface.
fn picture(body: &Map<String, Value>) -> Option<(&'static str, Vec<u8>)> {
    let image =
        ["lightBackgroundLogo", "themeColorLogo"].iter().find_map(|name| body.get(*name).filter(|v| v.is_object()))?;
    let bytes = STANDARD.decode(image.get("value")?.as_str()?).ok()?;
    // The bytes decide, not the word that came with them (threats K7).
    match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => Some(("image/png", bytes)),
        [0xff, 0xd8, 0xff, ..] => Some(("image/jpeg", bytes)),
        _ => None,
    }
}

fn branding(tenant: Uuid, organization: &str, document: Option<&Document>) -> Result<Branding> {
    let plain = Branding { name: organization.to_owned(), show_name: true, ..Branding::default() };
    let Some(document) = document else { return Ok(plain) };
    let body = document.properties()?;
    let logo = flag(&body, "showLogo").unwrap_or(false) && picture(&body).is_some();
    let channel = |name: &str| body.get("themeColor")?.get(name)?.as_u64()?.try_into().ok();
    let name = text(&body, "displayName");
    Ok(Branding {
        profile: Some((tenant, document.id)),
        version: document.version,
        name: if name.is_empty() { plain.name } else { name },
        logo,
        show_name: !logo || flag(&body, "showDisplayNameNextToLogo").unwrap_or(true),
        contact_name: text(&body, "contactITName"),
        contact_phone: text(&body, "contactITPhoneNumber"),
        contact_mail: text(&body, "contactITEmailAddress"),
        support_url: text(&body, "onlineSupportSiteUrl"),
        support_name: text(&body, "onlineSupportSiteName"),
        notes: text(&body, "contactITNotes"),
        privacy_url: text(&body, "privacyUrl"),
        theme: (|| Some([channel("r")?, channel("g")?, channel("b")?]))(),
    })
}

/// The profile of a person: the first one assigned to a group of theirs, or the default.
fn deciding(tx: &mut dyn Tx, tenant: Uuid, person: Option<Uuid>) -> Result<Option<Document>> {
    let all = documents::all_by_priority(tx, tenant, KIND)?;
    let is_default =
        |document: &Document| document.properties().is_ok_and(|body| flag(&body, "isDefaultProfile") == Some(true));
    if let Some(id) = person {
        let of = groups::groups_of(tx, tenant, groups::Member { kind: groups::MemberKind::User, id })?;
        for document in all.iter().filter(|document| !is_default(document)) {
            let assigned = assignments::of_document(tx, tenant, KIND, document.id)?;
            let inside = |group: Option<Uuid>| group.is_some_and(|group| of.contains(&group));
            let excluded = assigned.iter().any(|a| a.exclude && inside(a.group_id));
            if !excluded && assigned.iter().any(|a| !a.exclude && (a.target == "allUsers" || inside(a.group_id))) {
                return Ok(Some(document.clone()));
            }
        }
    }
    Ok(all.into_iter().find(is_default))
}

impl Service {
    /// The look for a person, or for a tenant before anybody signed in.
    pub async fn branding(&self, tenant: Uuid, person: Option<Uuid>) -> Result<Branding> {
        self.store
            .read(tenant, move |tx| {
                let name = tenants::by_id(tx, tenant)?.map(|tenant| tenant.name).unwrap_or_default();
                branding(tenant, &name, deciding(tx, tenant, person)?.as_ref())
            })
            .await
    }

    /// The look of the page before sign-in. With several tenants it says nothing of any: the name
    /// that a person types must not tell which organisations are here (threats B5).
    pub async fn branding_before_sign_in(&self) -> Result<Option<Branding>> {
        let all = self.store.read(Scope::Server, |tx| tenants::all(tx).map_err(Error::from)).await?;
        match all.as_slice() {
            [only] => Ok(Some(self.branding(only.id, None).await?)),
            _ => Ok(None),
        }
    }

    /// Colour and picture of a profile.
    pub async fn branding_profile(
        &self,
        tenant: Uuid,
        profile: Uuid,
    ) -> Result<(Branding, Option<(&'static str, Vec<u8>)>)> {
        let unknown = || Error::not_found("there is no such branding");
        self.store
            .read(tenant, move |tx| {
                let document = documents::by_id(tx, tenant, KIND, profile)?.ok_or_else(unknown)?;
                let image = picture(&document.properties()?);
                Ok::<_, Error>((branding(tenant, "", Some(&document))?, image))
            })
            .await
    }
}
