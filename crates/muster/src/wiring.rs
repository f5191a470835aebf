//! Puts the process together: data folder, key file, database, outward clients, service.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use muster_pki::Secret;
use muster_service::{
    Addresses, Clock, MailError, Parts, Random, Service, Settings,
    keys::{KeyFile, Keys, database_is_fresh},
    settings::{AppleSettings, Compat, GuardDefaults, MailSettings},
};
use muster_storage::Store;

use crate::{
    ambient::{SystemClock, SystemRandom},
    config::{Config, period},
};

/// Apple's push service.
const APPLE_PUSH: &str = "https://api.push.apple.com";

/// Opens the service of a configuration with the machine's clock and randomness. `addresses` are
/// those of bound listeners; without them the configured ones, or the defaults, stand.
pub async fn open(config: &Config, addresses: Option<Addresses>) -> anyhow::Result<Service> {
    open_with(config, addresses, Arc::new(SystemClock), Arc::new(SystemRandom)).await
}

/// As [`open`], with a clock and randomness of the caller's.
pub async fn open_with(
    config: &Config,
    addresses: Option<Addresses>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> anyhow::Result<Service> {
    // Fails only where a provider is installed already, which is then the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(config.data()?).with_context(|| {
        format!("cannot make the data folder {}", config.data().unwrap_or(Path::new("?")).display())
    })?;
    let store = database(config).await?;
    let keys = keys(config, &store, &*random).await?;
    let settings = settings(config, addresses)?;
    let service = Service::new(Parts {
        push: crate::wiring::push(&settings, clock.clone())?,
        mail: crate::wiring::mail(&settings)?,
        store,
        clock,
        random,
        settings,
        keys,
    });
    service
        .check_keys()
        .await
        .with_context(|| format!("with the key file {}", key_path(config).unwrap_or_default().display()))?;
    Ok(service)
}

/// Opens the database, making or migrating its schema.
pub async fn database(config: &Config) -> anyhow::Result<Store> {
    let url = config.database.url.as_ref().map(crate::config::Text::read).transpose()?;
    let migrate = config.database.migrate_url.as_ref().map(crate::config::Text::read).transpose()?;
    let file = config.data()?.join("muster.db");
    tokio::task::spawn_blocking(move || match url {
        Some(url) => Store::open_postgres(&url, migrate.as_deref()).context("cannot open the PostgreSQL database"),
        None => Store::open_sqlite(&file).with_context(|| format!("cannot open {}", file.display())),
    })
    .await?
}

fn key_path(config: &Config) -> anyhow::Result<PathBuf> {
    Ok(match &config.key_file {
        Some(path) => path.clone(),
        None => config.data()?.join("muster.key"),
    })
}

/// Reads the key file; makes it where the database is fresh, and refuses to start without it otherwise.
async fn keys(config: &Config, store: &Store, random: &dyn Random) -> anyhow::Result<Keys> {
    let path = key_path(config)?;
    let file = match fs::read(&path) {
        Ok(bytes) => KeyFile::parse(&bytes).with_context(|| format!("{} is not a key file", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if !database_is_fresh(store).await? {
                bail!(
                    "the database holds data but its key file {} is missing; put the key file back (it is never part of a backup)",
                    path.display()
                );
            }
            let made = KeyFile::generate(random);
            match write_new(&path, &made.to_text()) {
                Ok(()) => made,
                // Another first run was faster.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => KeyFile::parse(&fs::read(&path)?)?,
                Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
            }
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    Ok(Keys::with_reread(file, move || fs::read(&path).ok()))
}

/// Writes a key file that must not exist; readable by its owner only, on the disk before it is used.
fn write_new(path: &Path, text: &Secret<String>) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.expose().as_bytes())?;
    file.sync_all()?;
    // A link fails where the target exists, so that two first runs agree on one file.
    let linked = fs::hard_link(&beside, path);
    let _ = fs::remove_file(&beside);
    linked?;
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// `keys rotate`
pub async fn rotate_keys(config: &Config) -> anyhow::Result<()> {
    let service = open(config, None).await?;
    let path = key_path(config)?;
    let rotated = service
        .rotate_keys(|text| {
            let beside = path.with_extension("new");
            let _ = fs::remove_file(&beside);
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(text.expose().as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        })
        .await?;
    println!("wrapped {} data keys and {} private keys under a new key", rotated.data_keys, rotated.private_keys);
    Ok(())
}

fn settings(config: &Config, addresses: Option<Addresses>) -> anyhow::Result<Settings> {
    let or = |url: &Option<String>, default: &str| url.as_deref().unwrap_or(default).trim_end_matches('/').to_owned();
    let defaults = GuardDefaults::default();
    let time = |key: &str, text: &Option<String>, default: i64| match text {
        Some(text) => period(text).with_context(|| format!("guard.{key}")),
        None => Ok(default),
    };
    let guard = &config.guard;
    Ok(Settings {
        addresses: addresses.unwrap_or_else(|| Addresses {
            public: or(&config.public_url, "https://localhost:8443"),
            device: or(&config.device_url, "https://localhost:8444"),
            admin: or(&config.admin_url, "https://localhost:9443"),
        }),
        apple: AppleSettings {
            push_base_url: or(&config.apple.push.base_url, APPLE_PUSH),
            push_roots: roots(config.apple.push.ca_file.as_deref())?,
            device_roots: roots(config.apple.device_ca_file.as_deref())?,
        },
        mail: match (&config.mail.url, &config.mail.from) {
            (Some(url), Some(from)) => Some(MailSettings {
                url: url.read()?,
                from: from.clone(),
                roots: roots(config.mail.ca_file.as_deref())?,
            }),
            (None, None) => None,
            _ => bail!("mail.url and mail.from go together"),
        },
        guard: GuardDefaults {
            cooling: time("cooling", &guard.cooling, defaults.cooling)?,
            hold: time("hold", &guard.hold, defaults.hold)?,
            expiry: time("expiry", &guard.expiry, defaults.expiry)?,
            wipes_per_hour: guard.wipes_per_hour.unwrap_or(defaults.wipes_per_hour),
            tenant_wipes_per_hour: guard.tenant_wipes_per_hour.unwrap_or(defaults.tenant_wipes_per_hour),
            fleet_percent: guard.fleet_percent.unwrap_or(defaults.fleet_percent),
        },
        compat: Compat {
            scep_des: config.compat.scep_des,
            cms_sha1: config.compat.cms_sha1,
            apple_any_device_ca: config.compat.apple_any_device_ca,
        },
    })
}

/// The certificates of a PEM file, DER.
fn roots(file: Option<&Path>) -> anyhow::Result<Vec<Vec<u8>>> {
    let Some(path) = file else { return Ok(Vec::new()) };
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let certificates = muster_pki::Certificate::all_from_pem(&text)
        .with_context(|| format!("{} is not a PEM file of certificates", path.display()))?;
    Ok(certificates.iter().map(|certificate| certificate.der().to_vec()).collect())
}

/// Mail where no server is configured: every mail is an error that says so.
struct NoMail;

impl muster_service::Mail for NoMail {
    fn send<'a>(
        &'a self,
        _: &'a muster_service::MailMessage,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), MailError>> + Send + 'a>> {
        Box::pin(async { Err(MailError::Later("no mail server is configured; set mail.url and mail.from".into())) })
    }
}

fn mail(settings: &Settings) -> anyhow::Result<Arc<dyn muster_service::Mail>> {
    match &settings.mail {
        None => Ok(Arc::new(NoMail)),
        Some(mail) => {
            let client = muster_service::clients::mail::SmtpMail::new(mail).map_err(anyhow::Error::msg)?;
            Ok(Arc::new(client))
        }
    }
}

fn push(settings: &Settings, clock: Arc<dyn muster_service::Clock>) -> anyhow::Result<Arc<dyn muster_service::Push>> {
    let apple = &settings.apple;
    Ok(Arc::new(muster_service::clients::apns::Apns::new(&apple.push_base_url, &apple.push_roots, clock)?))
}
