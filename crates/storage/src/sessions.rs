//! Sessions of people in a browser: console, portal, and the steps of an enrollment. The row behind
//! a `lookups` entry of kind `session`; only a hash of the cookie is kept.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args, lookups};

/// The kind under which sessions stand in `lookups`.
pub const LOOKUP: &str = "session";

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// SHA-256 of the cookie or hidden input.
    pub hash: Vec<u8>,
    /// `console`, `enrollment` or `portal`.
    pub audience: String,
    /// Whose session it is.
    pub person_id: Uuid,
    /// SHA-256 of the value that writes must repeat.
    pub csrf_hash: Option<Vec<u8>>,
    /// When a second factor was last presented.
    pub strong_at: Option<i64>,
    /// Where a flow stands, a JSON object.
    pub state: String,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub last_used_at: i64,
    /// Unix ms; the absolute end.
    pub expires_at: i64,
}

const COLUMNS: &str =
    "id, hash, audience, person_id, csrf_hash, strong_at, state, created_at, last_used_at, expires_at";

fn session(row: &dyn Row) -> Result<Session> {
    Ok(Session {
        id: row.id(0)?,
        hash: row.bytes(1)?,
        audience: row.text(2)?,
        person_id: row.id(3)?,
        csrf_hash: row.opt_bytes(4)?,
        strong_at: row.opt_int(5)?,
        state: row.text(6)?,
        created_at: row.int(7)?,
        last_used_at: row.int(8)?,
        expires_at: row.int(9)?,
    })
}

/// Adds a session and its lookup.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, session: &Session) -> Result<()> {
    tx.execute(
        "insert into session (tenant_id, id, hash, audience, person_id, csrf_hash, strong_at, state,
                created_at, last_used_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        args![
            tenant,
            session.id,
            session.hash.clone(),
            &session.audience,
            session.person_id,
            session.csrf_hash.clone(),
            session.strong_at,
            &session.state,
            session.created_at,
            session.last_used_at,
            session.expires_at,
        ],
    )?;
    lookups::put(tx, LOOKUP, &session.hash, tenant, session.id, Some(session.expires_at))
}

/// One session.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Session>> {
    tx.one(&format!("select {COLUMNS} from session where tenant_id = $1 and id = $2"), args![tenant, id], session)
}

/// A person's sessions, oldest first.
pub fn of_person(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<Vec<Session>> {
    tx.all(
        &format!("select {COLUMNS} from session where tenant_id = $1 and person_id = $2 order by created_at, id"),
        args![tenant, person],
        session,
    )
}

/// Records use and the state of a flow.
pub fn touch(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, state: &str, now: i64) -> Result<()> {
    tx.execute(
        "update session set state = $3, last_used_at = $4 where tenant_id = $1 and id = $2",
        args![tenant, id, state, now],
    )?;
    Ok(())
}

/// Records a fresh second factor.
pub fn strengthen(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, now: i64) -> Result<()> {
    tx.execute(
        "update session set strong_at = $3, last_used_at = $3 where tenant_id = $1 and id = $2",
        args![tenant, id, now],
    )?;
    Ok(())
}

/// Ends a session.
pub fn remove(tx: &mut dyn Tx, tenant: Uuid, session: &Session) -> Result<()> {
    lookups::remove(tx, LOOKUP, &session.hash)?;
    tx.execute("delete from session where tenant_id = $1 and id = $2", args![tenant, session.id])?;
    Ok(())
}

/// Ends every session of a person but one; answers how many.
pub fn remove_of_person(tx: &mut dyn Tx, tenant: Uuid, person: Uuid, except: Option<Uuid>) -> Result<usize> {
    let mut ended = 0;
    for session in of_person(tx, tenant, person)? {
        if Some(session.id) != except {
            remove(tx, tenant, &session)?;
            ended += 1;
        }
    }
    Ok(ended)
}

/// Removes sessions that are over, at most `limit` at a time.
pub fn prune(tx: &mut dyn Tx, tenant: Uuid, now: i64, limit: i64) -> Result<usize> {
    let over = tx.all(
        &format!("select {COLUMNS} from session where tenant_id = $1 and expires_at < $2 order by id limit $3"),
        args![tenant, now, limit],
        session,
    )?;
    for session in &over {
        remove(tx, tenant, session)?;
    }
    Ok(over.len())
}
