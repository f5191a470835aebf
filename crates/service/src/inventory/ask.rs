//! Asking: queries that are due become commands when the channel is computed.

use muster_apple::{Request, requests};
use muster_domain::{
    catalogue::{Channel, Platform},
    facts::{CHECK_IN_HOURS, Owner, Query, given_by, managed_apps_only, queries},
};
use muster_storage::{
    self as storage, Tx,
    commands::{self, NewCommand},
    device_states,
    facts::{self, InventoryQuery},
    subjects::{self, Subject, Traits},
    timers,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, Ids, Result, Service,
    apple::{priority, push_soon},
    desired::compute::channel,
};

/// Kind of the timer and job that asks a channel again.
pub const DUE: &str = "inventory.due";
const HOUR: i64 = 3_600_000;
/// A channel is asked to connect after this, ms, and asked what is due by then.
const EVERY: i64 = CHECK_IN_HOURS * HOUR;
/// What comes due so soon, ms, is asked along: devices come a little later each time.
const SOON: i64 = HOUR;
/// Apple's names of what we want to know of an app.
const APP_ITEMS: [&str; 5] = ["Identifier", "Name", "ShortVersion", "Version", "BundleSize"];

/// How long an answer stands until it is asked for again, ms.
pub(super) fn every(kind: &str) -> i64 {
    Query::of(kind).map_or(EVERY, |kind| kind.every_hours() * HOUR)
}

/// A channel sent its first TokenUpdate: nothing is known of it, and every query is due.
pub fn enrolled(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, now: i64) -> storage::Result<()> {
    crate::desired::answers::start_over(tx, tenant, enrollment)?;
    facts::clear_queries(tx, tenant, enrollment)?;
    let subject = subjects::of_enrollment(tx, tenant, enrollment)?;
    if let Some(channel) = subject.and_then(|subject| channel(&subject.traits())) {
        for query in queries(&channel) {
            let row = InventoryQuery {
                kind: query.word().to_owned(),
                command_id: None,
                asked_at: None,
                answered_at: None,
                due_at: now,
            };
            facts::put_query(tx, tenant, enrollment, &row)?;
        }
    }
    timers::set(tx, tenant, DUE, enrollment, now + EVERY, "{}")?;
    device_states::mark_dirty(tx, tenant, enrollment)
}

/// Makes every query of a channel due: somebody asked for a fresh inventory.
pub fn refresh(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, now: i64) -> storage::Result<()> {
    facts::make_due(tx, tenant, enrollment, now)?;
    device_states::mark_dirty(tx, tenant, enrollment)
}

/// Makes one query of a channel due.
pub(crate) fn ask_now(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid, kind: Query, now: i64) -> storage::Result<()> {
    for mut query in facts::queries(tx, tenant, enrollment)? {
        if query.kind == kind.word() && query.due_at > now {
            query.due_at = now;
            facts::put_query(tx, tenant, enrollment, &query)?;
            device_states::mark_dirty(tx, tenant, enrollment)?;
        }
    }
    Ok(())
}

/// Queues the queries that are due; called while a channel is computed.
pub(crate) fn ask_due(
    tx: &mut dyn Tx,
    tenant: Uuid,
    subject: &Subject,
    queries: Vec<InventoryQuery>,
    queued: &mut Vec<NewCommand>,
    ids: &mut Ids,
    now: i64,
) -> storage::Result<usize> {
    let enrollment = subject.enrollment_id;
    let mut asked = 0;
    for mut query in queries {
        if query.due_at > now + SOON {
            continue;
        }
        if let Some(command) = query.command_id
            && commands::by_id(tx, tenant, enrollment, command)?.is_some()
        {
            continue;
        }
        let id = ids.next();
        let command = NewCommand {
            id,
            enrollment,
            device: subject.device_id,
            request_type: query.kind.clone(),
            payload: json!({}).to_string(),
            origin: "inventory".to_owned(),
            action: None,
            destructive: false,
            priority: priority::INVENTORY,
            held: false,
            not_before: 0,
            expires_at: None,
            now,
        };
        queued.push(command);
        query.command_id = Some(id);
        query.asked_at = Some(now);
        query.due_at = now + every(&query.kind);
        facts::put_query(tx, tenant, enrollment, &query)?;
        asked += 1;
    }
    Ok(asked)
}

/// The request of a query on a channel.
fn request(query: Query, channel: &Channel, owner: Owner) -> Request {
    match query {
        Query::DeviceInformation => {
            let keys: Vec<&str> = given_by(query, channel, owner).map(|fact| fact.key.as_str()).collect();
            requests::device_information(&keys)
        }
        Query::SecurityInfo => requests::security_info(),
        Query::ProfileList => requests::profile_list(),
        Query::InstalledApplicationList => {
            // A Mac tells everything about an app and takes no list of what to tell.
            let items: &[&str] = if channel.platform == Platform::Ios { &APP_ITEMS } else { &[] };
            requests::installed_application_list(managed_apps_only(channel, owner), items)
        }
        Query::CertificateList => requests::certificate_list(owner == Owner::Personal),
    }
}

/// The request of a command of origin `inventory`, made for the channel as it is now. `None`: it is not
/// asked this any more.
pub(crate) fn render(request_type: &str, traits: &Traits) -> Result<Option<Request>> {
    let query =
        Query::of(request_type).ok_or_else(|| Error::internal(format!("{request_type} is no inventory query")))?;
    Ok(channel(traits).map(|channel| request(query, &channel, Owner::of(&traits.owner_type))))
}

impl Service {
    /// The job behind [`DUE`]: the scheduled check-in. The channel is looked at again and asked to
    /// connect; what is due by then is asked.
    pub async fn inventory_due(&self, tenant: Uuid, enrollment: Uuid) -> Result<()> {
        let now = self.clock.now();
        let ids = self.ids(now);
        self.store
            .write(tenant, move |tx| {
                let subject = subjects::of_enrollment(tx, tenant, enrollment)?;
                if subject.is_none_or(|subject| subject.state != "enrolled") {
                    return Ok(());
                }
                timers::set(tx, tenant, DUE, enrollment, now + EVERY, "{}")?;
                device_states::mark_dirty(tx, tenant, enrollment)?;
                push_soon(tx, tenant, enrollment, &mut ids.clone(), now)
            })
            .await?;
        Ok(())
    }
}
