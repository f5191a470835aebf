//! Passwords and second factors of people, and the counters that slow guessing down.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// A local password.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// argon2id in PHC form.
    pub hash: String,
    /// The person must choose another one at the next sign-in.
    pub must_change: bool,
    /// Unix ms.
    pub changed_at: i64,
}

/// A second factor (TOTP).
#[derive(Clone, PartialEq, Eq)]
pub struct SecondFactor {
    /// The shared secret, sealed.
    pub sealed: Vec<u8>,
    /// The last time step whose code was accepted.
    pub last_step: i64,
    /// Hashes of the recovery codes that are left, a JSON array of hex.
    pub recovery: String,
    /// Unix ms.
    pub changed_at: i64,
}

/// The password of a person.
pub fn password(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<Option<Password>> {
    tx.one(
        "select hash, must_change, changed_at from password where tenant_id = $1 and person_id = $2",
        args![tenant, person],
        |row: &dyn Row| Ok(Password { hash: row.text(0)?, must_change: row.bool(1)?, changed_at: row.int(2)? }),
    )
}

/// Sets or replaces a password.
pub fn set_password(tx: &mut dyn Tx, tenant: Uuid, person: Uuid, password: &Password) -> Result<()> {
    tx.execute(
        "insert into password (tenant_id, person_id, hash, must_change, changed_at)
         values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, person_id) do update
            set hash = excluded.hash, must_change = excluded.must_change, changed_at = excluded.changed_at",
        args![tenant, person, &password.hash, password.must_change, password.changed_at],
    )?;
    Ok(())
}

/// The second factor of a person.
pub fn second_factor(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<Option<SecondFactor>> {
    tx.one(
        "select sealed, last_step, recovery, changed_at from second_factor
          where tenant_id = $1 and person_id = $2",
        args![tenant, person],
        |row: &dyn Row| {
            Ok(SecondFactor {
                sealed: row.bytes(0)?,
                last_step: row.int(1)?,
                recovery: row.text(2)?,
                changed_at: row.int(3)?,
            })
        },
    )
}

/// Sets or replaces a second factor.
pub fn set_second_factor(tx: &mut dyn Tx, tenant: Uuid, person: Uuid, factor: &SecondFactor) -> Result<()> {
    tx.execute(
        "insert into second_factor (tenant_id, person_id, sealed, last_step, recovery, changed_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (tenant_id, person_id) do update
            set sealed = excluded.sealed, last_step = excluded.last_step,
                recovery = excluded.recovery, changed_at = excluded.changed_at",
        args![tenant, person, factor.sealed.clone(), factor.last_step, &factor.recovery, factor.changed_at],
    )?;
    Ok(())
}

/// Forgets a second factor.
pub fn remove_second_factor(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<bool> {
    let changed =
        tx.execute("delete from second_factor where tenant_id = $1 and person_id = $2", args![tenant, person])?;
    Ok(changed == 1)
}

/// Takes a time step: true for exactly one caller, and never for an earlier step afterwards.
pub fn take_step(tx: &mut dyn Tx, tenant: Uuid, person: Uuid, step: i64) -> Result<bool> {
    let changed = tx.execute(
        "update second_factor set last_step = $3
          where tenant_id = $1 and person_id = $2 and last_step < $3",
        args![tenant, person, step],
    )?;
    Ok(changed == 1)
}

/// Replaces the list of recovery codes if it is still the one that was read.
pub fn take_recovery(tx: &mut dyn Tx, tenant: Uuid, person: Uuid, before: &str, after: &str) -> Result<bool> {
    let changed = tx.execute(
        "update second_factor set recovery = $4
          where tenant_id = $1 and person_id = $2 and recovery = $3",
        args![tenant, person, before, after],
    )?;
    Ok(changed == 1)
}

/// Failed attempts of one scope (an account, a network address).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Failures in a row.
    pub failures: i64,
    /// No attempt is looked at before this time, unix ms.
    pub not_before: i64,
    /// Unix ms.
    pub updated_at: i64,
}

/// The counter of a scope.
pub fn attempts(tx: &mut dyn Tx, tenant: Uuid, scope: &str) -> Result<Option<Attempts>> {
    tx.one(
        "select failures, not_before, updated_at from attempt where tenant_id = $1 and scope = $2",
        args![tenant, scope],
        |row: &dyn Row| Ok(Attempts { failures: row.int(0)?, not_before: row.int(1)?, updated_at: row.int(2)? }),
    )
}

/// Writes the counter of a scope.
pub fn set_attempts(tx: &mut dyn Tx, tenant: Uuid, scope: &str, attempts: Attempts) -> Result<()> {
    tx.execute(
        "insert into attempt (tenant_id, scope, failures, not_before, updated_at)
         values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, scope) do update
            set failures = excluded.failures, not_before = excluded.not_before,
                updated_at = excluded.updated_at",
        args![tenant, scope, attempts.failures, attempts.not_before, attempts.updated_at],
    )?;
    Ok(())
}

/// Forgets the counter of a scope.
pub fn clear_attempts(tx: &mut dyn Tx, tenant: Uuid, scope: &str) -> Result<()> {
    tx.execute("delete from attempt where tenant_id = $1 and scope = $2", args![tenant, scope])?;
    Ok(())
}

/// Forgets counters that nobody touched since `before`.
pub fn prune_attempts(tx: &mut dyn Tx, tenant: Uuid, before: i64) -> Result<u64> {
    tx.execute("delete from attempt where tenant_id = $1 and updated_at < $2", args![tenant, before])
}
