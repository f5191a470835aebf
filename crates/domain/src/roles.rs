//! Roles, permissions and scope words: who may do what, as data.
//!
//! A permission is one of Graph's scope words without `.All`, or one of ours (`Muster.`). The table
//! below says which roles hold it; the owner holds all, and a new row without roles belongs to
//! nobody else. Scopes of a token narrow its role, they never widen it.
//! What does not live here: objects a role may act on (scope tags, a later issue) and the guard.

/// A role by the name it is stored and shown under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Everything.
    Owner,
    /// Everything but operators, guard and keys.
    Administrator,
    /// Looks after people's devices; writes no policy and approves nothing.
    Helpdesk,
    /// Reads.
    Readonly,
}

use Role::{Administrator, Helpdesk, Owner, Readonly};

impl Role {
    /// Every role, the widest first.
    pub const ALL: [Role; 4] = [Owner, Administrator, Helpdesk, Readonly];

    /// The stored name.
    pub const fn name(self) -> &'static str {
        match self {
            Owner => "owner",
            Administrator => "administrator",
            Helpdesk => "helpdesk",
            Readonly => "readonly",
        }
    }

    /// The role of this name, in exactly this spelling.
    pub fn parse(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    /// True where the role holds the permission.
    pub fn holds(self, permission: Permission) -> bool {
        self == Owner || permission.roles().contains(&self)
    }

    /// True where the role holds everything that `other` holds.
    pub fn covers(self, other: Role) -> bool {
        Permission::ALL.iter().all(|&permission| self.holds(permission) || !other.holds(permission))
    }
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $word:literal [$($role:ident),*] by $($scope:literal)|*;)+) => {
        /// Something a caller may be allowed to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Permission { $($(#[$doc])* $name,)+ }

        impl Permission {
            /// Every permission.
            pub const ALL: &[Permission] = &[$(Permission::$name),+];

            /// Graph's scope word without `.All`, or ours.
            pub const fn word(self) -> &'static str {
                match self { $(Permission::$name => $word,)+ }
            }

            /// The roles that hold it, the owner aside.
            pub const fn roles(self) -> &'static [Role] {
                match self { $(Permission::$name => &[$($role),*],)+ }
            }

            /// Other scope words (without `.All`) that include it.
            const fn wider_scopes(self) -> &'static [&'static str] {
                match self { $(Permission::$name => &[$($scope),*],)+ }
            }
        }
    };
}

permissions! {
    /// Read managed devices and what they report.
    ManagedDevicesRead = "DeviceManagementManagedDevices.Read" [Administrator, Helpdesk, Readonly]
        by "DeviceManagementManagedDevices.ReadWrite";
    /// Change and delete managed devices.
    ManagedDevicesReadWrite = "DeviceManagementManagedDevices.ReadWrite" [Administrator] by "";
    /// Act on devices in ways their users notice. Each verb has its own permission beside it.
    ManagedDevicesPrivilegedOperations = "DeviceManagementManagedDevices.PrivilegedOperations" [Administrator] by "";
    /// Read configuration and compliance policies.
    ConfigurationRead = "DeviceManagementConfiguration.Read" [Administrator, Helpdesk, Readonly]
        by "DeviceManagementConfiguration.ReadWrite";
    /// Write configuration and compliance policies.
    ConfigurationReadWrite = "DeviceManagementConfiguration.ReadWrite" [Administrator] by "";
    /// Read apps.
    AppsRead = "DeviceManagementApps.Read" [Administrator, Helpdesk, Readonly] by "DeviceManagementApps.ReadWrite";
    /// Write apps.
    AppsReadWrite = "DeviceManagementApps.ReadWrite" [Administrator] by "";
    /// Read enrollment settings, branding, push certificate.
    ServiceConfigRead = "DeviceManagementServiceConfig.Read" [Administrator, Helpdesk, Readonly]
        by "DeviceManagementServiceConfig.ReadWrite";
    /// Write enrollment settings, branding, push certificate.
    ServiceConfigReadWrite = "DeviceManagementServiceConfig.ReadWrite" [Administrator] by "";
    /// Read role definitions and assignments.
    RbacRead = "DeviceManagementRBAC.Read" [Administrator, Readonly] by "DeviceManagementRBAC.ReadWrite";
    /// Write role definitions and assignments.
    RbacReadWrite = "DeviceManagementRBAC.ReadWrite" [] by "";
    /// Read people.
    UserRead = "User.Read" [Administrator, Helpdesk, Readonly]
        by "User.ReadWrite" | "User.ReadBasic" | "Directory.Read" | "Directory.ReadWrite";
    /// Write people.
    UserReadWrite = "User.ReadWrite" [Administrator] by "Directory.ReadWrite";
    /// Read groups and their members.
    GroupRead = "Group.Read" [Administrator, Helpdesk, Readonly]
        by "Group.ReadWrite" | "GroupMember.Read" | "GroupMember.ReadWrite" | "Directory.Read" | "Directory.ReadWrite";
    /// Write groups.
    GroupReadWrite = "Group.ReadWrite" [Administrator] by "Directory.ReadWrite";
    /// Change who is in a group.
    GroupMemberReadWrite = "GroupMember.ReadWrite" [Administrator] by "Group.ReadWrite" | "Directory.ReadWrite";
    /// Read the directory's devices.
    DeviceRead = "Device.Read" [Administrator, Helpdesk, Readonly]
        by "Device.ReadWrite" | "Directory.Read" | "Directory.ReadWrite";
    /// Write the directory's devices.
    DeviceReadWrite = "Device.ReadWrite" [Administrator] by "Directory.ReadWrite";
    /// Read the organization, its licence and its settings.
    OrganizationRead = "Organization.Read" [Administrator, Helpdesk, Readonly]
        by "Organization.ReadWrite" | "Directory.Read" | "Directory.ReadWrite";
    /// Write the organization and its settings.
    OrganizationReadWrite = "Organization.ReadWrite" [Administrator] by "Directory.ReadWrite";
    /// Read mail domains.
    DomainRead = "Domain.Read" [Administrator, Helpdesk, Readonly]
        by "Domain.ReadWrite" | "Directory.Read" | "Directory.ReadWrite";
    /// Write mail domains.
    DomainReadWrite = "Domain.ReadWrite" [Administrator] by "";
    /// Give and take licences.
    LicenseAssignmentReadWrite = "LicenseAssignment.ReadWrite" [Administrator]
        by "User.ReadWrite" | "Directory.ReadWrite";
    /// Read audit events.
    AuditRead = "AuditLog.Read" [Administrator, Readonly]
        by "DeviceManagementApps.Read" | "DeviceManagementApps.ReadWrite" | "DeviceManagementConfiguration.Read"
        | "DeviceManagementConfiguration.ReadWrite" | "DeviceManagementManagedDevices.Read"
        | "DeviceManagementManagedDevices.ReadWrite" | "DeviceManagementServiceConfig.Read"
        | "DeviceManagementServiceConfig.ReadWrite" | "DeviceManagementRBAC.Read" | "DeviceManagementRBAC.ReadWrite";

    /// See oneself: the own session, role and permissions.
    Session = "Muster.Session" [Administrator, Helpdesk, Readonly] by "User.Read" | "User.ReadWrite";
    /// Read who the operators are.
    OperatorsRead = "Muster.Operators.Read" [Administrator, Readonly] by "Muster.Operators";
    /// Make and change operators.
    Operators = "Muster.Operators" [] by "";
    /// Make, list and revoke own tokens.
    Tokens = "Muster.Tokens" [Administrator] by "";
    /// Import people and memberships.
    Import = "Muster.Import" [Administrator] by "";
    /// Read guard settings, approvals and the emergency stop.
    GuardRead = "Muster.Guard.Read" [Administrator, Helpdesk, Readonly] by "Muster.Guard";
    /// Change guard settings.
    Guard = "Muster.Guard" [] by "";
    /// Stop everything destructive at once; lifting it also asks for approval.
    EmergencyStop = "Muster.EmergencyStop" [Administrator, Helpdesk] by "";
    /// Decide on other people's requests.
    Approve = "Muster.Approve" [Administrator] by "";
    /// See recovery keys and other secrets of devices.
    Reveal = "Muster.Reveal" [Administrator, Helpdesk] by "DeviceManagementManagedDevices.PrivilegedOperations";
    /// Certificate authorities and server keys.
    Keys = "Muster.Keys" [] by "";
    /// Send raw commands to devices.
    RawCommand = "Muster.RawCommand" [Administrator] by "";
    /// Ask for one action on many devices.
    BulkActions = "Muster.BulkActions" [Administrator, Helpdesk] by "DeviceManagementManagedDevices.PrivilegedOperations";

    /// Ask a device to check in.
    ActionSyncDevice = "Muster.Action.syncDevice" [Administrator, Helpdesk]
        by "DeviceManagementManagedDevices.PrivilegedOperations";
    /// Lock a device.
    ActionRemoteLock = "Muster.Action.remoteLock" [Administrator, Helpdesk]
        by "DeviceManagementManagedDevices.PrivilegedOperations";
    /// Remove a device's passcode.
    ActionResetPasscode = "Muster.Action.resetPasscode" [Administrator, Helpdesk]
        by "DeviceManagementManagedDevices.PrivilegedOperations";
    /// Restart a device.
    ActionRebootNow = "Muster.Action.rebootNow" [Administrator, Helpdesk]
        by "DeviceManagementManagedDevices.PrivilegedOperations";
    /// Switch a device off.
    ActionShutDown = "Muster.Action.shutDown" [Administrator]
        by "DeviceManagementManagedDevices.PrivilegedOperations";
    /// Rename a device.
    ActionSetDeviceName = "Muster.Action.setDeviceName" [Administrator, Helpdesk]
        by "DeviceManagementManagedDevices.PrivilegedOperations";
    /// Find a lost device.
    ActionLocateDevice = "Muster.Action.locateDevice" [Administrator, Helpdesk]
        by "DeviceManagementManagedDevices.PrivilegedOperations";
    /// Take the organisation's data off a device.
    ActionRetire = "Muster.Action.retire" [Administrator, Helpdesk]
        by "DeviceManagementManagedDevices.PrivilegedOperations";
    /// Erase a device.
    ActionWipe = "Muster.Action.wipe" [Administrator, Helpdesk]
        by "DeviceManagementManagedDevices.PrivilegedOperations";
    /// Delete a device's record.
    ActionDelete = "Muster.Action.delete" [Administrator] by "DeviceManagementManagedDevices.ReadWrite";
    /// Show a message on a device.
    ActionSendCustomNotification = "Muster.Action.sendCustomNotificationToCompanyPortal" [Administrator]
        by "DeviceManagementManagedDevices.PrivilegedOperations";
    /// Read a Mac's recovery key.
    ActionGetFileVaultKey = "Muster.Action.getFileVaultKey" [Administrator, Helpdesk]
        by "DeviceManagementManagedDevices.PrivilegedOperations";
}

impl Permission {
    /// The permission of this word.
    pub fn parse(word: &str) -> Option<Permission> {
        Permission::ALL.iter().copied().find(|permission| permission.word() == word)
    }

    /// The permission for one of Graph's action names on a managed device.
    pub fn action(verb: &str) -> Option<Permission> {
        const PREFIX: &str = "Muster.Action.";
        Permission::ALL.iter().copied().find(|permission| permission.word().strip_prefix(PREFIX) == Some(verb))
    }
}

/// True where `scope` (a Graph scope word with or without `.All`, or one of ours) includes the
/// permission.
pub fn scope_includes(scope: &str, permission: Permission) -> bool {
    let word = scope.strip_suffix(".All").unwrap_or(scope);
    !word.is_empty() && (word == permission.word() || permission.wider_scopes().contains(&word))
}

/// True where the word means anything as a scope.
pub fn is_scope(scope: &str) -> bool {
    Permission::ALL.iter().any(|&permission| scope_includes(scope, permission))
}

/// True where a caller of this role, narrowed to `scopes` if there are any, has the permission.
/// An unknown role has none.
pub fn allows(role: &str, scopes: Option<&[String]>, permission: Permission) -> bool {
    Role::parse(role).is_some_and(|role| role.holds(permission))
        && scopes.is_none_or(|scopes| scopes.iter().any(|scope| scope_includes(scope, permission)))
}

/// True where (`role`, `scopes`) gives nothing that (`maker_role`, `maker_scopes`) lacks.
pub fn within(role: &str, scopes: Option<&[String]>, maker_role: &str, maker_scopes: Option<&[String]>) -> bool {
    Permission::ALL
        .iter()
        .all(|&permission| !allows(role, scopes, permission) || allows(maker_role, maker_scopes, permission))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scopes() -> impl Strategy<Value = Vec<String>> {
        let words: Vec<String> = Permission::ALL
            .iter()
            .flat_map(|permission| [permission.word().to_owned(), format!("{}.All", permission.word())])
            .chain(["", ".All", "Everything.All", "*"].map(str::to_owned))
            .collect();
        proptest::collection::vec(proptest::sample::select(words), 0..5)
    }

    fn permission() -> impl Strategy<Value = Permission> {
        proptest::sample::select(Permission::ALL)
    }

    proptest! {
        #[test]
        fn d5_scopes_never_widen_a_role(role in proptest::sample::select(&Role::ALL[..]), scopes in scopes(), permission in permission()) {
            let narrowed = allows(role.name(), Some(&scopes), permission);
            prop_assert!(!narrowed || allows(role.name(), None, permission));
            prop_assert!(within(role.name(), Some(&scopes), role.name(), None));
        }

        #[test]
        fn d5_every_role_is_within_the_owner_and_holds_what_its_row_says(role in proptest::sample::select(&Role::ALL[..]), permission in permission()) {
            prop_assert!(Role::Owner.covers(role));
            let expected = role == Role::Owner || permission.roles().contains(&role);
            prop_assert_eq!(allows(role.name(), None, permission), expected);
        }

        #[test]
        fn d5_unknown_roles_and_empty_scopes_hold_nothing(name in "[a-zA-Z]{0,12}", permission in permission()) {
            prop_assume!(Role::parse(&name).is_none());
            prop_assert!(!allows(&name, None, permission));
            prop_assert!(!allows("owner", Some(&[]), permission));
        }
    }

    #[test]
    fn d5_a_permission_without_roles_belongs_to_the_owner_alone() {
        for permission in Permission::ALL.iter().filter(|permission| permission.roles().is_empty()) {
            assert!(allows("owner", None, *permission));
            for role in ["administrator", "helpdesk", "readonly"] {
                assert!(!allows(role, None, *permission), "{role} holds {}", permission.word());
            }
        }
    }

    #[test]
    fn words_are_unique_and_roles_form_a_chain() {
        let words: std::collections::BTreeSet<_> = Permission::ALL.iter().map(|p| p.word()).collect();
        assert_eq!(words.len(), Permission::ALL.len());
        assert!(Role::Administrator.covers(Role::Helpdesk));
        assert!(Role::Administrator.covers(Role::Readonly));
        assert!(!Role::Administrator.covers(Role::Owner));
        assert!(!Role::Helpdesk.covers(Role::Administrator));
    }

    #[test]
    fn helpdesk_requests_but_never_approves_and_writes_no_policy() {
        for held in [Permission::ActionWipe, Permission::ActionRetire, Permission::Reveal] {
            assert!(allows("helpdesk", None, held));
        }
        for refused in [Permission::Approve, Permission::ConfigurationReadWrite, Permission::Guard] {
            assert!(!allows("helpdesk", None, refused));
        }
        assert!(!allows("administrator", None, Permission::Operators));
        assert!(!allows("administrator", None, Permission::Keys));
    }

    #[test]
    fn graph_scope_words_work_with_all() {
        let read = ["DeviceManagementManagedDevices.Read.All".to_owned()];
        assert!(allows("owner", Some(&read), Permission::ManagedDevicesRead));
        assert!(!allows("owner", Some(&read), Permission::ManagedDevicesReadWrite));
        assert!(!allows("owner", Some(&read), Permission::ActionWipe));
        let privileged = ["DeviceManagementManagedDevices.PrivilegedOperations.All".to_owned()];
        assert!(allows("administrator", Some(&privileged), Permission::ActionWipe));
        assert!(!allows("readonly", Some(&privileged), Permission::ActionWipe));
        assert_eq!(Permission::action("wipe"), Some(Permission::ActionWipe));
        assert_eq!(Permission::parse("Muster.Approve"), Some(Permission::Approve));
    }
}
