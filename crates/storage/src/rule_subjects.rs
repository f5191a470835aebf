//! People and devices that rules look at: whose row changed since rules were evaluated for them.
//!
//! The functions that write a person or a device mark it here themselves, so that no caller can
//! forget it. As in `device_states`, a mark is a number that grows: evaluating reads it first and
//! stores it last, and a change in between stays due.

use uuid::Uuid;

use crate::{Error, Result, Row, Tx, TxExt, args, dialect::many};

/// A kind of subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A person, by its id.
    User,
    /// A device, by the managed device's id.
    Device,
}

impl Kind {
    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Device => "device",
        }
    }
}

/// A subject that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: Uuid,
    /// The mark to store when it was evaluated.
    pub seq: i64,
    /// SHA-256 of what rules could see when they were last evaluated.
    pub digest: Option<Vec<u8>>,
}

fn due_row(row: &dyn Row) -> Result<Due> {
    let kind = match row.text(0)?.as_str() {
        "user" => Kind::User,
        "device" => Kind::Device,
        other => return Err(Error::inconsistent("rule_subject.kind", other)),
    };
    Ok(Due { kind, id: row.id(1)?, seq: row.int(2)?, digest: row.opt_bytes(3)? })
}

/// Marks one subject.
pub(crate) fn mark(tx: &mut dyn Tx, tenant: Uuid, kind: Kind, id: Uuid) -> Result<()> {
    tx.execute(
        "insert into rule_subject (tenant_id, kind, id) values ($1, $2, $3)
         on conflict (tenant_id, kind, id) do update set due_seq = rule_subject.due_seq + 1",
        args![tenant, kind.word(), id],
    )?;
    Ok(())
}

/// Marks every device of a category.
pub(crate) fn mark_category(tx: &mut dyn Tx, tenant: Uuid, category: Uuid) -> Result<()> {
    tx.execute(
        "insert into rule_subject (tenant_id, kind, id)
         select tenant_id, 'device', id from device where tenant_id = $1 and category_id = $2
         on conflict (tenant_id, kind, id) do update set due_seq = rule_subject.due_seq + 1",
        args![tenant, category],
    )?;
    Ok(())
}

/// The next due subjects behind `after`, in order of kind and id.
pub fn due(tx: &mut dyn Tx, tenant: Uuid, after: Option<(Kind, Uuid)>, limit: i64) -> Result<Vec<Due>> {
    let (kind, id) = after.map_or(("", Uuid::nil()), |(kind, id)| (kind.word(), id));
    tx.all(
        "select kind, id, due_seq, digest from rule_subject
          where tenant_id = $1 and due_seq > done_seq and (kind > $2 or (kind = $2 and id > $3))
          order by kind, id limit $4",
        args![tenant, kind, id, limit],
        due_row,
    )
}

/// Those of these people and devices that are due.
pub fn due_of(tx: &mut dyn Tx, tenant: Uuid, subjects: &[Uuid]) -> Result<Vec<Due>> {
    let (sql, args) = many(
        "select kind, id, due_seq, digest from rule_subject
          where tenant_id = $1 and kind in ('device', 'user') and id in ($2 /* more */) and due_seq > done_seq
          order by kind, id",
        tenant,
        subjects,
    );
    tx.all(&sql, &args, due_row)
}

/// Rules were evaluated for the mark that `due` names, on what `digest` is of.
pub fn done(tx: &mut dyn Tx, tenant: Uuid, due: &Due, digest: &[u8]) -> Result<()> {
    tx.execute(
        "update rule_subject set done_seq = $4, digest = $5
          where tenant_id = $1 and kind = $2 and id = $3 and done_seq < $4",
        args![tenant, due.kind.word(), due.id, due.seq, digest],
    )?;
    Ok(())
}

/// Rules do not look at the subject any more; a later mark makes it new.
pub fn forget(tx: &mut dyn Tx, tenant: Uuid, due: &Due) -> Result<()> {
    tx.execute(
        "delete from rule_subject where tenant_id = $1 and kind = $2 and id = $3 and due_seq = $4",
        args![tenant, due.kind.word(), due.id, due.seq],
    )?;
    Ok(())
}
