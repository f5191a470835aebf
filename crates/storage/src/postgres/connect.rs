//! Where the server is, and TLS to it.
//!
//! A server that offers TLS is spoken to by TLS, and its certificate is always checked: against the
//! PEM file named by `sslrootcert` in the URL, or else the system's roots. `sslmode=disable` in the
//! URL (and a unix socket) does without.

use std::sync::Arc;
use std::time::Duration;

use postgres::config::SslMode;
use postgres::{Client, Config, NoTls};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// A role on a server.
#[derive(Clone)]
pub(crate) struct Target {
    config: Config,
    tls: Option<Arc<ClientConfig>>,
}

impl Target {
    /// Reads a `postgres://` URL.
    pub(crate) fn parse(url: &str) -> crate::Result<Target> {
        let (url, roots) = without_root_file(url);
        // The client's error may repeat the URL, which may hold a password.
        let mut config: Config =
            url.parse().map_err(|_| Error::Unavailable("the database URL cannot be read".into()))?;
        config.application_name("muster");
        config.connect_timeout(Duration::from_secs(5));
        config.keepalives_idle(Duration::from_secs(15));
        config.tcp_user_timeout(Duration::from_secs(30));
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(Arc::new(client_config(roots.as_deref())?)),
        };
        Ok(Target { config, tls })
    }

    /// The role's name.
    pub(crate) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// A new connection with the limits that every session of Muster has.
    pub(crate) fn connect(&self) -> crate::Result<Client> {
        let connected = match &self.tls {
            None => self.config.connect(NoTls),
            Some(tls) => self.config.connect(MakeRustlsConnect::new(ClientConfig::clone(tls))),
        };
        let mut client = connected.map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Error::Unavailable(format!("PostgreSQL cannot be reached: {error} {source}"))
        })?;
        // Four to one, the default, is what a turning disk costs: a search would read whole rows instead of
        // the index that was made for it.
        client
            .batch_execute(
                "set random_page_cost = 1.1; set statement_timeout = '30s'; set idle_in_transaction_session_timeout = '30s';
                 set lock_timeout = '5s'; set client_min_messages = warning",
            )
            .map_err(super::failure)?;
        Ok(client)
    }
}

/// Takes `sslrootcert=FILE`, which the client does not know, out of the URL.
fn without_root_file(url: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (roots, rest): (Vec<&str>, Vec<&str>) = query.split('&').partition(|part| part.starts_with("sslrootcert="));
    let file = roots.first().and_then(|part| part.split_once('=')).map(|(_, file)| file.to_owned());
    if rest.is_empty() { (base.to_owned(), file) } else { (format!("{base}?{}", rest.join("&")), file) }
}

fn client_config(roots: Option<&str>) -> crate::Result<ClientConfig> {
    let unusable = |what: String| Error::Unavailable(format!("TLS to PostgreSQL: {what}"));
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?;
    let builder = match roots {
        Some(file) => {
            let mut store = RootCertStore::empty();
            let certificates = CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| unusable(format!("{file}: {error}")))?;
            for certificate in certificates {
                store.add(certificate).map_err(|error| unusable(format!("{file}: {error}")))?;
            }
            builder.with_root_certificates(store)
        }
        None => builder.with_platform_verifier().map_err(|error| unusable(error.to_string()))?,
    };
    Ok(builder.with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_file_is_taken_out_of_the_url() {
        let (url, file) = without_root_file("postgres://a@b/c?sslmode=require&sslrootcert=/x.pem");
        assert_eq!((url.as_str(), file.as_deref()), ("postgres://a@b/c?sslmode=require", Some("/x.pem")));
        let (url, file) = without_root_file("postgres://a@b/c?sslrootcert=/x.pem");
        assert_eq!((url.as_str(), file.as_deref()), ("postgres://a@b/c", Some("/x.pem")));
    }

    #[test]
    fn an_unreadable_url_is_not_repeated() {
        let error = Target::parse("postgres://user:hunter2@[").err().unwrap().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
