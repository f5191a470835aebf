//! Documents: every Graph entity that is configuration, one row each, by collection and id.

use uuid::Uuid;

use crate::{Error, Result, Row, Tx, TxExt, args};

/// One document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The collection: `deviceConfigurations`, `deviceCategories`, ...
    pub kind: String,
    /// Id.
    pub id: Uuid,
    /// Type without its namespace.
    pub odata_type: String,
    /// `displayName`, or what stands for it.
    pub display_name: String,
    /// JSON object without id, type, version and times.
    pub body: String,
    /// Where the collection has an order.
    pub priority: Option<i64>,
    /// Counts changes.
    pub version: i64,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub modified_at: i64,
}

impl Document {
    /// The body as a JSON object.
    pub fn properties(&self) -> Result<serde_json::Map<String, serde_json::Value>> {
        serde_json::from_str(&self.body).map_err(|error| Error::inconsistent("document.body", error.to_string()))
    }
}

macro_rules! columns {
    () => {
        "kind, id, odata_type, display_name, body, priority, version, created_at, modified_at"
    };
}

fn map(row: &dyn Row) -> Result<Document> {
    Ok(Document {
        kind: row.text(0)?,
        id: row.id(1)?,
        odata_type: row.text(2)?,
        display_name: row.text(3)?,
        body: row.text(4)?,
        priority: row.opt_int(5)?,
        version: row.int(6)?,
        created_at: row.int(7)?,
        modified_at: row.int(8)?,
    })
}

/// Puts a new document in; version 1.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, document: &Document) -> Result<()> {
    tx.execute(
        "insert into document (tenant_id, kind, id, odata_type, display_name, body, priority,
                               version, created_at, modified_at)
         values ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8)",
        args![
            tenant,
            &document.kind,
            document.id,
            &document.odata_type,
            &document.display_name,
            &document.body,
            document.priority,
            document.created_at
        ],
    )?;
    Ok(())
}

/// The document of that collection and id.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, kind: &str, id: Uuid) -> Result<Option<Document>> {
    tx.one(
        concat!("select ", columns!(), " from document where tenant_id = $1 and kind = $2 and id = $3"),
        args![tenant, kind, id],
        map,
    )
}

/// A chunk of a collection in the order of ids.
pub fn page(tx: &mut dyn Tx, tenant: Uuid, kind: &str, after: Option<Uuid>, limit: i64) -> Result<Vec<Document>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from document where tenant_id = $1 and kind = $2 and id > $3 order by id limit $4"
        ),
        args![tenant, kind, after.unwrap_or(Uuid::nil()), limit],
        map,
    )
}

/// A whole small collection by priority, then by age: enrollment profiles, categories.
pub fn all_by_priority(tx: &mut dyn Tx, tenant: Uuid, kind: &str) -> Result<Vec<Document>> {
    tx.all(
        concat!("select ", columns!(), " from document where tenant_id = $1 and kind = $2 order by priority, id"),
        args![tenant, kind],
        map,
    )
}

/// Rewrites name, body and priority if the version is still the one that was read; true if it was.
pub fn update(tx: &mut dyn Tx, tenant: Uuid, document: &Document, read_version: i64, now: i64) -> Result<bool> {
    let changed = tx.execute(
        "update document
            set display_name = $4, body = $5, priority = $6, version = version + 1, modified_at = $7
          where tenant_id = $1 and kind = $2 and id = $3 and version = $8",
        args![
            tenant,
            &document.kind,
            document.id,
            &document.display_name,
            &document.body,
            document.priority,
            now,
            read_version
        ],
    )?;
    Ok(changed == 1)
}

/// Sets the place in the order; not a change of the document's own content.
pub fn set_priority(tx: &mut dyn Tx, tenant: Uuid, kind: &str, id: Uuid, priority: i64, now: i64) -> Result<()> {
    tx.execute(
        "update document set priority = $4, modified_at = $5
          where tenant_id = $1 and kind = $2 and id = $3",
        args![tenant, kind, id, priority, now],
    )?;
    Ok(())
}

/// Takes the document out; true if it was there.
pub fn delete(tx: &mut dyn Tx, tenant: Uuid, kind: &str, id: Uuid) -> Result<bool> {
    let changed =
        tx.execute("delete from document where tenant_id = $1 and kind = $2 and id = $3", args![tenant, kind, id])?;
    Ok(changed == 1)
}
