//! The effect of a released action begins: a command in the device's queue, or a step on our side.

use muster_domain::actions::Verb;
use muster_storage::{
    Tx,
    actions::{self, Action},
    commands::{self, NewCommand},
    devices::Device,
    enrollments,
    jobs::{self, Job},
    leaving as leaving_rows,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Error, Ids, MailError, MailMessage, Result, Service,
    apple::{priority, push_soon},
};

/// Kind of the job that mails.
pub const MAIL_JOB: &str = "mail";

/// Begins the effect; the action is `queued` now.
pub(crate) fn start(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    verb: Verb,
    action: &Action,
    device: &Device,
    now: i64,
) -> Result<()> {
    let command = |request_type: &'static str| Command { request_type, destructive: false, priority: priority::ACTION };
    match verb {
        Verb::SyncDevice => {
            // Whoever syncs wants to see how the device stands: its policy is looked at again, and
            // everything that is known of it is asked anew.
            for channel in enrollments::of_device(tx, tenant, device.id)? {
                crate::inventory::refresh(tx, tenant, channel.id, now)?;
            }
            send(tx, ids, tenant, action, command("DeviceInformation"), now)
        }
        Verb::RemoteLock => {
            send(tx, ids, tenant, action, Command { priority: priority::URGENT, ..command("DeviceLock") }, now)
        }
        Verb::ResetPasscode => send(tx, ids, tenant, action, command("ClearPasscode"), now),
        Verb::RebootNow => send(tx, ids, tenant, action, command("RestartDevice"), now),
        Verb::ShutDown => send(tx, ids, tenant, action, command("ShutDownDevice"), now),
        Verb::SetDeviceName => send(tx, ids, tenant, action, command("Settings"), now),
        Verb::Wipe => {
            leaving_rows::set_management_state(tx, tenant, device.id, "wipePending", now)?;
            let erase = Command { request_type: "EraseDevice", destructive: true, priority: priority::URGENT };
            send(tx, ids, tenant, action, erase, now)
        }
        Verb::Retire => super::leaving::begin(tx, ids, tenant, action, device, now),
        Verb::Delete => super::leaving::delete(tx, ids, tenant, action, device, now),
        Verb::SendCustomNotificationToCompanyPortal => notify(tx, ids, tenant, action, device, now),
        Verb::GetFileVaultKey => Err(Error::internal("revealing a key is not a message to a device")),
    }
}

/// What goes to the device; its payload is the action's parameters, rendered at hand-out.
pub(super) struct Command {
    pub(super) request_type: &'static str,
    pub(super) destructive: bool,
    pub(super) priority: i64,
}

impl Command {
    /// The removal of the enrollment profile.
    pub(super) fn removal() -> Self {
        Command { request_type: "RemoveProfile", destructive: true, priority: priority::URGENT }
    }
}

/// Queues the command that carries an action, and asks the device to come.
pub(super) fn send(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    action: &Action,
    command: Command,
    now: i64,
) -> Result<()> {
    let Some(channel) = enrollments::device_channel(tx, tenant, action.device_id)? else {
        actions::advance(tx, tenant, action.id, &["queued"], "failed", Some("the device is not enrolled"), now)?;
        return Ok(());
    };
    let expires_at = actions::by_id(tx, tenant, action.id)?.and_then(|action| action.expires_at);
    let new = NewCommand {
        id: ids.next(),
        enrollment: channel.id,
        device: action.device_id,
        request_type: command.request_type.into(),
        payload: action.parameters.clone(),
        origin: "action".into(),
        action: Some(action.id),
        destructive: command.destructive,
        priority: command.priority,
        held: false,
        not_before: now,
        expires_at,
        now,
    };
    commands::enqueue(tx, tenant, &new)?;
    Ok(push_soon(tx, tenant, channel.id, ids, now)?)
}

/// Enqueues one mail.
pub(crate) fn mail(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    to: &str,
    subject: &str,
    text: &str,
    now: i64,
) -> Result<()> {
    let payload = json!({ "to": to, "subject": subject, "text": text }).to_string();
    let job = jobs::NewJob {
        id: ids.next(),
        tenant,
        kind: MAIL_JOB,
        coalesce_key: None,
        payload: &payload,
        run_at: now,
        now,
    };
    Ok(jobs::enqueue(tx, &job)?)
}

/// Mail to the device's user; the portal shows the action itself as the notice.
fn notify(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, action: &Action, device: &Device, now: i64) -> Result<()> {
    let parameters: Value = serde_json::from_str(&action.parameters).map_err(Error::internal)?;
    let text = |name: &str| parameters.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let address = match device.person_id {
        Some(person) => muster_storage::people::by_id(tx, tenant, person)?
            .map(|person| person.mail.unwrap_or(person.user_principal_name)),
        None => None,
    };
    let result = match address {
        Some(address) => {
            mail(tx, ids, tenant, &address, &text("notificationTitle"), &text("notificationBody"), now)?;
            "mailed to the user and shown in the portal"
        }
        None => "shown in the portal; the device has no user to mail",
    };
    actions::advance(tx, tenant, action.id, &["queued"], "done", Some(result), now)?;
    Ok(())
}

impl Service {
    /// Sends the mail of a job.
    pub(crate) async fn mail_job(&self, job: Job) -> Result<()> {
        let payload: Value = serde_json::from_str(&job.payload).map_err(Error::internal)?;
        let text = |name: &str| payload.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let message = MailMessage { to: text("to"), subject: text("subject"), text: text("text") };
        self.send_mail(job.tenant, &message).await
    }

    /// Sends a mail of a job: an error, and with it another run, where the mail server does not take it
    /// for now. One that is never taken is told to administrators instead, without what it says.
    pub(crate) async fn send_mail(&self, tenant: Uuid, message: &MailMessage) -> Result<()> {
        match self.mail.send(message).await {
            Ok(()) => Ok(()),
            Err(MailError::Later(why)) => Err(Error::internal(why)),
            Err(MailError::Refused(why)) => {
                let now = self.clock.now();
                let (event, body) = (self.random.id(now), json!({ "to": message.to, "error": why }).to_string());
                let tell = move |tx: &mut dyn Tx| {
                    muster_storage::outbox::emit(tx, tenant, event, "mailRefused", "mail", None, &body, now)
                };
                Ok(self.store.write(tenant, tell).await?)
            }
        }
    }
}
