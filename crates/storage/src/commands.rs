//! Commands: the live queue of each enrollment, apart from append-only history, so that a check-in
//! costs the same whatever was sent before.
//!
//! Delivery is at least once with the same id until the device answers; an answer moves the row to
//! history in its own transaction, so a repeated answer finds nothing. Rendering a payload is not
//! done here (see `service/src/apple`).

use uuid::Uuid;

use crate::{
    Error, Result, Row, Tx, TxExt, Value, args,
    dialect::{many, write_rows},
};

/// Commands that may wait for one enrollment (threats E11).
pub const PENDING_LIMIT: i64 = 10_000;

/// A command to enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommand {
    /// Id: the CommandUUID on the wire.
    pub id: Uuid,
    /// The channel it goes to.
    pub enrollment: Uuid,
    /// The device behind.
    pub device: Uuid,
    /// Apple's RequestType.
    pub request_type: String,
    /// JSON to render from at hand-out; no secrets.
    pub payload: String,
    /// Who takes the outcome: `item`, `action`, `inventory`, `raw`, `system`.
    pub origin: String,
    /// The action it carries out.
    pub action: Option<Uuid>,
    /// Not handed out while the tenant is stopped.
    pub destructive: bool,
    /// Lower goes first.
    pub priority: i64,
    /// Waits for the guard's releaser.
    pub held: bool,
    /// Not handed out before, unix ms.
    pub not_before: i64,
    /// Not handed out after, unix ms.
    pub expires_at: Option<i64>,
    /// Unix ms.
    pub now: i64,
}

/// A command of the live queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Id: the CommandUUID on the wire.
    pub id: Uuid,
    /// The channel it goes to.
    pub enrollment: Uuid,
    /// The device behind.
    pub device: Uuid,
    /// Apple's RequestType.
    pub request_type: String,
    /// JSON to render from at hand-out.
    pub payload: String,
    /// Who takes the outcome.
    pub origin: String,
    /// The action it carries out.
    pub action: Option<Uuid>,
    /// Not handed out while the tenant is stopped.
    pub destructive: bool,
    /// Lower goes first.
    pub priority: i64,
    /// `held`, `queued`, `sent`, `notNow`.
    pub state: String,
    /// Times it was handed out.
    pub attempts: i64,
    /// Unix ms.
    pub expires_at: Option<i64>,
    /// Unix ms.
    pub created_at: i64,
    /// Last handed out, unix ms.
    pub sent_at: Option<i64>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The device did it.
    Acknowledged,
    /// The device refused or failed.
    Error,
    /// The device could not read it.
    CommandFormatError,
    /// Its time passed before the device came.
    Expired,
    /// Called back before the device answered.
    Cancelled,
}

impl Ending {
    /// The word in history.
    pub fn word(self) -> &'static str {
        match self {
            Ending::Acknowledged => "acknowledged",
            Ending::Error => "error",
            Ending::CommandFormatError => "commandFormatError",
            Ending::Expired => "expired",
            Ending::Cancelled => "cancelled",
        }
    }
}

/// One finished command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Id.
    pub id: Uuid,
    /// Apple's RequestType.
    pub request_type: String,
    /// Who took the outcome.
    pub origin: String,
    /// The action it carried out.
    pub action: Option<Uuid>,
    /// [`Ending::word`].
    pub status: String,
    /// The device's ErrorChain as JSON.
    pub error_chain: Option<String>,
    /// Times it was handed out.
    pub attempts: i64,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub finished_at: i64,
}

macro_rules! columns {
    () => {
        "id, enrollment_id, device_id, request_type, payload, origin, action_id, destructive, priority, state, \
         attempts, expires_at, created_at, sent_at"
    };
}

fn command(row: &dyn Row) -> Result<Command> {
    Ok(Command {
        id: row.id(0)?,
        enrollment: row.id(1)?,
        device: row.id(2)?,
        request_type: row.text(3)?,
        payload: row.text(4)?,
        origin: row.text(5)?,
        action: row.opt_id(6)?,
        destructive: row.bool(7)?,
        priority: row.int(8)?,
        state: row.text(9)?,
        attempts: row.int(10)?,
        expires_at: row.opt_int(11)?,
        created_at: row.int(12)?,
        sent_at: row.opt_int(13)?,
    })
}

/// Puts a command into the queue. Refused as [`Error::Constraint`] `command_pending_limit` when
/// the enrollment already has [`PENDING_LIMIT`] waiting.
pub fn enqueue(tx: &mut dyn Tx, tenant: Uuid, new: &NewCommand) -> Result<()> {
    if count(tx, tenant, new.enrollment)? >= PENDING_LIMIT {
        return Err(Error::Constraint("command_pending_limit".into()));
    }
    enqueue_all(tx, tenant, std::slice::from_ref(new))
}

/// Puts commands into queues in which their caller knows that there is room.
pub fn enqueue_all(tx: &mut dyn Tx, tenant: Uuid, new: &[NewCommand]) -> Result<()> {
    let rows: Vec<Vec<Value>> = new
        .iter()
        .map(|new| {
            args![
                new.enrollment,
                new.id,
                new.device,
                &new.request_type,
                &new.payload,
                &new.origin,
                new.action,
                new.destructive,
                new.priority,
                if new.held { "held" } else { "queued" },
                new.not_before,
                new.expires_at,
                new.now,
            ]
            .to_vec()
        })
        .collect();
    write_rows(
        tx,
        tenant,
        "insert into command (tenant_id, enrollment_id, id, device_id, request_type, payload, origin, action_id,
                              destructive, priority, state, not_before, expires_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        &rows,
    )
}

/// Which of these channels have more than `limit` commands waiting.
pub fn fuller_than(tx: &mut dyn Tx, tenant: Uuid, enrollments: &[Uuid], limit: i64) -> Result<Vec<Uuid>> {
    let (sql, args) = many(
        "select enrollment_id, count(*) from command where tenant_id = $1 and enrollment_id in ($2 /* more */) \
         group by enrollment_id",
        tenant,
        enrollments,
    );
    let counted = tx.all(&sql, &args, |row| Ok((row.id(0)?, row.int(1)?)))?;
    Ok(counted.into_iter().filter(|(_, count)| *count > limit).map(|(enrollment, _)| enrollment).collect())
}

/// How many commands wait for an enrollment, counted up to [`PENDING_LIMIT`].
pub fn count(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> Result<i64> {
    let count = tx.one(
        "select count(*) from
           (select 1 from command where tenant_id = $1 and enrollment_id = $2 limit $3) as waiting",
        args![tenant, enrollment, PENDING_LIMIT],
        |row| row.int(0),
    )?;
    Ok(count.unwrap_or(0))
}

/// What the device gets next: by priority and age, past what is held, not yet due or expired, past
/// destructive ones while the tenant is stopped, and past those answered NotNow in this `session`.
/// A command already sent comes again: the device asks, so it has not answered.
pub fn head(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    session: Option<Uuid>,
    now: i64,
) -> Result<Option<Command>> {
    tx.one(
        concat!(
            "select ",
            columns!(),
            "  from command
              where tenant_id = $1 and enrollment_id = $2
                and state <> 'held' and not_before <= $3 and (expires_at is null or expires_at > $3)
                and (not_now_session is null or not_now_session <> $4)
                and (not destructive or 0 = (select stop_epoch % 2 from organization where tenant_id = $1))
              order by priority, created_at, id limit 1"
        ),
        args![tenant, enrollment, now, session.unwrap_or(Uuid::nil())],
        command,
    )
}

/// Marks a command as handed out, before it is sent, and answers it with its number of attempts.
/// None where it may not go: gone, held, expired, or destructive while the tenant is stopped (the
/// stop epoch is read by this very statement).
pub fn hand_out(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, id: Uuid, now: i64) -> Result<Option<Command>> {
    tx.one(
        concat!(
            "update command set state = 'sent', attempts = attempts + 1, sent_at = $4
              where tenant_id = $1 and enrollment_id = $2 and id = $3
                and state <> 'held' and not_before <= $4 and (expires_at is null or expires_at > $4)
                and (not destructive or 0 = (select stop_epoch % 2 from organization where tenant_id = $1))
             returning ",
            columns!()
        ),
        args![tenant, enrollment, id, now],
        command,
    )
}

/// [`head`] and [`hand_out`] in one statement.
pub fn hand_out_next(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    session: Option<Uuid>,
    now: i64,
) -> Result<Option<Command>> {
    tx.one(
        concat!(
            "update command set state = 'sent', attempts = attempts + 1, sent_at = $3
              where tenant_id = $1 and enrollment_id = $2 and id =
                (select id from command
                  where tenant_id = $1 and enrollment_id = $2
                    and state <> 'held' and not_before <= $3 and (expires_at is null or expires_at > $3)
                    and (not_now_session is null or not_now_session <> $4)
                    and (not destructive or 0 = (select stop_epoch % 2 from organization where tenant_id = $1))
                  order by priority, created_at, id limit 1)
             returning ",
            columns!()
        ),
        args![tenant, enrollment, now, session.unwrap_or(Uuid::nil())],
        command,
    )
}

/// The device's answer, or the end by time or by an operator: moves the command to history and
/// answers it. None for an unknown or already finished id, and for one that was never handed out
/// while the ending is a device's: answering twice changes nothing.
pub fn finish(
    tx: &mut dyn Tx,
    tenant: Uuid,
    enrollment: Uuid,
    id: Uuid,
    ending: Ending,
    error_chain: Option<&str>,
    now: i64,
) -> Result<Option<Command>> {
    let by_device = !matches!(ending, Ending::Expired | Ending::Cancelled);
    let finished = tx.one(
        concat!(
            "delete from command
              where tenant_id = $1 and enrollment_id = $2 and id = $3 and attempts >= $4 returning ",
            columns!()
        ),
        args![tenant, enrollment, id, i64::from(by_device)],
        command,
    )?;
    if let Some(command) = &finished {
        remember(tx, tenant, command, ending, error_chain, now)?;
    }
    Ok(finished)
}

fn remember(
    tx: &mut dyn Tx,
    tenant: Uuid,
    command: &Command,
    ending: Ending,
    error_chain: Option<&str>,
    now: i64,
) -> Result<()> {
    tx.execute(
        "insert into command_history (tenant_id, id, enrollment_id, device_id, request_type, origin, action_id,
                                      status, error_chain, attempts, created_at, finished_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        args![
            tenant,
            command.id,
            command.enrollment,
            command.device,
            &command.request_type,
            &command.origin,
            command.action,
            ending.word(),
            error_chain,
            command.attempts,
            command.created_at,
            now,
        ],
    )?;
    if command.origin == "raw" {
        tx.execute("delete from command_raw where tenant_id = $1 and id = $2", args![tenant, command.id])?;
    }
    Ok(())
}

/// The device answered NotNow: the command stays, but not again in this `session`. None for an
/// unknown or finished id.
pub fn not_now(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, id: Uuid, session: Uuid) -> Result<Option<Command>> {
    tx.one(
        concat!(
            "update command set state = 'notNow', not_now_session = $4
              where tenant_id = $1 and enrollment_id = $2 and id = $3 and attempts > 0
             returning ",
            columns!()
        ),
        args![tenant, enrollment, id, session],
        command,
    )
}

/// The device began another session: what it answered NotNow before may go again.
pub fn forget_not_now(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> Result<()> {
    tx.execute(
        "update command set not_now_session = null
          where tenant_id = $1 and enrollment_id = $2 and not_now_session is not null",
        args![tenant, enrollment],
    )?;
    Ok(())
}

/// Lets a held command go; false if it was not held.
pub fn release(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, id: Uuid) -> Result<bool> {
    let released = tx.execute(
        "update command set state = 'queued'
          where tenant_id = $1 and enrollment_id = $2 and id = $3 and state = 'held'",
        args![tenant, enrollment, id],
    )?;
    Ok(released > 0)
}

/// Which commands to call back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of one channel.
    Enrollment(Uuid),
    /// All of one device's channels.
    Device(Uuid),
    /// Those that carry out an action.
    Action(Uuid),
    /// One command of an enrollment.
    One(Uuid, Uuid),
}

/// Calls commands back, whatever their state, and answers them. What a device already has in hand
/// cannot be stopped; its late answer finds nothing.
pub fn cancel_for(tx: &mut dyn Tx, tenant: Uuid, which: Which, now: i64) -> Result<Vec<Command>> {
    let mut cancelled = match which {
        Which::Enrollment(enrollment) => tx.all(
            concat!("delete from command where tenant_id = $1 and enrollment_id = $2 returning ", columns!()),
            args![tenant, enrollment],
            command,
        ),
        Which::Device(device) => tx.all(
            concat!(
                "delete from command
                  where tenant_id = $1 and enrollment_id in
                    (select id from enrollment where tenant_id = $1 and device_id = $2) returning ",
                columns!()
            ),
            args![tenant, device],
            command,
        ),
        Which::Action(action) => tx.all(
            concat!("delete from command where tenant_id = $1 and action_id = $2 returning ", columns!()),
            args![tenant, action],
            command,
        ),
        Which::One(enrollment, id) => tx.all(
            concat!(
                "delete from command where tenant_id = $1 and enrollment_id = $2 and id = $3 returning ",
                columns!()
            ),
            args![tenant, enrollment, id],
            command,
        ),
    }?;
    cancelled.sort_by_key(|command| command.id);
    for command in &cancelled {
        remember(tx, tenant, command, Ending::Cancelled, None, now)?;
    }
    Ok(cancelled)
}

/// Ends the commands of a tenant whose time has passed, at most `limit`, and answers them.
pub fn expire(tx: &mut dyn Tx, tenant: Uuid, now: i64, limit: i64) -> Result<Vec<Command>> {
    let mut expired = tx.all(
        concat!(
            "delete from command
              where tenant_id = $1 and (enrollment_id, id) in
                (select enrollment_id, id from command
                  where tenant_id = $1 and expires_at <= $2 order by expires_at limit $3)
             returning ",
            columns!()
        ),
        args![tenant, now, limit],
        command,
    )?;
    expired.sort_by_key(|command| command.id);
    for command in &expired {
        remember(tx, tenant, command, Ending::Expired, None, now)?;
    }
    Ok(expired)
}

/// One command of the live queue.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, id: Uuid) -> Result<Option<Command>> {
    tx.one(
        concat!("select ", columns!(), " from command where tenant_id = $1 and enrollment_id = $2 and id = $3"),
        args![tenant, enrollment, id],
        command,
    )
}

/// The live commands that carry out an action.
pub fn by_action(tx: &mut dyn Tx, tenant: Uuid, action: Uuid) -> Result<Vec<Command>> {
    tx.all(
        concat!("select ", columns!(), " from command where tenant_id = $1 and action_id = $2 order by id"),
        args![tenant, action],
        command,
    )
}

/// The live queue of an enrollment, in the order of hand-out.
pub fn pending(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, limit: i64) -> Result<Vec<Command>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from command where tenant_id = $1 and enrollment_id = $2 order by priority, created_at, id limit $3"
        ),
        args![tenant, enrollment, limit],
        command,
    )
}

/// The finished commands of an enrollment, the one made last first.
pub fn history(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, limit: i64) -> Result<Vec<Finished>> {
    tx.all(
        "select id, request_type, origin, action_id, status, error_chain, attempts, created_at, finished_at
           from command_history where tenant_id = $1 and enrollment_id = $2
          order by id desc limit $3",
        args![tenant, enrollment, limit],
        |row| {
            Ok(Finished {
                id: row.id(0)?,
                request_type: row.text(1)?,
                origin: row.text(2)?,
                action: row.opt_id(3)?,
                status: row.text(4)?,
                error_chain: row.opt_text(5)?,
                attempts: row.int(6)?,
                created_at: row.int(7)?,
                finished_at: row.int(8)?,
            })
        },
    )
}

/// Whether a finished command of that id is in the channel's history: a repeated answer.
pub fn answered_before(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, id: Uuid) -> Result<bool> {
    let found = tx.one(
        "select 1 from command_history where tenant_id = $1 and enrollment_id = $2 and id = $3",
        args![tenant, enrollment, id],
        |row| row.int(0),
    )?;
    Ok(found.is_some())
}

/// Removes history older than `before`, at most `limit` rows; answers how many.
pub fn prune_history(tx: &mut dyn Tx, tenant: Uuid, before: i64, limit: i64) -> Result<u64> {
    tx.execute(
        "delete from command_history where tenant_id = $1 and (enrollment_id, id) in
           (select enrollment_id, id from command_history
             where tenant_id = $1 and finished_at < $2 order by finished_at limit $3)",
        args![tenant, before, limit],
    )
}

/// Keeps the sealed body of an operator's raw command until the command has ended.
pub fn put_raw(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, sealed: &[u8]) -> Result<()> {
    tx.execute(
        "insert into command_raw (tenant_id, id, sealed) values ($1, $2, $3)
         on conflict (tenant_id, id) do update set sealed = excluded.sealed",
        args![tenant, id, sealed],
    )?;
    Ok(())
}

/// The sealed body of an operator's raw command.
pub fn raw(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Vec<u8>>> {
    tx.one("select sealed from command_raw where tenant_id = $1 and id = $2", args![tenant, id], |row| row.bytes(0))
}
