//! Graph's users.
//!
//! A deleted person keeps the row (and its id) for 30 days; every function here says whether it
//! sees deleted people. Passwords and second factors live in `credentials`.

use uuid::Uuid;

use crate::{Error, Result, Row, Tx, TxExt, args, rule_subjects};

/// One person of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Graph's id of the user.
    pub id: Uuid,
    /// Who keeps the record: `local`, or the name of a synchronised directory.
    pub source: String,
    /// The record's id at its source.
    pub external_id: Option<String>,
    /// Sign-in name, as written.
    pub user_principal_name: String,
    /// Name for people to read.
    pub display_name: String,
    /// Mail address.
    pub mail: Option<String>,
    /// A disabled person can do nothing.
    pub account_enabled: bool,
    /// Holds the one licence there is.
    pub licensed: bool,
    /// Managed Apple Account, where it differs from the tenant's rule.
    pub managed_apple_account: Option<String>,
    /// Every other Graph property, a JSON object.
    pub document: String,
    /// When the person was deleted; restorable for 30 days.
    pub deleted_at: Option<i64>,
    /// Raised by every update.
    pub version: i64,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub modified_at: i64,
}

impl Person {
    /// The form of a sign-in name that is compared.
    pub fn key(user_principal_name: &str) -> String {
        user_principal_name.trim().to_lowercase()
    }
}

const COLUMNS: &str = "id, source, external_id, user_principal_name, display_name, mail, account_enabled, \
     licensed, managed_apple_account, document, deleted_at, version, created_at, modified_at";

fn person(row: &dyn Row) -> Result<Person> {
    Ok(Person {
        id: row.id(0)?,
        source: row.text(1)?,
        external_id: row.opt_text(2)?,
        user_principal_name: row.text(3)?,
        display_name: row.text(4)?,
        mail: row.opt_text(5)?,
        account_enabled: row.bool(6)?,
        licensed: row.bool(7)?,
        managed_apple_account: row.opt_text(8)?,
        document: row.text(9)?,
        deleted_at: row.opt_int(10)?,
        version: row.int(11)?,
        created_at: row.int(12)?,
        modified_at: row.int(13)?,
    })
}

/// Adds a person. A second living person with the same sign-in name is an [`Error::Constraint`].
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, person: &Person) -> Result<()> {
    tx.execute(
        "insert into person (tenant_id, id, source, external_id, user_principal_name, user_principal_name_key,
                display_name, mail, account_enabled, licensed, managed_apple_account, document, deleted_at,
                version, created_at, modified_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        args![
            tenant,
            person.id,
            &person.source,
            person.external_id.clone(),
            &person.user_principal_name,
            Person::key(&person.user_principal_name),
            &person.display_name,
            person.mail.clone(),
            person.account_enabled,
            person.licensed,
            person.managed_apple_account.clone(),
            &person.document,
            person.deleted_at,
            person.version,
            person.created_at,
            person.modified_at,
        ],
    )?;
    rule_subjects::mark(tx, tenant, rule_subjects::Kind::User, person.id)
}

/// Writes every field back if nobody else did since `person` was read; false otherwise.
pub fn update(tx: &mut dyn Tx, tenant: Uuid, person: &Person) -> Result<bool> {
    let changed = tx.execute(
        "update person
            set source = $3, external_id = $4, user_principal_name = $5, user_principal_name_key = $6,
                display_name = $7, mail = $8, account_enabled = $9, licensed = $10,
                managed_apple_account = $11, document = $12, deleted_at = $13, modified_at = $14,
                version = version + 1
          where tenant_id = $1 and id = $2 and version = $15",
        args![
            tenant,
            person.id,
            &person.source,
            person.external_id.clone(),
            &person.user_principal_name,
            Person::key(&person.user_principal_name),
            &person.display_name,
            person.mail.clone(),
            person.account_enabled,
            person.licensed,
            person.managed_apple_account.clone(),
            &person.document,
            person.deleted_at,
            person.modified_at,
            person.version,
        ],
    )?;
    if changed == 1 {
        rule_subjects::mark(tx, tenant, rule_subjects::Kind::User, person.id)?;
    }
    Ok(changed == 1)
}

/// A living person.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Person>> {
    Ok(any_by_id(tx, tenant, id)?.filter(|person| person.deleted_at.is_none()))
}

/// A person, deleted or not.
pub fn any_by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Person>> {
    tx.one(&format!("select {COLUMNS} from person where tenant_id = $1 and id = $2"), args![tenant, id], person)
}

/// A living person by sign-in name, letter case aside.
pub fn by_name(tx: &mut dyn Tx, tenant: Uuid, user_principal_name: &str) -> Result<Option<Person>> {
    tx.one(
        &format!(
            "select {COLUMNS} from person
              where tenant_id = $1 and user_principal_name_key = $2 and deleted_at is null"
        ),
        args![tenant, Person::key(user_principal_name)],
        person,
    )
}

/// A page of living people by display name, after the given position.
pub fn page(tx: &mut dyn Tx, tenant: Uuid, after: Option<(String, Uuid)>, limit: i64) -> Result<Vec<Person>> {
    let (name, id) = after.unwrap_or((String::new(), Uuid::nil()));
    tx.all(
        &format!(
            "select {COLUMNS} from person
              where tenant_id = $1 and deleted_at is null
                and (display_name > $2 or (display_name = $2 and id > $3))
              order by display_name, id limit $4"
        ),
        args![tenant, name, id, limit],
        person,
    )
}

/// A page of deleted people by id.
pub fn deleted_page(tx: &mut dyn Tx, tenant: Uuid, after: Uuid, limit: i64) -> Result<Vec<Person>> {
    tx.all(
        &format!(
            "select {COLUMNS} from person
              where tenant_id = $1 and deleted_at is not null and id > $2 order by id limit $3"
        ),
        args![tenant, after, limit],
        person,
    )
}

/// How many living people hold the licence.
pub fn count_licensed(tx: &mut dyn Tx, tenant: Uuid) -> Result<i64> {
    count(tx, "select count(*) from person where tenant_id = $1 and licensed and deleted_at is null", tenant)
}

/// How many living people there are.
pub fn count_all(tx: &mut dyn Tx, tenant: Uuid) -> Result<i64> {
    count(tx, "select count(*) from person where tenant_id = $1 and deleted_at is null", tenant)
}

fn count(tx: &mut dyn Tx, sql: &str, tenant: Uuid) -> Result<i64> {
    tx.one(sql, args![tenant], |row| row.int(0))?.ok_or_else(|| Error::inconsistent("person", "count without a row"))
}

/// Removes deleted people whose 30 days are over, with their credentials and memberships; answers
/// how many went.
pub fn purge(tx: &mut dyn Tx, tenant: Uuid, deleted_before: i64) -> Result<u64> {
    for (table, column) in [
        ("password", "person_id"),
        ("second_factor", "person_id"),
        ("operator", "person_id"),
        ("terms_acceptance", "person_id"),
    ] {
        tx.execute(
            &format!(
                "delete from {table} where tenant_id = $1 and {column} in
                   (select id from person where tenant_id = $1 and deleted_at < $2)"
            ),
            args![tenant, deleted_before],
        )?;
    }
    tx.execute(
        "delete from group_member where tenant_id = $1 and member_kind = 'user' and member_id in
           (select id from person where tenant_id = $1 and deleted_at < $2)",
        args![tenant, deleted_before],
    )?;
    tx.execute(
        "delete from rule_subject where tenant_id = $1 and kind = 'user' and id in
           (select id from person where tenant_id = $1 and deleted_at < $2)",
        args![tenant, deleted_before],
    )?;
    tx.execute("delete from person where tenant_id = $1 and deleted_at < $2", args![tenant, deleted_before])
}

/// A page of living people by id, after the given position, for jobs that walk everybody in chunks.
pub fn page_by_id(tx: &mut dyn Tx, tenant: Uuid, after: Option<Uuid>, limit: i64) -> Result<Vec<Person>> {
    tx.all(
        &format!(
            "select {COLUMNS} from person
              where tenant_id = $1 and deleted_at is null and id > $2 order by id limit $3"
        ),
        args![tenant, after.unwrap_or(Uuid::nil()), limit],
        person,
    )
}
