//! Variables in texts of policies: `{{UserPrincipalName}}`, `{{SERIALNUMBER}}` and the like.
//!
//! Names are Graph's, in any letter case. A value is inserted once; what it contains is not read again.

use muster_storage::subjects::Subject;

/// A variable that has no value on this device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device has no value for {{{{{0}}}}}")]
pub struct NoValue(pub String);

/// The value of a variable. `None`: no such variable; `Some(None)`: no value on this device.
fn value(name: &str, subject: &Subject) -> Option<Option<String>> {
    let user = subject.user_principal_name.clone();
    Some(match name.to_ascii_lowercase().as_str() {
        "username" => user.map(|upn| upn.split('@').next().unwrap_or_default().to_owned()),
        "userprincipalname" | "userprincipal" => user,
        "emailaddress" | "mail" => subject.mail.clone().or(user),
        "fullname" | "displayname" => subject.display_name.clone(),
        "serialnumber" | "device_serial" | "deviceserialnumber" => subject.serial_number.clone(),
        "imeinumber" | "device_imei" | "imei" => subject.imei.clone(),
        "udid" | "deviceudid" => subject.udid.clone(),
        "devicename" | "fullyqualifieddomainname" => Some(subject.device_name.clone()),
        "deviceid" | "intunedeviceid" => Some(subject.device_id.to_string()),
        "aad_device_id" | "azureaddeviceid" => Some(subject.azure_ad_device_id.to_string()),
        "ostype" => Some(subject.platform.clone()),
        "wifimacaddress" | "meid" | "onprem_distinguished_name" | "onpremisessamaccountname" | "partialupn" => None,
        _ => return None,
    })
}

/// Fills in every variable; one without a value is an error that names it.
pub fn fill(text: &str, subject: &Subject) -> Result<String, NoValue> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, tail)) = after.split_once("}}") else {
            out.push_str("{{");
            rest = after;
            continue;
        };
        match value(name.trim(), subject) {
            Some(Some(found)) => out.push_str(&found),
            _ => return Err(NoValue(name.trim().to_owned())),
        }
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// Fills in what is known and leaves everything else as it stands: a custom profile may hold braces of
/// its own.
pub fn fill_known(text: &str, subject: &Subject) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        match after.split_once("}}") {
            Some((name, tail)) if value(name.trim(), subject).is_some() => {
                out.push_str(&value(name.trim(), subject).flatten().unwrap_or_default());
                rest = tail;
            }
            _ => {
                out.push_str("{{");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
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
