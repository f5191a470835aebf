//! One command on the wire: `CommandUUID` and `Command` with its `RequestType`.
//! What goes into each is in [`crate::requests`].

use crate::{
    plist::{self, DecodeError, Dictionary, Limits, Read},
    requests::Request,
};

/// A command as handed to a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Ours; the device names it in its result.
    pub uuid: String,
    /// What is asked.
    pub request: Request,
}

impl Command {
    /// The answer body that hands the command out.
    pub fn encode(&self) -> Vec<u8> {
        let mut command = self.request.parameters.clone();
        command.insert("RequestType".into(), self.request.request_type.clone().into());
        plist::encode_dictionary(crate::dict! {
            "CommandUUID" => self.uuid.clone(),
            "Command" => command,
        })
    }

    /// Reads a command as a device does.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = plist::decode_dictionary(bytes, &Limits::RESULT)?;
        let uuid = message.need_text("CommandUUID")?;
        let mut parameters: Dictionary =
            message.dictionary("Command")?.ok_or_else(|| DecodeError::Missing("Command".into()))?.clone();
        let request_type = parameters.need_text("RequestType")?;
        parameters.remove("RequestType");
        Ok(Command { uuid, request: Request { request_type, parameters } })
    }
}
