//! The stage of the demo and of the stories: a whole server in this process among stand-ins of
//! everything outside of it.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use muster_service::{Addresses, Clock, Random, Service};
use muster_swarm::{
    fleet::Surroundings,
    shell::{Network, network::Now},
    standins::{factory::Factory, push::PushService, smtp::MailServer, website::Website},
};

use crate::{config, config::Config, doors::Doors, server::Running, wiring};

/// A running server and what surrounds it.
pub struct Stage {
    /// The server's decisions.
    pub service: Service,
    /// Its addresses.
    pub addresses: Addresses,
    /// Its configuration.
    pub config: Config,
    /// Its listeners.
    pub running: Running,
    /// PEM of the roots its clients trust.
    pub roots: String,
    /// Push service.
    pub push: Arc<PushService>,
    /// Mail server.
    pub mail: Arc<MailServer>,
    /// Where devices get their identity.
    pub factory: Arc<Factory>,
    /// Website of the mail domains.
    pub website: Website,
    /// Trust, clock and names of all devices.
    pub network: Arc<Network>,
}

impl Stage {
    /// Starts the server of a configuration, with stand-ins put in where it names no service.
    pub async fn start(
        mut config: Config,
        domains: &[&str],
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        jobs: bool,
    ) -> anyhow::Result<Stage> {
        let now = clock.now();
        let folder = config.data()?.to_owned();
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let push = Arc::new(PushService::start(now).await?);
        let mail = Arc::new(MailServer::start(now).await?);
        let factory = Arc::new(Factory::new(now)?);
        let write = |name: &str, text: &str| -> anyhow::Result<std::path::PathBuf> {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(path)
        };
        config.apple.push.base_url = Some(push.base_url());
        config.apple.push.ca_file = Some(write("push-ca.pem", &push.root_pem())?);
        config.apple.device_ca_file = Some(write("device-ca.pem", &factory.root_pem())?);
        config.mail.url = Some(config::Text::Inline(format!("{}?tls=required", mail.url())));
        config.mail.from = Some(format!("muster@{}", domains.first().unwrap_or(&"localhost")));
        config.mail.ca_file = Some(write("mail-ca.pem", &mail.root_pem())?);

        let doors = Doors::bind(&config).await?;
        let addresses = doors.addresses.clone();
        let service = wiring::open_with(&config, Some(addresses.clone()), clock.clone(), random).await?;
        let running = Running::start(&config, service.clone(), doors, jobs).await?;
        let roots = service.ca_export().await?;
        let website = Website::start(domains, &addresses.public, now).await?;

        let mut trusted: Vec<Vec<u8>> =
            muster_pki::Certificate::all_from_pem(&roots)?.iter().map(|root| root.der().to_vec()).collect();
        trusted.push(website.root().to_vec());
        let ticking: Now = Arc::new(move || clock.now());
        let network = Network::new(&trusted, ticking)?;
        for domain in domains {
            network.name(domain, website.running.address);
        }
        Ok(Stage { service, addresses, config, running, roots, push, mail, factory, website, network })
    }

    /// What devices share.
    pub fn surroundings(&self) -> Surroundings {
        Surroundings {
            network: self.network.clone(),
            push: self.push.clone(),
            factory: self.factory.clone(),
            start: format!("{}/enroll", self.addresses.public),
            unruly: None,
        }
    }
}

/// A configuration for a throw-away server on free ports.
pub fn throw_away(folder: &Path) -> Config {
    let free = Some(([127, 0, 0, 1], 0).into());
    Config {
        data: Some(folder.to_owned()),
        listen_public: free,
        listen_device: free,
        listen_admin: free,
        ..Config::default()
    }
}
