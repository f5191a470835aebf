//! The one route table: every URL of every listener, with its audience, authentication class,
//! permission and body limit. Routers, the OpenAPI document and the access tests are made from it;
//! a handler without a row cannot be reached.

use std::sync::LazyLock;

use axum::{Router, http::Method, routing::MethodRouter};
use muster_domain::roles::Permission;

use crate::{App, gate};

/// Which listener serves a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Portal, sign-in, discovery, enrollment, SCEP, CRL.
    Public,
    /// Device check-ins; asks for a client certificate.
    Device,
    /// Console and API.
    Admin,
}

impl Audience {
    /// All of them.
    pub const ALL: [Audience; 3] = [Audience::Public, Audience::Device, Audience::Admin];

    /// The word in the OpenAPI document.
    pub fn as_str(self) -> &'static str {
        match self {
            Audience::Public => "public",
            Audience::Device => "device",
            Audience::Admin => "admin",
        }
    }
}

/// Who may call a route at all. The gate decides before a byte of the body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// Anyone: discovery, forms before sign-in, CRL, SCEP (which carries its own proof).
    Open,
    /// A step of a browser flow: the handler reads the flow's session from its hidden inputs or cookie.
    Flow,
    /// A person of the portal, by its cookie; a form's own value is checked by the handler.
    Person,
    /// A device, proven by certificate or signature over the body: decided in `apple::identity`.
    Device,
    /// An operator's console session or a bearer token, with the row's permission.
    Operator,
}

/// One row.
pub struct Route {
    /// Method.
    pub method: Method,
    /// Path in the router's syntax.
    pub path: &'static str,
    /// Listener.
    pub audience: Audience,
    /// Authentication class.
    pub auth: Auth,
    /// Permission an operator needs; the Graph entry looks its own up in the resource registry.
    pub permission: Option<muster_domain::roles::Permission>,
    /// Most bytes of a body; 0 where none is expected.
    pub body_limit: usize,
    /// Also served by the plain HTTP listener (SCEP, CRL, OCSP only).
    pub plain: bool,
    /// One line for the OpenAPI document.
    pub summary: &'static str,
    /// Handler.
    pub handler: fn() -> MethodRouter<App>,
}

/// Kibibytes.
pub const KIB: usize = 1024;
/// Mebibytes.
pub const MIB: usize = 1024 * KIB;

macro_rules! routes {
    ($($audience:ident $auth:ident $method:ident $path:literal $limit:expr, $permission:expr, $handler:expr, $summary:literal $(, $plain:ident)?;)*) => {
        vec![$(Route {
            method: Method::$method,
            path: $path,
            audience: Audience::$audience,
            auth: Auth::$auth,
            permission: $permission,
            body_limit: $limit,
            plain: routes!(@plain $($plain)?),
            summary: $summary,
            handler: || routes!(@on $method $handler),
        }),*]
    };
    (@plain plain) => { true };
    (@plain) => { false };
    (@on GET $handler:expr) => { axum::routing::get($handler) };
    (@on PUT $handler:expr) => { axum::routing::put($handler) };
    (@on POST $handler:expr) => { axum::routing::post($handler) };
    (@on PATCH $handler:expr) => { axum::routing::patch($handler) };
    (@on DELETE $handler:expr) => { axum::routing::delete($handler) };
}

/// The table.
pub fn table() -> Vec<Route> {
    routes! {
        // Pages for people
        Public Open GET "/style.css" 0, None, crate::public::style::plain, "Style sheet of the public pages";
        Public Open GET "/branding/{tenant}/{profile}/style.css" 0, None, crate::public::style::branded, "Style sheet with an organisation's colour";
        Public Open GET "/branding/{tenant}/{profile}/logo" 0, None, crate::public::style::logo, "An organisation's logo";
        Public Open GET "/enroll" 0, None, crate::public::enroll::start, "Sign-in page of an enrollment";
        Public Flow POST "/enroll" 64 * KIB, None, crate::public::enroll::step, "Next step of an enrollment";
        Public Flow GET "/enroll/profile/{token}" 0, None, crate::public::enroll::profile, "The management profile of an enrollment";
        Public Open GET "/authenticate" 0, None, crate::public::enroll::authenticate, "Sign-in page of an account-driven enrollment";
        Public Flow POST "/authenticate" 64 * KIB, None, crate::public::enroll::authenticate_step, "Next step of an account-driven enrollment";
        Public Open GET "/portal" 0, None, crate::public::portal::start, "A person's own devices, or the sign-in to them";
        Public Flow POST "/portal" 64 * KIB, None, crate::public::portal::step, "Next step of the portal's sign-in";
        Public Person POST "/portal/signout" 4 * KIB, None, crate::public::portal::sign_out, "End the portal session";
        Public Person GET "/portal/devices/{id}" 0, None, crate::public::portal::device, "One of a person's own devices";
        Public Person POST "/portal/devices/{id}" 4 * KIB, None, crate::public::portal::act, "Rename, sync, lock or remove an own device";
        Public Person POST "/portal/requests/{id}" 4 * KIB, None, crate::public::portal::decide, "Agree to or refuse a request about an own device";

        // Pages for operators
        Admin Open GET "/signin" 0, None, crate::public::sign_in::start, "Sign-in page of the console";
        Admin Flow POST "/signin" 64 * KIB, None, crate::public::sign_in::step, "Next step of a sign-in";
        Admin Open GET "/signin/style.css" 0, None, crate::public::style::plain, "Style sheet of the admin listener's pages";
        Admin Flow POST "/signout" 64 * KIB, None, crate::public::sign_in::sign_out, "End the console session";
        Admin Flow GET "/setup" 0, None, crate::public::sign_in::set_up, "Make the first owner, by the link the server printed";
        Admin Flow POST "/setup" 64 * KIB, None, crate::public::sign_in::set_up_step, "Make the first owner";

        // Who administers
        Admin Operator GET "/muster/v1/operators" 0, Some(Permission::OperatorsRead), crate::muster::operators::operators, "Operators";
        Admin Operator POST "/muster/v1/operators" 64 * KIB, Some(Permission::Operators), crate::muster::operators::create_operator, "Give a person a role";
        Admin Operator PATCH "/muster/v1/operators/{id}" 64 * KIB, Some(Permission::Operators), crate::muster::operators::change_operator, "Give another role";
        Admin Operator DELETE "/muster/v1/operators/{id}" 0, Some(Permission::Operators), crate::muster::operators::remove_operator, "Take a role";
        Admin Operator GET "/muster/v1/tokens" 0, Some(Permission::Tokens), crate::muster::operators::tokens, "Tokens";
        Admin Operator POST "/muster/v1/tokens" 64 * KIB, Some(Permission::Tokens), crate::muster::operators::create_token, "Make a token";
        Admin Operator DELETE "/muster/v1/tokens/{id}" 0, Some(Permission::Tokens), crate::muster::operators::revoke_token, "Revoke a token";
        Admin Operator GET "/muster/v1/session" 0, Some(Permission::Session), crate::muster::operators::session, "Who calls and what they may do";
        Admin Operator GET "/muster/v1/sessions" 0, Some(Permission::Session), crate::muster::operators::sessions, "The caller's sessions";
        Admin Operator DELETE "/muster/v1/sessions/{id}" 0, Some(Permission::Session), crate::muster::operators::end_session, "End one of the caller's sessions";
        Admin Operator DELETE "/muster/v1/users/{id}/secondFactor" 0, Some(Permission::UserReadWrite), crate::muster::operators::reset_second_factor, "Forget a person's second factor";

        // Apple devices
        Device Device PUT "/mdm/apple" crate::apple::mdm::BODY_LIMIT, None, crate::apple::mdm::put, "Apple check-in messages and command results";
        Device Device POST "/mdm/apple" crate::apple::mdm::BODY_LIMIT, None, crate::apple::mdm::put, "Apple check-in messages and command results";
        Public Open GET "/.well-known/com.apple.remotemanagement" 0, None, crate::apple::enrollment::discover, "Discovery for account-driven enrollment";
        Public Open POST "/mdm/apple/enroll/byod" crate::apple::enrollment::BODY_LIMIT, None, crate::apple::enrollment::byod, "Enrollment profile of an account-driven User Enrollment";
        Public Open POST "/mdm/apple/enroll/adde" crate::apple::enrollment::BODY_LIMIT, None, crate::apple::enrollment::adde, "Enrollment profile of an account-driven Device Enrollment";

        // People, beyond Graph
        Admin Operator GET "/muster/v1/users/{id}" 0, Some(Permission::UserRead), crate::muster::people::user, "Managed Apple Account and second factor of a person";
        Admin Operator PATCH "/muster/v1/users/{id}" 16 * KIB, Some(Permission::UserReadWrite), crate::muster::people::change_user, "Set the Managed Apple Account of a person";
        Admin Operator GET "/muster/v1/licensing" 0, Some(Permission::OrganizationRead), crate::muster::people::licensing, "Seats of the licence";
        Admin Operator PATCH "/muster/v1/licensing" 16 * KIB, Some(Permission::OrganizationReadWrite), crate::muster::people::change_licensing, "Set the number of seats";
        Admin Operator GET "/muster/v1/tenantSettings" 0, Some(Permission::OrganizationRead), crate::muster::people::settings, "Settings of sign-in and enrollment";
        Admin Operator PATCH "/muster/v1/tenantSettings" 64 * KIB, Some(Permission::OrganizationReadWrite), crate::muster::people::change_settings, "Change settings of sign-in and enrollment";
        Admin Operator POST "/muster/v1/imports/users" 8 * MIB, Some(Permission::Import), crate::muster::people::import_users, "Import people from CSV; a preview unless commit=true";
        Admin Operator POST "/muster/v1/imports/memberships" 8 * MIB, Some(Permission::Import), crate::muster::people::import_memberships, "Import memberships from CSV; a preview unless commit=true";

        // Operation
        Admin Open GET "/healthz" 0, None, crate::operation::healthz, "The process answers";
        Admin Open GET "/readyz" 0, None, crate::operation::readyz, "The database answers";
        Admin Open GET "/metrics" 0, None, crate::operation::metrics, "Prometheus metrics";

        // Certificates
        Public Open GET "/scep" 0, None, crate::scep::get, "SCEP: GetCACaps, GetCACert, PKIOperation", plain;
        Public Open POST "/scep" crate::scep::BODY_LIMIT, None, crate::scep::post, "SCEP: PKIOperation", plain;
        Public Open GET "/crl/{file}" 0, None, crate::scep::crl, "Revocation list of an issuing authority, DER", plain;

        // The guard
        Admin Operator GET "/muster/v1/approvals" 0, Some(Permission::GuardRead), crate::muster::approvals::list, "Requests that wait for, or had, a second person";
        Admin Operator GET "/muster/v1/approvals/{id}" 0, Some(Permission::GuardRead), crate::muster::approvals::get, "One request";
        Admin Operator POST "/muster/v1/approvals/{id}/approve" KIB, Some(Permission::Approve), crate::muster::approvals::approve, "Agree to somebody else's request";
        Admin Operator POST "/muster/v1/approvals/{id}/deny" KIB, Some(Permission::Approve), crate::muster::approvals::deny, "Refuse somebody else's request";
        Admin Operator POST "/muster/v1/approvals/{id}/cancel" KIB, Some(Permission::GuardRead), crate::muster::approvals::cancel, "Take a request back, as far as no device has it in hand";
        Admin Operator GET "/muster/v1/emergencyStop" 0, Some(Permission::GuardRead), crate::muster::emergency_stop::get, "Whether everything destructive is halted";
        Admin Operator POST "/muster/v1/emergencyStop" KIB, Some(Permission::EmergencyStop), crate::muster::emergency_stop::stop, "Halt everything destructive";
        Admin Operator DELETE "/muster/v1/emergencyStop" KIB, Some(Permission::EmergencyStop), crate::muster::emergency_stop::lift, "Ask to lift the halt; a second person must agree";
        Admin Operator GET "/muster/v1/guardSettings" 0, Some(Permission::GuardRead), crate::muster::guard_settings::get, "Limits and periods of the guard";
        Admin Operator PATCH "/muster/v1/guardSettings" 16 * KIB, Some(Permission::Guard), crate::muster::guard_settings::patch, "Change them; a weakening waits for a second person and a day";
        Admin Operator POST "/muster/v1/bulkActions" 8 * MIB, Some(Permission::BulkActions), crate::muster::bulk_actions::create, "One action for many devices";
        Admin Operator GET "/muster/v1/bulkActions/{id}" 0, Some(Permission::BulkActions), crate::muster::bulk_actions::get, "How far it is";
        Admin Operator POST "/muster/v1/bulkActions/{id}/cancel" KIB, Some(Permission::BulkActions), crate::muster::bulk_actions::cancel, "Take back what no device has in hand";

        // What is served here
        Admin Open GET "/muster/v1/openapi.json" 0, None, crate::openapi::get, "This API as an OpenAPI document";

        // Graph: one entry a surface; `graph::registry` has the rows, their permissions and limits
        Admin Operator GET "/v1.0/{*path}" crate::graph::BODY_LIMIT, None, crate::graph::entry, "Microsoft Graph v1.0, read";
        Admin Operator POST "/v1.0/{*path}" crate::graph::BODY_LIMIT, None, crate::graph::entry, "Microsoft Graph v1.0, create or act";
        Admin Operator PATCH "/v1.0/{*path}" crate::graph::BODY_LIMIT, None, crate::graph::entry, "Microsoft Graph v1.0, change";
        Admin Operator PUT "/v1.0/{*path}" crate::graph::BODY_LIMIT, None, crate::graph::entry, "Microsoft Graph v1.0, replace";
        Admin Operator DELETE "/v1.0/{*path}" crate::graph::BODY_LIMIT, None, crate::graph::entry, "Microsoft Graph v1.0, delete";
        Admin Operator GET "/beta/{*path}" crate::graph::BODY_LIMIT, None, crate::graph::entry, "Microsoft Graph beta, read";
        Admin Operator POST "/beta/{*path}" crate::graph::BODY_LIMIT, None, crate::graph::entry, "Microsoft Graph beta, create or act";
        Admin Operator PATCH "/beta/{*path}" crate::graph::BODY_LIMIT, None, crate::graph::entry, "Microsoft Graph beta, change";
        Admin Operator PUT "/beta/{*path}" crate::graph::BODY_LIMIT, None, crate::graph::entry, "Microsoft Graph beta, replace";
        Admin Operator DELETE "/beta/{*path}" crate::graph::BODY_LIMIT, None, crate::graph::entry, "Microsoft Graph beta, delete";
    }
}

/// A path as the log may name it: where a row's path carries a secret (`{token}`), the row's pattern.
pub fn loggable(path: &str) -> &str {
    static SECRET: LazyLock<Vec<(&str, &str)>> = LazyLock::new(|| {
        let split = |route: Route| Some((route.path.split_once("{token}")?.0, route.path));
        table().into_iter().filter_map(split).collect()
    });
    SECRET.iter().find(|(before, _)| path.starts_with(before)).map_or(path, |(_, pattern)| pattern)
}

/// The router of one audience (or of the plain HTTP listener), each row behind its gate.
pub fn router(app: &App, serves: impl Fn(&Route) -> bool) -> Router {
    let mut router = Router::new();
    for route in table().into_iter().filter(|route| serves(route)) {
        let layer = gate::Row {
            auth: route.auth,
            permission: route.permission,
            body_limit: route.body_limit,
            path: route.path,
            audience: route.audience,
        };
        let handler = (route.handler)().layer(axum::middleware::from_fn_with_state((app.clone(), layer), gate::enter));
        router = router.route(route.path, handler);
    }
    router.fallback(gate::unknown).method_not_allowed_fallback(gate::method_not_allowed).with_state(app.clone())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn d1_no_route_stands_twice_or_on_two_listeners() {
        let mut seen = HashSet::new();
        for route in table() {
            assert!(seen.insert((route.method.clone(), route.path)), "{} {} has two rows", route.method, route.path);
        }
    }

    #[test]
    fn i3_a_token_in_a_path_is_not_logged() {
        assert_eq!(loggable("/enroll/profile/canary"), "/enroll/profile/{token}");
        assert_eq!(loggable("/enroll/profile/canary/more"), "/enroll/profile/{token}");
        assert_eq!(loggable("/enroll"), "/enroll");
    }

    #[test]
    fn d1_operator_routes_name_their_permission() {
        for route in table() {
            let graph = route.path.starts_with("/v1.0/") || route.path.starts_with("/beta/");
            assert_eq!(
                route.auth == Auth::Operator && !graph,
                route.permission.is_some(),
                "{} {}: an operator route names a permission, others have none",
                route.method,
                route.path
            );
            assert!(!route.plain || route.auth == Auth::Open, "{} over plain HTTP must be open", route.path);
        }
    }
}
