//! What the compiler does not check: the crate graph, module docs, file sizes, banned words.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::run;

/// Who may use whom: design section 4. Development dependencies are free.
const GRAPH: &[(&str, &[&str])] = &[
    ("muster", &["web", "service", "storage", "domain", "swarm", "pki"]),
    ("web", &["service", "apple", "pki", "domain"]),
    ("service", &["storage", "apple", "pki", "domain"]),
    ("storage", &["domain"]),
    ("apple", &["pki"]),
    ("swarm", &["apple", "pki"]),
    ("pki", &[]),
    ("domain", &[]),
];

/// Longest source file.
const MAX_LINES: usize = 700;

/// Module names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "manager"];

/// Runs every check and reports all faults at once.
pub fn check() -> anyhow::Result<()> {
    let root = run::root();
    let mut faults = Vec::new();
    graph(&root, &mut faults)?;
    for file in sources(&root)? {
        source(&root, &file, &mut faults)?;
    }
    if faults.is_empty() {
        println!("tidy: nothing to mend");
        return Ok(());
    }
    for fault in &faults {
        println!("{fault}");
    }
    bail!("tidy found {} faults", faults.len())
}

fn graph(root: &Path, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let allowed: BTreeMap<&str, &[&str]> = GRAPH.iter().copied().collect();
    for entry in fs::read_dir(root.join("crates"))? {
        let folder = entry?.path();
        let name = folder.file_name().and_then(|n| n.to_str()).context("crate folders have plain names")?.to_owned();
        let Some(may) = allowed.get(name.as_str()) else {
            faults.push(format!("crates/{name}: not in the crate graph of xtask/src/tidy.rs"));
            continue;
        };
        let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
        let mut counts = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                counts = line == "[dependencies]" || line == "[build-dependencies]";
            } else if counts
                && let Some(used) = line.strip_prefix("muster-").and_then(|rest| rest.split(['.', ' ', '=']).next())
                && !may.contains(&used)
            {
                faults.push(format!("crates/{name}/Cargo.toml: {name} may not use {used}"));
            }
        }
    }
    Ok(())
}

fn sources(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = run::command("git")
        .args(["ls-files", "*.rs", "*.ts", "*.tsx", "*.md", "*.toml", "*.sql", "*.html"])
        .output()?;
    Ok(String::from_utf8(output.stdout)?.lines().map(|line| root.join(line)).filter(|path| path.exists()).collect())
}

fn source(root: &Path, file: &Path, faults: &mut Vec<String>) -> anyhow::Result<()> {
    let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
    let text = fs::read_to_string(file).with_context(|| shown.clone())?;
    let rust = shown.ends_with(".rs");
    if rust {
        if !text
            .lines()
            .take_while(|line| line.starts_with("#![") || line.starts_with("//!"))
            .any(|line| line.starts_with("//!"))
        {
            faults.push(format!("{shown}: begin with //! and say what lives here"));
        }
        let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        if EMPTY_NAMES.contains(&stem) {
            faults.push(format!("{shown}: the name {stem} says nothing; name the noun"));
        }
        if text.lines().count() > MAX_LINES {
            faults.push(format!("{shown}: {} lines; split it by noun (at most {MAX_LINES})", text.lines().count()));
        }
        let marks =
            [["to", "do!("].concat(), ["unimpl", "emented!("].concat(), ["TO", "DO"].concat(), ["FIX", "ME"].concat()];
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark.as_str())) {
                faults.push(format!("{shown}:{}: unfinished mark", number + 1));
            }
        }
    }
    let hosts = [
        ["crates", ".io/api"].concat(),
        ["index.cr", "ates.io"].concat(),
        ["static.cr", "ates.io"].concat(),
        ["registry.np", "mjs"].concat(),
        ["py", "pi.org"].concat(),
        ["deb.de", "bian"].concat(),
    ];
    if hosts.iter().any(|host| text.contains(host.as_str())) {
        faults.push(format!("{shown}: names a package registry's host"));
    }
    for (number, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t']) && !shown.ends_with(".md") {
            faults.push(format!("{shown}:{}: trailing blank", number + 1));
        }
    }
    Ok(())
}
