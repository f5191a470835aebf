//! A throw-away PostgreSQL from Debian's binaries, with the two roles that Muster expects.
//!
//! It listens on a unix socket in a folder of its own and trusts who can reach that folder. As root
//! it runs as the package's user `postgres`, since PostgreSQL refuses to run as root.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::run;

/// How a server is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Commits reach the disk: benches and faults.
    Full,
    /// They need not: tests.
    None,
}

/// A running server; stopped and removed with this value.
pub struct Postgres {
    binaries: PathBuf,
    directory: PathBuf,
    durability: Durability,
    as_postgres: bool,
    /// Port and password of the encrypted way in; none where openssl is missing.
    encrypted: Option<(u16, String)>,
}

/// Where Debian puts the binaries, the newest version first; none where the package is missing.
fn binaries() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    versions.sort_by_key(|bin| {
        let version = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        version.and_then(|name| name.parse::<u32>().ok())
    });
    versions.pop()
}

impl Postgres {
    /// Starts a server with an empty database; none where PostgreSQL is not installed.
    pub fn start(durability: Durability) -> anyhow::Result<Option<Postgres>> {
        let Some(binaries) = binaries() else { return Ok(None) };
        let as_postgres = Command::new("id").arg("-u").output()?.stdout.starts_with(b"0\n");
        let made = Command::new("mktemp").args(["-d", "/tmp/muster-pg-XXXXXX"]).output()?;
        let directory = PathBuf::from(String::from_utf8(made.stdout)?.trim());
        if as_postgres {
            run::finish(Command::new("chown").arg("postgres").arg(&directory))?;
        }
        let mut server = Postgres { binaries, directory, durability, as_postgres, encrypted: None };
        let data = server.directory.join("data");
        run::finish(
            server
                .tool("initdb")
                .args([
                    "--username=postgres",
                    "--auth-local=trust",
                    "--auth-host=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C.UTF-8",
                    "--no-sync",
                    "-D",
                ])
                .arg(&data)
                .stdout(Stdio::null()),
        )?;
        server.encrypted = server.certify()?;
        server.up()?;
        let password = server.encrypted.as_ref().map_or("", |(_, password)| password);
        // The first owns the tables and may make test databases; the second is what the server works as.
        let port = server.encrypted.as_ref().map_or(5432, |(port, _)| *port).to_string();
        run::finish(server.tool("psql").arg("-qX").arg("-h").arg(&server.directory).args([
            "-p",
            &port,
            "-U",
            "postgres",
            "-c",
            "create role muster_owner login createdb",
            "-c",
            &format!("create role muster_app login password '{password}'"),
            "-c",
            "create database muster owner muster_owner",
        ]))?;
        Ok(Some(server))
    }

    fn tool(&self, name: &str) -> Command {
        let program = self.binaries.join(name);
        let mut command = if self.as_postgres {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir("/");
        command
    }

    /// A self-signed certificate for the encrypted way in, a free port and a password.
    fn certify(&self) -> anyhow::Result<Option<(u16, String)>> {
        let file = |name: &str| self.directory.join(name);
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(file("server.key"))
            .arg("-out")
            .arg(file("server.crt"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            return Ok(None);
        }
        run::finish(Command::new("chmod").arg("600").arg(file("server.key")))?;
        if self.as_postgres {
            run::finish(Command::new("chown").arg("postgres").arg(file("server.key")).arg(file("server.crt")))?;
        }
        let mut random = [0; 16];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut random)?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Some((port, random.iter().map(|byte| format!("{byte:02x}")).collect())))
    }

    /// Starts the server process, after [`Postgres::start`] or [`Postgres::kill`].
    pub fn up(&self) -> anyhow::Result<()> {
        let sync = if self.durability == Durability::Full { "on" } else { "off" };
        let directory = self.directory.display();
        let way_in = match &self.encrypted {
            Some((port, _)) => format!(
                "-c listen_addresses=localhost -p {port} -c ssl=on -c ssl_cert_file={directory}/server.crt \
                 -c ssl_key_file={directory}/server.key"
            ),
            None => "-c listen_addresses=".to_owned(),
        };
        let options = format!(
            "{way_in} -c unix_socket_directories={directory} -c max_connections=200 -c fsync={sync} \
             -c synchronous_commit={sync} -c full_page_writes={sync} -c shared_buffers=256MB -c max_wal_size=2GB"
        );
        let log = self.directory.join("log");
        let started = self
            .tool("pg_ctl")
            .args(["start", "-w", "-s", "-t", "60", "-o", &options, "-D"])
            .arg(self.directory.join("data"))
            .arg("-l")
            .arg(&log)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !started.success() {
            bail!("PostgreSQL did not start: {}", std::fs::read_to_string(&log).unwrap_or_default());
        }
        Ok(())
    }

    /// The process id of the server.
    pub fn process(&self) -> anyhow::Result<String> {
        let file = std::fs::read_to_string(self.directory.join("data/postmaster.pid")).context("no server runs")?;
        Ok(file.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Kills the server process without a chance to write anything, as a power cut would.
    pub fn kill(&self) -> anyhow::Result<()> {
        run::finish(Command::new("kill").args(["-9", &self.process()?]))
    }

    /// Starts the server process after it was killed: its children may still be ending.
    pub fn up_again(&self) -> anyhow::Result<()> {
        let mut tries = 0;
        while let Err(error) = self.up() {
            tries += 1;
            if tries == 50 {
                return Err(error);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Ok(())
    }

    /// Lets the server look at what was written in bulk, as its upkeep would within minutes.
    pub fn vacuum(&self) -> anyhow::Result<()> {
        let port = self.encrypted.as_ref().map_or(5432, |(port, _)| *port).to_string();
        let mut psql = self.tool("psql");
        psql.arg("-qX").arg("-h").arg(&self.directory).args(["-p", &port, "-U", "postgres", "-d", "muster"]);
        run::finish(psql.args(["-c", "vacuum analyze"]))
    }

    fn url_of(&self, role: &str, database: &str) -> String {
        let host = self.directory.display().to_string().replace('/', "%2F");
        let port = self.encrypted.as_ref().map_or(5432, |(port, _)| *port);
        format!("postgres://{role}@{host}:{port}/{database}")
    }

    /// URL of the role the server works as.
    pub fn url(&self) -> String {
        self.url_of("muster_app", "muster")
    }

    /// URL of the role that owns the tables.
    pub fn migrate_url(&self) -> String {
        self.url_of("muster_owner", "muster")
    }

    /// Sets the variables that the tests read.
    pub fn configure(&self, command: &mut Command) {
        command.env("MUSTER_TEST_POSTGRES", self.url()).env("MUSTER_TEST_POSTGRES_MIGRATE", self.migrate_url());
        if let Some((port, password)) = &self.encrypted {
            let root = self.directory.join("server.crt");
            // The folder is the server's own; its certificate is for everybody.
            let url = format!("postgres://muster_app:{password}@localhost:{port}/muster?sslmode=require");
            command.env("MUSTER_TEST_POSTGRES_TLS", url).env("MUSTER_TEST_POSTGRES_ROOT", root);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stop =
            self.tool("pg_ctl").args(["stop", "-s", "-m", "immediate", "-D"]).arg(self.directory.join("data")).status();
        if stop.is_ok() {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// `cargo xtask pg [COMMAND ...]`: with a command, runs it with the variables of the tests set;
/// without, prints them and waits for the end of the input.
pub fn run(args: &[String]) -> anyhow::Result<()> {
    let Some(server) = Postgres::start(Durability::None)? else {
        bail!("PostgreSQL is not installed (on Debian: apt-get install postgresql)");
    };
    if let Some((program, rest)) = args.split_first() {
        let mut command = run::command(program);
        server.configure(command.args(rest));
        return run::finish(&mut command);
    }
    println!("MUSTER_TEST_POSTGRES={}", server.url());
    println!("MUSTER_TEST_POSTGRES_MIGRATE={}", server.migrate_url());
    println!(
        "muster serve --data DIR --database {} ([database] migrate_url = \"{}\")",
        server.url(),
        server.migrate_url()
    );
    println!("the end of the input (Ctrl-D) stops and removes it");
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
