//! docs/settings.md is made from the catalogue and checked in; `UPDATE=1` writes it.

use std::{fmt::Write, fs, path::PathBuf};

use muster_domain::{
    catalogue::{Entry, Kind, built, kinds},
    facts::facts,
};

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn carried(entry: &Entry) -> String {
    let mut parts: Vec<String> =
        entry.delivery.iter().map(|delivery| format!("`{}` `{}`", delivery.payload, delivery.key)).collect();
    parts.dedup();
    parts.join("<br>")
}

fn kind_table(out: &mut String, kind: &Kind) {
    let _ = writeln!(out, "\n## {}\n\n`{}`, {}.\n", kind.title, kind.graph_type, kind.platform.name());
    let _ = writeln!(out, "| Setting | What it does | Payload and key | From | Supervised | User Enrollment |");
    let _ = writeln!(out, "|---|---|---|---|---|---|");
    for entry in &kind.settings {
        let user = match (&entry.user_enrollment_note, entry.user_enrollment) {
            (_, true) => "yes",
            (Some(note), false) => note,
            (None, false) => "no",
        };
        let title =
            if entry.help.is_empty() { entry.title.clone() } else { format!("{}. {}", entry.title, entry.help) };
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} |",
            entry.name,
            cell(&title),
            carried(entry),
            entry.since,
            if entry.supervised { "yes" } else { "" },
            user
        );
    }
    for (name, wholes) in &kind.part_of {
        let _ = writeln!(out, "\n`{name}` says how `{}` counts.", wholes.join("` or `"));
    }
    for link in &kind.links {
        let title = &link.title;
        let _ = writeln!(
            out,
            "\n`{}@odata.bind`: {title}, a SCEP certificate profile that comes along; `{}` `{}`.",
            link.name, link.payload, link.key
        );
    }
    if !kind.stored_only.is_empty() {
        let _ = writeln!(out, "\nStored, reported as not applicable:\n");
        for (name, reason) in &kind.stored_only {
            let _ = writeln!(out, "- `{name}`: {reason}");
        }
    }
}

fn page() -> String {
    let count: usize = kinds().iter().map(|kind| kind.settings.len()).sum();
    let mut out = format!(
        "# Settings\n\nMade from `catalogue/` by `UPDATE=1 cargo test -p muster-domain --test settings_page`; do not edit.\n\n\
         {count} settings are delivered. One profile a policy; two different values for one key are a conflict and \
         neither is sent. A setting that a device cannot take is not sent and shown as not applicable with the \
         reason.\n"
    );
    for kind in kinds() {
        kind_table(&mut out, kind);
    }
    out.push_str("\n## Profiles that are built\n\n| Type | Payloads |\n|---|---|\n");
    for (name, shape, _) in built::types() {
        let payloads = match shape {
            built::Shape::Custom => "those of the uploaded mobileconfig, under identifiers of their own",
            built::Shape::TrustedRoot => "`com.apple.security.root`, or `com.apple.security.pkcs1` for an intermediate",
            built::Shape::Scep => {
                "`com.apple.security.scep`; of our own authority, one challenge a hand-out, renewed at `renewalThresholdPercentage`; with `scepServerUrls` of another server it is not sent, and says why"
            }
            built::Shape::WiFi => "`com.apple.wifi.managed`",
            built::Shape::Vpn => {
                "`com.apple.vpn.managed`, or `com.apple.vpn.managed.applayer` with `enablePerApp`, and its \
                 `com.apple.security.scep` in the same profile"
            }
            built::Shape::EnterpriseWiFi => {
                "`com.apple.wifi.managed` with `EAPClientConfiguration`, and its `com.apple.security.root` and \
                 `com.apple.security.scep` in the same profile"
            }
        };
        let _ = writeln!(out, "| `{name}` | {payloads} |");
    }
    out.push_str("\n## Facts\n\n| Fact | Query and key | iOS from | macOS from | User Enrollment | Personal devices |\n|---|---|---|---|---|---|\n");
    for fact in facts() {
        let since =
            |a: &Option<muster_domain::facts::Available>| a.as_ref().map_or(String::new(), |a| a.since.to_string());
        let user = [&fact.ios, &fact.macos].iter().any(|a| a.as_ref().is_some_and(|a| a.user_enrollment));
        let _ = writeln!(
            out,
            "| `{}` | `{}` `{}` | {} | {} | {} | {} |",
            fact.name,
            fact.query.word(),
            fact.key,
            since(&fact.ios),
            since(&fact.macos),
            if user { "yes" } else { "no" },
            if fact.personal { "yes" } else { "no" }
        );
    }
    out
}

#[test]
fn the_page_of_settings_is_up_to_date() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md"));
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "docs/settings.md is old; run UPDATE=1 cargo test -p muster-domain --test settings_page");
}
