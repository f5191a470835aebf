//! The transaction that every storage function takes as its first argument.

use crate::{Error, Row, Value};

/// Which engine runs a statement. Only `dialect.rs` and `migrate.rs` branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The embedded engine.
    Sqlite,
    /// PostgreSQL and compatible engines.
    Postgres,
}

/// An open transaction (or a read snapshot). Placeholders are `$1`, `$2`, ... on both engines.
///
/// Inside a tenant's scope the tenant's id is a parameter of every statement on a tenant table;
/// debug builds assert it.
pub trait Tx {
    /// Runs a statement; answers the number of rows it changed.
    fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, Error>;
    /// Runs a query and hands each row to `each`.
    fn query(
        &mut self,
        sql: &str,
        args: &[Value],
        each: &mut dyn FnMut(&dyn Row) -> Result<(), Error>,
    ) -> Result<(), Error>;
    /// The engine behind.
    fn dialect(&self) -> Dialect;
}

/// Shorthands over [`Tx::query`].
pub trait TxExt: Tx {
    /// All rows, mapped.
    fn all<T>(
        &mut self,
        sql: &str,
        args: &[Value],
        map: impl Fn(&dyn Row) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut rows = Vec::new();
        self.query(sql, args, &mut |row| {
            rows.push(map(row)?);
            Ok(())
        })?;
        Ok(rows)
    }
    /// The first row, mapped, or none.
    fn one<T>(
        &mut self,
        sql: &str,
        args: &[Value],
        map: impl Fn(&dyn Row) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        Ok(self.all(sql, args, map)?.into_iter().next())
    }
}

impl<X: Tx + ?Sized> TxExt for X {}
