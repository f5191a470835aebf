//! A fleet that enrolled long ago, written straight into the database; none of its devices lives.

use muster_storage::{Dialect, Error, Store, Tx, args};
use uuid::Uuid;

use crate::Options;

/// Devices written in one transaction.
const CHUNK: i64 = 20_000;

/// An SQL expression for an id that grows with `n.i`; four hexadecimal digits tell the nouns apart.
fn id(dialect: Dialect, noun: &str, number: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("unhex(printf('0190%012x{noun}000000000000', {number}))"),
        Dialect::Postgres => {
            format!("cast('0190' || lpad(to_hex({number}), 12, '0') || '{noun}000000000000' as uuid)")
        }
    }
}

/// `insert into table (columns) select values` for each number from `$2` up to, without, `$3`.
fn each(dialect: Dialect, table: &str, row: &[(&str, &str)]) -> String {
    let numbers = match dialect {
        Dialect::Sqlite => {
            "with recursive n (i) as (select cast($2 as integer) union all select i + 1 from n where i + 1 < $3)"
        }
        Dialect::Postgres => "with n (i) as (select generate_series(cast($2 as bigint), cast($3 as bigint) - 1))",
    };
    let columns: Vec<&str> = row.iter().map(|(column, _)| *column).collect();
    let values: Vec<&str> = row.iter().map(|(_, value)| *value).collect();
    // PostgreSQL would take the time for a smaller number where it is added to one.
    let (columns, values) = (columns.join(", "), values.join(", ").replace("$4", "cast($4 as bigint)"));
    format!("insert into {table} (tenant_id, {columns}) {numbers} select $1, {values} from n")
}

fn people(tx: &mut dyn Tx, tenant: Uuid, from: i64, to: i64, now: i64) -> Result<u64, Error> {
    let dialect = tx.dialect();
    let row = [
        ("id", id(dialect, "000a", "n.i")),
        ("user_principal_name", "'user' || n.i || '@fleet.example'".into()),
        ("user_principal_name_key", "'user' || n.i || '@fleet.example'".into()),
        ("display_name", "'User ' || n.i".into()),
        ("account_enabled", "true".into()),
        ("licensed", "true".into()),
        ("document", "'{}'".into()),
        ("created_at", "$4".into()),
        ("modified_at", "$4".into()),
    ];
    insert(tx, "person", &row, args![tenant, from, to, now])
}

fn insert(tx: &mut dyn Tx, table: &str, row: &[(&str, String)], args: &[muster_storage::Value]) -> Result<u64, Error> {
    let row: Vec<(&str, &str)> = row.iter().map(|(column, value)| (*column, value.as_str())).collect();
    let sql = each(tx.dialect(), table, &row);
    tx.execute(&sql, args)
}

/// Rarer properties, as inventory leaves them.
const DOCUMENT: &str = "'{\"wiFiMacAddress\":\"a4:83:e7:00:00:00\",\"subscriberCarrier\":\"Carrier\",\
    \"ethernetMacAddress\":null,\"physicalMemoryInBytes\":0,\"jailBroken\":\"Unknown\"}'";

fn devices(tx: &mut dyn Tx, tenant: Uuid, from: i64, to: i64, now: i64) -> Result<(), Error> {
    let dialect = tx.dialect();
    // Consecutive numbers get names, times and serial numbers that lie far apart.
    let far = "(n.i * 7919 % 1000003)";
    let mac = "n.i % 5 = 0";
    let row = [
        ("id", id(dialect, "000d", "n.i")),
        ("directory_id", id(dialect, "000e", "n.i")),
        ("azure_ad_device_id", id(dialect, "000f", "n.i")),
        ("person_id", id(dialect, "000a", "n.i / 3")),
        ("user_principal_name", "'user' || (n.i / 3) || '@fleet.example'".into()),
        ("name", format!("{far} || case when {mac} then ' MacBook of User ' else ' iPhone of User ' end || (n.i / 3)")),
        ("managed_device_name", format!("'user' || (n.i / 3) || '_iOS_' || {far}")),
        ("platform", format!("case when {mac} then 'macOS' else 'iOS' end")),
        ("operating_system", format!("case when {mac} then 'macOS' else 'iOS' end")),
        ("os_version", "'18.' || (n.i % 7)".into()),
        ("manufacturer", "'Apple'".into()),
        ("model", format!("case when {mac} then 'MacBook Pro' else 'iPhone ' || (11 + n.i % 6) end")),
        ("product_name", format!("case when {mac} then 'Mac15,3' else 'iPhone16,' || (n.i % 4) end")),
        ("serial_number", format!("'F2L' || (1000000 + {far}) || 'QX'")),
        ("udid", "'00008110-' || (100000000000 + n.i) || '001E'".into()),
        ("imei", "cast(350000000000000 + n.i as text)".into()),
        ("owner_type", "case when n.i % 4 = 0 then 'personal' else 'company' end".into()),
        ("enrollment_type", "'userEnrollment'".into()),
        ("management_state", "'managed'".into()),
        ("compliance_state", "case when n.i % 50 = 0 then 'noncompliant' else 'compliant' end".into()),
        ("is_supervised", "n.i % 2 = 0".into()),
        ("is_encrypted", "true".into()),
        ("state", "'enrolled'".into()),
        ("free_bytes", format!("{far} * 1000")),
        ("total_bytes", "128000000000".into()),
        ("document", DOCUMENT.into()),
        ("enrolled_at", format!("$4 - {far} * 30000")),
        ("last_sync_at", format!("$4 - {far} * 1000")),
        ("created_at", "$4".into()),
        ("modified_at", "$4".into()),
    ];
    insert(tx, "device", &row, args![tenant, from, to, now]).map(|_| ())
}

/// Channels of the devices, settled: nothing is dirty, nothing waits.
fn channels(tx: &mut dyn Tx, tenant: Uuid, from: i64, to: i64, now: i64) -> Result<(), Error> {
    let dialect = tx.dialect();
    let channel = id(dialect, "000c", "n.i");
    let row = [
        ("id", channel.clone()),
        ("device_id", id(dialect, "000d", "n.i")),
        ("channel", "'appleDevice'".into()),
        ("protocol_id", "'00008110-' || (100000000000 + n.i) || '001E'".into()),
        ("state", "'enrolled'".into()),
        ("push_state", "'unknown'".into()),
        ("os_version", "'18.' || (n.i % 7)".into()),
        ("enrolled_at", "$4".into()),
        ("last_seen_at", "$4".into()),
        ("created_at", "$4".into()),
    ];
    insert(tx, "enrollment", &row, args![tenant, from, to, now])?;
    let row = [
        ("enrollment_id", channel.clone()),
        ("dirty_seq", "1".into()),
        ("computed_seq", "1".into()),
        ("computed_at", "$4".into()),
    ];
    insert(tx, "device_state", &row, args![tenant, from, to, now])?;
    for kind in ["DeviceInformation", "SecurityInfo", "ProfileList", "InstalledApplicationList", "CertificateList"] {
        let row = [
            ("enrollment_id", channel.clone()),
            ("kind", format!("'{kind}'")),
            ("asked_at", "$4".into()),
            ("answered_at", "$4".into()),
            ("due_at", "$4 + 604800000".into()),
        ];
        insert(tx, "inventory_query", &row, args![tenant, from, to, now])?;
    }
    Ok(())
}

/// How much of a fleet is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The records that lists show.
    Records,
    /// Their channels too, with inventory that is not due.
    Channels,
}

/// Writes so many devices of so many people.
pub async fn fleet(store: &Store, tenant: Uuid, count: i64, depth: Depth, now: i64) -> anyhow::Result<()> {
    let mut at = 0;
    while at < count {
        let next = (at + CHUNK).min(count);
        store
            .write(tenant, move |tx| {
                let (first, last) = ((at + 2) / 3, (next + 2) / 3);
                if first < last {
                    people(tx, tenant, first, last, now)?;
                }
                devices(tx, tenant, at, next, now)?;
                if depth == Depth::Channels {
                    channels(tx, tenant, at, next, now)?;
                }
                Ok::<_, Error>(())
            })
            .await?;
        at = next;
    }
    Ok(())
}

/// Has PostgreSQL learn what was written, as its own upkeep would within minutes.
pub fn settle(options: &Options) -> anyhow::Result<()> {
    if options.database.is_some() {
        crate::ask_parent("database: vacuum", "done")?;
    }
    Ok(())
}
