//! The program itself, as an operator starts it, leaves nothing of its memory behind.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

#[test]
fn g4_a_killed_server_leaves_no_core_dump() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new(env!("CARGO_BIN_EXE_muster"))
        .args(["serve", "--listen-public", "127.0.0.1:0", "--listen-device", "127.0.0.1:0"])
        .args(["--listen-admin", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The set-up link is printed once the server serves; by then it holds all its keys.
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("/setup?token=")), "the server starts");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let core: Vec<&str> =
        limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap().split_whitespace().collect();
    assert_eq!(core[..2], ["0", "0"], "{limits}");

    kill_process(Pid::from_child(&server), Signal::ABORT).unwrap();
    let ended = server.wait().unwrap();
    assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()));
    assert!(!ended.core_dumped());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("core")), "{left:?}");
}
