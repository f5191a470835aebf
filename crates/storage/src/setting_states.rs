//! Settings that are not sent as assigned: conflicts and what a channel cannot take.
//!
//! What is sent has the state of its item (see `items`); only the exceptions are rows.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args, dialect::many};

/// One exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingState {
    /// Collection of the document.
    pub document_kind: String,
    /// The document.
    pub document_id: Uuid,
    /// Graph's property name.
    pub setting: String,
    /// `conflict` or `notApplicable`.
    pub state: String,
    /// For people to read.
    pub reason: Option<String>,
    /// JSON array of the documents that take part in a conflict.
    pub sources: String,
    /// Since when.
    pub changed_at: i64,
}

fn read(row: &dyn Row) -> Result<SettingState> {
    Ok(SettingState {
        document_kind: row.text(0)?,
        document_id: row.id(1)?,
        setting: row.text(2)?,
        state: row.text(3)?,
        reason: row.opt_text(4)?,
        sources: row.text(5)?,
        changed_at: row.int(6)?,
    })
}

/// Exceptions of a device.
pub fn of_device(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<Vec<SettingState>> {
    tx.all(
        "select document_kind, document_id, setting, state, reason, sources, changed_at from setting_state \
         where tenant_id = $1 and device_id = $2 order by document_kind, document_id, setting",
        args![tenant, device],
        read,
    )
}

/// Exceptions of these devices, each with its device.
pub fn of_devices(tx: &mut dyn Tx, tenant: Uuid, devices: &[Uuid]) -> Result<Vec<(Uuid, SettingState)>> {
    let (sql, args) = many(
        "select document_kind, document_id, setting, state, reason, sources, changed_at, device_id from setting_state \
         where tenant_id = $1 and device_id in ($2 /* more */) \
         order by device_id, document_kind, document_id, setting",
        tenant,
        devices,
    );
    tx.all(&sql, &args, |row| Ok((row.id(7)?, read(row)?)))
}

/// Writes an exception.
pub fn put(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, row: &SettingState) -> Result<()> {
    tx.execute(
        "insert into setting_state (tenant_id, device_id, document_kind, document_id, setting, state, reason, \
            sources, changed_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         on conflict (tenant_id, device_id, document_kind, document_id, setting) do update set \
            state = excluded.state, reason = excluded.reason, sources = excluded.sources, \
            changed_at = excluded.changed_at",
        args![
            tenant,
            device,
            &row.document_kind,
            row.document_id,
            &row.setting,
            &row.state,
            row.reason.as_deref(),
            &row.sources,
            row.changed_at
        ],
    )?;
    Ok(())
}

/// Drops an exception.
pub fn remove(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, row: &SettingState) -> Result<()> {
    tx.execute(
        "delete from setting_state where tenant_id = $1 and device_id = $2 and document_kind = $3 \
            and document_id = $4 and setting = $5",
        args![tenant, device, &row.document_kind, row.document_id, &row.setting],
    )?;
    Ok(())
}

/// Drops all of a device.
pub fn clear(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<u64> {
    tx.execute("delete from setting_state where tenant_id = $1 and device_id = $2", args![tenant, device])
}
