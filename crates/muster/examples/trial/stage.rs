//! A server process among stand-ins that outlive its deaths, with a tenant ready to enroll.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use muster::demo::{
    api::Api,
    scenery::{self, User},
};
use muster_swarm::{
    fleet::Surroundings,
    shell::Network,
    standins::{factory::Factory, push::PushService, website::Website},
};
use serde_json::json;

use crate::{Options, process::Server};

/// Mail domain of the tenant.
pub const DOMAIN: &str = "trial.example";

/// Everything a trial needs.
pub struct Stage {
    /// Data folder; removed in the end.
    pub folder: tempfile::TempDir,
    /// The server.
    pub server: Server,
    /// Its API as the owner.
    pub api: Api,
    /// What devices share.
    pub around: Surroundings,
    /// People with a password.
    pub people: Vec<User>,
    _website: Website,
}

pub fn now() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Stage {
    /// Starts a server on an empty database.
    pub async fn start(options: &Options, people: usize) -> anyhow::Result<Stage> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir()?;
        let (public, device, admin) = (free_port()?, free_port()?, free_port()?);
        let push = Arc::new(PushService::start(now()).await?);
        let factory = Arc::new(Factory::new(now())?);
        let write = |name: &str, text: &str| -> anyhow::Result<String> {
            let path = folder.path().join(name);
            std::fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let mut config = format!(
            "data = '{}'\npublic_url = 'https://localhost:{}'\ndevice_url = 'https://localhost:{}'\n\
             admin_url = 'https://localhost:{}'\n[apple]\ndevice_ca_file = '{}'\n[apple.push]\nbase_url = '{}'\nca_file = '{}'\n",
            folder.path().display(),
            public.port(),
            device.port(),
            admin.port(),
            write("device-ca.pem", &factory.root_pem())?,
            push.base_url(),
            write("push-ca.pem", &push.root_pem())?,
        );
        if let Some(url) = &options.database {
            config.push_str(&format!("[database]\nurl = '{url}'\n"));
            if let Some(url) = &options.migrate {
                config.push_str(&format!("migrate_url = '{url}'\n"));
            }
        }
        let path = folder.path().join("muster.toml");
        std::fs::write(&path, config)?;

        let mut server = Server::new(&path, admin)?;
        server.command(&["tenant", "create", "--name", "Trial", "--domain", DOMAIN])?;
        let token = server.command(&["token", "create", "--name", "trial", "--role", "owner"])?;
        let token = token.lines().last().context("a token is printed")?.to_owned();
        let roots = server.command(&["ca", "export"])?;
        server.start().await?;

        let address = format!("https://localhost:{}", public.port());
        let website = Website::start(&[DOMAIN], &address, now()).await?;
        let mut trusted: Vec<Vec<u8>> =
            muster_pki::Certificate::all_from_pem(&roots)?.iter().map(|root| root.der().to_vec()).collect();
        trusted.push(website.root().to_vec());
        let network = Network::new(&trusted, Arc::new(now))?;
        network.name(DOMAIN, website.running.address);
        let api = Api::new(network.clone(), &format!("https://localhost:{}", admin.port()), &token);
        prepare(&api, &push).await?;
        let mut users = Vec::new();
        for number in 0..people {
            let principal = format!("person{number}@{DOMAIN}");
            users.push(scenery::create_user(&api, &format!("Person {number}"), &principal, "correct horse 7").await?);
        }
        let around = Surroundings { network, push, factory, start: format!("{address}/enroll"), unruly: None };
        Ok(Stage { folder, server, api, around, people: users, _website: website })
    }
}

/// The authority and a push certificate.
async fn prepare(api: &Api, push: &PushService) -> anyhow::Result<()> {
    let organization = api.get("/v1.0/organization").await?;
    let id = organization["value"][0]["id"].as_str().context("there is an organization")?;
    api.post(&format!("/v1.0/organization/{id}/setMobileDeviceManagementAuthority"), &json!({})).await?;
    let certificate = "/v1.0/deviceManagement/applePushNotificationCertificate";
    let request = api.get(&format!("{certificate}/downloadApplePushNotificationCertificateSigningRequest()")).await?;
    let csr = request["value"].as_str().context("the certificate signing request is text")?;
    let topic = "com.apple.mgmt.External.0c0ffee0-0000-4000-8000-000000000002";
    let signed = push.certify(csr.as_bytes(), topic, now())?;
    api.patch(certificate, &json!({ "appleIdentifier": "push@trial.example", "certificate": signed })).await?;
    Ok(())
}
