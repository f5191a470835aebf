//! [`Decided`]: what a certificate will say, decided by us before anybody asks for it.

use muster_pki::{
    AlternativeName, Certificate, CertificateTemplate, Name, PublicKey, Usage,
    certificate::{Issuer, KeyUsage},
    oid::{self, Oid},
};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, settings::DAY, settings::HOUR};

/// Validity of a device identity.
const IDENTITY_DAYS: u32 = 2 * 365;

/// One subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Alternative {
    /// rfc822Name
    Email(String),
    /// dNSName
    Dns(String),
    /// uniformResourceIdentifier
    Uri(String),
    /// User principal name (otherName)
    UserPrincipalName(String),
}

impl From<&Alternative> for AlternativeName {
    fn from(name: &Alternative) -> Self {
        match name.clone() {
            Alternative::Email(text) => AlternativeName::Email(text),
            Alternative::Dns(text) => AlternativeName::Dns(text),
            Alternative::Uri(text) => AlternativeName::Uri(text),
            Alternative::UserPrincipalName(text) => AlternativeName::UserPrincipalName(text),
        }
    }
}

/// Everything a certificate says but its key, serial number and issuer. A request for it brings
/// the key and nothing else (threats C2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decided {
    /// Attribute types (dotted) and values, in their order.
    pub subject: Vec<(String, String)>,
    /// Subject alternative names.
    #[serde(default)]
    pub alternative_names: Vec<Alternative>,
    /// Extended key usages (dotted).
    pub extended_key_usage: Vec<String>,
    /// Validity from the moment of issue.
    pub days: u32,
}

impl Decided {
    /// A device identity: the common name and nothing that says whose it is.
    pub fn identity(common_name: &str) -> Self {
        Decided {
            subject: vec![(oid::COMMON_NAME.to_string(), common_name.to_owned())],
            alternative_names: Vec::new(),
            extended_key_usage: vec![oid::CLIENT_AUTH.to_string()],
            days: IDENTITY_DAYS,
        }
    }

    /// JSON for the database.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a struct of texts and numbers is JSON")
    }

    /// From the database.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| Error::internal(format!("a stored certificate subject: {error}")))
    }

    /// Issues the certificate.
    pub(crate) fn issue(
        &self,
        key: &PublicKey,
        serial: Vec<u8>,
        issuer: Issuer<'_>,
        crl_url: String,
        now: i64,
    ) -> Result<Certificate> {
        let usages = self.extended_key_usage.iter().map(|text| parse(text)).collect::<Result<Vec<_>>>()?;
        let subject: Vec<(Oid, &str)> =
            self.subject.iter().map(|(kind, value)| Ok((parse(kind)?, value.as_str()))).collect::<Result<_>>()?;
        let key_usage = KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::KEY_ENCIPHERMENT);
        let template = CertificateTemplate {
            serial,
            subject: Name::new(&subject),
            not_before: now - HOUR,
            not_after: (now + i64::from(self.days) * DAY).min(issuer.certificate.not_after()),
            public_key: key.clone(),
            usage: Usage { authority: None, key: key_usage, extended: usages },
            alternative_names: self.alternative_names.iter().map(AlternativeName::from).collect(),
            crl_url: Some(crl_url),
        };
        Ok(template.sign(issuer)?)
    }
}

fn parse(text: &str) -> Result<Oid> {
    Oid::new(text).map_err(|_| Error::internal(format!("\"{text}\" is not an object identifier")))
}
