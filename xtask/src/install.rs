//! What the gate needs beside the Rust toolchain: on Debian, as root, installed; elsewhere named.

use std::process::Command;

/// A program some test needs, and the Debian package that brings it.
pub struct Tool {
    /// A file that shows it is there.
    pub file: &'static str,
    /// Debian package.
    pub package: &'static str,
    /// What it is for.
    pub purpose: &'static str,
}

/// Everything outside the toolchain. A test whose tool is missing says so and is counted as skipped.
pub const TOOLS: &[Tool] = &[
    Tool { file: "/usr/bin/openssl", package: "openssl", purpose: "cross-checks of CMS, SCEP and certificates" },
    Tool { file: "/usr/lib/postgresql", package: "postgresql", purpose: "the second storage engine" },
    Tool { file: "/usr/bin/pki", package: "strongswan-pki", purpose: "a SCEP client of others" },
    Tool {
        file: "/usr/lib/ipsec/plugins/libstrongswan-curl.so",
        package: "libstrongswan-extra-plugins",
        purpose: "HTTP for that client",
    },
    Tool {
        file: "/usr/lib/ipsec/plugins/libstrongswan-openssl.so",
        package: "libstrongswan-standard-plugins",
        purpose: "elliptic curves for that client",
    },
    Tool { file: "/usr/lib/certmonger/scep-submit", package: "certmonger", purpose: "a SCEP client of others" },
    Tool { file: "/usr/bin/dbus-run-session", package: "dbus", purpose: "certmonger's daemon" },
    Tool { file: "/usr/bin/python3", package: "python3", purpose: "the schema checkers, where present" },
    Tool {
        file: "/usr/share/doc/python3-yaml",
        package: "python3-yaml",
        purpose: "the schema checkers, where present",
    },
];

/// Installs what is missing. Never fails: a test that cannot run is reported as skipped.
pub fn all() -> anyhow::Result<()> {
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| !std::path::Path::new(tool.file).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let debian = std::path::Path::new("/usr/bin/apt-get").exists();
    let root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.starts_with(b"0"));
    if !(debian && root) {
        for tool in &missing {
            println!("missing: {} ({}); tests that need it are skipped", tool.package, tool.purpose);
        }
        println!("on Debian: apt-get install {}", missing.iter().map(|t| t.package).collect::<Vec<_>>().join(" "));
        return Ok(());
    }
    println!("installing {}", missing.iter().map(|t| t.package).collect::<Vec<_>>().join(" "));
    let apt = |args: &[&str]| Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").output();
    let _ = apt(&["update", "-qq"]);
    for tool in missing {
        // One by one, so that one that is not to be had does not take the others with it.
        match apt(&["install", "-y", "-qq", "--no-install-recommends", tool.package]) {
            Ok(out) if out.status.success() => {}
            _ => println!("could not install {}; tests that need it are skipped", tool.package),
        }
    }
    Ok(())
}
