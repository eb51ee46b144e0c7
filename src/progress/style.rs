//! The few colours there are; none of them carries meaning that the text does not.

use console::Style;

use super::colors::Colors;

/// Colours text, or leaves it as it is where escape sequences are unwelcome.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    /// The colours; `None` where no escape sequences may be written.
    pub(super) colors: Option<Colors>,
}

impl Paint {
    /// For what failed.
    pub(super) fn error(self, text: &str) -> String {
        self.apply(|colors| colors.error.style(), text)
    }

    /// For what deserves a look.
    pub(super) fn warning(self, text: &str) -> String {
        self.apply(|colors| colors.warning.style(), text)
    }

    /// For what was cancelled.
    pub(super) fn cancelled(self, text: &str) -> String {
        self.apply(|colors| colors.cancel.style(), text)
    }

    /// For what is over.
    pub(super) fn done(self, text: &str) -> String {
        self.apply(|colors| colors.run.style(), text)
    }

    /// For what stands out from its surroundings.
    pub(super) fn heading(self, text: &str) -> String {
        self.apply(|_| Style::new().bold(), text)
    }

    /// For what is said by the way.
    pub(super) fn faint(self, text: &str) -> String {
        self.apply(|_| Style::new().dim(), text)
    }

    /// The text was chosen for stderr, so what the library finds out about stdout is ignored.
    fn apply(self, style: impl Fn(&Colors) -> Style, text: &str) -> String {
        match self.colors {
            Some(colors) if !text.is_empty() => style(&colors)
                .force_styling(true)
                .apply_to(text)
                .to_string(),
            _ => text.to_owned(),
        }
    }
}
