//! What the variables in texts of policies are on a device; their names are the domain's.

use muster_domain::catalogue::variables::{self, Part, Variable};
use muster_storage::subjects::Subject;
use serde_json::Value;

/// A variable that has no value on this device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device has no value for {{{{{0}}}}}")]
pub struct NoValue(pub String);

fn value(variable: Variable, subject: &Subject) -> Option<String> {
    let user = subject.user_principal_name.clone();
    match variable {
        Variable::UserPrincipalName => user,
        Variable::UserName => user.map(|upn| upn.split('@').next().unwrap_or_default().to_owned()),
        Variable::Mail => subject.mail.clone().or(user),
        Variable::DisplayName => subject.display_name.clone(),
        Variable::UserId => subject.person_id.map(|id| id.to_string()),
        Variable::SerialNumber => subject.serial_number.clone(),
        Variable::SerialNumberEnd => {
            let serial: Vec<char> = subject.serial_number.as_ref()?.chars().collect();
            Some(serial[serial.len().saturating_sub(4)..].iter().collect())
        }
        Variable::Imei => subject.imei.clone(),
        Variable::Udid => subject.udid.clone(),
        Variable::DeviceName => Some(subject.device_name.clone()),
        Variable::DeviceId => Some(subject.device_id.to_string()),
        Variable::AzureAdDeviceId => Some(subject.azure_ad_device_id.to_string()),
        Variable::OsType => Some(subject.platform.clone()),
        Variable::Nowhere => None,
    }
}

/// Fills in every variable; one that is unknown or without a value is an error that names it.
pub fn fill(text: &str, subject: &Subject) -> Result<String, NoValue> {
    let mut out = String::with_capacity(text.len());
    for part in variables::parts(text) {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Name(name) => {
                let found = Variable::of(name).and_then(|variable| value(variable, subject));
                out.push_str(&found.ok_or_else(|| NoValue(name.trim().to_owned()))?);
            }
        }
    }
    Ok(out)
}

/// Fills in what is known, with nothing where the device has no value, and leaves everything else as it
/// stands: a text may hold braces of its own.
pub fn fill_known(text: &str, subject: &Subject) -> String {
    variables::fill(text, &|variable| value(variable, subject))
}

/// The same in every text of a value.
pub fn fill_all(value: &mut Value, subject: &Subject) {
    match value {
        Value::String(text) if text.contains("{{") => *text = fill_known(text, subject),
        Value::Array(list) => list.iter_mut().for_each(|value| fill_all(value, subject)),
        Value::Object(members) => members.values_mut().for_each(|value| fill_all(value, subject)),
        _ => {}
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::*;

    pub(crate) fn subject() -> Subject {
        Subject {
            enrollment_id: Uuid::nil(),
            channel: "appleDevice".into(),
            state: "enrolled".into(),
            device_id: Uuid::from_u128(7),
            directory_id: Uuid::nil(),
            azure_ad_device_id: Uuid::from_u128(9),
            platform: "iOS".into(),
            os_version: Some("17.4".into()),
            is_supervised: false,
            enrollment_type: "userEnrollment".into(),
            owner_type: "company".into(),
            device_name: "Ann's iPhone".into(),
            serial_number: Some("C02XK1".into()),
            udid: None,
            imei: None,
            person_id: Some(Uuid::nil()),
            licensed_user: true,
            user_principal_name: Some("ann@example.org".into()),
            mail: None,
            display_name: Some("Ann".into()),
            device_state: "enrolled".into(),
        }
    }

    #[test]
    fn variables_are_filled_in_whatever_their_case() {
        let s = subject();
        assert_eq!(fill("CN={{UserName}},OU={{SERIALNUMBER}}", &s).unwrap(), "CN=ann,OU=C02XK1");
        assert_eq!(fill("{{ emailaddress }}", &s).unwrap(), "ann@example.org");
    }

    #[test]
    fn a_missing_value_is_named() {
        assert_eq!(fill("{{IMEINumber}}", &subject()), Err(NoValue("IMEINumber".into())));
        assert_eq!(fill("{{nonsense}}", &subject()), Err(NoValue("nonsense".into())));
    }

    #[test]
    fn a_value_is_not_read_again() {
        let mut s = subject();
        s.device_name = "{{UserPrincipalName}}".into();
        assert_eq!(fill("{{DeviceName}}", &s).unwrap(), "{{UserPrincipalName}}");
        assert_eq!(fill_known("a {{ b {{DeviceName}}", &s), "a {{ b {{UserPrincipalName}}");
    }
}
