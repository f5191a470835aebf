//! Graph's groups and who is in them. A member is a user (person id), a device (its directory id,
//! never the managed device's id) or a group.

use uuid::Uuid;

use crate::{Error, Result, Row, Tx, TxExt, args};

/// A group of people, devices or groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Graph's id of the group.
    pub id: Uuid,
    /// Who keeps the record.
    pub source: String,
    /// The record's id at its source.
    pub external_id: Option<String>,
    /// Name for people to read.
    pub display_name: String,
    /// Every other Graph property, a JSON object.
    pub document: String,
    /// Raised by every update.
    pub version: i64,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub modified_at: i64,
}

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MemberKind {
    /// A person.
    User,
    /// A device of the directory.
    Device,
    /// A nested group.
    Group,
}

impl MemberKind {
    /// The stored word.
    pub fn word(self) -> &'static str {
        match self {
            MemberKind::User => "user",
            MemberKind::Device => "device",
            MemberKind::Group => "group",
        }
    }

    fn parse(word: &str) -> Result<Self> {
        match word {
            "user" => Ok(MemberKind::User),
            "device" => Ok(MemberKind::Device),
            "group" => Ok(MemberKind::Group),
            other => Err(Error::inconsistent("group_member.member_kind", other)),
        }
    }
}

/// One member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// What it is.
    pub kind: MemberKind,
    /// Its id in the directory.
    pub id: Uuid,
}

const COLUMNS: &str = "id, source, external_id, display_name, document, version, created_at, modified_at";

fn group(row: &dyn Row) -> Result<Group> {
    Ok(Group {
        id: row.id(0)?,
        source: row.text(1)?,
        external_id: row.opt_text(2)?,
        display_name: row.text(3)?,
        document: row.text(4)?,
        version: row.int(5)?,
        created_at: row.int(6)?,
        modified_at: row.int(7)?,
    })
}

pub(crate) fn member(row: &dyn Row) -> Result<Member> {
    Ok(Member { kind: MemberKind::parse(&row.text(0)?)?, id: row.id(1)? })
}

/// Adds a group.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, group: &Group) -> Result<()> {
    tx.execute(
        "insert into directory_group (tenant_id, id, source, external_id, display_name, document, version,
                created_at, modified_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        args![
            tenant,
            group.id,
            &group.source,
            group.external_id.clone(),
            &group.display_name,
            &group.document,
            group.version,
            group.created_at,
            group.modified_at,
        ],
    )?;
    Ok(())
}

/// Writes name and document back if nobody else did since `group` was read; false otherwise.
pub fn update(tx: &mut dyn Tx, tenant: Uuid, group: &Group) -> Result<bool> {
    let changed = tx.execute(
        "update directory_group
            set display_name = $3, document = $4, modified_at = $5, version = version + 1
          where tenant_id = $1 and id = $2 and version = $6 and deleted_at is null",
        args![tenant, group.id, &group.display_name, &group.document, group.modified_at, group.version],
    )?;
    Ok(changed == 1)
}

/// One group.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Group>> {
    tx.one(
        &format!("select {COLUMNS} from directory_group where tenant_id = $1 and id = $2 and deleted_at is null"),
        args![tenant, id],
        group,
    )
}

/// The groups of exactly this name.
pub fn by_name(tx: &mut dyn Tx, tenant: Uuid, display_name: &str) -> Result<Vec<Group>> {
    tx.all(
        &format!(
            "select {COLUMNS} from directory_group
              where tenant_id = $1 and display_name = $2 and deleted_at is null order by id"
        ),
        args![tenant, display_name],
        group,
    )
}

/// A page of groups by name, after the given position.
pub fn page(tx: &mut dyn Tx, tenant: Uuid, after: Option<(String, Uuid)>, limit: i64) -> Result<Vec<Group>> {
    let (name, id) = after.unwrap_or((String::new(), Uuid::nil()));
    tx.all(
        &format!(
            "select {COLUMNS} from directory_group
              where tenant_id = $1 and deleted_at is null
                and (display_name > $2 or (display_name = $2 and id > $3))
              order by display_name, id limit $4"
        ),
        args![tenant, name, id, limit],
        group,
    )
}

/// Deletes a group with its memberships, both ways.
pub fn remove(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<bool> {
    tx.execute(
        "delete from group_member
          where tenant_id = $1 and (group_id = $2 or (member_kind = 'group' and member_id = $2))",
        args![tenant, id],
    )?;
    crate::membership_rules::remove(tx, tenant, id)?;
    let changed = tx.execute("delete from directory_group where tenant_id = $1 and id = $2", args![tenant, id])?;
    Ok(changed == 1)
}

/// Adds a member; false when it already is one.
pub fn add_member(tx: &mut dyn Tx, tenant: Uuid, group: Uuid, member: Member, now: i64) -> Result<bool> {
    let changed = tx.execute(
        "insert into group_member (tenant_id, group_id, member_kind, member_id, created_at)
         values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, group_id, member_kind, member_id) do nothing",
        args![tenant, group, member.kind.word(), member.id, now],
    )?;
    Ok(changed == 1)
}

/// Removes the member with this id, whatever kind; answers which it was.
pub fn remove_member(tx: &mut dyn Tx, tenant: Uuid, group: Uuid, id: Uuid) -> Result<Option<Member>> {
    tx.one(
        "delete from group_member where tenant_id = $1 and group_id = $2 and member_id = $3
         returning member_kind, member_id",
        args![tenant, group, id],
        member,
    )
}

/// Removes something from every group it is a direct member of.
pub fn remove_everywhere(tx: &mut dyn Tx, tenant: Uuid, member: Member) -> Result<u64> {
    tx.execute(
        "delete from group_member where tenant_id = $1 and member_kind = $2 and member_id = $3",
        args![tenant, member.kind.word(), member.id],
    )
}

/// Direct members, by kind and id, after the given position.
pub fn members(tx: &mut dyn Tx, tenant: Uuid, group: Uuid, after: Option<Member>, limit: i64) -> Result<Vec<Member>> {
    let (kind, id) = after.map_or(("", Uuid::nil()), |member| (member.kind.word(), member.id));
    tx.all(
        "select member_kind, member_id from group_member
          where tenant_id = $1 and group_id = $2
            and (member_kind > $3 or (member_kind = $3 and member_id > $4))
          order by member_kind, member_id limit $5",
        args![tenant, group, kind, id, limit],
        member,
    )
}

/// Every user and device in the group or in a group nested in it.
pub fn transitive_members(tx: &mut dyn Tx, tenant: Uuid, group: Uuid) -> Result<Vec<Member>> {
    tx.all(
        "with recursive inside (id) as (
             select g.id from directory_group g where g.tenant_id = $1 and g.id = $2
             union
             select m.member_id from group_member m
               join inside on m.group_id = inside.id
              where m.tenant_id = $1 and m.member_kind = 'group'
         )
         select distinct m.member_kind, m.member_id from group_member m
           join inside on m.group_id = inside.id
          where m.tenant_id = $1 and m.member_kind <> 'group'
          order by m.member_kind, m.member_id",
        args![tenant, group],
        member,
    )
}

/// The groups that hold the member directly.
pub fn direct_groups_of(tx: &mut dyn Tx, tenant: Uuid, member: Member) -> Result<Vec<Uuid>> {
    tx.all(
        "select group_id from group_member
          where tenant_id = $1 and member_kind = $2 and member_id = $3 order by group_id",
        args![tenant, member.kind.word(), member.id],
        |row| row.id(0),
    )
}

/// Every group that holds the member, directly or through other groups.
pub fn groups_of(tx: &mut dyn Tx, tenant: Uuid, member: Member) -> Result<Vec<Uuid>> {
    tx.all(
        "with recursive around (id) as (
             select m.group_id from group_member m
              where m.tenant_id = $1 and m.member_kind = $2 and m.member_id = $3
             union
             select m.group_id from group_member m
               join around on m.member_id = around.id
              where m.tenant_id = $1 and m.member_kind = 'group'
         )
         select id from around order by id",
        args![tenant, member.kind.word(), member.id],
        |row| row.id(0),
    )
}
