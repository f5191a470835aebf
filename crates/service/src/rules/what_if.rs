//! What if: whether somebody would be in a group by its rule, or by one that is not yet stored.

use muster_domain::rules::Members;
use muster_storage::{devices, groups::MemberKind, membership_rules, people};
use uuid::Uuid;

use super::facts;
use crate::{Error, Result, Service, people::member_of_directory};

/// Whose rule is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The rule of this group.
    Group(Uuid),
    /// This rule.
    Rule(String),
}

impl Service {
    /// Evaluates a membership rule for one user or device of the directory; answers the rule and whether
    /// it holds. A rule about users holds for no device, and the reverse.
    pub async fn evaluate_membership(&self, tenant: Uuid, asked: Asked, member: Uuid) -> Result<(String, bool)> {
        self.store
            .read(tenant, move |tx| {
                let text = match &asked {
                    Asked::Rule(rule) => rule.clone(),
                    Asked::Group(group) => {
                        membership_rules::by_group(tx, tenant, *group)?
                            .ok_or_else(|| {
                                Error::bad_request("this group's members are assigned; it has no membershipRule")
                            })?
                            .rule
                    }
                };
                let (members, rule) = super::read(&text)?;
                let found = member_of_directory(tx, tenant, member)?
                    .ok_or_else(|| Error::not_found(format!("there is no user or device {member}")))?;
                let facts = match (members, found.kind) {
                    (Members::Users, MemberKind::User) => {
                        people::by_id(tx, tenant, member)?.map(|p| facts::of_user(&p))
                    }
                    (Members::Devices, MemberKind::Device) => {
                        devices::by_directory_id(tx, tenant, member)?.map(|device| facts::of_device(&device))
                    }
                    _ => None,
                };
                Ok((text, facts.is_some_and(|facts| rule.matches(&facts))))
            })
            .await
    }
}
