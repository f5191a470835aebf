//! A small certificate authority for stand-ins: a root, perhaps one issuing below it.

use std::sync::Arc;

use muster_pki::{
    AlternativeName, Certificate, CertificateTemplate, KeyKind, KeyPair, Name, PublicKey, Usage,
    certificate::{Issuer, random_serial},
};

use crate::{
    crypto::{self, Identity, Key},
    shell::Error,
};

/// One day.
const DAY: i64 = 86_400_000;

/// A certificate authority outside of the server.
pub struct Authority {
    root: Certificate,
    issuing: Certificate,
    key: Arc<Key>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

fn failed(error: muster_pki::Error) -> Error {
    Error::Device(error.to_string())
}

impl Authority {
    /// A root that issues itself.
    pub fn new(name: &str, now: i64) -> Result<Self, Error> {
        let key = KeyPair::generate(KeyKind::P256).map_err(failed)?;
        let root = template(Name::common(name), key.public(), Usage::root(), now).self_sign(&key).map_err(failed)?;
        Ok(Authority { issuing: root.clone(), root, key: Arc::new(key) })
    }

    /// A root and an issuing authority below it.
    pub fn with_issuing(root: &str, issuing: &str, now: i64) -> Result<Self, Error> {
        let above = Authority::new(root, now)?;
        let key = KeyPair::generate(KeyKind::P256).map_err(failed)?;
        let certificate = template(Name::common(issuing), key.public(), Usage::issuing(), now)
            .sign(Issuer::new(&above.root, &above.key))
            .map_err(failed)?;
        Ok(Authority { root: above.root, issuing: certificate, key: Arc::new(key) })
    }

    /// The root, DER.
    pub fn root(&self) -> &[u8] {
        self.root.der()
    }

    /// The root, PEM.
    pub fn root_pem(&self) -> String {
        self.root.to_pem()
    }

    /// Certifies a key.
    pub fn certify(
        &self,
        subject: Name,
        key: &PublicKey,
        usage: Usage,
        names: Vec<AlternativeName>,
        now: i64,
    ) -> Result<Certificate, Error> {
        let template = CertificateTemplate { alternative_names: names, ..template(subject, key, usage, now) };
        template.sign(Issuer::new(&self.issuing, &self.key)).map_err(failed)
    }

    /// A new identity of this authority.
    pub fn identity(
        &self,
        subject: Name,
        usage: Usage,
        names: Vec<AlternativeName>,
        now: i64,
    ) -> Result<Identity, Error> {
        let key = KeyPair::generate(KeyKind::P256).map_err(failed)?;
        self.identity_of(Arc::new(key), subject, usage, names, now)
    }

    /// A new identity of a key that is given.
    pub fn identity_of(
        &self,
        key: Arc<Key>,
        subject: Name,
        usage: Usage,
        names: Vec<AlternativeName>,
        now: i64,
    ) -> Result<Identity, Error> {
        let certificate = self.certify(subject, key.public(), usage, names, now)?;
        let chain = if self.issuing == self.root { vec![] } else { vec![self.issuing.clone()] };
        Ok(Identity::new(certificate, chain, key))
    }

    /// A TLS server on 127.0.0.1 with these names.
    pub fn server(&self, names: &[&str], now: i64) -> Result<Identity, Error> {
        let mut alternative: Vec<_> = names.iter().map(|name| AlternativeName::Dns((*name).to_owned())).collect();
        alternative.push(AlternativeName::Ip(std::net::Ipv4Addr::LOCALHOST.into()));
        let common = names.first().copied().unwrap_or("localhost");
        self.identity(Name::common(common), Usage::server(), alternative, now)
    }
}

fn template(subject: Name, key: &PublicKey, usage: Usage, now: i64) -> CertificateTemplate {
    CertificateTemplate {
        serial: random_serial(&crypto::fill),
        subject,
        not_before: now - DAY,
        not_after: now + 3650 * DAY,
        public_key: key.clone(),
        usage,
        alternative_names: Vec::new(),
        crl_url: None,
    }
}
