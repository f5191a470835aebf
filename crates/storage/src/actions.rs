//! Actions: one imperative message to one device each, with its actor, approval and result.
//! The commands that carry them are in `commands.rs`; what may be released is in `guard.rs`.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// One action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its id; the command that carries it has the same.
    pub id: Uuid,
    /// The device.
    pub device_id: Uuid,
    /// Graph's action name.
    pub name: String,
    /// JSON object; secrets stand in it by reference.
    pub parameters: String,
    /// Kind of principal that asked.
    pub actor_kind: String,
    /// Who asked.
    pub actor_id: Uuid,
    /// For people to read.
    pub actor_name: String,
    /// Whose limits it uses.
    pub principal_id: Uuid,
    /// The approval it waits for or was agreed in.
    pub approval_id: Option<Uuid>,
    /// The bulk request it is part of.
    pub bulk_id: Option<Uuid>,
    /// Reason given.
    pub reason: Option<String>,
    /// `held`, `approved`, `queued`, `sent`, `active`, `done`, `failed`, `notSupported`, `canceled`, `expired`.
    pub state: String,
    /// What the device or the guard said, for people to read.
    pub result: Option<String>,
    /// Unix ms.
    pub requested_at: i64,
    /// Not released earlier.
    pub release_after: Option<i64>,
    /// Not delivered later.
    pub expires_at: Option<i64>,
    /// Unix ms.
    pub updated_at: i64,
}

macro_rules! columns {
    () => {
        "id, device_id, name, parameters, actor_kind, actor_id, actor_name, principal_id, approval_id,
         bulk_id, reason, state, result, requested_at, release_after, expires_at, updated_at"
    };
}

fn map(row: &dyn Row) -> Result<Action> {
    Ok(Action {
        id: row.id(0)?,
        device_id: row.id(1)?,
        name: row.text(2)?,
        parameters: row.text(3)?,
        actor_kind: row.text(4)?,
        actor_id: row.id(5)?,
        actor_name: row.text(6)?,
        principal_id: row.id(7)?,
        approval_id: row.opt_id(8)?,
        bulk_id: row.opt_id(9)?,
        reason: row.opt_text(10)?,
        state: row.text(11)?,
        result: row.opt_text(12)?,
        requested_at: row.int(13)?,
        release_after: row.opt_int(14)?,
        expires_at: row.opt_int(15)?,
        updated_at: row.int(16)?,
    })
}

/// States in which an action still waits for something; at most one of a name and device.
macro_rules! waiting {
    () => {
        "state in ('held', 'approved', 'queued', 'sent', 'active')"
    };
}

/// Puts an action in; false where one of the same name already waits for the device.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, action: &Action) -> Result<bool> {
    let inserted = tx.execute(
        concat!(
            "insert into action (tenant_id, ",
            columns!(),
            ") values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
             on conflict do nothing"
        ),
        args![
            tenant,
            action.id,
            action.device_id,
            &action.name,
            &action.parameters,
            &action.actor_kind,
            action.actor_id,
            &action.actor_name,
            action.principal_id,
            action.approval_id,
            action.bulk_id,
            action.reason.clone(),
            &action.state,
            action.result.clone(),
            action.requested_at,
            action.release_after,
            action.expires_at,
            action.updated_at,
        ],
    )?;
    Ok(inserted == 1)
}

/// The action of that id.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Action>> {
    tx.one(concat!("select ", columns!(), " from action where tenant_id = $1 and id = $2"), args![tenant, id], map)
}

/// The action of that name that still waits for the device.
pub fn waiting(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, name: &str) -> Result<Option<Action>> {
    tx.one(
        concat!(
            "select ",
            columns!(),
            " from action where tenant_id = $1 and device_id = $2 and name = $3 and ",
            waiting!()
        ),
        args![tenant, device, name],
        map,
    )
}

/// Everything that still waits for the device.
pub fn waiting_of_device(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<Vec<Action>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from action where tenant_id = $1 and device_id = $2 and ",
            waiting!(),
            " order by requested_at, id"
        ),
        args![tenant, device],
        map,
    )
}

/// The actions of a bulk request.
pub fn of_bulk(tx: &mut dyn Tx, tenant: Uuid, bulk: Uuid) -> Result<Vec<Action>> {
    tx.all(
        concat!("select ", columns!(), " from action where tenant_id = $1 and bulk_id = $2 order by id"),
        args![tenant, bulk],
        map,
    )
}

/// The latest action of each name on a device, for `deviceActionResults`.
pub fn latest_of_device(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<Vec<Action>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from action a where tenant_id = $1 and device_id = $2
                and not exists (select 1 from action b
                                 where b.tenant_id = a.tenant_id and b.device_id = a.device_id and b.name = a.name
                                   and (b.requested_at > a.requested_at
                                        or (b.requested_at = a.requested_at and b.id > a.id)))
              order by name"
        ),
        args![tenant, device],
        map,
    )
}

/// Devices a principal asked `name` for since a time; what was canceled or expired counts too.
pub fn asked_since(tx: &mut dyn Tx, tenant: Uuid, name: &str, principal: Uuid, since: i64) -> Result<i64> {
    let count = tx.one(
        "select count(*) from action
          where tenant_id = $1 and name = $2 and principal_id = $3 and requested_at > $4",
        args![tenant, name, principal, since],
        |row| row.int(0),
    )?;
    Ok(count.unwrap_or(0))
}

/// Moves an action from one of `from` to `to`; false where it was in none of them.
pub fn advance(
    tx: &mut dyn Tx,
    tenant: Uuid,
    id: Uuid,
    from: &[&str],
    to: &str,
    result: Option<&str>,
    now: i64,
) -> Result<bool> {
    // A handful of words of ours, padded to five so that the statement's text stays the same.
    let word = |n: usize| from.get(n).or(from.first()).copied().unwrap_or("");
    let changed = tx.execute(
        "update action set state = $3, result = coalesce($4, result), updated_at = $5
          where tenant_id = $1 and id = $2 and state in ($6, $7, $8, $9, $10)",
        args![tenant, id, to, result, now, word(0), word(1), word(2), word(3), word(4)],
    )?;
    Ok(changed == 1)
}

/// Moves every action of an approval that is held; answers how many.
pub fn advance_held(
    tx: &mut dyn Tx,
    tenant: Uuid,
    approval: Uuid,
    to: &str,
    result: Option<&str>,
    now: i64,
) -> Result<u64> {
    tx.execute(
        "update action set state = $3, result = coalesce($4, result), updated_at = $5
          where tenant_id = $1 and approval_id = $2 and state = 'held'",
        args![tenant, approval, to, result, now],
    )
}

/// Calls back what of an approval was not released; answers how many. What was released is in
/// [`queued_of_approval`].
pub fn cancel_unreleased(tx: &mut dyn Tx, tenant: Uuid, approval: Uuid, result: &str, now: i64) -> Result<u64> {
    tx.execute(
        "update action set state = 'canceled', result = $3, updated_at = $4
          where tenant_id = $1 and approval_id = $2 and state in ('held', 'approved')",
        args![tenant, approval, result, now],
    )
}

/// The actions of an approval that were released and are not in a device's hand.
pub fn queued_of_approval(tx: &mut dyn Tx, tenant: Uuid, approval: Uuid) -> Result<Vec<Action>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from action where tenant_id = $1 and approval_id = $2 and state = 'queued' order by id"
        ),
        args![tenant, approval],
        map,
    )
}

/// The held actions of an approval were agreed to: they may go at `release_after`.
pub fn approve_held(tx: &mut dyn Tx, tenant: Uuid, approval: Uuid, release_after: i64, now: i64) -> Result<u64> {
    tx.execute(
        "update action set state = 'approved', release_after = $3, updated_at = $4
          where tenant_id = $1 and approval_id = $2 and state = 'held'",
        args![tenant, approval, release_after, now],
    )
}

/// Says once why an agreed action still waits; false where that was said before.
pub fn explain_waiting(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, why: &str) -> Result<bool> {
    let changed = tx.execute(
        "update action set result = $3 where tenant_id = $1 and id = $2 and state = 'approved' and result is null",
        args![tenant, id, why],
    )?;
    Ok(changed == 1)
}

/// Sets how long a released action may wait for its device.
pub fn set_expiry(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, expires_at: i64) -> Result<()> {
    tx.execute("update action set expires_at = $3 where tenant_id = $1 and id = $2", args![tenant, id, expires_at])?;
    Ok(())
}

/// What the releaser may look at of one principal: agreed to, and its hold is over; in the order of asking.
pub fn releasable_of(
    tx: &mut dyn Tx,
    tenant: Uuid,
    name: &str,
    principal: Uuid,
    now: i64,
    limit: i64,
) -> Result<Vec<Action>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from action
               where tenant_id = $1 and state = 'approved' and name = $2 and principal_id = $3 and release_after <= $4
               order by release_after, id limit $5"
        ),
        args![tenant, name, principal, now, limit],
        map,
    )
}

/// Principals with something agreed to and past its hold.
pub fn releasable_principals(tx: &mut dyn Tx, tenant: Uuid, name: &str, now: i64) -> Result<Vec<Uuid>> {
    tx.all(
        "select principal_id from action
          where tenant_id = $1 and state = 'approved' and name = $2 and release_after <= $3
          group by principal_id order by min(release_after), principal_id",
        args![tenant, name, now],
        |row| row.id(0),
    )
}

/// The earliest time after `now` at which something agreed to leaves its hold.
pub fn next_release_of(tx: &mut dyn Tx, tenant: Uuid, name: &str, now: i64) -> Result<Option<i64>> {
    let first = tx.one(
        "select min(release_after) from action
          where tenant_id = $1 and state = 'approved' and name = $2 and release_after > $3",
        args![tenant, name, now],
        |row| row.opt_int(0),
    )?;
    Ok(first.flatten())
}

/// How many are agreed to and wait for room.
pub fn count_approved(tx: &mut dyn Tx, tenant: Uuid, name: &str) -> Result<i64> {
    let count = tx.one(
        "select count(*) from action where tenant_id = $1 and state = 'approved' and name = $2",
        args![tenant, name],
        |row| row.int(0),
    )?;
    Ok(count.unwrap_or(0))
}

/// Undelivered actions whose time is over.
pub fn overdue(tx: &mut dyn Tx, tenant: Uuid, now: i64, limit: i64) -> Result<Vec<Action>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from action
               where tenant_id = $1 and state in ('approved', 'queued', 'sent') and expires_at <= $2
               order by expires_at, id limit $3"
        ),
        args![tenant, now, limit],
        map,
    )
}
