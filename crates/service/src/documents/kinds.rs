//! The collections of configuration entities, as data: what each is called, who may be assigned, and
//! what its own rules are.

use muster_storage::{self as storage, Tx, documents, documents::Document};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::rules;
use crate::{Result, rules::filters::FILTERS};

/// Whom documents of a kind can be assigned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nobody: the document is no assignment's subject.
    Nobody,
    /// People: groups that hold devices are refused.
    People,
    /// People and devices.
    Everything,
}

/// A document about to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Type without namespace.
    pub odata_type: String,
    /// Its properties, checked against the type table.
    pub properties: Map<String, Value>,
}

impl Draft {
    /// A text property that is there and not blank.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.properties.get(name)?.as_str().filter(|text| !text.trim().is_empty())
    }
}

/// A check of a draft against the other documents of its kind. `None` as `before` is a new document.
pub type Check = fn(&mut dyn Tx, Uuid, &Draft, Option<&Document>) -> Result<()>;
/// What else changes with a document, or why it may not; `None` as `after` means it is deleted.
pub type Change = fn(&mut dyn Tx, Uuid, &Document, Option<&Document>, i64) -> Result<()>;
/// Fills in what a new document has where its maker says nothing.
pub type Fill = fn(&mut Map<String, Value>);

/// One collection.
pub struct Kind {
    /// Segment below `/deviceManagement`.
    pub collection: &'static str,
    /// Graph's type of its items.
    pub base: &'static str,
    /// The type's name of its display name.
    pub name: &'static str,
    /// Audit category.
    pub category: &'static str,
    /// Items have an order that decides.
    pub ordered: bool,
    /// Whom it can be assigned to.
    pub reach: Reach,
    /// Changes mark devices dirty.
    pub configures: bool,
    /// A document that is always there, made from the tenant's id.
    pub default: Option<fn() -> Draft>,
    /// What a new one has where nothing is said.
    pub fill: Fill,
    /// Its own rules.
    pub check: Check,
    /// What else changes.
    pub change: Change,
}

fn nothing(_: &mut dyn Tx, _: Uuid, _: &Document, _: Option<&Document>, _: i64) -> Result<()> {
    Ok(())
}

fn tagged(properties: &mut Map<String, Value>) {
    properties.entry("roleScopeTagIds").or_insert_with(|| serde_json::json!(["0"]));
}

/// Every collection.
pub static KINDS: &[Kind] = &[
    Kind {
        collection: "deviceConfigurations",
        base: "deviceConfiguration",
        name: "displayName",
        category: "DeviceConfiguration",
        ordered: false,
        reach: Reach::Everything,
        configures: true,
        default: None,
        fill: tagged,
        check: rules::configuration,
        change: nothing,
    },
    Kind {
        collection: "deviceCategories",
        base: "deviceCategory",
        name: "displayName",
        category: "Device",
        ordered: false,
        reach: Reach::Nobody,
        configures: false,
        default: None,
        fill: tagged,
        check: rules::category,
        change: rules::category_changed,
    },
    Kind {
        collection: "appleUserInitiatedEnrollmentProfiles",
        base: "appleUserInitiatedEnrollmentProfile",
        name: "displayName",
        category: "Enrollment",
        ordered: true,
        reach: Reach::People,
        configures: false,
        default: None,
        fill: tagged,
        check: rules::enrollment_profile,
        change: nothing,
    },
    Kind {
        collection: "deviceEnrollmentConfigurations",
        base: "deviceEnrollmentConfiguration",
        name: "displayName",
        category: "Enrollment",
        ordered: false,
        reach: Reach::Nobody,
        configures: false,
        default: Some(rules::default_limit),
        fill: tagged,
        check: rules::enrollment_configuration,
        change: nothing,
    },
    Kind {
        collection: "intuneBrandingProfiles",
        base: "intuneBrandingProfile",
        name: "profileName",
        category: "Other",
        ordered: false,
        reach: Reach::People,
        configures: false,
        default: Some(rules::default_branding),
        fill: tagged,
        check: rules::branding,
        change: nothing,
    },
    Kind {
        collection: FILTERS,
        base: "deviceAndAppManagementAssignmentFilter",
        name: "displayName",
        category: "Other",
        ordered: false,
        reach: Reach::Nobody,
        configures: true,
        default: None,
        fill: rules::fill_filter,
        check: rules::filter,
        change: rules::filter_changed,
    },
];

impl Kind {
    /// The kind of a collection's name.
    pub fn of(collection: &str) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.collection == collection)
    }

    /// The document that is always there, as it is before anyone changes it. Its id is the tenant's.
    pub fn default_document(&self, tenant: Uuid) -> Option<Document> {
        let draft = self.default?();
        Some(Document {
            kind: self.collection.to_owned(),
            id: tenant,
            display_name: draft.text(self.name).unwrap_or_default().to_owned(),
            odata_type: draft.odata_type,
            body: Value::Object(draft.properties).to_string(),
            priority: None,
            version: 0,
            created_at: 0,
            modified_at: 0,
        })
    }

    /// The stored document, or the default one while nobody has changed it.
    pub fn find(&self, tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> storage::Result<Option<Document>> {
        match documents::by_id(tx, tenant, self.collection, id)? {
            Some(found) => Ok(Some(found)),
            None if id == tenant => Ok(self.default_document(tenant)),
            None => Ok(None),
        }
    }
}
