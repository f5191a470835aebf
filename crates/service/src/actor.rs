//! Who acts: carried from the edge into every decision and audit row.

use std::net::IpAddr;

use uuid::Uuid;

/// The kinds of principal (design: subjects are rows).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A person of the directory, acting for themselves.
    Person,
    /// A person with a role.
    Operator,
    /// A bearer token.
    Application,
    /// A device.
    Device,
    /// The server itself: jobs and timers.
    System,
    /// Someone at the server's own keyboard.
    CommandLine,
}

/// An authenticated caller with what they may do.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Tenant the caller belongs to; everything they see or touch is there.
    pub tenant: Uuid,
    /// What kind of principal.
    pub kind: PrincipalKind,
    /// Person, token or device id.
    pub id: Uuid,
    /// The person the caller is or acts for (`/me`); none for a device, the server, or a token that
    /// is its own person.
    pub person: Option<Uuid>,
    /// For people to read: user principal name, token name, device name.
    pub name: String,
    /// Role name, empty for people and devices.
    pub role: String,
    /// Graph scope words of a token; none means the role alone decides.
    pub scopes: Option<Vec<String>>,
    /// The person behind a token made through the API, if any: approvals and reveals count as theirs.
    pub maker: Option<Uuid>,
    /// Made by the command line: its own person, strongly authenticated.
    pub own_person: bool,
    /// When a second factor was last presented, unix ms.
    pub strong_at: Option<i64>,
    /// Since when the principal has its rights and credentials unchanged, unix ms (cooling period).
    pub established_at: i64,
    /// Network address of the caller.
    pub address: Option<IpAddr>,
    /// Id of the request, in every audit row and error answer.
    pub correlation: Uuid,
    /// `X-Muster-Reason`.
    pub reason: Option<String>,
}

/// What the edge knows of a request before it knows who sent it.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    /// Client address, behind trusted proxies the one they name.
    pub address: Option<IpAddr>,
    /// Id of the request.
    pub correlation: Uuid,
    /// `X-Muster-Reason`, at most 500 characters.
    pub reason: Option<String>,
}
