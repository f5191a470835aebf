//! Copying the embedded database to a file and back, while it is in use.
//!
//! A backup is a whole, compact database without a write-ahead log. It contains no key: what is
//! sealed in it opens only with the key file, which is kept apart. PostgreSQL has its own tools.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::{Error, Result, migrate, sqlite};

/// What a backup or a restore copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Size of the file.
    pub bytes: u64,
    /// Schema step of its content.
    pub schema: i64,
}

/// Writes a copy of the database as it stands now to the new file `to`; writers go on meanwhile.
pub fn write(database: &Path, to: &Path) -> Result<Copied> {
    let source = open(database)?;
    copy(&source, to)
}

/// Makes the database file `database` from the backup `from`. Refuses to replace one, a file that
/// is damaged, and one that this version cannot read.
pub fn restore(from: &Path, database: &Path) -> Result<Copied> {
    let source = open(from)?;
    let sound: String = source.query_row("pragma integrity_check(1)", [], |row| row.get(0)).map_err(damaged)?;
    if sound != "ok" {
        return Err(Error::Unavailable(format!("the backup is damaged: {sound}")));
    }
    copy(&source, database)
}

fn open(path: &Path) -> Result<Connection> {
    if !path.exists() {
        return Err(Error::Unavailable(format!("{} does not exist", path.display())));
    }
    // Not read-only: a backup in a folder that cannot be written would need its log's index file.
    sqlite::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, &sqlite::Options::default())
}

fn damaged(error: rusqlite::Error) -> Error {
    Error::Unavailable(format!("this is not a database of Muster: {error}"))
}

fn copy(source: &Connection, to: &Path) -> Result<Copied> {
    let done: Vec<(i64, String)> = source
        .prepare("select number, fingerprint from schema_migration order by number")
        .and_then(|mut rows| rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .map_err(damaged)?;
    migrate::pending(&done)?;
    let refused = |what: &dyn std::fmt::Display| Error::Unavailable(format!("{}: {what}", to.display()));
    // Made here, empty and for this user alone, before anything is written into it.
    let file = sqlite::create_private(to).map_err(|error| refused(&error))?;
    let copied = source
        .execute("vacuum into ?1", [to.to_str().ok_or_else(|| refused(&"the path is not UTF-8"))?])
        .map_err(|error| refused(&error))
        .and_then(|_| file.sync_all().map_err(|error| refused(&error)));
    if let Err(error) = copied {
        let _ = std::fs::remove_file(to);
        return Err(error);
    }
    let bytes = file.metadata().map_err(|error| refused(&error))?.len();
    Ok(Copied { bytes, schema: done.last().map_or(0, |(number, _)| *number) })
}
