//! The terminal's state that outlives a frame: whether its cursor is hidden.
//!
//! Whoever hides the cursor says so here, and whoever ends the process, in whatever way,
//! calls [`restore_terminal`].

use std::sync::atomic::{AtomicBool, Ordering};

/// Hides the cursor; to be followed by [`mark_hidden`].
pub(super) const HIDE_CURSOR: &str = "\x1b[?25l";

/// Shows the cursor.
pub(super) const SHOW_CURSOR: &str = "\x1b[?25h";

/// Ends whatever a frame that was cut short has begun: no synchronized output, lines wrap,
/// plain colours, the cursor shown.
const RESTORE: &str = "\x1b[?2026l\x1b[?7h\x1b[0m\x1b[?25h";

static HIDDEN: AtomicBool = AtomicBool::new(false);

/// Notes that the cursor is hidden, or shown again.
pub(super) fn mark_hidden(hidden: bool) {
    HIDDEN.store(hidden, Ordering::SeqCst);
}

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

/// The size of the terminal behind stderr in columns and rows; `None` if there is none or it
/// does not know.
pub(super) fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && rows > 0).then_some((columns, rows))
}
