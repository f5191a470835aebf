//! Facts about devices, detected apps, and the inventory queries that bring them.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args, dialect::many};

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its name in the catalogue.
    pub name: String,
    /// JSON.
    pub value: String,
    /// Who said so: `deviceInformation`, `securityInfo`, `status`, ...
    pub source: String,
    /// When it was last written, unix ms.
    pub observed_at: i64,
    /// When its value last changed, unix ms.
    pub changed_at: i64,
}

/// Facts of a device.
pub fn of_device(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<Vec<Fact>> {
    tx.all(
        "select name, value, source, observed_at, changed_at from fact \
         where tenant_id = $1 and device_id = $2 order by name",
        args![tenant, device],
        |row| {
            Ok(Fact {
                name: row.text(0)?,
                value: row.text(1)?,
                source: row.text(2)?,
                observed_at: row.int(3)?,
                changed_at: row.int(4)?,
            })
        },
    )
}

/// Name of the fact that tells a Mac's processor.
pub const APPLE_SILICON: &str = "isAppleSilicon";

/// Facts that rules see: a change of one marks the device.
const SEEN_BY_RULES: [&str; 1] = [APPLE_SILICON];

/// The JSON of one fact.
pub fn value(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, name: &str) -> Result<Option<String>> {
    tx.one(
        "select value from fact where tenant_id = $1 and device_id = $2 and name = $3",
        args![tenant, device, name],
        |row| row.text(0),
    )
}

/// Writes a fact.
pub fn put(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, fact: &Fact) -> Result<()> {
    tx.execute(
        "insert into fact (tenant_id, device_id, name, value, source, observed_at, changed_at) \
         values ($1, $2, $3, $4, $5, $6, $7) \
         on conflict (tenant_id, device_id, name) do update set value = excluded.value, source = excluded.source, \
            observed_at = excluded.observed_at, changed_at = excluded.changed_at",
        args![tenant, device, &fact.name, &fact.value, &fact.source, fact.observed_at, fact.changed_at],
    )?;
    if SEEN_BY_RULES.contains(&fact.name.as_str()) {
        crate::rule_subjects::mark(tx, tenant, crate::rule_subjects::Kind::Device, device)?;
    }
    Ok(())
}

/// Drops a fact.
pub fn remove(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, name: &str) -> Result<()> {
    tx.execute("delete from fact where tenant_id = $1 and device_id = $2 and name = $3", args![tenant, device, name])?;
    Ok(())
}

/// Drops every fact and app of a device: it left, or was wiped.
pub fn clear(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<()> {
    tx.execute("delete from fact where tenant_id = $1 and device_id = $2", args![tenant, device])?;
    tx.execute("delete from detected_app where tenant_id = $1 and device_id = $2", args![tenant, device])?;
    Ok(())
}

/// An app found on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Bundle identifier, or the name where there is none.
    pub identifier: String,
    /// One id per name, version and identifier in the tenant.
    pub app_id: Uuid,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Size on the device.
    pub size_bytes: Option<i64>,
    /// Installed by management.
    pub managed: bool,
    /// When it was last written, unix ms.
    pub observed_at: i64,
}

fn app(row: &dyn Row) -> Result<App> {
    Ok(App {
        identifier: row.text(0)?,
        app_id: row.id(1)?,
        name: row.text(2)?,
        version: row.text(3)?,
        size_bytes: row.opt_int(4)?,
        managed: row.bool(5)?,
        observed_at: row.int(6)?,
    })
}

/// Apps of a device, by identifier.
pub fn apps_of_device(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<Vec<App>> {
    tx.all(
        "select identifier, app_id, name, version, size_bytes, managed, observed_at from detected_app \
         where tenant_id = $1 and device_id = $2 order by identifier",
        args![tenant, device],
        app,
    )
}

/// Writes an app.
pub fn put_app(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, app: &App) -> Result<()> {
    tx.execute(
        "insert into detected_app (tenant_id, device_id, identifier, app_id, name, version, size_bytes, managed, \
            observed_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         on conflict (tenant_id, device_id, identifier) do update set app_id = excluded.app_id, \
            name = excluded.name, version = excluded.version, size_bytes = excluded.size_bytes, \
            managed = excluded.managed, observed_at = excluded.observed_at",
        args![
            tenant,
            device,
            &app.identifier,
            app.app_id,
            &app.name,
            &app.version,
            app.size_bytes,
            app.managed,
            app.observed_at
        ],
    )?;
    Ok(())
}

/// Drops an app.
pub fn remove_app(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, identifier: &str) -> Result<()> {
    tx.execute(
        "delete from detected_app where tenant_id = $1 and device_id = $2 and identifier = $3",
        args![tenant, device, identifier],
    )?;
    Ok(())
}

/// Drops what may not be known of a personal device: every app that is not managed.
pub fn remove_unmanaged_apps(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<u64> {
    tx.execute(
        "delete from detected_app where tenant_id = $1 and device_id = $2 and managed = $3",
        args![tenant, device, false],
    )
}

/// An app of the tenant and on how many devices it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectedApp {
    /// Its id.
    pub app_id: Uuid,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Bundle identifier.
    pub identifier: String,
    /// Greatest size seen.
    pub size_bytes: Option<i64>,
    /// Devices that have it.
    pub devices: i64,
}

/// Apps of the tenant, after one id in order.
pub fn apps(tx: &mut dyn Tx, tenant: Uuid, after: Option<Uuid>, limit: i64) -> Result<Vec<DetectedApp>> {
    tx.all(
        "select app_id, min(name), min(version), min(identifier), max(size_bytes), count(*) from detected_app \
         where tenant_id = $1 and app_id > $2 group by app_id order by app_id limit $3",
        args![tenant, after.unwrap_or(Uuid::nil()), limit],
        |row| {
            Ok(DetectedApp {
                app_id: row.id(0)?,
                name: row.text(1)?,
                version: row.text(2)?,
                identifier: row.text(3)?,
                size_bytes: row.opt_int(4)?,
                devices: row.int(5)?,
            })
        },
    )
}

/// Devices that have an app, after one id in order.
pub fn devices_of_app(tx: &mut dyn Tx, tenant: Uuid, app: Uuid, after: Option<Uuid>, limit: i64) -> Result<Vec<Uuid>> {
    tx.all(
        "select device_id from detected_app where tenant_id = $1 and app_id = $2 and device_id > $3 \
         order by device_id limit $4",
        args![tenant, app, after.unwrap_or(Uuid::nil()), limit],
        |row| row.id(0),
    )
}

/// A query of a channel: one live at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryQuery {
    /// Apple's RequestType.
    pub kind: String,
    /// The command on its way.
    pub command_id: Option<Uuid>,
    /// When it was last asked, unix ms.
    pub asked_at: Option<i64>,
    /// When it was last answered, unix ms.
    pub answered_at: Option<i64>,
    /// When it is asked next, unix ms.
    pub due_at: i64,
}

fn query(row: &dyn Row) -> Result<InventoryQuery> {
    Ok(InventoryQuery {
        kind: row.text(0)?,
        command_id: row.opt_id(1)?,
        asked_at: row.opt_int(2)?,
        answered_at: row.opt_int(3)?,
        due_at: row.int(4)?,
    })
}

/// Queries of a channel.
pub fn queries(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> Result<Vec<InventoryQuery>> {
    tx.all(
        "select kind, command_id, asked_at, answered_at, due_at from inventory_query \
         where tenant_id = $1 and enrollment_id = $2 order by kind",
        args![tenant, enrollment],
        query,
    )
}

/// Queries of these channels, each with its channel.
pub fn queries_of(tx: &mut dyn Tx, tenant: Uuid, enrollments: &[Uuid]) -> Result<Vec<(Uuid, InventoryQuery)>> {
    let (sql, args) = many(
        "select kind, command_id, asked_at, answered_at, due_at, enrollment_id from inventory_query \
         where tenant_id = $1 and enrollment_id in ($2 /* more */) order by enrollment_id, kind",
        tenant,
        enrollments,
    );
    tx.all(&sql, &args, |row| Ok((row.id(5)?, query(row)?)))
}

/// Writes a query.
pub fn put_query(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, query: &InventoryQuery) -> Result<()> {
    tx.execute(
        "insert into inventory_query (tenant_id, enrollment_id, kind, command_id, asked_at, answered_at, due_at) \
         values ($1, $2, $3, $4, $5, $6, $7) \
         on conflict (tenant_id, enrollment_id, kind) do update set command_id = excluded.command_id, \
            asked_at = excluded.asked_at, answered_at = excluded.answered_at, due_at = excluded.due_at",
        args![tenant, enrollment, &query.kind, query.command_id, query.asked_at, query.answered_at, query.due_at],
    )?;
    Ok(())
}

/// The query behind a command was answered: nothing is on its way, and it is due again at `due_at`.
pub fn settle_query(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    command: Uuid,
    due_at: i64,
    now: i64,
) -> Result<u64> {
    tx.execute(
        "update inventory_query set command_id = null, answered_at = $5, due_at = $4 \
          where tenant_id = $1 and enrollment_id = $2 and command_id = $3",
        args![tenant, enrollment, command, due_at, now],
    )
}

/// Makes every query of a channel due.
pub fn make_due(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, now: i64) -> Result<u64> {
    tx.execute(
        "update inventory_query set due_at = $3 where tenant_id = $1 and enrollment_id = $2 and due_at > $3",
        args![tenant, enrollment, now],
    )
}

/// Forgets a channel's queries: it enrolled anew, or left.
pub fn clear_queries(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> Result<u64> {
    tx.execute("delete from inventory_query where tenant_id = $1 and enrollment_id = $2", args![tenant, enrollment])
}
