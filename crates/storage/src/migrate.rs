//! The schema: one text per migration, turned into each engine's words, and the row-level security
//! that PostgreSQL adds to every tenant table.
//!
//! A migration, once released, is never edited; a new one is added at the end of [`MIGRATIONS`].

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::Connection;

use crate::Error;
use crate::dialect::opaque;
use crate::postgres::Target;

/// One step of the schema.
pub struct Migration {
    /// Consecutive from 1.
    pub number: i64,
    /// File name without number.
    pub name: &'static str,
    /// DDL in PostgreSQL's words.
    pub text: &'static str,
}

macro_rules! migrations {
    ($($number:literal $name:literal),+ $(,)?) => {
        &[$(Migration {
            number: $number,
            name: $name,
            text: include_str!(concat!("../migrations/", $name, ".sql")),
        }),+]
    };
}

/// All steps, in order.
pub const MIGRATIONS: &[Migration] =
    migrations![1 "0001_core", 2 "0002_push_certificate", 3 "0003_rules", 4 "0004_people"];

/// The reviewed list of tables without row-level security: what must be found before the tenant
/// is known, and what belongs to the server as a whole. No personal data, no secret in clear.
pub const SERVER_WIDE: &[&str] =
    &["tenant", "tenant_domain", "lookup", "job", "lease", "authority", "schema_migration"];

/// Tables to which the server's role may only add (threats I1).
pub const APPEND_ONLY: &[&str] = &["audit", "audit_chain", "audit_checkpoint"];

/// Small rows that are found by their whole key: stored in the key's tree on SQLite.
const CLUSTERED: &[&str] = &[
    "lookup",
    "tenant_domain",
    "lease",
    "group_member",
    "device_state",
    "command",
    "command_history",
    "timer",
    "inventory_query",
    "outbox_cursor",
    "audit_unsealed",
    "audit_chain",
    "guard_budget",
    "attempt",
    "fact",
    "detected_app",
    "membership_rule",
    "rule_subject",
];

/// True for tables outside any tenant, the engine's own catalogues included.
pub(crate) fn is_server_wide(table: &str) -> bool {
    SERVER_WIDE.contains(&table)
        || ["sqlite_", "pragma_", "pg_", "information_schema"].iter().any(|p| table.starts_with(p))
}

/// Statements of a text, without comments.
pub(crate) fn statements(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skip = opaque(rest);
        let current = out.last_mut().expect("the list starts with one text and only grows");
        if skip > 0 {
            if next == '\'' || next == '"' {
                current.push_str(&rest[..skip]);
            } else {
                current.push('\n');
            }
            rest = &rest[skip..];
        } else {
            if next == ';' {
                out.push(String::new());
            } else {
                current.push(next);
            }
            rest = &rest[next.len_utf8()..];
        }
    }
    out.into_iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

/// The table that a `create table` statement makes.
pub(crate) fn created_table(statement: &str) -> Option<&str> {
    let mut words = statement.split_whitespace();
    let is = words.next()?.eq_ignore_ascii_case("create") && words.next()?.eq_ignore_ascii_case("table");
    is.then(|| words.next()).flatten().map(|name| name.trim_end_matches('('))
}

/// A statement with the words for types replaced.
fn with_types(statement: &str, types: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(statement.len() + 64);
    let mut rest = statement;
    while !rest.is_empty() {
        let skip = opaque(rest);
        let word = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let take = if skip > 0 { skip } else { word.max(1) };
        let part = &rest[..take];
        match types.iter().find(|(from, _)| *from == part) {
            Some((_, to)) => out.push_str(to),
            None => out.push_str(part),
        }
        rest = &rest[take..];
    }
    out
}

/// A statement in SQLite's words: its types, strict tables, clustered where the list says so.
pub(crate) fn for_sqlite(statement: &str) -> String {
    let types = [("uuid", "blob"), ("bytea", "blob"), ("bigint", "integer"), ("boolean", "integer")];
    let mut out = with_types(statement, &types);
    if let Some(table) = created_table(statement) {
        out.push_str(" strict");
        if CLUSTERED.contains(&table) {
            out.push_str(", without rowid");
        }
    }
    out
}

/// A statement in PostgreSQL's words: texts compare byte by byte, as on SQLite, whatever the
/// database's locale, so that both engines sort and page alike.
pub(crate) fn for_postgres(statement: &str) -> String {
    if created_table(statement).is_some() || statement.to_ascii_lowercase().starts_with("alter table") {
        with_types(statement, &[("text", "text collate \"C\"")])
    } else {
        statement.to_owned()
    }
}

/// Row-level security of one table: without `muster.tenant`, or with another tenant's, no row is
/// seen and none can be written, by the owner of the table as little as by the server's role.
pub(crate) fn row_security(table: &str) -> String {
    let rule = "tenant_id = nullif(current_setting('muster.tenant', true), '')::uuid";
    format!(
        "alter table {table} enable row level security; alter table {table} force row level security;
         create policy {table}_tenant on {table} using ({rule}) with check ({rule});"
    )
}

/// A short name of a schema text, kept beside its number.
pub(crate) fn fingerprint(text: &str) -> String {
    let hash = digest(&SHA256, statements(text).join(";\n").as_bytes());
    hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) const LEDGER: &str = "create table if not exists schema_migration (number bigint primary key, name text not null, fingerprint text not null)";

/// What is left to do, given what the database says was done; refuses a database that is newer or another's.
pub(crate) fn pending(done: &[(i64, String)]) -> crate::Result<&'static [Migration]> {
    for (number, fingerprint_there) in done {
        let known = MIGRATIONS.iter().find(|migration| migration.number == *number).ok_or_else(|| {
            Error::Unavailable(format!(
                "the database holds schema step {number}, which this version does not know: use a newer muster"
            ))
        })?;
        if fingerprint(known.text) != *fingerprint_there {
            return Err(Error::Unavailable(format!(
                "schema step {} of the database differs from this version's: it was made by another build",
                known.name
            )));
        }
    }
    Ok(&MIGRATIONS[done.len().min(MIGRATIONS.len())..])
}

/// Brings the file to this version's schema, in one transaction.
pub(crate) fn sqlite(connection: &mut Connection) -> crate::Result<()> {
    let engine = |error: rusqlite::Error| Error::Unavailable(format!("schema: {error}"));
    let done = |connection: &Connection| -> rusqlite::Result<Vec<(i64, String)>> {
        if !connection.table_exists(None, "schema_migration")? {
            return Ok(Vec::new());
        }
        let mut statement = connection.prepare("select number, fingerprint from schema_migration order by number")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    if pending(&done(connection).map_err(engine)?)?.is_empty() {
        return Ok(());
    }
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(engine)?;
    // Another process may have been faster.
    for migration in pending(&done(&tx).map_err(engine)?)? {
        tx.execute_batch(&for_sqlite(LEDGER)).map_err(engine)?;
        for statement in statements(migration.text) {
            tx.execute_batch(&for_sqlite(&statement))
                .map_err(|error| Error::Unavailable(format!("schema step {}: {error}", migration.name)))?;
        }
        tx.execute(
            "insert into schema_migration (number, name, fingerprint) values (?1, ?2, ?3)",
            (migration.number, migration.name, fingerprint(migration.text)),
        )
        .map_err(engine)?;
    }
    tx.commit().map_err(engine)
}

/// Brings a PostgreSQL database to this version's schema, in one transaction, as the role of
/// `owner`; `role` is the one the server works as, and gets no more rights than it needs.
pub(crate) fn postgres(owner: &Target, role: &str) -> crate::Result<()> {
    let engine = |error: ::postgres::Error| {
        let text = error.as_db_error().map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned());
        Error::Unavailable(format!("schema: {text}"))
    };
    let done = |client: &mut dyn FnMut(&str) -> Result<Vec<::postgres::Row>, ::postgres::Error>| {
        let there = client("select to_regclass('schema_migration') is not null")?;
        if !there.first().is_some_and(|row| row.get(0)) {
            return Ok(Vec::new());
        }
        let rows = client("select number, fingerprint from schema_migration order by number")?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect::<Vec<(i64, String)>>())
    };
    let mut client = owner.connect()?;
    if pending(&done(&mut |sql| client.query(sql, &[])).map_err(engine)?)?.is_empty() {
        return Ok(());
    }
    let mut tx = client.transaction().map_err(engine)?;
    tx.batch_execute(&format!(
        "set local statement_timeout = 0; {}; lock table schema_migration in exclusive mode",
        for_postgres(LEDGER)
    ))
    .map_err(engine)?;
    // Another node may have been faster.
    let left = pending(&done(&mut |sql| tx.query(sql, &[])).map_err(engine)?)?;
    for migration in left {
        let step = |error: ::postgres::Error| {
            let text = error.as_db_error().map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned());
            Error::Unavailable(format!("schema step {}: {text}", migration.name))
        };
        for statement in statements(migration.text) {
            tx.batch_execute(&for_postgres(&statement)).map_err(step)?;
            if let Some(table) = created_table(&statement) {
                if !is_server_wide(table) {
                    tx.batch_execute(&row_security(table)).map_err(step)?;
                }
                tx.batch_execute(&grants(table, role, owner.user() == role)).map_err(step)?;
            }
        }
        tx.execute(
            "insert into schema_migration (number, name, fingerprint) values ($1, $2, $3)",
            &[&migration.number, &migration.name, &fingerprint(migration.text)],
        )
        .map_err(engine)?;
    }
    let ledger = format!("grant select on schema_migration to {}", quoted(role));
    tx.batch_execute(&ledger).map_err(engine)?;
    tx.commit().map_err(engine)
}

/// The rights of the server's role on a table. A role that owns the tables itself takes from itself
/// what it does not need; a second role for the schema is better, as it could give it back.
fn grants(table: &str, role: &str, owns: bool) -> String {
    let role = quoted(role);
    match (owns, APPEND_ONLY.contains(&table)) {
        (false, false) => format!("grant select, insert, update, delete on {table} to {role}"),
        (false, true) => format!("grant select, insert on {table} to {role}"),
        (true, true) => format!("revoke update, delete, truncate on {table} from {role}"),
        (true, false) => format!("revoke truncate on {table} from {role}"),
    }
}

fn quoted(role: &str) -> String {
    format!("\"{}\"", role.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_options_become_sqlites() {
        assert_eq!(
            for_sqlite("create table lease (name text primary key, holder uuid not null, until bigint)"),
            "create table lease (name text primary key, holder blob not null, until integer) strict, without rowid"
        );
        assert_eq!(
            for_postgres("create table x (text_key text not null default 'text')"),
            "create table x (text_key text collate \"C\" not null default 'text')"
        );
    }

    #[test]
    fn numbers_are_consecutive() {
        for (at, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.number, at as i64 + 1, "{}", migration.name);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.number)));
        }
    }

    /// M6: a table without a tenant is one of the reviewed list, and the other way round.
    #[test]
    fn m6_every_table_is_a_tenants_or_in_the_reviewed_list() {
        for migration in MIGRATIONS {
            for statement in statements(migration.text) {
                let Some(table) = created_table(&statement) else { continue };
                let by_tenant =
                    statement.contains("tenant_id uuid not null") || statement.contains("tenant_id uuid primary key");
                assert!(SERVER_WIDE.contains(&table) || by_tenant, "{table} has no tenant_id");
            }
        }
    }
}
