//! `CheckOut`: the person removed management. Best effort, never repeated; silence and the push
//! service's 410 tell the rest.

use muster_apple::{Channel, check_in::CheckOut};
use muster_storage::enrollments;

use super::{Contact, Reply, hooks, note};
use crate::{Result, Service};

impl Service {
    pub(super) async fn check_out(&self, contact: &Contact, message: CheckOut) -> Result<Reply> {
        let (standing, _) = self.standing(contact, &message.ids).await?;
        let (Some(device), Some(channel)) = (standing.device, standing.channel) else { return Ok(Reply::Empty) };
        if channel.state == enrollments::state::LEFT || message.ids.channel() == Channel::User {
            return Ok(Reply::Empty);
        }
        let (tenant, now) = (contact.identity.tenant, self.clock.now());
        let (ids, origin) = (self.ids(now), contact.origin());
        self.store
            .write(tenant, move |tx| {
                let mut ids = ids.clone();
                note::device_did(tx, tenant, &mut ids, &origin, device, "check out", vec![], now)?;
                hooks::device_left(tx, &mut ids, tenant, device, "the person removed management", now)
            })
            .await?;
        Ok(Reply::Empty)
    }
}
