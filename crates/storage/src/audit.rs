//! Audit: who did what to what, written in the transaction of the effect and only ever added to.
//!
//! `record` inserts the row, its personal fields apart and erasable, and a mark that it is not yet
//! sealed; `seal` appends it to the tenant's hash chain: `hash_n = SHA-256(hash_{n-1} || record)`.
//! The chain covers a salted digest of the personal fields, so erasing them breaks nothing.
//! Signing checkpoints and the schedule live in `service/src/audit`.

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::{Error, Result, Row, Tx, TxExt, args};

/// What happened; built outside the transaction, so that running again writes the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Id, time-ordered.
    pub id: Uuid,
    /// Random, so that the digest of the personal fields cannot be guessed at.
    pub salt: [u8; 16],
    /// For people to read: `wipe managedDevice`.
    pub activity: String,
    /// Graph's activityType.
    pub activity_type: String,
    /// Create, Patch, Delete, Action, Get, SignIn, ...
    pub operation: String,
    /// Graph's category: Device, Application, ...
    pub category: String,
    /// Graph's componentName.
    pub component: String,
    /// True: Success; false: Failure.
    pub success: bool,
    /// Kind of the principal.
    pub actor_kind: String,
    /// The principal.
    pub actor_id: Option<Uuid>,
    /// Name and network address of the principal: erasable.
    pub actor_name: Option<String>,
    /// Network address: erasable.
    pub actor_address: Option<String>,
    /// `X-Muster-Reason`: erasable.
    pub reason: Option<String>,
    /// Id of the request.
    pub correlation: Option<Uuid>,
    /// What it was done to.
    pub resources: Vec<Resource>,
    /// Unix ms.
    pub at: i64,
}

/// One subject of an [`Entry`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Graph's type.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Display name: erasable.
    pub name: Option<String>,
    /// (property, old, new). Never a secret; nothing personal outside the two values, which are erasable.
    pub modified: Vec<(String, Option<String>, Option<String>)>,
}

/// An audit row as it is read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Id.
    pub id: Uuid,
    /// See [`Entry`].
    pub activity: String,
    /// See [`Entry`].
    pub activity_type: String,
    /// See [`Entry`].
    pub operation: String,
    /// See [`Entry`].
    pub category: String,
    /// See [`Entry`].
    pub component: String,
    /// `Success` or `Failure`.
    pub result: String,
    /// See [`Entry`].
    pub actor_kind: String,
    /// See [`Entry`].
    pub actor_id: Option<Uuid>,
    /// See [`Entry`].
    pub correlation: Option<Uuid>,
    /// JSON array of `{type, resourceId, modified: [name]}`.
    pub resources: Json,
    /// JSON `{actorName, actorAddress, reason, names: [..], values: [[[old, new]]]}`; null when erased.
    pub personal: Json,
    /// Unix ms.
    pub at: i64,
}

/// Which audit rows to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Page<'a> {
    /// Only this category.
    pub category: Option<&'a str>,
    /// Not before, unix ms.
    pub from: Option<i64>,
    /// Not after, unix ms.
    pub until: Option<i64>,
    /// Behind this (at, id), for the next page of a list that goes from new to old.
    pub behind: Option<(i64, Uuid)>,
    /// Rows.
    pub limit: i64,
}

/// Writes an audit row, not yet sealed.
pub fn record(tx: &mut dyn Tx, tenant: Uuid, entry: &Entry) -> Result<()> {
    let resources: Vec<Json> = entry
        .resources
        .iter()
        .map(|resource| {
            let modified: Vec<&String> = resource.modified.iter().map(|(name, ..)| name).collect();
            json!({"type": resource.kind, "resourceId": resource.id, "modified": modified})
        })
        .collect();
    let values = |resource: &Resource| -> Vec<Json> {
        resource.modified.iter().map(|(_, old, new)| json!([old, new])).collect()
    };
    let personal = json!({
        "actorName": entry.actor_name,
        "actorAddress": entry.actor_address,
        "reason": entry.reason,
        "names": entry.resources.iter().map(|resource| &resource.name).collect::<Vec<_>>(),
        "values": entry.resources.iter().map(values).collect::<Vec<_>>(),
    })
    .to_string();
    tx.execute(
        "insert into audit (tenant_id, id, activity, activity_type, operation, category, component, result,
                            actor_kind, actor_id, correlation_id, resources, personal_digest, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        args![
            tenant,
            entry.id,
            &entry.activity,
            &entry.activity_type,
            &entry.operation,
            &entry.category,
            &entry.component,
            if entry.success { "Success" } else { "Failure" },
            &entry.actor_kind,
            entry.actor_id,
            entry.correlation,
            Json::Array(resources).to_string(),
            personal_digest(&entry.salt, &personal),
            entry.at,
        ],
    )?;
    tx.execute(
        "insert into audit_person (tenant_id, audit_id, salt, fields) values ($1, $2, $3, $4)",
        args![tenant, entry.id, &entry.salt[..], personal],
    )?;
    tx.execute("insert into audit_unsealed (tenant_id, audit_id) values ($1, $2)", args![tenant, entry.id])?;
    Ok(())
}

fn personal_digest(salt: &[u8], fields: &str) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(fields.as_bytes());
    context.finish().as_ref().to_vec()
}

macro_rules! recorded {
    () => {
        "select audit.id, activity, activity_type, operation, category, component, result, actor_kind, actor_id,
                correlation_id, resources, audit_person.fields, at
           from audit left join audit_person
             on audit_person.tenant_id = audit.tenant_id and audit_person.audit_id = audit.id"
    };
}

fn recorded(row: &dyn Row) -> Result<Recorded> {
    let parsed = |column: usize, text: &str| -> Result<Json> {
        if text.is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_str(text).map_err(|error| Error::inconsistent("audit", format!("column {column}: {error}")))
    };
    Ok(Recorded {
        id: row.id(0)?,
        activity: row.text(1)?,
        activity_type: row.text(2)?,
        operation: row.text(3)?,
        category: row.text(4)?,
        component: row.text(5)?,
        result: row.text(6)?,
        actor_kind: row.text(7)?,
        actor_id: row.opt_id(8)?,
        correlation: row.opt_id(9)?,
        resources: parsed(10, &row.text(10)?)?,
        personal: parsed(11, &row.opt_text(11)?.unwrap_or_default())?,
        at: row.int(12)?,
    })
}

/// One audit row.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Recorded>> {
    tx.one(concat!(recorded!(), " where audit.tenant_id = $1 and audit.id = $2"), args![tenant, id], recorded)
}

/// Audit rows, newest first.
pub fn list(tx: &mut dyn Tx, tenant: Uuid, page: &Page<'_>) -> Result<Vec<Recorded>> {
    let (at, id) = page.behind.unwrap_or((i64::MAX, Uuid::max()));
    let (from, until) = (page.from.unwrap_or(i64::MIN), page.until.unwrap_or(i64::MAX));
    match page.category {
        Some(category) => tx.all(
            concat!(
                recorded!(),
                " where audit.tenant_id = $1 and at >= $2 and at <= $3 and (at, audit.id) < ($4, $5) and category = $7
                  order by at desc, audit.id desc limit $6"
            ),
            args![tenant, from, until, at, id, page.limit, category],
            recorded,
        ),
        None => tx.all(
            concat!(
                recorded!(),
                " where audit.tenant_id = $1 and at >= $2 and at <= $3 and (at, audit.id) < ($4, $5)
                  order by at desc, audit.id desc limit $6"
            ),
            args![tenant, from, until, at, id, page.limit],
            recorded,
        ),
    }
}

/// Erases the personal fields of rows where `person` acted or was the subject, at most `limit`;
/// answers how many. The chain stays whole.
pub fn erase_person(tx: &mut dyn Tx, tenant: Uuid, person: Uuid, now: i64, limit: i64) -> Result<u64> {
    tx.execute(
        "update audit_person set fields = '', erased_at = $3
          where tenant_id = $1 and erased_at is null and audit_id in
            (select audit.id from audit join audit_person
                on audit_person.tenant_id = audit.tenant_id and audit_person.audit_id = audit.id
              where audit.tenant_id = $1 and erased_at is null
                and (actor_id = $2 or resources like $4 escape '\\')
              limit $5)",
        args![tenant, person, now, crate::like_contains(&person.to_string()), limit],
    )
}

/// One link of the chain with the record it covers, and whether both are as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Position, from 1.
    pub n: i64,
    /// The audit row.
    pub audit: Uuid,
    /// The hash that was stored.
    pub hash: Vec<u8>,
    /// The hash that the record and the link before it give; none where the record is gone.
    pub expected: Option<Vec<u8>>,
    /// False where the personal fields were changed other than by erasing them.
    pub personal_intact: bool,
}

impl Link {
    /// True where neither the record nor its personal fields were touched.
    pub fn is_intact(&self) -> bool {
        self.personal_intact && self.expected.as_deref() == Some(&self.hash)
    }
}

/// Everything of an audit row that the chain covers, each part with its length before it, so that
/// no two records give the same bytes.
fn link_hash(previous: &[u8], row: &dyn Row, first: usize) -> Result<Vec<u8>> {
    let mut context = Context::new(&SHA256);
    context.update(previous);
    let mut part = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    part(row.id(first)?.as_bytes());
    for column in first + 1..=first + 7 {
        part(row.text(column)?.as_bytes());
    }
    for column in [first + 8, first + 9] {
        part(&row.opt_id(column)?.map_or_else(Vec::new, |id| id.as_bytes().to_vec()));
    }
    part(row.text(first + 10)?.as_bytes());
    part(&row.bytes(first + 11)?);
    part(&row.int(first + 12)?.to_be_bytes());
    Ok(context.finish().as_ref().to_vec())
}

macro_rules! covered {
    () => {
        "audit.id, activity, activity_type, operation, category, component, result, actor_kind, actor_id,
         correlation_id, resources, personal_digest, at"
    };
}

/// The end of the chain: position and hash; (0, nothing) for an empty one.
pub fn tail(tx: &mut dyn Tx, tenant: Uuid) -> Result<(i64, Vec<u8>)> {
    let tail =
        tx.one("select n, hash from audit_chain where tenant_id = $1 order by n desc limit 1", args![tenant], |row| {
            Ok((row.int(0)?, row.bytes(1)?))
        })?;
    Ok(tail.unwrap_or_default())
}

/// Appends up to `limit` unsealed rows to the chain; answers how many. Two sealers at once: one is
/// refused by the chain's key and writes nothing.
pub fn seal(tx: &mut dyn Tx, tenant: Uuid, limit: i64) -> Result<u64> {
    let (mut n, mut hash) = tail(tx, tenant)?;
    let mut links = Vec::new();
    tx.query(
        concat!(
            "select ",
            covered!(),
            "  from audit_unsealed join audit
                 on audit.tenant_id = audit_unsealed.tenant_id and audit.id = audit_unsealed.audit_id
              where audit_unsealed.tenant_id = $1 order by audit_unsealed.audit_id limit $2"
        ),
        args![tenant, limit],
        &mut |row| {
            hash = link_hash(&hash, row, 0)?;
            n += 1;
            links.push((n, row.id(0)?, hash.clone()));
            Ok(())
        },
    )?;
    for (n, audit, hash) in &links {
        tx.execute(
            "insert into audit_chain (tenant_id, n, audit_id, hash) values ($1, $2, $3, $4)",
            args![tenant, *n, *audit, hash],
        )?;
        tx.execute("delete from audit_unsealed where tenant_id = $1 and audit_id = $2", args![tenant, *audit])?;
    }
    Ok(links.len() as u64)
}

/// Links behind position `after`, whose hash is `previous`, recomputed from their records.
pub fn links(tx: &mut dyn Tx, tenant: Uuid, after: i64, previous: &[u8], limit: i64) -> Result<Vec<Link>> {
    let mut before = previous.to_vec();
    let mut links = Vec::new();
    tx.query(
        concat!(
            "select ",
            covered!(),
            "      , audit_chain.n, audit_chain.audit_id, audit_chain.hash,
                    audit_person.salt, audit_person.fields, audit_person.erased_at
               from audit_chain
               left join audit on audit.tenant_id = audit_chain.tenant_id and audit.id = audit_chain.audit_id
               left join audit_person on audit_person.tenant_id = audit_chain.tenant_id
                                     and audit_person.audit_id = audit_chain.audit_id
              where audit_chain.tenant_id = $1 and audit_chain.n > $2 order by audit_chain.n limit $3"
        ),
        args![tenant, after, limit],
        &mut |row| {
            let expected = if row.is_null(0)? { None } else { Some(link_hash(&before, row, 0)?) };
            let erased = !row.is_null(18)?;
            let personal_intact = erased
                || (!row.is_null(16)?
                    && !row.is_null(11)?
                    && personal_digest(&row.bytes(16)?, &row.text(17)?) == row.bytes(11)?);
            let link = Link { n: row.int(13)?, audit: row.id(14)?, hash: row.bytes(15)?, expected, personal_intact };
            before.clone_from(&link.hash);
            links.push(link);
            Ok(())
        },
    )?;
    Ok(links)
}

/// Audit rows that are neither sealed nor waiting to be: none in a whole log.
pub fn strays(tx: &mut dyn Tx, tenant: Uuid, limit: i64) -> Result<Vec<Uuid>> {
    tx.all(
        "select audit.id from audit
          where audit.tenant_id = $1
            and not exists (select 1 from audit_unsealed
                             where audit_unsealed.tenant_id = $1 and audit_unsealed.audit_id = audit.id)
            and not exists (select 1 from audit_chain
                             where audit_chain.tenant_id = $1 and audit_chain.audit_id = audit.id)
          order by audit.id limit $2",
        args![tenant, limit],
        |row| row.id(0),
    )
}

/// How many rows wait to be sealed, counted up to `limit`.
pub fn unsealed(tx: &mut dyn Tx, tenant: Uuid, limit: i64) -> Result<i64> {
    let count = tx.one(
        "select count(*) from (select 1 from audit_unsealed where tenant_id = $1 limit $2) as waiting",
        args![tenant, limit],
        |row| row.int(0),
    )?;
    Ok(count.unwrap_or(0))
}

/// A signed statement of the chain's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Position.
    pub n: i64,
    /// Hash there.
    pub hash: Vec<u8>,
    /// Signature over tenant, position and hash.
    pub signature: Vec<u8>,
    /// Unix ms.
    pub at: i64,
}

/// Stores a checkpoint; one that is there already stays.
pub fn add_checkpoint(tx: &mut dyn Tx, tenant: Uuid, checkpoint: &Checkpoint) -> Result<bool> {
    let added = tx.execute(
        "insert into audit_checkpoint (tenant_id, n, hash, signature, at) values ($1, $2, $3, $4, $5)
         on conflict (tenant_id, n) do nothing",
        args![tenant, checkpoint.n, &checkpoint.hash, &checkpoint.signature, checkpoint.at],
    )?;
    Ok(added > 0)
}

/// Checkpoints behind position `after`, in order.
pub fn checkpoints(tx: &mut dyn Tx, tenant: Uuid, after: i64, limit: i64) -> Result<Vec<Checkpoint>> {
    tx.all(
        "select n, hash, signature, at from audit_checkpoint where tenant_id = $1 and n > $2 order by n limit $3",
        args![tenant, after, limit],
        |row| Ok(Checkpoint { n: row.int(0)?, hash: row.bytes(1)?, signature: row.bytes(2)?, at: row.int(3)? }),
    )
}
