//! Variables in texts of policies: `{{UserPrincipalName}}`, `{{SERIALNUMBER}}` and the like. Names are
//! Graph's, in any letter case; what each is on a device the service knows.
//!
//! A value is inserted once; what it contains is not read again.

/// What a variable stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variable {
    /// The person's sign-in name.
    UserPrincipalName,
    /// The sign-in name up to the `@`.
    UserName,
    /// The person's mail address.
    Mail,
    /// The person's name.
    DisplayName,
    /// The person's id in the directory.
    UserId,
    /// The device's serial number.
    SerialNumber,
    /// Its last four characters.
    SerialNumberEnd,
    /// The device's IMEI.
    Imei,
    /// The device's UDID.
    Udid,
    /// The device's name.
    DeviceName,
    /// Its id here.
    DeviceId,
    /// Its id in the directory, which also registers it with sign-on extensions.
    AzureAdDeviceId,
    /// The operating system.
    OsType,
    /// Known to Graph, kept by no directory here.
    Nowhere,
}

const NAMES: &[(&str, Variable)] = &[
    ("aad_device_id", Variable::AzureAdDeviceId),
    ("aaddeviceid", Variable::AzureAdDeviceId),
    ("accountid", Variable::UserId),
    ("azureaddeviceid", Variable::AzureAdDeviceId),
    ("device_imei", Variable::Imei),
    ("device_serial", Variable::SerialNumber),
    ("deviceid", Variable::DeviceId),
    ("devicename", Variable::DeviceName),
    ("deviceregistration", Variable::AzureAdDeviceId),
    ("deviceserialnumber", Variable::SerialNumber),
    ("deviceudid", Variable::Udid),
    ("displayname", Variable::DisplayName),
    ("emailaddress", Variable::Mail),
    ("fullname", Variable::DisplayName),
    ("fullyqualifieddomainname", Variable::DeviceName),
    ("imei", Variable::Imei),
    ("imeinumber", Variable::Imei),
    ("intunedeviceid", Variable::DeviceId),
    ("mail", Variable::Mail),
    ("meid", Variable::Nowhere),
    ("onprem_distinguished_name", Variable::Nowhere),
    ("onpremisessamaccountname", Variable::Nowhere),
    ("ostype", Variable::OsType),
    ("partialupn", Variable::UserName),
    ("serialnumber", Variable::SerialNumber),
    ("serialnumberlast4digits", Variable::SerialNumberEnd),
    ("udid", Variable::Udid),
    ("userid", Variable::UserId),
    ("username", Variable::UserName),
    ("userprincipal", Variable::UserPrincipalName),
    ("userprincipalname", Variable::UserPrincipalName),
    ("wifimacaddress", Variable::Nowhere),
];

impl Variable {
    /// The variable of a name.
    pub fn of(name: &str) -> Option<Variable> {
        let name = name.trim();
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, variable)| *variable)
    }
}

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// As it stands.
    Text(&'a str),
    /// The name between the braces.
    Name(&'a str),
}

/// Splits a text at its variables. Braces that do not close are text.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        // Of several opening braces the last pair counts: what is before it is text.
        let Some((name, tail)) = after.split_once("}}").filter(|(name, _)| !name.contains("{{")) else {
            let end = before.len() + 2;
            parts.push(Part::Text(&rest[..end]));
            rest = after;
            continue;
        };
        parts.push(Part::Text(before));
        parts.push(Part::Name(name));
        rest = tail;
    }
    parts.push(Part::Text(rest));
    parts
}

/// Fills in the variables that `value` knows; others stay as they stand.
pub fn fill(text: &str, value: &dyn Fn(Variable) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Name(name) => match Variable::of(name) {
                Some(variable) => out.push_str(&value(variable).unwrap_or_default()),
                None => {
                    out.push_str("{{");
                    out.push_str(name);
                    out.push_str("}}");
                }
            },
        }
    }
    out
}

/// Names between braces in a text that are no variable but look like one: letters, digits and `_`.
pub fn unknown(text: &str) -> impl Iterator<Item = &str> {
    let word = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    parts(text).into_iter().filter_map(move |part| match part {
        Part::Name(name) if !name.trim().is_empty() && word(name.trim()) && Variable::of(name).is_none() => {
            Some(name.trim())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann(variable: Variable) -> Option<String> {
        match variable {
            Variable::UserName => Some("ann".to_owned()),
            Variable::DeviceName => Some("{{UserName}}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn known_variables_are_filled_in_once_whatever_their_case() {
        assert_eq!(fill("{{ username }}/{{DEVICENAME}}", &ann), "ann/{{UserName}}");
        assert_eq!(fill("[{{imei}}]", &ann), "[]", "no value is nothing");
    }

    #[test]
    fn what_is_no_variable_stays_as_it_stands() {
        for text in ["{{nonsense}}", "a {{ b", "}} {{", "{{a{{b}}", "{{ x + y }}", "{{}}"] {
            assert_eq!(fill(text, &ann), text);
        }
        assert_eq!(fill("{{ {{username}}", &ann), "{{ ann");
        assert_eq!(unknown("{{nonsense}} {{mail}} {{ x + y }} {{ other }}").collect::<Vec<_>>(), ["nonsense", "other"]);
    }

    #[test]
    fn names_are_found_in_any_order_of_the_table() {
        for (name, variable) in NAMES {
            assert_eq!(Variable::of(&name.to_ascii_uppercase()), Some(*variable));
        }
    }
}
