//! Links between configurations: a certificate profile names its root, a network its certificates.
//!
//! `@odata.bind` in a body becomes a property of the stored document that holds ids; it is no property
//! in answers. Reading along a link has a row of its own, so `$expand` has it too.

use muster_domain::{catalogue::built::linked, roles::Permission};
use muster_service::documents::{self, Kind};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::row;
use crate::{
    graph::{Answer, Call, bad, body::Entity, references, registry::Resource, types::table},
    problem::Problem,
};

const COLLECTION: &str = "deviceConfigurations";
const BIND: &str = "@odata.bind";

pub fn rows() -> Vec<Resource> {
    let item = format!("deviceManagement/{COLLECTION}/{{id}}");
    let read = Permission::ConfigurationRead;
    let base = "deviceConfiguration";
    vec![
        row!(GET format!("{item}/rootCertificate"), Entity base, read, 0, "The root that issues a certificate profile", one),
        row!(GET format!("{item}/identityCertificateForClientAuthentication"), Entity base, read, 0, "The certificate profile a network signs in with", one),
        row!(GET format!("{item}/singleSignOnExtensionPkinitCertificate"), Entity base, read, 0, "The certificate profile of the Kerberos extension", one, beta),
        row!(GET format!("{item}/rootCertificateForServerValidation"), Entity base, read, 0, "The root a network's server is checked with", one),
        row!(GET format!("{item}/rootCertificatesForServerValidation"), Collection base, read, 0, "The roots a network's server is checked with", many),
    ]
}

/// Puts the bindings of a body into its properties, once each address names a configuration of a type
/// that the link takes.
pub async fn bind(call: &Call, entity: &mut Entity) -> Result<(), Problem> {
    for (name, addresses) in std::mem::take(&mut entity.bindings) {
        let link = table().property(&entity.odata_type, &name).filter(|property| property.link);
        let target =
            link.and_then(|link| link.kind.complex()).filter(|target| table().is_a(target, "deviceConfiguration"));
        let (Some(link), Some(target)) = (link, target) else {
            return Err(bad(format!(
                "{name}{BIND}: microsoft.graph.{} has no link '{name}' to a configuration",
                entity.odata_type
            )));
        };
        if !link.collection && addresses.len() > 1 {
            return Err(bad(format!("{name}{BIND} takes one address")));
        }
        let mut ids = Vec::with_capacity(addresses.len());
        for address in addresses {
            let named = references::of_address(&address, &[COLLECTION])?;
            let found = match (Kind::of(COLLECTION), Uuid::try_parse(&named.id)) {
                (Some(kind), Ok(id)) => call.app.service.document(call.actor.tenant, kind, id).await.ok(),
                _ => None,
            };
            let found = found.filter(|found| table().is_a(&found.odata_type, target));
            let found = found.ok_or_else(|| {
                bad(format!("{name}{BIND}: there is no microsoft.graph.{target} with the id '{}'", named.id))
            })?;
            ids.push(Value::from(found.id.to_string()));
        }
        entity.properties.insert(format!("{}{BIND}", link.name), Value::Array(ids));
    }
    Ok(())
}

/// Takes the bindings out of a document's picture: Graph shows a link only where it is followed.
pub fn hide(view: &mut Map<String, Value>) {
    view.retain(|name, _| !name.ends_with(BIND));
}

async fn targets(call: &Call) -> Result<Vec<Map<String, Value>>, Problem> {
    let kind = Kind::of(COLLECTION).ok_or_else(|| bad("this collection has no documents"))?;
    let tenant = call.actor.tenant;
    let id = Uuid::try_parse(call.key(0)).map_err(|_| call.unknown(call.key(0)))?;
    let document = call.app.service.document(tenant, kind, id).await?;
    let link = call.resource.parts().last().unwrap_or_default();
    if !table().property(&document.odata_type, link).is_some_and(|property| property.link) {
        return Err(bad(format!("microsoft.graph.{} has no link '{link}'", document.odata_type)));
    }
    let mut found = Vec::new();
    for id in linked(&documents::view(&document)?, link) {
        // One that was deleted since is linked no more.
        if let Ok(target) = call.app.service.document(tenant, kind, id).await {
            found.push(super::documents::shown(&target)?);
        }
    }
    Ok(found)
}

async fn one(call: Call) -> Result<Answer, Problem> {
    let found = targets(&call).await?.into_iter().next();
    let link = call.resource.parts().last().unwrap_or_default();
    found.map(Answer::entity).ok_or_else(|| call.unknown(link))
}

async fn many(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::whole(targets(&call).await?))
}
