//! Certificate payloads: roots, and certificates by SCEP from our authority or another.
//!
//! What a certificate of ours will say is decided here and kept with the challenge; the device brings
//! the key and nothing else. Texts are split into attributes before variables are filled in, so that a
//! name with a comma stays one value.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use muster_apple::{
    dict,
    plist::{Dictionary, Value as Plist, put},
    profile::Payload,
};
use muster_domain::catalogue::built;
use muster_storage::{
    self as storage, Tx,
    certificates::{self, purpose},
    documents::Document,
    subjects::Subject,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{render::Material, variables::fill};
use crate::{
    Error, Result, Service,
    certificates::{Alternative, Decided, Reason, revoke},
    scep::NewChallenge,
};

/// Attribute types of a distinguished name: the words in use, and their identifiers.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("CN", "2.5.4.3"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("S", "2.5.4.8"),
    ("C", "2.5.4.6"),
    ("E", "1.2.840.113549.1.9.1"),
    ("EMAIL", "1.2.840.113549.1.9.1"),
    ("EMAILADDRESS", "1.2.840.113549.1.9.1"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("T", "2.5.4.12"),
    ("G", "2.5.4.42"),
    ("GIVENNAME", "2.5.4.42"),
    ("SN", "2.5.4.4"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
];
const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

fn unusable(what: impl std::fmt::Display) -> Error {
    Error::bad_request(what.to_string())
}

/// The certificate in a trusted root document.
pub(crate) fn trusted_root(body: &Map<String, Value>) -> Result<muster_pki::Certificate> {
    let text = body.get("trustedRootCertificate").and_then(Value::as_str);
    let text = text.ok_or_else(|| unusable("trustedRootCertificate is missing; send the certificate as base64"))?;
    let bytes = STANDARD
        .decode(text.split_ascii_whitespace().collect::<String>())
        .map_err(|error| unusable(format!("trustedRootCertificate is not base64: {error}")))?;
    muster_pki::Certificate::from_der_or_pem(&bytes)
        .map_err(|error| unusable(format!("trustedRootCertificate is no certificate: {error}")))
}

/// The payload of a root (or, where it was issued by another, of an intermediate) certificate.
pub(crate) fn root_payload(document: &Document, identifier: &str, uuid: &str) -> Result<Payload> {
    let certificate = trusted_root(&document.properties()?)?;
    let own = certificate.issuer() == certificate.subject();
    let kind = if own { "com.apple.security.root" } else { "com.apple.security.pkcs1" };
    let content = dict! { "PayloadContent" => Plist::Data(certificate.der().to_vec()) };
    Ok(Payload::new(kind, identifier, uuid, content).titled(&document.display_name))
}

/// The subject of a certificate profile: attribute types and values.
pub(crate) fn subject(body: &Map<String, Value>, of: &Subject) -> Result<Vec<(String, String)>> {
    let custom = body.get("subjectNameFormatString").and_then(Value::as_str).unwrap_or_default();
    let format = match body.get("subjectNameFormat").and_then(Value::as_str).unwrap_or("commonName") {
        "commonName" => "CN={{UserName}}",
        "commonNameIncludingEmail" => "CN={{UserName}},E={{EmailAddress}}",
        "commonNameAsEmail" => "CN={{EmailAddress}}",
        "commonNameAsIMEI" => "CN={{IMEINumber}}",
        "commonNameAsSerialNumber" => "CN={{SERIALNUMBER}}",
        _ => custom,
    };
    let mut attributes = Vec::new();
    for part in split(format) {
        let (word, text) = part
            .split_once('=')
            .ok_or_else(|| unusable(format!("subjectNameFormatString: {part:?} is not of the form type=value")))?;
        let word = word.trim();
        let kind = ATTRIBUTES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
            .map(|(_, kind)| (*kind).to_owned())
            .or_else(|| word.contains('.').then(|| word.to_owned()))
            .ok_or_else(|| unusable(format!("subjectNameFormatString: the attribute {word:?} is not known")))?;
        attributes.push((kind, fill(&text.trim().replace("\\,", ","), of).map_err(unusable)?));
    }
    if attributes.is_empty() {
        return Err(unusable("subjectNameFormatString is empty"));
    }
    Ok(attributes)
}

/// Splits at commas that no backslash protects.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(',') {
        if !text[..at].ends_with('\\') {
            parts.push(text[start..at].trim());
            start = at + 1;
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

/// Subject alternative names of a certificate profile.
pub(crate) fn alternatives(body: &Map<String, Value>, of: &Subject) -> Result<Vec<Alternative>> {
    let mut names = Vec::new();
    let mut take = |kind: &str, text: &str| -> Result<()> {
        let filled = || fill(text, of).map_err(unusable);
        match kind {
            "emailAddress" => names.push(Alternative::Email(filled()?)),
            "userPrincipalName" => names.push(Alternative::UserPrincipalName(filled()?)),
            "domainNameService" => names.push(Alternative::Dns(filled()?)),
            "universalResourceIdentifier" => names.push(Alternative::Uri(filled()?)),
            "none" | "" => {}
            other => return Err(unusable(format!("the alternative name {other:?} cannot be made"))),
        }
        Ok(())
    };
    let custom = body.get("customSubjectAlternativeNames").and_then(Value::as_array);
    if let Some(custom) = custom.filter(|custom| !custom.is_empty()) {
        for name in custom {
            let word = |key: &str| name.get(key).and_then(Value::as_str).unwrap_or_default();
            take(word("sanType"), word("name"))?;
        }
        return Ok(names);
    }
    let kinds = body.get("subjectAlternativeNameType").and_then(Value::as_str).unwrap_or("none");
    let text = body.get("subjectAlternativeNameFormatString").and_then(Value::as_str);
    for kind in kinds.split(',').map(str::trim) {
        let usual = match kind {
            "emailAddress" => "{{EmailAddress}}",
            _ => "{{UserPrincipalName}}",
        };
        take(kind, text.filter(|text| !text.is_empty()).unwrap_or(usual))?;
    }
    Ok(names)
}

/// What the certificate will say.
pub(crate) fn decided(body: &Map<String, Value>, of: &Subject) -> Result<Decided> {
    let usages: Vec<String> = body
        .get("extendedKeyUsages")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|usage| usage.get("objectIdentifier").and_then(Value::as_str).map(str::to_owned))
        .collect();
    let count = body.get("certificateValidityPeriodValue").and_then(Value::as_u64).unwrap_or(1);
    let scale = match body.get("certificateValidityPeriodScale").and_then(Value::as_str).unwrap_or("years") {
        "days" => 12,
        "months" => 365,
        _ => 12 * 365,
    };
    // Twelve months are a year, and six are half of one.
    let days = count.saturating_mul(scale) / 12;
    let days = u32::try_from(days).unwrap_or(u32::MAX).clamp(1, 5 * 365);
    Ok(Decided {
        subject: subject(body, of)?,
        alternative_names: alternatives(body, of)?,
        extended_key_usage: if usages.is_empty() { vec![CLIENT_AUTH.to_owned()] } else { usages },
        days,
    })
}

/// Everything of a SCEP payload but where it goes and what it proves with.
fn request(body: &Map<String, Value>, decided: &Decided, mac: bool) -> Dictionary {
    let size = match body.get("keySize").and_then(Value::as_str) {
        Some("size4096") => 4096,
        // Keys of 1024 bits are refused by our authority and by every current system.
        _ => 2048,
    };
    let usage = body.get("keyUsage").and_then(Value::as_str).unwrap_or("digitalSignature,keyEncipherment");
    let bits = [("digitalSignature", 1), ("keyEncipherment", 4)];
    let bits: i64 = bits.iter().filter(|(word, _)| usage.contains(word)).map(|(_, bit)| bit).sum();
    let names = decided.subject.iter().map(|(kind, value)| {
        let pair = Plist::Array(vec![kind.as_str().into(), value.as_str().into()]);
        Plist::Array(vec![pair])
    });
    let mut content = dict! {
        "Subject" => Plist::Array(names.collect()),
        "Keysize" => size,
        "Key Type" => "RSA",
        "Key Usage" => if bits == 0 { 5 } else { bits },
        "Retries" => 3,
        "RetryDelay" => 10,
    };
    let mut alternative = Dictionary::new();
    for name in &decided.alternative_names {
        let (key, text) = match name {
            Alternative::Email(text) => ("rfc822Name", text),
            Alternative::Dns(text) => ("dNSName", text),
            Alternative::Uri(text) => ("uniformResourceIdentifier", text),
            Alternative::UserPrincipalName(text) => ("ntPrincipalName", text),
        };
        put(&mut alternative, key, text.as_str());
    }
    if !alternative.is_empty() {
        put(&mut content, "SubjectAltName", alternative);
    }
    if mac {
        put(&mut content, "KeyIsExtractable", false);
    }
    content
}

/// Revokes the certificates that a device got through a document: all of them when the document is
/// taken off, all but the newest when a newer one arrived. Answers the one that is kept.
pub(super) fn revoke_of_document(
    tx: &mut dyn Tx,
    tenant: Uuid,
    device: Uuid,
    document: Uuid,
    keep_newest: bool,
    now: i64,
) -> storage::Result<Option<certificates::Certificate>> {
    let mut of_document: Vec<certificates::Certificate> = certificates::of_device(tx, tenant, device)?
        .into_iter()
        .filter(|certificate| certificate.document_id == Some(document))
        .collect();
    of_document.sort_by_key(|certificate| (certificate.created_at, certificate.id));
    let kept = if keep_newest { of_document.pop() } else { None };
    for certificate in of_document {
        if certificate.state != certificates::state::REVOKED {
            let reason = if keep_newest { Reason::Superseded } else { Reason::CessationOfOperation };
            revoke(tx, tenant, certificate.id, reason, now)?;
        }
    }
    Ok(kept)
}

impl Service {
    /// The SCEP payload of a certificate profile for one device. A challenge of our authority is
    /// minted, bound to the command that carries it: handing that out again voids the earlier one.
    pub(crate) async fn scep_payload(
        &self,
        tenant: Uuid,
        command: Uuid,
        material: &Material,
        document: &Document,
        identifier: &str,
        uuid: &str,
    ) -> Result<Payload> {
        let body = document.properties()?;
        let decided = decided(&body, &material.subject)?;
        let mut content = request(&body, &decided, material.is_mac());
        if let Some(reason) = built::undeliverable(built::Shape::Scep, &body) {
            return Err(unusable(format!("{}: {reason}", document.display_name)));
        }
        let offer = self.scep_offer(purpose::ACCESS).await?;
        let challenge = self
            .mint_scep_challenge(NewChallenge {
                tenant,
                purpose: purpose::ACCESS.to_owned(),
                enrollment_session: None,
                device: Some(material.subject.device_id),
                enrollment: Some(material.subject.enrollment_id),
                document: Some(material.document),
                command: Some(command),
                decided,
            })
            .await?;
        put(&mut content, "URL", offer.url);
        put(&mut content, "Name", offer.name);
        put(&mut content, "CAFingerprint", Plist::Data(offer.fingerprint.to_vec()));
        put(&mut content, "Challenge", challenge.expose().as_str());
        let content = dict! { "PayloadContent" => content };
        Ok(Payload::new("com.apple.security.scep", identifier, uuid, content).titled(&document.display_name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::desired::variables::tests::subject as ann;

    fn body(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_value_with_a_comma_stays_one_attribute() {
        let mut of = ann();
        of.device_name = "Ann, the first,O=Evil".into();
        let format = body(json!({
            "subjectNameFormat": "custom", "subjectNameFormatString": "CN={{DeviceName}},O=Example\\, Inc,OU=x",
        }));
        let names = subject(&format, &of).unwrap();
        assert_eq!(names.len(), 3);
        assert_eq!(names[0], ("2.5.4.3".to_owned(), "Ann, the first,O=Evil".to_owned()));
        assert_eq!(names[1].1, "Example, Inc");
    }

    #[test]
    fn a_device_without_the_value_has_no_certificate() {
        let format = body(json!({ "subjectNameFormat": "commonNameAsIMEI" }));
        let error = subject(&format, &ann()).unwrap_err().to_string();
        assert!(error.contains("IMEINumber"), "{error}");
    }

    #[test]
    fn alternative_names_in_both_spellings() {
        let usual = body(json!({ "subjectAlternativeNameType": "emailAddress,userPrincipalName" }));
        assert_eq!(alternatives(&usual, &ann()).unwrap().len(), 2);
        let custom = body(json!({ "customSubjectAlternativeNames": [
            { "sanType": "domainNameService", "name": "{{AAD_Device_ID}}.example.org" },
        ] }));
        let names = alternatives(&custom, &ann()).unwrap();
        assert_eq!(names, [Alternative::Dns(format!("{}.example.org", ann().azure_ad_device_id))]);
    }

    #[test]
    fn validity_is_counted_in_days() {
        let years = body(json!({ "certificateValidityPeriodValue": 2, "certificateValidityPeriodScale": "years" }));
        assert_eq!(decided(&years, &ann()).unwrap().days, 730);
        let months = |count: u32| {
            let body = json!({ "certificateValidityPeriodValue": count, "certificateValidityPeriodScale": "months" });
            decided(&body.as_object().unwrap().clone(), &ann()).unwrap().days
        };
        assert_eq!((months(1), months(6), months(12)), (30, 182, 365));
    }
}
