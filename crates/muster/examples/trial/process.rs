//! The server as a process: started, killed, watched.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::time::Instant;

/// A server's program with its configuration.
pub struct Server {
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
    admin: std::net::SocketAddr,
    child: Option<Child>,
}

impl Server {
    /// The program that was built beside this one.
    pub fn new(config: &Path, admin: std::net::SocketAddr) -> anyhow::Result<Server> {
        let here = std::env::current_exe()?;
        let binary = here.parent().and_then(Path::parent).context("there is a build folder")?.join("muster");
        anyhow::ensure!(binary.exists(), "{} is not built", binary.display());
        Ok(Server { binary, config: config.to_owned(), log: config.with_extension("log"), admin, child: None })
    }

    /// Runs a subcommand to its end; answers the last line it printed.
    pub fn command(&self, args: &[&str]) -> anyhow::Result<String> {
        let out = Command::new(&self.binary).args(args).arg("--config").arg(&self.config).output()?;
        if !out.status.success() {
            bail!("muster {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr));
        }
        Ok(String::from_utf8(out.stdout)?)
    }

    /// Starts the server; answers how long it took to its first answer.
    pub async fn start(&mut self) -> anyhow::Result<Duration> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let began = Instant::now();
        let child = Command::new(&self.binary)
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        // The listeners accept before the database is open, so the answer is what counts.
        let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build()?;
        let url = format!("https://localhost:{}/readyz", self.admin.port());
        loop {
            let asked = client.get(&url).timeout(Duration::from_secs(1)).send().await;
            if asked.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(began.elapsed());
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("the server ended by itself with {status}; see {}", self.log.display());
            }
            anyhow::ensure!(began.elapsed() < Duration::from_secs(60), "the server does not become ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills the server as a power cut would.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks the server to stop and waits for its end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        Command::new("kill").arg(child.id().to_string()).status()?;
        let status = tokio::task::spawn_blocking(move || child.wait()).await??;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    fn proc(&self, file: &str) -> String {
        let id = self.child.as_ref().map_or(0, Child::id);
        std::fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default()
    }

    /// Processor time the server has used, all threads.
    pub fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // Behind the name: state is the first, utime and stime the 12th and 13th, in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let (Some(user), Some(system)) = (ticks(11), ticks(12)) else { return Duration::ZERO };
        Duration::from_millis((user + system) * 10)
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        memory(&self.child.as_ref().map_or(0, Child::id).to_string(), "VmRSS:")
    }

    /// Connections and listeners that it has open.
    pub fn sockets(&self) -> usize {
        let id = self.child.as_ref().map_or(0, Child::id);
        let files = std::fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
        let targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A figure of a process's memory, bytes: `VmRSS:` what it holds, `VmHWM:` the most it held.
pub fn memory(process: &str, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
