//! What every handler has at hand.

use std::sync::Arc;

use muster_service::Service;

use crate::proxy::Trusted;

/// State of the routers; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The decisions.
    pub service: Service,
    /// Settings of the edge.
    pub edge: Arc<Edge>,
}

/// Settings of the edge, from the process configuration.
#[derive(Clone, Default)]
pub struct Edge {
    /// Proxies whose forwarding headers are believed.
    pub trusted_proxies: Trusted,
    /// Host names (with port where not 443) by audience; a request for another audience's gets 421.
    pub authorities: Authorities,
    /// Renders the metrics; none where no recorder is installed.
    pub metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
}

/// Host names by audience, lower case, as they stand in a `Host` header.
#[derive(Clone, Debug, Default)]
pub struct Authorities {
    /// Portal, sign-in, discovery, enrollment.
    pub public: String,
    /// Device check-ins.
    pub device: String,
    /// Console and API.
    pub admin: String,
}
