//! Assignments: which document goes to whom. Always replaced as a whole per document.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// One assignment of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Id.
    pub id: Uuid,
    /// The document's collection.
    pub kind: String,
    /// The document.
    pub document_id: Uuid,
    /// `allDevices`, `allUsers`, `group`.
    pub target: String,
    /// An exclusion of the group.
    pub exclude: bool,
    /// The group of a `group` target.
    pub group_id: Option<Uuid>,
    /// Assignment filter.
    pub filter_id: Option<Uuid>,
    /// `none`, `include`, `exclude`.
    pub filter_mode: String,
    /// `apply`, `remove`; apps: `required`, `available`, `uninstall`.
    pub intent: String,
}

macro_rules! columns {
    () => {
        "id, kind, document_id, target, exclude, group_id, filter_id, filter_mode, intent"
    };
}

fn map(row: &dyn Row) -> Result<Assignment> {
    Ok(Assignment {
        id: row.id(0)?,
        kind: row.text(1)?,
        document_id: row.id(2)?,
        target: row.text(3)?,
        exclude: row.bool(4)?,
        group_id: row.opt_id(5)?,
        filter_id: row.opt_id(6)?,
        filter_mode: row.text(7)?,
        intent: row.text(8)?,
    })
}

/// The assignments of one document.
pub fn of_document(tx: &mut dyn Tx, tenant: Uuid, kind: &str, document: Uuid) -> Result<Vec<Assignment>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from assignment where tenant_id = $1 and kind = $2 and document_id = $3 order by id"
        ),
        args![tenant, kind, document],
        map,
    )
}

/// Every assignment of a collection.
pub fn of_kind(tx: &mut dyn Tx, tenant: Uuid, kind: &str) -> Result<Vec<Assignment>> {
    tx.all(
        concat!("select ", columns!(), " from assignment where tenant_id = $1 and kind = $2 order by document_id, id"),
        args![tenant, kind],
        map,
    )
}

/// Every assignment that names this group.
pub fn of_group(tx: &mut dyn Tx, tenant: Uuid, group: Uuid) -> Result<Vec<Assignment>> {
    tx.all(
        concat!("select ", columns!(), " from assignment where tenant_id = $1 and group_id = $2 order by id"),
        args![tenant, group],
        map,
    )
}

/// Every assignment that stands on this filter.
pub fn of_filter(tx: &mut dyn Tx, tenant: Uuid, filter: Uuid) -> Result<Vec<Assignment>> {
    tx.all(
        concat!("select ", columns!(), " from assignment where tenant_id = $1 and filter_id = $2 order by id"),
        args![tenant, filter],
        map,
    )
}

/// Every assignment that stands on a filter.
pub fn with_filters(tx: &mut dyn Tx, tenant: Uuid) -> Result<Vec<Assignment>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from assignment where tenant_id = $1 and filter_id is not null order by filter_id, id"
        ),
        args![tenant],
        map,
    )
}

/// Says whether any assignment stands on a filter.
pub fn any_filtered(tx: &mut dyn Tx, tenant: Uuid) -> Result<bool> {
    let found = tx.one(
        "select 1 from assignment where tenant_id = $1 and filter_id is not null limit 1",
        args![tenant],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Puts `assignments` in the place of what the document had.
pub fn replace(tx: &mut dyn Tx, tenant: Uuid, kind: &str, document: Uuid, assignments: &[Assignment]) -> Result<()> {
    tx.execute(
        "delete from assignment where tenant_id = $1 and kind = $2 and document_id = $3",
        args![tenant, kind, document],
    )?;
    for assignment in assignments {
        tx.execute(
            "insert into assignment (tenant_id, id, kind, document_id, target, exclude, group_id,
                                     filter_id, filter_mode, intent)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            args![
                tenant,
                assignment.id,
                kind,
                document,
                &assignment.target,
                assignment.exclude,
                assignment.group_id,
                assignment.filter_id,
                &assignment.filter_mode,
                &assignment.intent
            ],
        )?;
    }
    Ok(())
}

/// Takes one assignment away; true if it was there.
pub fn delete(tx: &mut dyn Tx, tenant: Uuid, kind: &str, document: Uuid, id: Uuid) -> Result<bool> {
    let changed = tx.execute(
        "delete from assignment where tenant_id = $1 and kind = $2 and document_id = $3 and id = $4",
        args![tenant, kind, document, id],
    )?;
    Ok(changed == 1)
}

/// Takes away what named a group that is gone.
pub fn forget_group(tx: &mut dyn Tx, tenant: Uuid, group: Uuid) -> Result<u64> {
    tx.execute("delete from assignment where tenant_id = $1 and group_id = $2", args![tenant, group])
}
