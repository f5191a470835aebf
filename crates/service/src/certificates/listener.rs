//! The listeners' certificate, issued by our root where none is configured.

use std::net::IpAddr;

use muster_pki::{
    AlternativeName, CertificateTemplate, KeyKind, KeyPair, Name, Secret, Usage, certificate::random_serial,
};
use muster_storage::{Scope, authorities, authorities::purpose};

use super::Authority;
use crate::{
    Error, Result, Service,
    settings::{DAY, HOUR},
};

/// Apple's systems refuse server certificates that live longer than 825 days, even under a root of
/// one's own; a year and a month is what public ones had.
const DAYS: i64 = 397;
/// Renewed this long before its end.
const RENEW: i64 = 60 * DAY;

/// What a TLS listener presents.
#[derive(Clone, Debug)]
pub struct ListenerCertificate {
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// PKCS #8.
    pub key: Secret<Vec<u8>>,
    /// Unix ms.
    pub not_after: i64,
}

fn alternative(host: &str) -> AlternativeName {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().map_or_else(|_| AlternativeName::Dns(host.to_owned()), AlternativeName::Ip)
}

impl Service {
    /// The certificate for these host names and addresses: the stored one where it covers them all
    /// and lives on for two months, else a new one. The binary asks again daily.
    pub async fn listener_certificate(&self, hosts: &[String]) -> Result<ListenerCertificate> {
        let authorities = self.authorities().await?;
        let now = self.clock.now();
        let wanted: Vec<AlternativeName> = hosts.iter().map(|host| alternative(host)).collect();
        let rows: Vec<_> = self.store.read(Scope::Server, authorities::current).await?;
        let stored = rows.iter().find(|row| row.purpose == purpose::LISTENER);
        let mut names = wanted.clone();
        if let Some(stored) = stored {
            let found = self.open_authority(stored)?;
            let covered = &found.certificate.extensions().alternative_names;
            if found.certificate.not_after() - now > RENEW && wanted.iter().all(|name| covered.contains(name)) {
                return Ok(present(&found));
            }
            // Another server of this installation may need the names that this one does not.
            names.extend(covered.iter().filter(|name| !wanted.contains(name)).cloned());
        }
        let key = KeyPair::generate(KeyKind::P256)?;
        let template = CertificateTemplate {
            serial: random_serial(&|bytes| self.random.fill(bytes)),
            subject: Name::common(hosts.first().map_or("Muster", String::as_str)),
            not_before: now - HOUR,
            not_after: now + DAYS * DAY,
            public_key: key.public().clone(),
            usage: Usage::server(),
            alternative_names: names,
            crl_url: None,
        };
        let certificate = template.sign(authorities.root.issuer())?;
        let row = self.seal_authority(purpose::LISTENER, &certificate, &key, now);
        let old = stored.map(|stored| stored.id);
        let new = Authority { id: row.id, purpose: row.purpose.clone(), certificate, key };
        let written: Result<()> = self
            .store
            .write(Scope::Server, move |tx| {
                if let Some(old) = old {
                    authorities::retire(tx, old, now)?;
                }
                Ok(authorities::insert(tx, &row)?)
            })
            .await;
        match written {
            Ok(()) => {}
            // Another server stored one at the same moment. Ours serves as well until the next look.
            Err(Error::Storage(muster_storage::Error::Constraint(_))) => {}
            Err(error) => return Err(error),
        }
        Ok(present(&new))
    }
}

fn present(authority: &Authority) -> ListenerCertificate {
    ListenerCertificate {
        chain: vec![authority.certificate.der().to_vec()],
        key: authority.key.to_pkcs8().clone(),
        not_after: authority.certificate.not_after(),
    }
}
