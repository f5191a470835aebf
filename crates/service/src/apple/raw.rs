//! Commands that an administrator writes: checked before they stand in a queue, sealed while they
//! wait, gone with their answer.

use muster_apple::{Command as Wire, Request, raw_command};
use muster_storage::{commands, enrollments};
use uuid::Uuid;

use super::{commands::priority, push};
use crate::{Actor, Error, Kind, Result, Service, audit, keys::Place};

const ACT: audit::Act =
    audit::Act { operation: "Action", activity: "send raw command", category: "Device", component: "AppleDevices" };

impl Service {
    /// Queues a raw command for a device's own channel; a bad one is refused with the place.
    pub async fn queue_raw_command(&self, actor: &Actor, device: Uuid, document: &[u8]) -> Result<Uuid> {
        let request = raw_command::decode(document)
            .map_err(|refused| Error::refused(Kind::BadRequest, "BadRequest", refused.to_string()))?;
        let (tenant, now) = (actor.tenant, self.clock.now());
        let id = self.random.id(now);
        let request_type = request.request_type.clone();
        let bytes = Wire { uuid: id.to_string(), request }.encode();
        let sealed = self.seal(tenant, place(id), &bytes).await?;
        let mut entry = self.audit_entry(actor, ACT, now);
        entry.resources.push(audit::subject("managedDevice", device, None));
        let ids = self.ids(now);
        self.store
            .write(tenant, move |tx| {
                let channel = enrollments::device_channel(tx, tenant, device)?
                    .filter(|channel| channel.state == enrollments::state::ENROLLED)
                    .ok_or_else(|| Error::not_found("no enrolled device has this id"))?;
                let command = commands::NewCommand {
                    id,
                    enrollment: channel.id,
                    device,
                    request_type: request_type.clone(),
                    payload: "{}".into(),
                    origin: "raw".into(),
                    action: None,
                    destructive: false,
                    priority: priority::RAW,
                    held: false,
                    not_before: 0,
                    expires_at: None,
                    now,
                };
                commands::enqueue(tx, tenant, &command)?;
                commands::put_raw(tx, tenant, id, &sealed)?;
                muster_storage::audit::record(tx, tenant, &entry)?;
                push::push_soon(tx, tenant, channel.id, &mut ids.clone(), now)?;
                Ok::<_, Error>(id)
            })
            .await
    }

    pub(super) async fn render_raw(&self, tenant: Uuid, id: Uuid) -> Result<Option<Request>> {
        let Some(sealed) = self.store.read(tenant, move |tx| commands::raw(tx, tenant, id)).await? else {
            return Ok(None);
        };
        let bytes = self.unseal(tenant, place(id), &sealed).await?;
        let command = Wire::decode(bytes.expose()).map_err(Error::internal)?;
        Ok(Some(command.request))
    }
}

fn place(row: Uuid) -> Place {
    Place { table: "command_raw", column: "sealed", row }
}
