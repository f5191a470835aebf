//! Approvals: requests that wait for a second person, over a frozen list of devices.

use uuid::Uuid;

use crate::{Error, Result, Row, Tx, TxExt, args};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Its id, the value of `x-muster-approval`.
    pub id: Uuid,
    /// Graph's action name, or `guardSettings`, `liftEmergencyStop`, `ownerRole`, `deleteAuthority`.
    pub action_name: String,
    /// SHA-256 over name, devices and parameters, taken when it was asked.
    pub subject_hash: Vec<u8>,
    /// Device ids, frozen.
    pub subjects: Vec<Uuid>,
    /// JSON object; secrets by reference.
    pub parameters: String,
    /// Kind of principal that asked.
    pub requester_kind: String,
    /// Who asked.
    pub requester_id: Uuid,
    /// For people to read.
    pub requester_name: String,
    /// The person behind a token, else the requester.
    pub requester_principal: Uuid,
    /// Reason given.
    pub reason: Option<String>,
    /// `pending`, `approved`, `denied`, `expired`, `void`, `canceled`.
    pub state: String,
    /// Kind of principal that decided.
    pub decided_by_kind: Option<String>,
    /// Who decided.
    pub decided_by_id: Option<Uuid>,
    /// For people to read.
    pub decided_by_name: Option<String>,
    /// Unix ms.
    pub decided_at: Option<i64>,
    /// Where only one approver exists: when the requester may release it.
    pub self_release_at: Option<i64>,
    /// When an approved change of the rules takes effect.
    pub effective_at: Option<i64>,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub expires_at: i64,
}

macro_rules! columns {
    () => {
        "id, action_name, subject_hash, subjects, parameters, requester_kind, requester_id, requester_name,
         requester_principal, reason, state, decided_by_kind, decided_by_id, decided_by_name, decided_at,
         self_release_at, effective_at, created_at, expires_at"
    };
}

fn map(row: &dyn Row) -> Result<Approval> {
    let subjects = row.text(3)?;
    Ok(Approval {
        id: row.id(0)?,
        action_name: row.text(1)?,
        subject_hash: row.bytes(2)?,
        subjects: serde_json::from_str(&subjects)
            .map_err(|error| Error::inconsistent("approval.subjects", error.to_string()))?,
        parameters: row.text(4)?,
        requester_kind: row.text(5)?,
        requester_id: row.id(6)?,
        requester_name: row.text(7)?,
        requester_principal: row.id(8)?,
        reason: row.opt_text(9)?,
        state: row.text(10)?,
        decided_by_kind: row.opt_text(11)?,
        decided_by_id: row.opt_id(12)?,
        decided_by_name: row.opt_text(13)?,
        decided_at: row.opt_int(14)?,
        self_release_at: row.opt_int(15)?,
        effective_at: row.opt_int(16)?,
        created_at: row.int(17)?,
        expires_at: row.int(18)?,
    })
}

/// Puts a request in.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, approval: &Approval) -> Result<()> {
    let subjects = serde_json::to_string(&approval.subjects)
        .map_err(|error| Error::inconsistent("approval.subjects", error.to_string()))?;
    tx.execute(
        concat!(
            "insert into approval (tenant_id, ",
            columns!(),
            ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"
        ),
        args![
            tenant,
            approval.id,
            &approval.action_name,
            &approval.subject_hash,
            subjects,
            &approval.parameters,
            &approval.requester_kind,
            approval.requester_id,
            &approval.requester_name,
            approval.requester_principal,
            approval.reason.clone(),
            &approval.state,
            approval.decided_by_kind.clone(),
            approval.decided_by_id,
            approval.decided_by_name.clone(),
            approval.decided_at,
            approval.self_release_at,
            approval.effective_at,
            approval.created_at,
            approval.expires_at,
        ],
    )?;
    Ok(())
}

/// The request of that id.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Approval>> {
    tx.one(concat!("select ", columns!(), " from approval where tenant_id = $1 and id = $2"), args![tenant, id], map)
}

/// A page of requests of a state (or of any), oldest id last.
pub fn list(
    tx: &mut dyn Tx,
    tenant: Uuid,
    state: Option<&str>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Approval>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from approval
               where tenant_id = $1 and ($2 = '' or state = $2) and id < $3
               order by id desc limit $4"
        ),
        args![tenant, state.unwrap_or(""), before.unwrap_or(Uuid::max()), limit],
        map,
    )
}

/// The pending request for that subject, so that asking twice is answered with the waiting one.
pub fn pending_like(tx: &mut dyn Tx, tenant: Uuid, action: &str, subject_hash: &[u8]) -> Result<Option<Approval>> {
    tx.one(
        concat!(
            "select ",
            columns!(),
            " from approval
               where tenant_id = $1 and state = 'pending' and action_name = $2 and subject_hash = $3"
        ),
        args![tenant, action, subject_hash],
        map,
    )
}

/// The pending requests of that kind.
pub fn pending_of(tx: &mut dyn Tx, tenant: Uuid, action: &str) -> Result<Vec<Approval>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from approval
               where tenant_id = $1 and state = 'pending' and action_name = $2 order by created_at, id"
        ),
        args![tenant, action],
        map,
    )
}

/// Who decided, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// The new state.
    pub state: &'a str,
    /// Kind of principal.
    pub kind: &'a str,
    /// Principal.
    pub id: Option<Uuid>,
    /// For people to read.
    pub name: &'a str,
    /// When a change of the rules takes effect.
    pub effective_at: Option<i64>,
}

/// Decides a pending request; false where it no longer is one.
pub fn decide(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, decision: &Decision<'_>, now: i64) -> Result<bool> {
    let changed = tx.execute(
        "update approval
            set state = $3, decided_by_kind = $4, decided_by_id = $5, decided_by_name = $6, decided_at = $7,
                effective_at = coalesce($8, effective_at)
          where tenant_id = $1 and id = $2 and state = 'pending'",
        args![tenant, id, decision.state, decision.kind, decision.id, decision.name, now, decision.effective_at],
    )?;
    Ok(changed == 1)
}

/// Pending requests whose time is over.
pub fn overdue(tx: &mut dyn Tx, tenant: Uuid, now: i64, limit: i64) -> Result<Vec<Approval>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from approval
               where tenant_id = $1 and state = 'pending' and expires_at <= $2 order by created_at, id limit $3"
        ),
        args![tenant, now, limit],
        map,
    )
}

/// Approved changes whose delay is over and which have not taken effect.
pub fn due(tx: &mut dyn Tx, tenant: Uuid, now: i64) -> Result<Vec<Approval>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from approval
               where tenant_id = $1 and state = 'approved' and effective_at <= $2 order by effective_at, id"
        ),
        args![tenant, now],
        map,
    )
}

/// Notes that a delayed change took effect (or was cancelled before): false where it already had.
pub fn settle(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, state: &str) -> Result<bool> {
    let changed = tx.execute(
        "update approval set state = $3 where tenant_id = $1 and id = $2 and state = 'approved'",
        args![tenant, id, state],
    )?;
    Ok(changed == 1)
}
