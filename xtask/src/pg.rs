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
        let server = Postgres { binaries, directory, durability, as_postgres };
        let data = server.directory.join("data");
        run::finish(
            server
                .tool("initdb")
                .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "-D"])
                .arg(&data)
                .stdout(Stdio::null()),
        )?;
        server.up()?;
        // The first owns the tables and may make test databases; the second is what the server works as.
        run::finish(server.tool("psql").arg("-qX").arg("-h").arg(&server.directory).args([
            "-U",
            "postgres",
            "-c",
            "create role muster_owner login createdb",
            "-c",
            "create role muster_app login",
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

    /// Starts the server process, after [`Postgres::start`] or [`Postgres::kill`].
    pub fn up(&self) -> anyhow::Result<()> {
        let sync = if self.durability == Durability::Full { "on" } else { "off" };
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c max_connections=200 -c fsync={sync} \
             -c synchronous_commit={sync} -c full_page_writes={sync} -c shared_buffers=256MB -c max_wal_size=2GB",
            self.directory.display()
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

    fn url_of(&self, role: &str, database: &str) -> String {
        let host = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://{role}@{host}/{database}")
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
