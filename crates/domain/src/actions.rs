//! The action matrix: which action exists on which kind of device, and what its parameters are.
//!
//! Lives here: the table as data, the check of one request against one device, the validation of
//! parameters. Not here: who may ask and who must agree (`guard.rs`), queues and storage.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One imperative message to one device, by Graph's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// Asks the device to connect.
    SyncDevice,
    /// Locks the screen.
    RemoteLock,
    /// Clears the passcode.
    ResetPasscode,
    /// Restarts.
    RebootNow,
    /// Switches off.
    ShutDown,
    /// Names the device.
    SetDeviceName,
    /// Takes the company's data back.
    Retire,
    /// Erases the device.
    Wipe,
    /// Removes the record; the company's data goes at the next contact.
    Delete,
    /// Reveals the disk recovery key.
    GetFileVaultKey,
    /// Mail and a notice in the portal.
    SendCustomNotificationToCompanyPortal,
}

impl Verb {
    /// Every verb, in the order of the table.
    pub const ALL: [Verb; 11] = [
        Verb::SyncDevice,
        Verb::RemoteLock,
        Verb::ResetPasscode,
        Verb::RebootNow,
        Verb::ShutDown,
        Verb::SetDeviceName,
        Verb::Retire,
        Verb::Wipe,
        Verb::Delete,
        Verb::GetFileVaultKey,
        Verb::SendCustomNotificationToCompanyPortal,
    ];

    /// Graph's name.
    pub fn name(self) -> &'static str {
        match self {
            Verb::SyncDevice => "syncDevice",
            Verb::RemoteLock => "remoteLock",
            Verb::ResetPasscode => "resetPasscode",
            Verb::RebootNow => "rebootNow",
            Verb::ShutDown => "shutDown",
            Verb::SetDeviceName => "setDeviceName",
            Verb::Retire => "retire",
            Verb::Wipe => "wipe",
            Verb::Delete => "delete",
            Verb::GetFileVaultKey => "getFileVaultKey",
            Verb::SendCustomNotificationToCompanyPortal => "sendCustomNotificationToCompanyPortal",
        }
    }

    /// The verb of a name: Graph's action names, and the names `executeAction` uses.
    pub fn from_name(name: &str) -> Option<Verb> {
        match name {
            "customTextNotification" => Some(Verb::SendCustomNotificationToCompanyPortal),
            _ => Verb::ALL.into_iter().find(|verb| verb.name() == name),
        }
    }

    /// True where the guard holds the action and the emergency stop halts it.
    pub fn destructive(self) -> bool {
        matches!(self, Verb::Wipe | Verb::Retire | Verb::Delete)
    }
}

/// A kind of device, as far as actions tell them apart: a column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// iPhone or iPad, the whole device managed.
    Ios,
    /// iPhone or iPad under Apple's User Enrollment.
    IosUserEnrollment,
    /// Mac, the whole device managed.
    MacOs,
    /// Mac under Apple's User Enrollment.
    MacOsUserEnrollment,
    /// Android with a device administrator.
    AndroidAdministrator,
    /// Android work profile on a personal device.
    AndroidWorkProfile,
    /// Android fully managed.
    AndroidFullyManaged,
    /// Android dedicated.
    AndroidDedicated,
    /// Windows 10 and later.
    Windows,
}

impl DeviceKind {
    /// Every kind, in the order of the table's columns.
    pub const ALL: [DeviceKind; 9] = [
        DeviceKind::Ios,
        DeviceKind::IosUserEnrollment,
        DeviceKind::MacOs,
        DeviceKind::MacOsUserEnrollment,
        DeviceKind::AndroidAdministrator,
        DeviceKind::AndroidWorkProfile,
        DeviceKind::AndroidFullyManaged,
        DeviceKind::AndroidDedicated,
        DeviceKind::Windows,
    ];

    /// The kind of a record: its platform and its enrollment type by the beta endpoint's word.
    pub fn of(platform: &str, enrollment_type: &str) -> Option<DeviceKind> {
        let own = user_enrollment(enrollment_type);
        match (platform, own) {
            ("iOS" | "iPadOS", false) => Some(DeviceKind::Ios),
            ("iOS" | "iPadOS", true) => Some(DeviceKind::IosUserEnrollment),
            ("macOS", false) => Some(DeviceKind::MacOs),
            ("macOS", true) => Some(DeviceKind::MacOsUserEnrollment),
            ("windows" | "Windows", _) => Some(DeviceKind::Windows),
            _ => None,
        }
    }

    /// Apple's User Enrollment: the protocol itself cannot erase such a device.
    pub fn is_user_enrollment(self) -> bool {
        matches!(self, DeviceKind::IosUserEnrollment | DeviceKind::MacOsUserEnrollment)
    }

    /// For people to read.
    pub fn title(self) -> &'static str {
        match self {
            DeviceKind::Ios => "an iPhone or iPad",
            DeviceKind::IosUserEnrollment => "an iPhone or iPad under User Enrollment",
            DeviceKind::MacOs => "a Mac",
            DeviceKind::MacOsUserEnrollment => "a Mac under User Enrollment",
            DeviceKind::AndroidAdministrator => "an Android device with a device administrator",
            DeviceKind::AndroidWorkProfile => "an Android work profile",
            DeviceKind::AndroidFullyManaged => "a fully managed Android device",
            DeviceKind::AndroidDedicated => "a dedicated Android device",
            DeviceKind::Windows => "a Windows device",
        }
    }
}

/// True for the enrollment types in which Apple keeps personal and company data apart. Graph's word
/// `userEnrollment` is not one of them: it says that the user, not an administrator, enrolled.
pub fn user_enrollment(enrollment_type: &str) -> bool {
    matches!(
        enrollment_type,
        "appleUserEnrollment" | "appleAccountDrivenUserEnrollment" | "appleUserEnrollmentWithServiceAccount"
    )
}

/// One cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Works.
    Allowed,
    /// Works where the device says that it is supervised.
    Supervised,
    /// Works on devices the company owns.
    Corporate,
    /// The protocol has no such thing.
    Never,
}

/// The table: a verb, and a letter for each [`DeviceKind::ALL`].
/// `Y` allowed, `S` supervised only, `C` company-owned only, `-` never.
const TABLE: [(Verb, &str); 11] = [
    //                                          iOS UE Mac MacUE DA WP FM DE Win
    (Verb::SyncDevice, "YYYYYYYYY"),
    (Verb::RemoteLock, "YYY-YYYYY"),
    (Verb::ResetPasscode, "Y---YYYY-"),
    (Verb::RebootNow, "S-Y----YY"),
    (Verb::ShutDown, "S-Y------"),
    (Verb::SetDeviceName, "S-Y-----C"),
    (Verb::Retire, "YYYYYYY-Y"),
    (Verb::Wipe, "Y-Y-Y-YYY"),
    (Verb::Delete, "YYYYYYYYY"),
    (Verb::GetFileVaultKey, "--Y------"),
    (Verb::SendCustomNotificationToCompanyPortal, "YYYYYYYYY"),
];

/// The cell of a verb and a kind.
pub fn rule(verb: Verb, kind: DeviceKind) -> Rule {
    let row = TABLE.iter().find(|(v, _)| *v == verb).map_or("", |(_, row)| row);
    let column = DeviceKind::ALL.iter().position(|k| *k == kind).unwrap_or(usize::MAX);
    match row.as_bytes().get(column) {
        Some(b'Y') => Rule::Allowed,
        Some(b'S') => Rule::Supervised,
        Some(b'C') => Rule::Corporate,
        _ => Rule::Never,
    }
}

/// Who owns a device, Graph's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ownership {
    /// Not known.
    Unknown,
    /// The company's.
    Company,
    /// The person's own.
    Personal,
}

impl Ownership {
    /// From the stored word; an unknown word is [`Ownership::Unknown`].
    pub fn from_word(word: &str) -> Ownership {
        match word {
            "company" => Ownership::Company,
            "personal" => Ownership::Personal,
            _ => Ownership::Unknown,
        }
    }
}

/// What a device's own record says, as far as actions care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Column of the table.
    pub kind: DeviceKind,
    /// The device's own fact.
    pub supervised: bool,
    /// Owner of today.
    pub ownership: Ownership,
    /// An unlock token is in escrow.
    pub unlock_token: bool,
    /// The device is enrolled: commands can reach it.
    pub enrolled: bool,
}

/// Why an action cannot apply to a device, for people to read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotApply(pub String);

/// Whether a verb can apply to a device at all; what cannot is refused at once, never approved.
pub fn check(verb: Verb, target: &Target) -> Result<(), CannotApply> {
    let refuse = |text: String| Err(CannotApply(text));
    match rule(verb, target.kind) {
        Rule::Never => {
            return refuse(format!("{} does not exist on {}", verb.name(), target.kind.title()));
        }
        Rule::Supervised if !target.supervised => {
            return refuse(format!("{} needs a supervised device, and this one is not supervised", verb.name()));
        }
        Rule::Corporate if target.ownership != Ownership::Company => {
            return refuse(format!("{} needs a device that the company owns", verb.name()));
        }
        _ => {}
    }
    if !target.enrolled && !matches!(verb, Verb::Delete | Verb::GetFileVaultKey) {
        return refuse(format!("{} needs an enrolled device, and this one is not", verb.name()));
    }
    if verb == Verb::ResetPasscode && !target.unlock_token {
        return refuse(
            "resetPasscode needs the unlock token that the device sends at enrollment; it has sent none".into(),
        );
    }
    Ok(())
}

/// How a Mac is to be erased where the quick way fails (Apple, `EraseDevice`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Obliteration {
    /// Apple's default.
    #[default]
    Default,
    /// Never obliterate.
    DoNotObliterate,
    /// Obliterate after a warning.
    ObliterateWithWarning,
    /// Always obliterate.
    Always,
}

/// Options of a wipe on Apple devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WipeOptions {
    /// Keep the eSIM plan.
    pub persist_esim_data_plan: bool,
    /// Six digits asked on a Mac's start-up screen. A secret: never stored in the clear.
    pub mac_os_unlock_code: Option<String>,
    /// What a Mac does when the quick erase fails.
    pub obliteration: Obliteration,
}

/// Validated parameters of a verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// The verb takes none.
    None,
    /// `wipe`.
    Wipe(WipeOptions),
    /// `setDeviceName`.
    Name(String),
    /// `sendCustomNotificationToCompanyPortal`.
    Notification {
        /// Title.
        title: String,
        /// Text.
        body: String,
    },
}

/// Longest device name that Apple's own settings take without cutting.
const NAME_CHARACTERS: usize = 63;
/// Title and text of a notification together.
const NOTIFICATION_CHARACTERS: usize = 500;

/// Reads the parameters of a verb from its JSON body; a null counts as absent.
pub fn parameters(verb: Verb, kind: DeviceKind, body: &Map<String, Value>) -> Result<Parameters, CannotApply> {
    let mut fields = Fields { verb, body, known: Vec::new() };
    let parameters = match verb {
        Verb::Wipe => wipe(kind, &mut fields)?,
        Verb::SetDeviceName => Parameters::Name(device_name(&fields.text("deviceName")?)?),
        Verb::SendCustomNotificationToCompanyPortal => {
            let title = fields.text("notificationTitle")?;
            let body = fields.text("notificationBody")?;
            if title.chars().count() + body.chars().count() > NOTIFICATION_CHARACTERS {
                return Err(CannotApply(format!(
                    "notificationTitle and notificationBody together take {NOTIFICATION_CHARACTERS} characters at most"
                )));
            }
            Parameters::Notification { title, body }
        }
        _ => Parameters::None,
    };
    fields.finish()?;
    Ok(parameters)
}

fn wipe(kind: DeviceKind, fields: &mut Fields<'_>) -> Result<Parameters, CannotApply> {
    for windows in ["keepEnrollmentData", "keepUserData", "useProtectedWipe"] {
        if fields.flag(windows)? && kind != DeviceKind::Windows {
            return Err(CannotApply(format!(
                "{windows} exists on Windows only; {} is always erased whole",
                kind.title()
            )));
        }
    }
    let persist_esim_data_plan = fields.flag("persistEsimDataPlan")?;
    let code = fields.optional("macOsUnlockCode")?.filter(|code| !code.is_empty());
    if let Some(code) = &code
        && kind == DeviceKind::MacOs
        && !(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(CannotApply("macOsUnlockCode is six digits".into()));
    }
    let obliteration = match fields.optional("obliterationBehavior")?.as_deref() {
        None | Some("default") => Obliteration::Default,
        Some("doNotObliterate") => Obliteration::DoNotObliterate,
        Some("obliterateWithWarning") => Obliteration::ObliterateWithWarning,
        Some("always") => Obliteration::Always,
        Some(other) => {
            return Err(CannotApply(format!("obliterationBehavior has no value {other}")));
        }
    };
    Ok(Parameters::Wipe(WipeOptions {
        persist_esim_data_plan,
        mac_os_unlock_code: code.filter(|_| kind == DeviceKind::MacOs),
        obliteration,
    }))
}

/// A name a device may get: letters, digits, spaces inside, hyphen, dot, underscore, apostrophe.
fn device_name(name: &str) -> Result<String, CannotApply> {
    let length = name.chars().count();
    let fine = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '.' | '_' | '\'' | '’');
    if length == 0 || length > NAME_CHARACTERS {
        return Err(CannotApply(format!("deviceName takes 1 to {NAME_CHARACTERS} characters")));
    }
    if name.trim() != name || !name.chars().all(fine) {
        return Err(CannotApply(
            "deviceName takes letters, digits, hyphens, dots, underscores, apostrophes and spaces inside".into(),
        ));
    }
    Ok(name.to_owned())
}

struct Fields<'a> {
    verb: Verb,
    body: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields<'_> {
    fn optional(&mut self, name: &'static str) -> Result<Option<String>, CannotApply> {
        self.known.push(name);
        match self.body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(CannotApply(format!("{name} is a string"))),
        }
    }
    fn text(&mut self, name: &'static str) -> Result<String, CannotApply> {
        self.optional(name)?
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| CannotApply(format!("{} needs {name}", self.verb.name())))
    }
    fn flag(&mut self, name: &'static str) -> Result<bool, CannotApply> {
        self.known.push(name);
        match self.body.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(CannotApply(format!("{name} is true or false"))),
        }
    }
    fn finish(self) -> Result<(), CannotApply> {
        match self.body.keys().find(|key| !self.known.contains(&key.as_str()) && !key.contains('@')) {
            Some(unknown) => Err(CannotApply(format!("{} has no parameter {unknown}", self.verb.name()))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(kind: DeviceKind, supervised: bool) -> Target {
        Target { kind, supervised, ownership: Ownership::Company, unlock_token: true, enrolled: true }
    }

    #[test]
    fn every_cell_is_filled_and_every_verb_has_a_row() {
        for verb in Verb::ALL {
            let (_, row) = TABLE.iter().find(|(v, _)| *v == verb).expect("a row");
            assert_eq!(row.len(), DeviceKind::ALL.len(), "{verb:?}");
            assert!(row.bytes().all(|b| b"YSC-".contains(&b)), "{verb:?}");
            assert_eq!(Verb::from_name(verb.name()), Some(verb));
        }
    }

    #[test]
    fn the_check_says_what_the_table_says() {
        for verb in Verb::ALL {
            for kind in DeviceKind::ALL {
                for supervised in [false, true] {
                    let expected = match rule(verb, kind) {
                        Rule::Allowed | Rule::Corporate => true,
                        Rule::Supervised => supervised,
                        Rule::Never => false,
                    };
                    let got = check(verb, &target(kind, supervised));
                    assert_eq!(got.is_ok(), expected, "{verb:?} {kind:?} {supervised} {got:?}");
                }
            }
        }
    }

    #[test]
    fn user_enrollment_is_never_erased_nor_unlocked() {
        for word in ["appleUserEnrollment", "appleAccountDrivenUserEnrollment"] {
            for platform in ["iOS", "iPadOS", "macOS"] {
                let kind = DeviceKind::of(platform, word).unwrap();
                assert!(kind.is_user_enrollment());
                assert_eq!(rule(Verb::Wipe, kind), Rule::Never);
                assert_eq!(rule(Verb::ResetPasscode, kind), Rule::Never);
            }
        }
        // Graph's word for "the user enrolled it" is an ordinary device enrollment.
        assert_eq!(DeviceKind::of("iOS", "userEnrollment"), Some(DeviceKind::Ios));
    }

    #[test]
    fn a_passcode_reset_needs_the_unlock_token() {
        let mut phone = target(DeviceKind::Ios, false);
        phone.unlock_token = false;
        assert!(check(Verb::ResetPasscode, &phone).is_err());
    }

    #[test]
    fn a_device_that_left_takes_no_command_but_its_record_can_go() {
        let mut phone = target(DeviceKind::Ios, true);
        phone.enrolled = false;
        assert!(check(Verb::RemoteLock, &phone).is_err());
        assert!(check(Verb::Delete, &phone).is_ok());
    }

    fn parse(verb: Verb, kind: DeviceKind, json: &str) -> Result<Parameters, CannotApply> {
        parameters(verb, kind, &serde_json::from_str(json).unwrap())
    }

    #[test]
    fn wipe_takes_graphs_body_and_refuses_what_it_would_not_do() {
        let body =
            r#"{"keepEnrollmentData":false,"keepUserData":false,"macOsUnlockCode":"","persistEsimDataPlan":true}"#;
        assert_eq!(
            parse(Verb::Wipe, DeviceKind::Ios, body),
            Ok(Parameters::Wipe(WipeOptions { persist_esim_data_plan: true, ..WipeOptions::default() }))
        );
        assert!(parse(Verb::Wipe, DeviceKind::Ios, r#"{"keepUserData":true}"#).is_err());
        assert!(parse(Verb::Wipe, DeviceKind::MacOs, r#"{"macOsUnlockCode":"12345"}"#).is_err());
        assert!(parse(Verb::Wipe, DeviceKind::MacOs, r#"{"macOsUnlockCode":"123456"}"#).is_ok());
        let unknown = parse(Verb::Wipe, DeviceKind::Ios, r#"{"force":true}"#).unwrap_err();
        assert!(unknown.0.contains("force"), "{unknown}");
    }

    #[test]
    fn names_and_notices_are_bounded() {
        let name = |n: &str| parse(Verb::SetDeviceName, DeviceKind::MacOs, &format!(r#"{{"deviceName":{n:?}}}"#));
        assert!(name("Ann's Mac-2").is_ok());
        for bad in ["", " x", "a\nb", "<b>", &"x".repeat(64)] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        let notice = |n: usize| {
            let text = "x".repeat(n);
            parse(
                Verb::SendCustomNotificationToCompanyPortal,
                DeviceKind::Ios,
                &format!(r#"{{"notificationTitle":"Hello","notificationBody":"{text}"}}"#),
            )
        };
        assert!(notice(495).is_ok());
        assert!(notice(496).is_err());
    }
}
