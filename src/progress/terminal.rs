//! The terminal's state that outlives a frame: whether its cursor is hidden.
//!
//! Whoever hides the cursor says so here, and whoever ends the process, in whatever way,
//! calls [`restore_terminal`].

use std::sync::atomic::{AtomicBool, Ordering};

/// Ends whatever a frame that was cut short has begun: no synchronized output, lines wrap,
/// plain colours, the cursor shown, a line of its own for what follows.
const RESTORE: &str = "\x1b[?2026l\x1b[?7h\x1b[0m\x1b[?25h\r\n";

static HIDDEN: AtomicBool = AtomicBool::new(false);

/// Shows the cursor on stderr if the live table has hidden it; otherwise does nothing.
///
/// For panic hooks and for exits that don't wait for the table to end. Safe to call at any
/// time and from any thread: it takes no lock, which another thread might hold.
pub fn restore_terminal() {
    if HIDDEN.swap(false, Ordering::SeqCst) {
        // A terminal that is gone needs no restoring.
        let _ = rustix::io::write(std::io::stderr(), RESTORE.as_bytes());
    }
}

/// Restores the terminal when it goes out of scope, also in a panic.
#[derive(Debug)]
pub(super) struct RestoreOnDrop;

impl Drop for RestoreOnDrop {
    fn drop(&mut self) {
        restore_terminal();
    }
}
