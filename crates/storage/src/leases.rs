//! Leases: one holder at a time for work that only one node may do.

use uuid::Uuid;

use crate::{Result, Tx, args};

/// Takes or renews a lease for `duration` milliseconds; false while another holds it. The times are
/// the database's own on PostgreSQL, so that nodes with different clocks agree.
pub fn take(tx: &mut dyn Tx, name: &str, holder: Uuid, now: i64, duration: i64) -> Result<bool> {
    let changed = tx.execute(
        "insert into lease (name, holder, until) values ($1, $2, lease_clock($3) + $4)
         on conflict (name) do update set holder = excluded.holder, until = excluded.until
          where lease.holder = excluded.holder or lease.until <= lease_clock($3)",
        args![name, holder, now, duration],
    )?;
    Ok(changed > 0)
}

/// Gives a lease back early.
pub fn release(tx: &mut dyn Tx, name: &str, holder: Uuid) -> Result<bool> {
    Ok(tx.execute("delete from lease where name = $1 and holder = $2", args![name, holder])? > 0)
}
