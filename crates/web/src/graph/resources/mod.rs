//! The rows and handlers of the API, a file a subject.

mod actions;
mod devices;
mod directory;
mod documents;
mod events;
mod filters;
mod leavers;
mod links;
mod organization;
mod push;
mod reports;

use super::registry::Resource;

/// Every row.
pub fn all() -> Vec<Resource> {
    let mut rows = Vec::new();
    rows.extend(actions::rows());
    rows.extend(devices::rows());
    rows.extend(directory::rows());
    rows.extend(leavers::rows());
    rows.extend(organization::rows());
    rows.extend(documents::rows());
    rows.extend(links::rows());
    rows.extend(events::rows());
    rows.extend(filters::rows());
    rows.extend(push::rows());
    rows.extend(reports::rows());
    rows
}

/// A row: method, path, shape, type, permission, body limit, one line, handler; `beta` last where the
/// path is not in v1.0.
macro_rules! row {
    ($method:ident $path:expr, $shape:ident $entity:expr, $permission:expr, $limit:expr, $summary:expr, $handler:expr) => {
        $crate::graph::registry::Resource {
            method: axum::http::Method::$method,
            path: String::from($path),
            beta: false,
            shape: $crate::graph::registry::Shape::$shape,
            entity: $entity,
            permission: $permission,
            body_limit: $limit,
            summary: String::from($summary),
            handler: |call| Box::pin($handler(call)),
        }
    };
    ($method:ident $path:expr, $shape:ident $entity:expr, $permission:expr, $limit:expr, $summary:expr, $handler:expr, beta) => {
        $crate::graph::registry::Resource {
            beta: true,
            ..row!($method $path, $shape $entity, $permission, $limit, $summary, $handler)
        }
    };
}
use row;
