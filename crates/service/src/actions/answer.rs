//! What became of an action's command: handed out, answered, expired, called back; and what a new
//! enrollment of the same hardware does to it (design, ruling 2).

use muster_domain::actions::Verb;
use muster_storage::{
    Tx,
    actions::{self, Action},
    commands::{self, Command, Ending, Which},
    devices, leaving as leaving_rows,
};
use serde_json::json;
use uuid::Uuid;

use super::leaving;
use crate::{
    Ids, Result,
    guard::{Note, Who, alert, note},
};

/// States before the device has it in hand.
const UNDELIVERED: [&str; 3] = ["held", "approved", "queued"];
/// States after release.
const RELEASED: [&str; 3] = ["queued", "sent", "active"];

/// The command of an action goes out to the device now.
pub fn action_handed_out(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, command: &Command, now: i64) -> Result<()> {
    let Some(id) = command.action else { return Ok(()) };
    let Some(action) = actions::by_id(tx, tenant, id)? else { return Ok(()) };
    if !actions::advance(tx, tenant, id, &["queued"], "sent", None, now)? {
        return Ok(());
    }
    match Verb::from_name(&action.name) {
        Some(Verb::Wipe) => {
            leaving_rows::set_management_state(tx, tenant, action.device_id, "wipeIssued", now)?;
        }
        Some(Verb::Retire) => {
            leaving_rows::set_management_state(tx, tenant, action.device_id, "retireIssued", now)?;
        }
        _ => return Ok(()),
    }
    note(tx, tenant, ids, &Who::of_action(tenant, &action), Note::of_action("Hand out action", &action), now)
}

/// The device answered the command of an action, or it could not read it.
pub fn action_answered(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    command: &Command,
    ending: Ending,
    error: Option<&str>,
    now: i64,
) -> Result<()> {
    let Some(id) = command.action else { return Ok(()) };
    let Some(action) = actions::by_id(tx, tenant, id)? else { return Ok(()) };
    let (state, said) = match ending {
        Ending::Acknowledged => ("done", "acknowledged by the device".to_owned()),
        Ending::Error => ("failed", error.unwrap_or("the device answered with an error").to_owned()),
        Ending::CommandFormatError => ("failed", "the device could not read the command".to_owned()),
        Ending::Expired => ("expired", "the device did not fetch it in time".to_owned()),
        Ending::Cancelled => ("canceled", "called back".to_owned()),
    };
    if !actions::advance(tx, tenant, id, &RELEASED, state, Some(&said), now)? {
        return Ok(());
    }
    let what = Note::of_action("Device answered", &action).with("result", json!(state));
    note(tx, tenant, ids, &Who::of_action(tenant, &action), what, now)?;
    let Some(device) = devices::by_id(tx, tenant, action.device_id)? else { return Ok(()) };
    let who = Who::of_action(tenant, &action);
    match (Verb::from_name(&action.name), ending) {
        (Some(Verb::Wipe), Ending::Acknowledged) => {
            leaving::finish(tx, ids, tenant, &device, "wiped", "wipeIssued", &who, now)
        }
        (Some(Verb::Wipe), Ending::Error | Ending::CommandFormatError) => {
            leaving_rows::set_management_state(tx, tenant, device.id, "wipeFailed", now)?;
            failed(tx, ids, tenant, &action, now)
        }
        (Some(Verb::Wipe), Ending::Expired | Ending::Cancelled) => {
            leaving_rows::set_management_state(tx, tenant, device.id, "managed", now)?;
            Ok(())
        }
        (Some(Verb::Retire), Ending::Acknowledged) => {
            leaving::finish(tx, ids, tenant, &device, "left", "retireIssued", &who, now)
        }
        (Some(Verb::Retire), Ending::Error | Ending::CommandFormatError) => {
            // An answer all the same: with its identity revoked the device is refused at its next
            // contact, and that removes the profile too.
            failed(tx, ids, tenant, &action, now)?;
            leaving::finish(tx, ids, tenant, &device, "left", "retireFailed", &who, now)
        }
        _ => Ok(()),
    }
}

fn failed(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, action: &Action, now: i64) -> Result<()> {
    alert(tx, tenant, ids, "action.failed", Some(("action", action.id)), json!({ "action": action.name }), now)
}

/// Nobody fetched it in time. What was handed out and never answered counts as done: an erased or
/// locked device often cannot answer.
pub(crate) fn expire(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, action: &Action, who: &Who, now: i64) -> Result<()> {
    commands::cancel_for(tx, tenant, Which::Action(action.id), now)?;
    let handed_out = matches!(action.state.as_str(), "sent" | "active");
    let (state, result) = match handed_out {
        true => ("done", "handed out; the device never answered"),
        false => ("expired", "the device did not come in time"),
    };
    if !actions::advance(tx, tenant, action.id, &["approved", "queued", "sent", "active"], state, Some(result), now)? {
        return Ok(());
    }
    note(tx, tenant, ids, who, Note::of_action("Expire action", action).with("result", json!(state)), now)?;
    let Some(device) = devices::by_id(tx, tenant, action.device_id)? else { return Ok(()) };
    match (action.name.as_str(), handed_out) {
        ("wipe", true) => leaving::finish(tx, ids, tenant, &device, "wiped", "wipeIssued", who, now),
        ("wipe", false) => {
            leaving_rows::set_management_state(tx, tenant, device.id, "managed", now)?;
            let body = json!({ "action": action.name });
            alert(tx, tenant, ids, "action.expired", Some(("action", action.id)), body, now)
        }
        _ => Ok(()),
    }
}

/// Takes an action back as far as the device does not have it in hand.
pub(crate) fn cancel_undelivered(
    tx: &mut dyn Tx,
    ids: &mut Ids,
    tenant: Uuid,
    action: &Action,
    why: &str,
    who: &Who,
    now: i64,
) -> Result<bool> {
    if action.name == "retire" && action.state == "queued" {
        // The company's data has already been taken back on our side.
        return Ok(false);
    }
    if !actions::advance(tx, tenant, action.id, &UNDELIVERED, "canceled", Some(why), now)? {
        return Ok(false);
    }
    commands::cancel_for(tx, tenant, Which::Action(action.id), now)?;
    if action.name == "wipe" && action.state == "queued" {
        leaving_rows::set_management_state(tx, tenant, action.device_id, "wipeCanceled", now)?;
    }
    note(tx, tenant, ids, who, Note::of_action("Cancel action", action).with("why", json!(why)), now)?;
    Ok(true)
}

/// The same person enrolled the same device again: a wipe that was not handed out follows it, one that
/// was counts as done, everything else that waited ends.
pub fn device_re_enrolled(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, device: Uuid, now: i64) -> Result<()> {
    for action in actions::waiting_of_device(tx, tenant, device)? {
        match (action.name.as_str(), action.state.as_str()) {
            ("wipe", "held" | "approved") => {}
            ("wipe", "queued") => {
                commands::cancel_for(tx, tenant, Which::Action(action.id), now)?;
                // Back to the releaser's door: it was counted once, and goes to the new channel at once.
                let Some(record) = devices::by_id(tx, tenant, device)? else { return Ok(()) };
                super::start::start(tx, ids, tenant, Verb::Wipe, &action, &record, now)?;
            }
            (name, "sent" | "active") => {
                let said = match name {
                    "wipe" => "handed out before the device enrolled again",
                    _ => "handed out before the device enrolled again; never answered",
                };
                commands::cancel_for(tx, tenant, Which::Action(action.id), now)?;
                actions::advance(tx, tenant, action.id, &["sent", "active"], "done", Some(said), now)?;
            }
            _ => {
                commands::cancel_for(tx, tenant, Which::Action(action.id), now)?;
                actions::advance(
                    tx,
                    tenant,
                    action.id,
                    &UNDELIVERED,
                    "canceled",
                    Some("the device enrolled again"),
                    now,
                )?;
            }
        }
    }
    Ok(())
}

/// The device became its user's own: a wipe that others asked for while it was the company's, and that
/// it does not have in hand, ends with an alert.
pub fn device_made_personal(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, device: Uuid, now: i64) -> Result<()> {
    let Some(wipe) = actions::waiting(tx, tenant, device, Verb::Wipe.name())? else { return Ok(()) };
    let who = Who::server_in(tenant);
    if wipe.actor_kind != "person"
        && cancel_undelivered(tx, ids, tenant, &wipe, "the device became personal", &who, now)?
    {
        let body = json!({ "severity": "critical", "action": wipe.name, "device": device });
        alert(tx, tenant, ids, "guard.actionVoid", Some(("action", wipe.id)), body, now)?;
    }
    Ok(())
}

/// Another person enrolled the hardware of this record: what waited for it ends, and a pending wipe or
/// retire that dies this way is a critical alert.
pub fn device_taken_over(tx: &mut dyn Tx, ids: &mut Ids, tenant: Uuid, device: Uuid, now: i64) -> Result<()> {
    for action in actions::waiting_of_device(tx, tenant, device)? {
        commands::cancel_for(tx, tenant, Which::Action(action.id), now)?;
        let from = ["held", "approved", "queued", "sent", "active"];
        let why = "another person enrolled this device";
        if actions::advance(tx, tenant, action.id, &from, "canceled", Some(why), now)?
            && matches!(action.name.as_str(), "wipe" | "retire")
        {
            leaving_rows::set_management_state(
                tx,
                tenant,
                device,
                if action.name == "wipe" { "wipeCanceled" } else { "retireCanceled" },
                now,
            )?;
            note(
                tx,
                tenant,
                ids,
                &Who::server_in(tenant),
                Note::of_action("Cancel action", &action).with("why", json!(why)),
                now,
            )?;
            let body = json!({ "severity": "critical", "action": action.name, "device": device });
            alert(tx, tenant, ids, "action.diedAtTakeover", Some(("managedDevice", device)), body, now)?;
        }
    }
    Ok(())
}
