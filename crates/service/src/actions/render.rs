//! The command of an action, made when it is handed out; secrets are opened here and nowhere earlier.

use muster_apple::requests::{self, EraseDevice, Request};
use muster_storage::{actions, commands::Command, secrets};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::escrow::{UNLOCK_TOKEN, newest};
use crate::{Error, Result, Service};

impl Service {
    /// Renders the command of an action. An error means that nothing may be sent.
    pub async fn render_action(&self, tenant: Uuid, command: &Command) -> Result<Request> {
        let parameters: Map<String, Value> = serde_json::from_str(&command.payload).map_err(Error::internal)?;
        let pin = match parameters.get("pin").and_then(Value::as_bool) {
            Some(true) => Some(self.pin_of(tenant, command).await?),
            _ => None,
        };
        match command.request_type.as_str() {
            "DeviceInformation" => Ok(requests::device_information(&["OSVersion", "DeviceName"])),
            "DeviceLock" => Ok(requests::device_lock(None, None, pin.as_deref())),
            "RestartDevice" => Ok(requests::restart_device(None)),
            "ShutDownDevice" => Ok(requests::shut_down_device()),
            "ClearPasscode" => Ok(requests::clear_passcode(self.unlock_token(tenant, command.device).await?)),
            "Settings" => {
                let name = parameters.get("deviceName").and_then(Value::as_str);
                name.map(requests::set_device_name).ok_or_else(|| Error::internal("a rename without a name"))
            }
            "EraseDevice" => {
                let keep = parameters.get("persistEsimDataPlan").and_then(Value::as_bool).unwrap_or(false);
                let obliteration = match parameters.get("obliterationBehavior").and_then(Value::as_str) {
                    Some("doNotObliterate") => Some("DoNotObliterate".to_owned()),
                    Some("obliterateWithWarning") => Some("ObliterateWithWarning".to_owned()),
                    Some("always") => Some("Always".to_owned()),
                    _ => None,
                };
                let options = EraseDevice {
                    preserve_data_plan: keep.then_some(true),
                    disallow_proximity_setup: None,
                    pin,
                    obliteration_behavior: obliteration,
                };
                Ok(requests::erase_device(&options))
            }
            "RemoveProfile" => Ok(requests::remove_profile(&self.enrollment_profile_identifier(tenant))),
            other => Err(Error::internal(format!("an action has no command {other}"))),
        }
    }

    async fn pin_of(&self, tenant: Uuid, command: &Command) -> Result<String> {
        let action = command.action.ok_or_else(|| Error::internal("a PIN belongs to an action"))?;
        let found = self
            .store
            .read(tenant, move |tx| {
                let action = actions::by_id(tx, tenant, action)?;
                match action {
                    Some(action) => Ok(secrets::by_id(tx, tenant, action.id)?),
                    None => Ok::<_, Error>(None),
                }
            })
            .await?
            .ok_or_else(|| Error::internal("the PIN of a command is gone"))?;
        let pin = self.open_secret(tenant, &found).await?;
        String::from_utf8(pin.expose().clone()).map_err(|_| Error::internal("a PIN is digits"))
    }

    async fn unlock_token(&self, tenant: Uuid, device: Uuid) -> Result<Vec<u8>> {
        let found = self
            .store
            .read(tenant, move |tx| newest(tx, tenant, device, UNLOCK_TOKEN))
            .await?
            .ok_or_else(|| Error::internal("the unlock token is gone"))?;
        Ok(self.open_secret(tenant, &found).await?.expose().clone())
    }
}
