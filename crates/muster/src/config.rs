//! One typed configuration from three places: a TOML file, `MUSTER_...` in the environment, and the
//! command line, later ones winning. Unknown keys are refused. A value may be `{ file = "path" }`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// The whole configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `production` refuses every weakened check.
    pub environment: Option<String>,
    /// Folder of the database file, the key file and blobs.
    pub data: Option<PathBuf>,
    /// Address of portal, sign-in, discovery, enrollment.
    pub public_url: Option<String>,
    /// Address of device check-ins.
    pub device_url: Option<String>,
    /// Address of console and API.
    pub admin_url: Option<String>,
    /// Where the public listener binds.
    pub listen_public: Option<SocketAddr>,
    /// Where the device listener binds.
    pub listen_device: Option<SocketAddr>,
    /// Where the admin listener binds.
    pub listen_admin: Option<SocketAddr>,
    /// Where SCEP, CRL and OCSP are served over plain HTTP; off where absent.
    pub listen_http: Option<SocketAddr>,
    /// `text` or `json`.
    pub log_format: Option<String>,
    /// Key file; `DIR/muster.key` where absent.
    pub key_file: Option<PathBuf>,
    /// Database.
    pub database: Database,
    /// Certificates of the listeners; issued by our own CA where absent.
    pub tls: Tls,
    /// Apple's services.
    pub apple: Apple,
    /// Outgoing mail.
    pub mail: Mail,
    /// Reverse proxies.
    pub proxy: Proxy,
    /// The guard's defaults.
    pub guard: Guard,
    /// Weakened checks.
    pub compat: Compat,
}

/// `[database]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `postgres://...` of the role the server works as; SQLite in the data folder where absent.
    pub url: Option<Text>,
    /// `postgres://...` of the role that owns the schema; the same role where absent.
    pub migrate_url: Option<Text>,
}

/// `[tls]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// PEM chain, leaf first, for all listeners.
    pub certificate_file: Option<PathBuf>,
    /// PEM private key.
    pub key_file: Option<PathBuf>,
}

/// `[apple]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Apple {
    /// PEM roots that signers of `MachineInfo` chain to.
    pub device_ca_file: Option<PathBuf>,
    /// The push service.
    pub push: ApplePush,
}

/// `[apple.push]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApplePush {
    /// Base address; Apple's where absent.
    pub base_url: Option<String>,
    /// PEM roots in addition to the system's.
    pub ca_file: Option<PathBuf>,
}

/// `[mail]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mail {
    /// `smtp://user:password@host:587?tls=required`.
    pub url: Option<Text>,
    /// Sender address.
    pub from: Option<String>,
    /// PEM roots in addition to the system's.
    pub ca_file: Option<PathBuf>,
}

/// `[proxy]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// Networks whose forwarding headers are believed.
    pub trusted: Vec<String>,
}

/// `[guard]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// Period such as `24h`.
    pub cooling: Option<String>,
    /// Period such as `10m`.
    pub hold: Option<String>,
    /// Period such as `7d`.
    pub expiry: Option<String>,
    /// Wipes an hour for one principal.
    pub wipes_per_hour: Option<u32>,
    /// Wipes an hour for the tenant.
    pub tenant_wipes_per_hour: Option<u32>,
    /// Per cent of the fleet a day.
    pub fleet_percent: Option<u32>,
}

/// `[compat]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compat {
    /// See `settings::Compat`.
    pub scep_des: bool,
    /// See `settings::Compat`.
    pub cms_sha1: bool,
    /// See `settings::Compat`.
    pub apple_any_device_ca: bool,
}

/// A text that may stand in a file of its own.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// As it stands.
    Inline(String),
    /// `{ file = "path" }`, without the final line break.
    File {
        /// Path.
        file: PathBuf,
    },
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Text::Inline(_) => f.write_str("(set)"),
            Text::File { file } => write!(f, "(from {})", file.display()),
        }
    }
}

impl Text {
    /// The text.
    pub fn read(&self) -> anyhow::Result<String> {
        match self {
            Text::Inline(text) => Ok(text.clone()),
            Text::File { file } => Ok(std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?
                .trim_end_matches(['\r', '\n'])
                .to_owned()),
        }
    }
}

/// Every key of the file. In the environment a key is `MUSTER_` and its letters in capitals, dots
/// as underscores.
pub const KEYS: &[&str] = &[
    "environment",
    "data",
    "public_url",
    "device_url",
    "admin_url",
    "listen_public",
    "listen_device",
    "listen_admin",
    "listen_http",
    "log_format",
    "key_file",
    "database.url",
    "database.migrate_url",
    "tls.certificate_file",
    "tls.key_file",
    "apple.device_ca_file",
    "apple.push.base_url",
    "apple.push.ca_file",
    "mail.url",
    "mail.from",
    "mail.ca_file",
    "proxy.trusted",
    "guard.cooling",
    "guard.hold",
    "guard.expiry",
    "guard.wipes_per_hour",
    "guard.tenant_wipes_per_hour",
    "guard.fleet_percent",
    "compat.scep_des",
    "compat.cms_sha1",
    "compat.apple_any_device_ca",
];

/// The environment's name of a key.
pub fn environment_name(key: &str) -> String {
    format!("MUSTER_{}", key.replace('.', "_").to_ascii_uppercase())
}

impl Config {
    /// Reads the file, then the environment, then `overrides` (key, value) from the command line.
    pub fn load(
        file: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
        overrides: &[(&str, String)],
    ) -> anyhow::Result<Config> {
        let mut table = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                // Checked alone first, so that an error names the place in the file.
                toml::from_str::<Config>(&text)
                    .with_context(|| format!("{} is not a valid configuration", path.display()))?;
                text.parse::<toml::Table>()?
            }
            None => toml::Table::new(),
        };
        for key in KEYS {
            if let Some(value) = environment(&environment_name(key)) {
                put(&mut table, key, &value).with_context(|| format!("{} is not valid", environment_name(key)))?;
            }
        }
        for (key, value) in overrides {
            put(&mut table, key, value).with_context(|| format!("the option for {key} is not valid"))?;
        }
        let config: Config = toml::Value::Table(table).try_into().context("the configuration is not valid")?;
        config.check()?;
        Ok(config)
    }

    /// The data folder.
    pub fn data(&self) -> anyhow::Result<&Path> {
        self.data.as_deref().context("say where the data lives: --data DIR")
    }

    fn check(&self) -> anyhow::Result<()> {
        match self.environment.as_deref() {
            None | Some("test" | "development") => {}
            Some("production") => {
                let Compat { scep_des, cms_sha1, apple_any_device_ca } = self.compat;
                for (name, on) in
                    [("scep_des", scep_des), ("cms_sha1", cms_sha1), ("apple_any_device_ca", apple_any_device_ca)]
                {
                    if on {
                        bail!("compat.{name} weakens a check and is refused with environment = \"production\"");
                    }
                }
            }
            Some(other) => bail!("environment is \"{other}\"; use production, test or development"),
        }
        if self.tls.certificate_file.is_some() != self.tls.key_file.is_some() {
            bail!("tls.certificate_file and tls.key_file go together");
        }
        Ok(())
    }
}

/// Puts a text at a dotted key: read as TOML where it is (numbers, booleans, lists, tables), else as a string.
fn put(table: &mut toml::Table, key: &str, text: &str) -> anyhow::Result<()> {
    let value = match key {
        "proxy.trusted" if !text.trim_start().starts_with('[') => {
            toml::Value::Array(text.split(',').map(|part| toml::Value::String(part.trim().to_owned())).collect())
        }
        _ => match format!("v = {text}").parse::<toml::Table>() {
            Ok(mut parsed) => match parsed.remove("v") {
                Some(
                    value @ (toml::Value::Boolean(_)
                    | toml::Value::Integer(_)
                    | toml::Value::Array(_)
                    | toml::Value::Table(_)),
                ) => value,
                _ => toml::Value::String(text.to_owned()),
            },
            Err(_) => toml::Value::String(text.to_owned()),
        },
    };
    let mut here = table;
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            here.insert(part.to_owned(), value);
            return Ok(());
        }
        here = here
            .entry(part)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .with_context(|| format!("{part} is not a table"))?;
    }
    Ok(())
}

/// Reads a period such as `90s`, `10m`, `24h`, `7d` into milliseconds.
pub fn period(text: &str) -> anyhow::Result<i64> {
    let bad = || format!("\"{text}\" is not a period such as 90s, 10m, 24h or 7d");
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let number: i64 = number.parse().ok().filter(|n| *n >= 0).with_context(bad)?;
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => bail!(bad()),
    };
    number.checked_mul(unit).with_context(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)], overrides: &[(&str, String)]) -> anyhow::Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("muster.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(
            Some(&path),
            |name| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()),
            overrides,
        )
    }

    #[test]
    fn later_places_win() {
        let config = load(
            "public_url = 'https://a'\nadmin_url = 'https://file'\n[guard]\nwipes_per_hour = 3",
            &[
                ("MUSTER_ADMIN_URL", "https://environment"),
                ("MUSTER_GUARD_WIPES_PER_HOUR", "4"),
                ("MUSTER_PROXY_TRUSTED", "10.0.0.1, 10.0.0.2"),
            ],
            &[("admin_url", "https://line".into())],
        )
        .unwrap();
        assert_eq!(config.public_url.as_deref(), Some("https://a"));
        assert_eq!(config.admin_url.as_deref(), Some("https://line"));
        assert_eq!(config.guard.wipes_per_hour, Some(4));
        assert_eq!(config.proxy.trusted, ["10.0.0.1", "10.0.0.2"]);
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = format!("{:#}", load("publicurl = 'x'", &[], &[]).unwrap_err());
        assert!(error.contains("publicurl"), "{error}");
        assert!(load("[apple]\npush_url = 'x'", &[], &[]).is_err());
    }

    #[test]
    fn a6_no_permissive_switch_survives_in_production() {
        for switch in ["scep_des", "cms_sha1", "apple_any_device_ca"] {
            let error = load(&format!("environment = 'production'\n[compat]\n{switch} = true"), &[], &[]).unwrap_err();
            assert!(error.to_string().contains(switch));
        }
        load("environment = 'production'", &[], &[]).unwrap();
    }

    #[test]
    fn every_key_has_its_name_in_the_environment() {
        for key in KEYS {
            let value = match *key {
                k if k.starts_with("compat.") => "true",
                k if k.starts_with("listen") => "127.0.0.1:1",
                k if k.ends_with("_hour") || k.ends_with("percent") => "1",
                "environment" => "test",
                "tls.certificate_file" | "tls.key_file" => continue,
                _ => "x",
            };
            load("", &[(&environment_name(key), value)], &[]).unwrap_or_else(|e| panic!("{key}: {e:#}"));
        }
    }

    #[test]
    fn secrets_may_stand_in_files_and_never_in_debug_output() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, "postgres://u:canary@h/d\n").unwrap();
        let config = load(&format!("[database]\nurl = {{ file = '{}' }}", path.display()), &[], &[]).unwrap();
        assert_eq!(config.database.url.as_ref().unwrap().read().unwrap(), "postgres://u:canary@h/d");
        let inline = load("[database]\nurl = 'postgres://u:canary@h/d'", &[], &[]).unwrap();
        assert!(!format!("{inline:?}").contains("canary"));
    }

    #[test]
    fn periods_have_units() {
        assert_eq!(period("10m").unwrap(), 600_000);
        for bad in ["", "10", "m", "-1h", "1w", "99999999999999999d"] {
            assert!(period(bad).is_err(), "{bad}");
        }
    }
}
