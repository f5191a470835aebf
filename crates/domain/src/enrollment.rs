//! Enrollment kinds and rules: which way a person's Apple device may come in.
//!
//! A tenant's `appleUserInitiatedEnrollmentProfile` decides, the first one in priority that is
//! assigned to the person; without one, the web gives a profile and discovery answers `mdm-byod`.

/// Who owns a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The person.
    Personal,
    /// The organisation.
    Company,
}

impl Owner {
    /// Graph's managedDeviceOwnerType.
    pub fn word(self) -> &'static str {
        match self {
            Owner::Personal => "personal",
            Owner::Company => "company",
        }
    }

    /// The owner of this word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "personal" => Some(Owner::Personal),
            "company" => Some(Owner::Company),
            _ => None,
        }
    }
}

/// Graph's appleUserInitiatedEnrollmentType.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InitiatedType {
    /// The person is asked whose device it is.
    Unknown,
    /// The whole device is managed.
    Device,
    /// User Enrollment by a profile (before iOS 15).
    User,
    /// User Enrollment from Settings, by account.
    AccountDrivenUser,
    /// The whole device, by a profile from the web.
    WebDevice,
}

impl InitiatedType {
    /// The type of Graph's word; an unknown word asks the person.
    pub fn parse(word: &str) -> Self {
        match word {
            "device" => InitiatedType::Device,
            "user" => InitiatedType::User,
            "accountDrivenUserEnrollment" => InitiatedType::AccountDrivenUser,
            "webDeviceEnrollment" => InitiatedType::WebDevice,
            _ => InitiatedType::Unknown,
        }
    }
}

/// What the deciding profile says: its default, and the types by owner where the person is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initiated {
    /// defaultEnrollmentType
    pub default: InitiatedType,
    /// availableEnrollmentTypeOptions
    pub options: Vec<(Owner, InitiatedType)>,
}

/// How a person who opened the enrollment page goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByWeb {
    /// Ask whose device it is, then decide again.
    AskOwner,
    /// A device enrollment by profile.
    Profile(Owner),
    /// The person is meant for User Enrollment, which this system is too old for.
    TooOld,
    /// Not here: the person signs in with the account in Settings.
    AccountDriven,
}

/// First OS version (iOS, iPadOS) with account-driven enrollment.
const ACCOUNT_DRIVEN: u32 = 15;

/// The type that applies once the owner is known; none while the person has to be asked.
fn resolve(profile: &Initiated, owner: Option<Owner>) -> Option<(InitiatedType, Owner)> {
    match profile.default {
        InitiatedType::Unknown => {
            let owner = owner?;
            let offered = profile.options.iter().find(|(of, _)| *of == owner).map(|(_, kind)| *kind);
            let kind = offered.filter(|kind| *kind != InitiatedType::Unknown).unwrap_or(match owner {
                Owner::Personal => InitiatedType::AccountDrivenUser,
                Owner::Company => InitiatedType::Device,
            });
            Some((kind, owner))
        }
        kind @ (InitiatedType::Device | InitiatedType::WebDevice) => Some((kind, owner.unwrap_or(Owner::Personal))),
        kind => Some((kind, Owner::Personal)),
    }
}

/// Decides for a person at the enrollment page. `os_major` is the major version of iOS or iPadOS
/// where the browser told it, none otherwise and on a Mac.
pub fn by_web(profile: Option<&Initiated>, owner: Option<Owner>, os_major: Option<u32>) -> ByWeb {
    let Some(profile) = profile else { return ByWeb::Profile(Owner::Personal) };
    match resolve(profile, owner) {
        None => ByWeb::AskOwner,
        // Never a device enrollment for a person meant for User Enrollment.
        Some((InitiatedType::AccountDrivenUser | InitiatedType::User, _))
            if os_major.is_some_and(|major| major < ACCOUNT_DRIVEN) =>
        {
            ByWeb::TooOld
        }
        // Systems of today have no User Enrollment by profile any more: the account does it.
        Some((InitiatedType::AccountDrivenUser | InitiatedType::User, _)) => ByWeb::AccountDriven,
        Some((InitiatedType::Device | InitiatedType::WebDevice, owner)) => ByWeb::Profile(asked(profile, owner)),
        Some((InitiatedType::Unknown, _)) => ByWeb::AskOwner,
    }
}

/// Ownership counts only where the person was asked; elsewhere an own device is assumed.
fn asked(profile: &Initiated, owner: Owner) -> Owner {
    if profile.default == InitiatedType::Unknown { owner } else { Owner::Personal }
}

/// What an account-driven enrollment becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByAccount {
    /// `mdm-byod`: User Enrollment.
    Byod,
    /// `mdm-adde`: device enrollment.
    Adde,
    /// The person enrolls from the web.
    Web,
}

/// Decides what discovery answers, and what the account-driven endpoints accept.
pub fn by_account(profile: Option<&Initiated>) -> ByAccount {
    match profile.map(|profile| profile.default) {
        None | Some(InitiatedType::Unknown | InitiatedType::User | InitiatedType::AccountDrivenUser) => ByAccount::Byod,
        Some(InitiatedType::Device) => ByAccount::Adde,
        Some(InitiatedType::WebDevice) => ByAccount::Web,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(default: InitiatedType) -> Initiated {
        Initiated { default, options: vec![] }
    }

    #[test]
    fn without_a_profile_the_web_gives_one_and_discovery_says_byod() {
        assert_eq!(by_web(None, None, None), ByWeb::Profile(Owner::Personal));
        assert_eq!(by_account(None), ByAccount::Byod);
    }

    #[test]
    fn unknown_asks_and_the_answer_decides() {
        let ask = profile(InitiatedType::Unknown);
        assert_eq!(by_web(Some(&ask), None, None), ByWeb::AskOwner);
        assert_eq!(by_web(Some(&ask), Some(Owner::Company), None), ByWeb::Profile(Owner::Company));
        assert_eq!(by_web(Some(&ask), Some(Owner::Personal), None), ByWeb::AccountDriven);
        let web = Initiated { options: vec![(Owner::Personal, InitiatedType::WebDevice)], ..ask };
        assert_eq!(by_web(Some(&web), Some(Owner::Personal), None), ByWeb::Profile(Owner::Personal));
    }

    #[test]
    fn a_person_meant_for_user_enrollment_is_never_given_a_device_enrollment() {
        for owner in [None, Some(Owner::Personal), Some(Owner::Company)] {
            for os in [None, Some(13), Some(14), Some(15), Some(18)] {
                let way = by_web(Some(&profile(InitiatedType::AccountDrivenUser)), owner, os);
                let expected = if os.is_some_and(|os| os < 15) { ByWeb::TooOld } else { ByWeb::AccountDriven };
                assert_eq!(way, expected);
            }
        }
    }

    #[test]
    fn an_owner_nobody_asked_for_is_not_believed() {
        let device = profile(InitiatedType::WebDevice);
        assert_eq!(by_web(Some(&device), Some(Owner::Company), None), ByWeb::Profile(Owner::Personal));
        assert_eq!(by_account(Some(&device)), ByAccount::Web);
        assert_eq!(by_account(Some(&profile(InitiatedType::Device))), ByAccount::Adde);
    }
}
