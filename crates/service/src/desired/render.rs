//! Render: bytes of an item at hand-out. Secrets, challenges and signatures are made here and stored
//! nowhere in the clear; identifiers are the same for the same version.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use muster_apple::{
    Request, dict,
    plist::{Dictionary, Value as Plist, put},
    profile::{Payload, Profile, Scope},
    requests,
};
use muster_domain::catalogue::BYTES;
use muster_storage::{documents, items, subjects};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{
    CONFIGURATIONS, answers::Order, certificates::root_payload, custom, profile_identifier, variables::fill_all,
};
use crate::{Error, Result, Service};

/// Recovery keys come to the server that has the key of this payload's certificate.
pub(crate) const ESCROW: &str = "com.apple.security.FDERecoveryKeyEscrow";

/// What rendering reads.
pub(crate) struct Material {
    pub content: Value,
    pub name: String,
    pub version: Vec<u8>,
    pub document: Uuid,
    pub subject: subjects::Subject,
    /// The document itself and those it refers to, for shapes that need building.
    pub documents: Vec<documents::Document>,
}

impl Material {
    pub(crate) fn is_mac(&self) -> bool {
        self.subject.platform.eq_ignore_ascii_case("macOS")
    }

    /// A document that was read; `link` names what leads to it.
    pub(crate) fn document(&self, id: Uuid, link: &str) -> Result<&documents::Document> {
        let found = self.documents.iter().find(|document| document.id == id);
        found.ok_or_else(|| Error::bad_request(format!("{link} names {id}, which is not there any more")))
    }
}

impl Service {
    /// The request that carries out a command of origin `item`, made now. `None`: the command was
    /// overtaken; drop it and go on with the next.
    pub async fn render_item(
        &self,
        tenant: Uuid,
        enrollment: Uuid,
        command: Uuid,
        payload: &str,
    ) -> Result<Option<Request>> {
        let order = Order::read(payload)?;
        let Some(version) = order.version() else {
            let document = order.item.strip_prefix("profile:").and_then(|id| id.parse().ok());
            let document = document.ok_or_else(|| Error::internal("a removal names no document"))?;
            return Ok(Some(requests::remove_profile(&profile_identifier(document))));
        };
        let key = order.item.clone();
        let material = self
            .store
            .read(tenant, move |tx| {
                let Some(item) = items::by_key(tx, tenant, enrollment, &key)? else { return Ok(None) };
                if item.command_id != Some(command) || item.desired_version.as_ref() != Some(&version) {
                    return Ok(None);
                }
                let Some(subject) = subjects::of_enrollment(tx, tenant, enrollment)? else { return Ok(None) };
                let stored: Value = serde_json::from_str(&item.content).map_err(Error::internal)?;
                let content = stored["content"].clone();
                let mut read = Vec::new();
                let Some(document) = item.document_id else { return Ok(None) };
                let own = (content["shape"] != "settings").then_some(document);
                let references = content["references"].as_object().into_iter().flat_map(Map::keys);
                for id in own.into_iter().chain(references.filter_map(|id| id.parse().ok())) {
                    let Some(found) = documents::by_id(tx, tenant, CONFIGURATIONS, id)? else { return Ok(None) };
                    read.push(found);
                }
                Ok::<_, Error>(Some(Material {
                    content,
                    name: stored["name"].as_str().unwrap_or_default().to_owned(),
                    version: version.clone(),
                    document,
                    subject,
                    documents: read,
                }))
            })
            .await?;
        let Some(material) = material else { return Ok(None) };
        let profile = finish(self.build_profile(tenant, command, &material).await?, &material);
        Ok(Some(requests::install_profile(self.sign_profile(profile.encode()).await?)))
    }

    async fn build_profile(&self, tenant: Uuid, command: Uuid, material: &Material) -> Result<Profile> {
        let identifier = profile_identifier(material.document);
        let own = || material.document(material.document, "the document");
        let payloads = match material.content["shape"].as_str().unwrap_or_default() {
            "settings" => self.settings_with_links(tenant, command, material).await?,
            "custom" => return custom_profile(material, own()?),
            "trustedRoot" => {
                vec![root_payload(own()?, &format!("{identifier}.root"), &uuid_of(&material.version, "root"))?]
            }
            "scep" => {
                let uuid = uuid_of(&material.version, "identity");
                let part = format!("{identifier}.identity");
                vec![self.scep_payload(tenant, command, material, own()?, &part, &uuid).await?]
            }
            shape @ ("wiFi" | "enterpriseWiFi") => {
                self.wifi_payloads(tenant, command, material, own()?, shape == "enterpriseWiFi").await?
            }
            "vpn" => self.vpn_payloads(tenant, command, material, own()?).await?,
            other => return Err(Error::internal(format!("an item has the unknown shape {other:?}"))),
        };
        Ok(Profile::new(&identifier, "", &material.name, payloads))
    }

    /// Catalogue settings, with the identities that they use in front.
    async fn settings_with_links(&self, tenant: Uuid, command: Uuid, material: &Material) -> Result<Vec<Payload>> {
        let mut payloads = settings_payloads(material);
        let mut identities = Vec::new();
        for link in material.content["links"].as_array().into_iter().flatten() {
            let text = |key: &str| link[key].as_str().unwrap_or_default();
            let (name, key) = (text("name"), text("key"));
            let id = text("id").parse().map_err(|_| Error::internal("a link has no id"))?;
            let part = format!("identity/{name}");
            let uuid = uuid_of(&material.version, &part);
            let identifier = format!("{}.{name}", profile_identifier(material.document));
            let scep = material.document(id, name)?;
            identities.push(self.scep_payload(tenant, command, material, scep, &identifier, &uuid).await?);
            for payload in payloads.iter_mut().filter(|payload| payload.payload_type == text("payload")) {
                put_dotted(&mut payload.content, key, uuid.clone().into());
            }
        }
        if let Some(escrow) = payloads.iter_mut().find(|payload| payload.payload_type == ESCROW) {
            let certificate = self.escrow_payload(tenant, material).await?;
            put(&mut escrow.content, "EncryptCertPayloadUUID", certificate.uuid.as_str());
            if !escrow.content.contains_key("Location") {
                put(&mut escrow.content, "Location", "Your IT department keeps the recovery key of this Mac.");
            }
            identities.push(certificate);
        }
        identities.append(&mut payloads);
        Ok(identities)
    }

    /// The certificate to which a Mac encrypts its recovery key.
    async fn escrow_payload(&self, tenant: Uuid, material: &Material) -> Result<Payload> {
        let der = self.file_vault_escrow_certificate(tenant).await?;
        let uuid = uuid_of(&material.version, "escrow");
        let identifier = format!("{}.escrow", profile_identifier(material.document));
        let content = dict! { "PayloadContent" => Plist::Data(der) };
        Ok(Payload::new("com.apple.security.pkcs1", &identifier, &uuid, content).titled("FileVault escrow"))
    }
}

/// Puts a value at a dotted key.
fn put_dotted(into: &mut Dictionary, key: &str, value: Plist) {
    match key.split_once('.') {
        None => put(into, key, value),
        Some((head, rest)) => {
            if !matches!(into.get(head), Some(Plist::Dictionary(_))) {
                put(into, head, Dictionary::new());
            }
            if let Some(Plist::Dictionary(inner)) = into.get_mut(head) {
                put_dotted(inner, rest, value);
            }
        }
    }
}

/// What every profile of ours has at its top.
pub(crate) fn finish(mut profile: Profile, material: &Material) -> Profile {
    profile.identifier = profile_identifier(material.document);
    profile.uuid = uuid_of(&material.version, "");
    if material.is_mac() {
        let user = material.subject.channel == "appleUser";
        profile.scope = Some(if user { Scope::User } else { Scope::System });
    }
    profile
}

/// A payload's UUID: the same for the same version and part.
pub(crate) fn uuid_of(version: &[u8], part: &str) -> String {
    let hash = muster_pki::sha256(&[version, b"/", part.as_bytes()].concat());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().to_string().to_uppercase()
}

/// Catalogue settings: one payload a payload type.
pub(crate) fn settings_payloads(material: &Material) -> Vec<Payload> {
    let identifier = profile_identifier(material.document);
    // Variables are filled in here, in values that are not text yet: no value can become markup.
    let mut payloads = material.content["payloads"].clone();
    fill_all(&mut payloads, &material.subject);
    let payloads = payloads.as_object().into_iter().flatten();
    payloads
        .map(|(kind, keys)| {
            let mut content = keys.as_object().map(dictionary).unwrap_or_default();
            let title = content.remove("PayloadDisplayName");
            let title = title.as_ref().and_then(Plist::as_string).unwrap_or(&material.name);
            Payload::new(kind, &format!("{identifier}.{kind}"), &uuid_of(&material.version, kind), content)
                .titled(title)
        })
        .collect()
}

fn custom_profile(material: &Material, document: &documents::Document) -> Result<Profile> {
    let profile = custom::read(&document.properties()?).map_err(|refused| Error::bad_request(refused.to_string()))?;
    Ok(custom::personal(profile, material))
}

/// JSON as a property list; nulls are left out.
pub(crate) fn dictionary(members: &Map<String, Value>) -> Dictionary {
    members.iter().filter_map(|(key, value)| Some((key.clone(), plist(value)?))).collect()
}

fn plist(value: &Value) -> Option<Plist> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(truth) => Plist::Boolean(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Plist::Integer(whole.into()),
            None => Plist::Real(number.as_f64()?),
        },
        Value::String(text) => Plist::String(text.clone()),
        Value::Array(list) => Plist::Array(list.iter().filter_map(plist).collect()),
        Value::Object(members) => match members.get(BYTES).and_then(Value::as_str) {
            Some(text) => Plist::Data(STANDARD.decode(text).ok()?),
            None => Plist::Dictionary(dictionary(members)),
        },
    })
}
