//! Items: what a channel should have, or had and should lose, one row a document.

use muster_domain::reconcile::Have;
use uuid::Uuid;

use crate::{
    Result, Row, Tx, TxExt, Value, args,
    dialect::{many, write_rows},
};

/// State of a document on a channel, in Graph's sense.
pub mod state {
    /// The device has not said anything yet.
    pub const PENDING: &str = "pending";
    /// The device has it.
    pub const SUCCEEDED: &str = "succeeded";
    /// The device refused it.
    pub const ERROR: &str = "error";
    /// Some setting is disputed.
    pub const CONFLICT: &str = "conflict";
    /// The device cannot take any of it.
    pub const NOT_APPLICABLE: &str = "notApplicable";
}

/// One item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The channel.
    pub enrollment_id: Uuid,
    /// Unique on the channel.
    pub key: String,
    /// `profile` or `declaration`.
    pub kind: String,
    /// Collection of the document.
    pub document_kind: Option<String>,
    /// The document.
    pub document_id: Option<Uuid>,
    /// What it should be; null: should not be there.
    pub desired_version: Option<Vec<u8>>,
    /// What the device settled; null: is not there; empty: nobody can tell.
    pub reported_version: Option<Vec<u8>>,
    /// Logical content to render at hand-out, JSON.
    pub content: String,
    /// See [`state`].
    pub state: String,
    /// JSON: code, message.
    pub error: Option<String>,
    /// The command on its way.
    pub command_id: Option<Uuid>,
    /// Errors in a row.
    pub attempts: i64,
    /// When a settled error is tried again.
    pub retry_at: Option<i64>,
    /// Last change of the state.
    pub changed_at: i64,
}

impl Item {
    /// The side that reconciling looks at; `handed_out` says whether the command on its way was.
    pub fn have(&self, handed_out: bool, now: i64) -> Have {
        Have {
            desired: self.desired_version.clone(),
            reported: self.reported_version.clone(),
            in_flight: self.command_id.is_some(),
            handed_out,
            retry: self.retry_at.is_some_and(|at| at <= now),
        }
    }
}

const COLUMNS: &str = "enrollment_id, item_key, kind, document_kind, document_id, desired_version, \
    reported_version, content, state, error, command_id, attempts, retry_at, changed_at";

fn read(row: &dyn Row) -> Result<Item> {
    Ok(Item {
        enrollment_id: row.id(0)?,
        key: row.text(1)?,
        kind: row.text(2)?,
        document_kind: row.opt_text(3)?,
        document_id: row.opt_id(4)?,
        desired_version: row.opt_bytes(5)?,
        reported_version: row.opt_bytes(6)?,
        content: row.text(7)?,
        state: row.text(8)?,
        error: row.opt_text(9)?,
        command_id: row.opt_id(10)?,
        attempts: row.int(11)?,
        retry_at: row.opt_int(12)?,
        changed_at: row.int(13)?,
    })
}

/// All items of a channel.
pub fn of_enrollment(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> Result<Vec<Item>> {
    tx.all(
        &format!("select {COLUMNS} from item where tenant_id = $1 and enrollment_id = $2 order by item_key"),
        args![tenant, enrollment],
        read,
    )
}

/// All items of these channels, channel by channel.
pub fn of_enrollments(tx: &mut dyn Tx, tenant: Uuid, enrollments: &[Uuid]) -> Result<Vec<Item>> {
    let sql = format!(
        "select {COLUMNS} from item where tenant_id = $1 and enrollment_id in ($2 /* more */)
          order by enrollment_id, item_key"
    );
    let (sql, args) = many(&sql, tenant, enrollments);
    tx.all(&sql, &args, read)
}

/// One item.
pub fn by_key(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, key: &str) -> Result<Option<Item>> {
    tx.one(
        &format!("select {COLUMNS} from item where tenant_id = $1 and enrollment_id = $2 and item_key = $3"),
        args![tenant, enrollment, key],
        read,
    )
}

/// The item whose command this is.
pub fn by_command(tx: &mut dyn Tx, tenant: Uuid, command: Uuid) -> Result<Option<Item>> {
    tx.one(
        &format!("select {COLUMNS} from item where tenant_id = $1 and command_id = $2"),
        args![tenant, command],
        read,
    )
}

/// Writes an item.
pub fn put(tx: &mut dyn Tx, tenant: Uuid, item: &Item) -> Result<()> {
    put_all(tx, tenant, std::slice::from_ref(item))
}

/// Writes items.
pub fn put_all(tx: &mut dyn Tx, tenant: Uuid, items: &[Item]) -> Result<()> {
    let rows: Vec<Vec<Value>> = items
        .iter()
        .map(|item| {
            args![
                item.enrollment_id,
                &item.key,
                &item.kind,
                item.document_kind.as_deref(),
                item.document_id,
                item.desired_version.clone(),
                item.reported_version.clone(),
                &item.content,
                &item.state,
                item.error.as_deref(),
                item.command_id,
                item.attempts,
                item.retry_at,
                item.changed_at
            ]
            .to_vec()
        })
        .collect();
    write_rows(
        tx,
        tenant,
        "insert into item (tenant_id, enrollment_id, item_key, kind, document_kind, document_id, desired_version, \
            reported_version, content, state, error, command_id, attempts, retry_at, changed_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
         on conflict (tenant_id, enrollment_id, item_key) do update set \
            kind = excluded.kind, document_kind = excluded.document_kind, document_id = excluded.document_id, \
            desired_version = excluded.desired_version, reported_version = excluded.reported_version, \
            content = excluded.content, state = excluded.state, error = excluded.error, \
            command_id = excluded.command_id, attempts = excluded.attempts, retry_at = excluded.retry_at, \
            changed_at = excluded.changed_at",
        &rows,
    )
}

/// Drops an item.
pub fn remove(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, key: &str) -> Result<()> {
    tx.execute(
        "delete from item where tenant_id = $1 and enrollment_id = $2 and item_key = $3",
        args![tenant, enrollment, key],
    )?;
    Ok(())
}

/// Forgets what a channel had: it enrolled anew, or left.
pub fn clear(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> Result<u64> {
    tx.execute("delete from item where tenant_id = $1 and enrollment_id = $2", args![tenant, enrollment])
}

/// A document's state on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentState {
    /// The channel.
    pub enrollment_id: Uuid,
    /// The device.
    pub device_id: Uuid,
    /// Its name.
    pub device_name: String,
    /// Its model.
    pub model: Option<String>,
    /// Its user's name.
    pub user_principal_name: Option<String>,
    /// See [`state`].
    pub state: String,
    /// When the state was reported.
    pub changed_at: i64,
}

/// Devices that a document reaches, after one channel in key order.
pub fn of_document(
    tx: &mut dyn Tx,
    tenant: Uuid,
    document_kind: &str,
    document: Uuid,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<DocumentState>> {
    tx.all(
        "select i.enrollment_id, d.id, d.name, d.model, d.user_principal_name, i.state, i.changed_at \
         from item i \
         join enrollment e on e.tenant_id = $1 and e.id = i.enrollment_id \
         join device d on d.tenant_id = $1 and d.id = e.device_id \
         where i.tenant_id = $1 and i.document_kind = $2 and i.document_id = $3 and i.enrollment_id > $4 \
         order by i.enrollment_id limit $5",
        args![tenant, document_kind, document, after.unwrap_or(Uuid::nil()), limit],
        |row| {
            Ok(DocumentState {
                enrollment_id: row.id(0)?,
                device_id: row.id(1)?,
                device_name: row.text(2)?,
                model: row.opt_text(3)?,
                user_principal_name: row.opt_text(4)?,
                state: row.text(5)?,
                changed_at: row.int(6)?,
            })
        },
    )
}

/// How many channels stand in which state for a document, and the latest change.
pub fn counts(tx: &mut dyn Tx, tenant: Uuid, document_kind: &str, document: Uuid) -> Result<Vec<(String, i64, i64)>> {
    tx.all(
        "select state, count(*), max(changed_at) from item \
         where tenant_id = $1 and document_kind = $2 and document_id = $3 group by state",
        args![tenant, document_kind, document],
        |row| Ok((row.text(0)?, row.int(1)?, row.int(2)?)),
    )
}

/// Items of all channels of a device.
pub fn of_device(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<Vec<Item>> {
    let columns: Vec<String> = COLUMNS.split(", ").map(|column| format!("i.{}", column.trim())).collect();
    tx.all(
        &format!(
            "select {} from item i join enrollment e on e.tenant_id = $1 and e.id = i.enrollment_id \
             where i.tenant_id = $1 and e.device_id = $2 order by i.item_key",
            columns.join(", ")
        ),
        args![tenant, device],
        read,
    )
}
