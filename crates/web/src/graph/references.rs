//! `@odata.id` addresses in bodies: which entity is meant, whatever base the caller wrote.

use serde_json::Value;

use super::{address::decode, bad};
use crate::problem::Problem;

/// What an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Collection in Graph's spelling, one of those allowed.
    pub collection: &'static str,
    /// Key.
    pub id: String,
}

/// Reads `{"@odata.id": "https://anything/beta/users/ID"}`.
pub fn reference(body: &Value, allowed: &[&'static str]) -> Result<Reference, Problem> {
    let address = body.get("@odata.id").and_then(Value::as_str);
    let address = address.ok_or_else(|| bad("@odata.id is needed, the address of an entity"))?;
    of_address(address, allowed)
}

/// Reads one address: full, or from the version or the collection on.
pub fn of_address(address: &str, allowed: &[&'static str]) -> Result<Reference, Problem> {
    let wrong = || bad(format!("@odata.id must be the address of one of: {}", allowed.join(", ")));
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => path,
    };
    let path = decode(path, false).ok_or_else(wrong)?;
    let path = path.trim_matches('/');
    let (head, id) = match path.strip_suffix("')").and_then(|rest| rest.rsplit_once("('")) {
        Some((head, id)) => (head, id),
        None => match path.strip_suffix(')').and_then(|rest| rest.rsplit_once('(')) {
            Some((head, id)) => (head, id),
            None => path.rsplit_once('/').ok_or_else(wrong)?,
        },
    };
    let name = head.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let collection = allowed.iter().find(|known| known.eq_ignore_ascii_case(name)).ok_or_else(wrong)?;
    if id.is_empty() || id.len() > 200 || id.contains('/') {
        return Err(wrong());
    }
    Ok(Reference { collection, id: id.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_base_names_the_same_entity() {
        let allowed = &["users", "directoryObjects"];
        for address in [
            "https://graph.microsoft.com/v1.0/users/7",
            "https://graph.microsoft.com/beta/users('7')",
            "https://localhost:9443/v1.0/directoryObjects/7/",
            "/beta/USERS(7)",
            "users/7",
        ] {
            assert_eq!(of_address(address, allowed).unwrap().id, "7", "{address}");
        }
        for address in ["https://graph.microsoft.com/v1.0/groups/7", "7", "", "users/", "https://x"] {
            assert!(of_address(address, allowed).is_err(), "{address}");
        }
    }
}
