//! Tells a person that their device now counts as the company's, and what that means.

use muster_storage::{devices, jobs::Job, people};
use serde::Deserialize;
use uuid::Uuid;

use crate::{MailMessage, Result, Service};

#[derive(Deserialize)]
struct Told {
    device: Uuid,
    person: Uuid,
}

impl Service {
    /// Runs the job.
    pub(crate) async fn tell_owner_change(&self, job: Job) -> Result<()> {
        let told: Told = crate::jobs::payload(&job)?;
        let tenant = job.tenant;
        let found = self
            .store
            .read(tenant, move |tx| -> Result<_> {
                let device = devices::by_id(tx, tenant, told.device)?;
                Ok(device.zip(people::by_id(tx, tenant, told.person)?))
            })
            .await?;
        // Changed back, left or deleted since: nothing to tell.
        let Some((device, person)) = found.filter(|(device, _)| device.owner_type == "company") else {
            return Ok(());
        };
        let to = person.mail.unwrap_or(person.user_principal_name);
        let message = MailMessage {
            to,
            subject: format!("{} now counts as your organization's device", device.name),
            text: format!(
                "Hello {},\n\nan administrator has marked your device \"{}\" as owned by your organization.\n\n\
                 From now on your organization can see all apps on it, not only the ones it installed, and can \
                 erase the whole device. If this device is your own, ask your administrator to change it back.\n",
                person.display_name, device.name
            ),
        };
        self.send_mail(tenant, &message).await
    }
}
