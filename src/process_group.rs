//! A program's process group, which ends with our interest in it: [`ProcessGroup`].

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;

/// Kills the process group of a program when dropped: its own children would otherwise outlive
/// it and keep the pipes open.
#[derive(Debug)]
pub struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// Takes charge of a program that was started as the leader of a group.
    pub fn of(child: &Child) -> Self {
        Self(
            child
                .id()
                .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)),
        )
    }

    /// Lets the rest of the group live, after the program ended by itself.
    pub fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended in the meantime; then there is nothing to kill.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
