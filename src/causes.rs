//! An error and its causes as one line: [`causes`], wherever such a line leaves its layer.
//!
//! Messages of ours leave their cause out; libraries' often repeat it. Each is said once.

use std::error::Error;

/// Joins an error and its causes, leaving out what the text before already says.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
