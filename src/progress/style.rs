//! The few colours there are; none of them carries meaning that the text does not.

use console::Style;

/// Colours text, or leaves it as it is where escape sequences are unwelcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    /// Whether escape sequences may be written.
    pub(super) color: bool,
}

impl Paint {
    /// For what failed.
    pub(super) fn error(self, text: &str) -> String {
        self.apply(Style::new().red(), text)
    }

    /// For what deserves a look.
    pub(super) fn warning(self, text: &str) -> String {
        self.apply(Style::new().yellow(), text)
    }

    /// For what is over.
    pub(super) fn done(self, text: &str) -> String {
        self.apply(Style::new().cyan(), text)
    }

    /// For what stands out from its surroundings.
    pub(super) fn heading(self, text: &str) -> String {
        self.apply(Style::new().bold(), text)
    }

    /// For what is said by the way.
    pub(super) fn faint(self, text: &str) -> String {
        self.apply(Style::new().dim(), text)
    }

    /// The text was chosen for stderr, so what the library finds out about stdout is ignored.
    fn apply(self, style: Style, text: &str) -> String {
        if !self.color || text.is_empty() {
            return text.to_owned();
        }
        style.force_styling(true).apply_to(text).to_string()
    }
}
