//! Who sends a message: the identification keys of every check-in and command result.
//!
//! Apple: "Check-in" keys `UDID`, `EnrollmentID`, `UserID`, ...; which appear depends on the kind
//! of enrollment.

use crate::plist::{DecodeError, Dictionary, Read, put, put_some};

/// The `UserID` that every user of a Shared iPad has; such a user is told apart by `UserShortName`.
pub const SHARED_IPAD_USER_ID: &str = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";

/// The longest id that is accepted.
const ID_BYTES: usize = 128;

/// Which of a device's two management channels speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The device itself.
    Device,
    /// A managed user of a Mac, or of a Shared iPad.
    User,
}

/// The identification keys as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnrollmentIds {
    /// `UDID`: device enrollments.
    pub udid: Option<String>,
    /// `EnrollmentID`: User Enrollments.
    pub enrollment_id: Option<String>,
    /// `EnrollmentUserID`: user channel of a User Enrollment on macOS.
    pub enrollment_user_id: Option<String>,
    /// `UserID`.
    pub user_id: Option<String>,
    /// `UserShortName`.
    pub user_short_name: Option<String>,
    /// `UserLongName`.
    pub user_long_name: Option<String>,
    /// `NotOnConsole`.
    pub not_on_console: Option<bool>,
}

impl EnrollmentIds {
    /// Ids of the device channel of a device enrollment.
    pub fn device(udid: &str) -> Self {
        EnrollmentIds { udid: Some(udid.into()), ..Default::default() }
    }

    /// Ids of the device channel of a User Enrollment.
    pub fn user_enrollment(enrollment_id: &str) -> Self {
        EnrollmentIds { enrollment_id: Some(enrollment_id.into()), ..Default::default() }
    }

    /// Reads the keys of a message, checked: exactly one device id, printable, not too long.
    pub fn decode(message: &Dictionary) -> Result<Self, DecodeError> {
        let ids = EnrollmentIds {
            udid: id(message, "UDID")?,
            enrollment_id: id(message, "EnrollmentID")?,
            enrollment_user_id: id(message, "EnrollmentUserID")?,
            user_id: id(message, "UserID")?,
            user_short_name: name(message, "UserShortName")?,
            user_long_name: name(message, "UserLongName")?,
            not_on_console: message.flag("NotOnConsole")?,
        };
        if ids.udid.is_none() && ids.enrollment_id.is_none() {
            return Err(DecodeError::Missing("UDID or EnrollmentID".into()));
        }
        if ids.user_id.as_deref() == Some(SHARED_IPAD_USER_ID) && ids.user_short_name.is_none() {
            return Err(DecodeError::Missing("UserShortName".into()));
        }
        Ok(ids)
    }

    /// Writes the keys into a message.
    pub fn encode(&self, message: &mut Dictionary) {
        put_some(message, "UDID", self.udid.clone());
        put_some(message, "EnrollmentID", self.enrollment_id.clone());
        put_some(message, "EnrollmentUserID", self.enrollment_user_id.clone());
        put_some(message, "UserID", self.user_id.clone());
        put_some(message, "UserShortName", self.user_short_name.clone());
        put_some(message, "UserLongName", self.user_long_name.clone());
        if let Some(flag) = self.not_on_console {
            put(message, "NotOnConsole", flag);
        }
    }

    /// `UDID`, else `EnrollmentID`.
    pub fn device_id(&self) -> &str {
        self.udid.as_deref().or(self.enrollment_id.as_deref()).unwrap_or_default()
    }

    /// The user part of the id, on a user channel.
    pub fn channel_user(&self) -> Option<&str> {
        match self.user_id.as_deref() {
            Some(SHARED_IPAD_USER_ID) => self.user_short_name.as_deref(),
            Some(user) => Some(user),
            None => self.enrollment_user_id.as_deref(),
        }
    }

    /// Device channel or user channel: decided by the presence of user keys, never of `UDID`.
    pub fn channel(&self) -> Channel {
        if self.channel_user().is_some() { Channel::User } else { Channel::Device }
    }

    /// The id of the channel: the device's id, and on a user channel `:` and the user's part.
    pub fn protocol_id(&self) -> String {
        match self.channel_user() {
            Some(user) => format!("{}:{user}", self.device_id()),
            None => self.device_id().to_owned(),
        }
    }

    /// True for User Enrollments, which never send a `UDID`.
    pub fn is_user_enrollment(&self) -> bool {
        self.udid.is_none()
    }
}

fn id(message: &Dictionary, key: &str) -> Result<Option<String>, DecodeError> {
    let value = message.text(key)?.filter(|value| !value.is_empty());
    if let Some(value) = &value {
        let fits = value.len() <= ID_BYTES && value.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !fits {
            return Err(DecodeError::Key(key.into(), "is not an identifier"));
        }
    }
    Ok(value)
}

fn name(message: &Dictionary, key: &str) -> Result<Option<String>, DecodeError> {
    let value = message.text(key)?.filter(|value| !value.is_empty());
    if value.as_ref().is_some_and(|value| value.len() > 256 || value.chars().any(char::is_control)) {
        return Err(DecodeError::Key(key.into(), "is not a name"));
    }
    Ok(value)
}
