//! What the process asks of its kernel before it holds a key.

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Keeps the memory of this process, with its keys, off the disk and from other processes of its
/// user: no core dump, whatever kills it, and no debugger beside root's (threats G4).
pub fn keep_memory_private() -> anyhow::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).context("cannot switch core dumps off")?;
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .context("cannot make the process undumpable")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, getrlimit};

    #[test]
    fn g4_the_process_is_not_dumpable() {
        super::keep_memory_private().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        #[cfg(target_os = "linux")]
        assert_eq!(
            rustix::process::dumpable_behavior().unwrap(),
            rustix::process::DumpableBehavior::NotDumpable,
            "a core handler named by a pipe does not look at the limit"
        );
    }
}
