//! Lets tests share the daemons, and lets those that stop one have them alone: [`Turn`].
//!
//! Locks on files, so that several test processes on one machine take turns too, and a
//! killed one gives its turn back.

use std::fs::File;

/// A turn with the daemons; over when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _daemons: File,
}

impl Turn {
    /// Waits for a turn beside others.
    pub(crate) fn shared(name: &str) -> Self {
        let _gate = gate(name);
        let daemons = open(name, "daemons");
        daemons.lock_shared().unwrap();
        Self { _daemons: daemons }
    }

    /// Waits for a turn alone; who comes later waits, also for a shared one.
    pub(crate) fn alone(name: &str) -> Self {
        let _gate = gate(name);
        let daemons = open(name, "daemons");
        daemons.lock().unwrap();
        Self { _daemons: daemons }
    }
}

/// Held while waiting: without it, shared turns that follow one another would never let
/// anybody be alone.
fn gate(name: &str) -> File {
    let gate = open(name, "gate");
    gate.lock().unwrap();
    gate
}

fn open(name: &str, part: &str) -> File {
    let safe = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let path = std::env::temp_dir().join(format!("mbuild-test-{safe}.{part}"));
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    options.open(path).unwrap()
}
