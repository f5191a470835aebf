//! The running server: listeners and the job runner over one service.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use muster_service::Service;
use muster_web::{
    App, Edge,
    listener::{self, ServerIdentity, Site},
    proxy::Trusted,
    shell::Shell,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{config::Config, doors::Doors};

/// A running server. Dropped, it stops at once; [`Running::stop`] lets requests and jobs finish.
pub struct Running {
    /// Socket of the plain listener, if there is one.
    pub plain: Option<SocketAddr>,
    fresh: Fresh,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// What presenting a new certificate needs.
#[derive(Clone)]
struct Fresh {
    config: Config,
    service: Service,
    hosts: Vec<String>,
    identity: Arc<ServerIdentity>,
}

impl Running {
    /// Starts the listeners of `doors` and, where `jobs` says so, the job runner.
    pub async fn start(config: &Config, service: Service, doors: Doors, jobs: bool) -> anyhow::Result<Running> {
        let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().ok();
        let edge = Edge {
            trusted_proxies: Trusted::parse(&config.proxy.trusted)
                .map_err(anyhow::Error::msg)
                .context("proxy.trusted")?,
            authorities: doors.authorities(),
            metrics,
        };
        let hosts = doors.hosts();
        let (chain, key) = presented(config, &service, &hosts).await?;
        let identity =
            ServerIdentity::new(chain, &key).context("the listeners' certificate and key do not go together")?;
        if let (Some(certificate), Some(key)) = (&config.tls.certificate_file, &config.tls.key_file) {
            // Devices trust the listeners' configured certificate already, so profiles are signed with it.
            let chain = std::fs::read_to_string(certificate)?;
            service.use_profile_signer(&chain, &std::fs::read(key)?)?;
        }
        let shell = Shell::new(App { service: service.clone(), edge: Arc::new(edge) });
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let fresh = Fresh { config: config.clone(), service: service.clone(), hosts, identity: identity.clone() };
        tokio::spawn(keep_fresh(fresh.clone(), stop.clone()));
        for port in doors.ports {
            let sites = port
                .audiences
                .into_iter()
                .map(|(audience, host)| Site { audience, host, identity: identity.clone() })
                .collect();
            let (shell, stop) = (shell.clone(), stop.clone());
            tasks.spawn(async move { Ok(listener::serve(port.listener, sites, shell, stop).await?) });
        }
        let mut plain = None;
        if let Some(socket) = doors.plain {
            plain = Some(socket.local_addr()?);
            let (shell, stop) = (shell.clone(), stop.clone());
            tasks.spawn(async move { Ok(listener::serve_plain(socket, shell, stop).await?) });
        }
        if jobs {
            let stop = stop.clone();
            tasks.spawn(async move {
                service.run_jobs(stop).await;
                Ok(())
            });
        }
        Ok(Running { plain, fresh, stop, tasks })
    }

    /// Presents a new certificate of the listeners where the old one nears its end, now.
    pub async fn present_fresh(&self) -> anyhow::Result<()> {
        self.fresh.present().await
    }

    /// Waits until a part of the server ends by itself, which is a fault.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(result) => result?,
            None => Ok(()),
        }
    }

    /// Stops: no new connections, requests and jobs in flight finish.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Fresh {
    async fn present(&self) -> anyhow::Result<()> {
        let (chain, key) = presented(&self.config, &self.service, &self.hosts).await?;
        Ok(self.identity.replace(chain, &key)?)
    }
}

type Presented = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// PEM files where configured, else a certificate of our own CA for every host name.
async fn presented(config: &Config, service: &Service, hosts: &[String]) -> anyhow::Result<Presented> {
    let (Some(certificate), Some(key)) = (&config.tls.certificate_file, &config.tls.key_file) else {
        let issued = service.listener_certificate(hosts).await?;
        let chain = issued.chain.into_iter().map(CertificateDer::from).collect();
        return Ok((chain, PrivateKeyDer::try_from(issued.key.expose().clone()).map_err(anyhow::Error::msg)?));
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read the certificates of {}", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read the private key of {}", key.display()))?;
    Ok((chain, key))
}

/// Presents a new certificate without a restart: files when they changed, our own when it nears its end.
async fn keep_fresh(fresh: Fresh, stop: CancellationToken) {
    let changed = |config: &Config| -> Vec<Option<std::time::SystemTime>> {
        [&config.tls.certificate_file, &config.tls.key_file]
            .into_iter()
            .flatten()
            .map(|path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
            .collect()
    };
    let mut seen = changed(&fresh.config);
    let every = if seen.is_empty() { Duration::from_secs(24 * 3600) } else { Duration::from_secs(60) };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        let now = changed(&fresh.config);
        if !now.is_empty() && now == seen {
            continue;
        }
        match fresh.present().await {
            Ok(()) => seen = now,
            Err(error) => tracing::error!(error = format!("{error:#}"), "the listeners keep their old certificate"),
        }
    }
}
