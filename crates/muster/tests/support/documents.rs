//! Holds every document the server sent against Apple's schema, where the checker is at hand.

use std::{collections::BTreeMap, path::Path, process::Command};

use muster_swarm::model::device::Received;

/// Checks them all, one run of the checker for each kind and device.
pub fn check(received: &[Received]) {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tools/apple_schema.py");
    if !tool.exists() {
        return muster_storage::testing::skipped("recorded documents", "../shared/tools/apple_schema.py is not here");
    }
    let mut sorted: BTreeMap<(&str, Vec<String>), Vec<&[u8]>> = BTreeMap::new();
    for document in received {
        let options = ["--os", document.os, "--os-version", &document.os_version];
        let placed = ["--enrollment", document.enrollment, "--channel", document.channel];
        let options = match document.kind {
            "command" | "profile" | "declaration" => options.iter().chain(&placed).map(|o| (*o).to_owned()).collect(),
            _ => Vec::new(),
        };
        sorted.entry((document.kind, options)).or_default().push(&document.document);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = Vec::new();
    for ((kind, options), documents) in sorted {
        let files: Vec<_> = documents
            .iter()
            .enumerate()
            .map(|(number, document)| {
                let file = folder.path().join(format!("{number}.{kind}"));
                std::fs::write(&file, document).unwrap();
                file
            })
            .collect();
        // Several declarations of one run are taken for one device's set; here each stands alone.
        let chunk = if kind == "declaration" { 1 } else { files.len() };
        for files in files.chunks(chunk) {
            let output = Command::new("python3").arg(&tool).arg(kind).args(files).args(&options).output().unwrap();
            if !output.status.success() {
                wrong.push(format!(
                    "{kind} {}: {}{}",
                    options.join(" "),
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "documents that Apple's schema does not allow:\n{}", wrong.join("\n"));
}
