//! People with a role.

use uuid::Uuid;

use crate::{Error, Result, Row, Tx, TxExt, args};

/// A person's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The person.
    pub person_id: Uuid,
    /// Name of the role.
    pub role: String,
    /// The person who gave it; none for the command line.
    pub made_by: Option<Uuid>,
    /// When the role was given or widened.
    pub established_at: i64,
}

fn operator(row: &dyn Row) -> Result<Operator> {
    Ok(Operator { person_id: row.id(0)?, role: row.text(1)?, made_by: row.opt_id(2)?, established_at: row.int(3)? })
}

/// The role of a person.
pub fn by_person(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<Option<Operator>> {
    tx.one(
        "select person_id, role, made_by, established_at from operator
          where tenant_id = $1 and person_id = $2",
        args![tenant, person],
        operator,
    )
}

/// Every operator, by person.
pub fn all(tx: &mut dyn Tx, tenant: Uuid) -> Result<Vec<Operator>> {
    tx.all(
        "select person_id, role, made_by, established_at from operator
          where tenant_id = $1 order by person_id",
        args![tenant],
        operator,
    )
}

/// Gives a role, replacing the one before.
pub fn put(tx: &mut dyn Tx, tenant: Uuid, operator: &Operator) -> Result<()> {
    tx.execute(
        "insert into operator (tenant_id, person_id, role, made_by, established_at)
         values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, person_id) do update
            set role = excluded.role, made_by = excluded.made_by, established_at = excluded.established_at",
        args![tenant, operator.person_id, &operator.role, operator.made_by, operator.established_at],
    )?;
    Ok(())
}

/// Takes the role away.
pub fn remove(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<bool> {
    let changed = tx.execute("delete from operator where tenant_id = $1 and person_id = $2", args![tenant, person])?;
    Ok(changed == 1)
}

/// How many living, enabled people other than `except` hold a role.
pub fn count_others(tx: &mut dyn Tx, tenant: Uuid, role: &str, except: Uuid) -> Result<i64> {
    tx.one(
        "select count(*) from operator
           join person on person.tenant_id = operator.tenant_id and person.id = operator.person_id
          where operator.tenant_id = $1 and operator.role = $2 and operator.person_id <> $3
            and person.account_enabled and person.deleted_at is null",
        args![tenant, role, except],
        |row| row.int(0),
    )?
    .ok_or_else(|| Error::inconsistent("operator", "count without a row"))
}
