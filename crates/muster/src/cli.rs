//! The command line: design section 5, the operator's contract.

#![expect(missing_docs, reason = "doc comments here are the program's help text; flattened options must have none")]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Muster: self-hosted endpoint management.
#[derive(Debug, Parser)]
#[command(name = "muster", version, about, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every subcommand.
#[derive(Clone, Debug, Default, Args)]
pub struct Common {
    /// Folder of the database file, the key file and blobs
    #[arg(long, env = "MUSTER_DATA")]
    pub data: Option<PathBuf>,
    /// TOML file with any of the options
    #[arg(long, env = "MUSTER_CONFIG")]
    pub config: Option<PathBuf>,
    /// postgres://... ; SQLite in the data folder where absent
    #[arg(long)]
    pub database: Option<String>,
    /// Tenant by name or id, where there are several
    #[arg(long)]
    pub tenant: Option<String>,
    /// Any other configuration key, as key=value (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(Serve),
    /// Run a throw-away server with a swarm of simulated devices
    #[cfg(feature = "demo")]
    Demo(Demo),
    /// Tenants
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Operators
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Bearer tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Approve a waiting request: the second person, at the server's own keyboard
    Approve {
        /// Approval id, as `GET /muster/v1/approvals` lists it
        id: uuid::Uuid,
        #[command(flatten)]
        common: Common,
    },
    /// Certificate authorities
    #[command(subcommand)]
    Ca(CaCommand),
    /// Check the installation and say what is missing
    Doctor {
        #[command(flatten)]
        common: Common,
    },
    /// Write a consistent copy of the database (without its key file)
    Backup {
        /// File to write; must not exist
        #[arg(long)]
        to: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Put a backup into an empty data folder
    Restore {
        /// File that `backup` wrote
        #[arg(long)]
        from: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Bring the database's schema up to date
    Migrate {
        #[command(flatten)]
        common: Common,
    },
    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Encryption keys
    #[command(subcommand)]
    Keys(KeysCommand),
}

/// `serve`
#[derive(Clone, Debug, Default, Args)]
pub struct Serve {
    #[command(flatten)]
    pub common: Common,
    /// Address of portal, sign-in, discovery, enrollment [default: https://localhost:8443]
    #[arg(long)]
    pub public_url: Option<String>,
    /// Address of device check-ins [default: https://localhost:8444]
    #[arg(long)]
    pub device_url: Option<String>,
    /// Address of console and API [default: https://localhost:9443]
    #[arg(long)]
    pub admin_url: Option<String>,
    /// Where the public listener binds [default: loopback at its URL's port]
    #[arg(long)]
    pub listen_public: Option<String>,
    /// Where the device listener binds
    #[arg(long)]
    pub listen_device: Option<String>,
    /// Where the admin listener binds
    #[arg(long)]
    pub listen_admin: Option<String>,
    /// Serve SCEP, CRL and OCSP over plain HTTP here [default: off]
    #[arg(long)]
    pub listen_http: Option<String>,
}

/// `demo`
#[derive(Clone, Debug, Args)]
pub struct Demo {
    #[command(flatten)]
    pub serve: Serve,
    /// Simulated devices
    #[arg(long, default_value_t = 240)]
    pub devices: usize,
}

/// `tenant ...`
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Make a tenant
    Create {
        /// Its name
        #[arg(long)]
        name: String,
        /// Its mail domain
        #[arg(long)]
        domain: String,
        #[command(flatten)]
        common: Common,
    },
}

/// `admin ...`
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Make an operator
    Create {
        /// NAME@DOMAIN
        #[arg(long)]
        user: String,
        /// File with the password
        #[arg(long)]
        password_file: PathBuf,
        /// owner, administrator, helpdesk or readonly
        #[arg(long, default_value = "owner")]
        role: String,
        /// File with a second-factor secret (base32); enrolled at the first sign-in where absent
        #[arg(long)]
        totp_secret_file: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
    },
}

/// `token ...`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a bearer token and print it, once, on the last line
    Create {
        /// What it is for
        #[arg(long)]
        name: String,
        /// Role or Graph scope words, comma separated
        #[arg(long, default_value = "administrator")]
        role: String,
        /// Person it acts for
        #[arg(long)]
        user: Option<String>,
        /// Period such as 30d; never expires where absent
        #[arg(long)]
        expires: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

/// `ca ...`
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Print the PEM of the roots a client must trust
    Export {
        #[command(flatten)]
        common: Common,
    },
}

/// `audit ...`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify the hash chain from its first row to its last
    Verify {
        /// Checkpoints kept elsewhere, as `audit checkpoints` prints them
        #[arg(long)]
        kept: Option<std::path::PathBuf>,
        #[command(flatten)]
        common: Common,
    },
    /// Print the signed checkpoints of the chain, to be kept elsewhere: TENANT N HASH
    Checkpoints {
        #[command(flatten)]
        common: Common,
    },
}

/// `keys ...`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a new key in the key file and wrap every data key under it
    Rotate {
        #[command(flatten)]
        common: Common,
    },
}

impl Common {
    /// The configuration with these options on top.
    pub fn load(&self, more: &[(&'static str, Option<&String>)]) -> anyhow::Result<crate::config::Config> {
        let mut overrides: Vec<(&str, String)> = Vec::new();
        for set in &self.set {
            let (key, value) =
                set.split_once('=').ok_or_else(|| anyhow::anyhow!("--set takes KEY=VALUE, not \"{set}\""))?;
            let key = crate::config::KEYS
                .iter()
                .find(|known| **known == key)
                .ok_or_else(|| anyhow::anyhow!("there is no configuration key \"{key}\""))?;
            overrides.push((key, value.to_owned()));
        }
        for (key, value) in more {
            overrides.extend(value.map(|value| (*key, value.clone())));
        }
        overrides.extend(self.data.as_ref().map(|path| ("data", path.display().to_string())));
        overrides.extend(self.database.as_ref().map(|url| ("database.url", url.clone())));
        crate::config::Config::load(self.config.as_deref(), |name| std::env::var(name).ok(), &overrides)
    }
}

impl Serve {
    /// The configuration with these options on top.
    pub fn load(&self) -> anyhow::Result<crate::config::Config> {
        self.common.load(&[
            ("public_url", self.public_url.as_ref()),
            ("device_url", self.device_url.as_ref()),
            ("admin_url", self.admin_url.as_ref()),
            ("listen_public", self.listen_public.as_ref()),
            ("listen_device", self.listen_device.as_ref()),
            ("listen_admin", self.listen_admin.as_ref()),
            ("listen_http", self.listen_http.as_ref()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
