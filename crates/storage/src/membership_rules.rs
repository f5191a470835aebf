//! The rules of dynamic groups. A group has one or is an assigned group; its text is also in the
//! group's document, where Graph shows it.
//!
//! Whoever changes members by rules locks the rules first ([`lock`]) and reads people and devices after:
//! so that neither a rule nor a subject changes between reading and writing unseen.

use uuid::Uuid;

use crate::{Error, Result, Row, Tx, TxExt, args, groups::MemberKind};

/// The rule of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipRule {
    /// The group.
    pub group: Uuid,
    /// Users or devices.
    pub members: MemberKind,
    /// As the administrator wrote it.
    pub rule: String,
    /// False while processing is paused.
    pub active: bool,
    /// Rises with every change.
    pub seq: i64,
    /// The change for which everybody was looked at.
    pub walked_seq: i64,
    /// When that ended, unix ms.
    pub evaluated_at: Option<i64>,
}

macro_rules! columns {
    () => {
        "group_id, members, rule, active, seq, walked_seq, evaluated_at"
    };
}

fn map(row: &dyn Row) -> Result<MembershipRule> {
    Ok(MembershipRule {
        group: row.id(0)?,
        members: match row.text(1)?.as_str() {
            "user" => MemberKind::User,
            "device" => MemberKind::Device,
            other => return Err(Error::inconsistent("membership_rule.members", other)),
        },
        rule: row.text(2)?,
        active: row.bool(3)?,
        seq: row.int(4)?,
        walked_seq: row.int(5)?,
        evaluated_at: row.opt_int(6)?,
    })
}

/// The rule of one group.
pub fn by_group(tx: &mut dyn Tx, tenant: Uuid, group: Uuid) -> Result<Option<MembershipRule>> {
    tx.one(
        concat!("select ", columns!(), " from membership_rule where tenant_id = $1 and group_id = $2"),
        args![tenant, group],
        map,
    )
}

/// The rules about users or about devices, locked until the transaction ends.
pub fn lock(tx: &mut dyn Tx, tenant: Uuid, members: MemberKind) -> Result<Vec<MembershipRule>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from membership_rule where tenant_id = $1 and members = $2 order by group_id /* for update */"
        ),
        args![tenant, members.word()],
        map,
    )
}

/// Writes what a group's rule says; a change of it, or of its being active, raises `seq`. Answers whether
/// it changed.
pub fn put(tx: &mut dyn Tx, tenant: Uuid, group: Uuid, members: MemberKind, rule: &str, active: bool) -> Result<bool> {
    let changed = tx.execute(
        "insert into membership_rule (tenant_id, group_id, members, rule, active) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, group_id) do update
            set members = excluded.members, rule = excluded.rule, active = excluded.active,
                seq = membership_rule.seq + 1
          where membership_rule.members <> excluded.members or membership_rule.rule <> excluded.rule
             or membership_rule.active <> excluded.active",
        args![tenant, group, members.word(), rule, active],
    )?;
    Ok(changed == 1)
}

/// The group has no rule any more; true if it had one.
pub fn remove(tx: &mut dyn Tx, tenant: Uuid, group: Uuid) -> Result<bool> {
    let removed =
        tx.execute("delete from membership_rule where tenant_id = $1 and group_id = $2", args![tenant, group])?;
    Ok(removed == 1)
}

/// Everybody was looked at for the change `seq`.
pub fn walked(tx: &mut dyn Tx, tenant: Uuid, group: Uuid, seq: i64, now: i64) -> Result<()> {
    tx.execute(
        "update membership_rule set walked_seq = $3, evaluated_at = $4
          where tenant_id = $1 and group_id = $2 and walked_seq < $3",
        args![tenant, group, seq, now],
    )?;
    Ok(())
}

/// The groups with a rule that hold the member.
pub fn groups_of(tx: &mut dyn Tx, tenant: Uuid, kind: MemberKind, member: Uuid) -> Result<Vec<Uuid>> {
    tx.all(
        "select m.group_id from group_member m
           join membership_rule r on r.tenant_id = $1 and r.group_id = m.group_id
          where m.tenant_id = $1 and m.member_kind = $2 and m.member_id = $3 order by m.group_id",
        args![tenant, kind.word(), member],
        |row| row.id(0),
    )
}

/// Members of a group and kind behind `after`, up to and with `last`.
pub fn members_between(
    tx: &mut dyn Tx,
    tenant: Uuid,
    group: Uuid,
    kind: MemberKind,
    after: Option<Uuid>,
    last: Uuid,
) -> Result<Vec<Uuid>> {
    tx.all(
        "select member_id from group_member
          where tenant_id = $1 and group_id = $2 and member_kind = $3 and member_id > $4 and member_id <= $5
          order by member_id",
        args![tenant, group, kind.word(), after.unwrap_or(Uuid::nil()), last],
        |row| row.id(0),
    )
}

/// Takes out members of every other kind; answers them.
pub fn remove_others(
    tx: &mut dyn Tx,
    tenant: Uuid,
    group: Uuid,
    kind: MemberKind,
) -> Result<Vec<crate::groups::Member>> {
    tx.all(
        "delete from group_member where tenant_id = $1 and group_id = $2 and member_kind <> $3
         returning member_kind, member_id",
        args![tenant, group, kind.word()],
        crate::groups::member,
    )
}
