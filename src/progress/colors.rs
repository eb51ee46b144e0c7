//! The colours of progress, and `BUILDKIT_COLORS`, which changes them.
//!
//! The variable's form is BuildKit's: `run=green:warning=yellow:error=red:cancel=255,165,0`.

use console::{Color, Style};

/// The colour of each kind of line that has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colors {
    /// What runs or is over.
    pub(super) run: Ink,
    /// What was cancelled.
    pub(super) cancel: Ink,
    /// What deserves a look.
    pub(super) warning: Ink,
    /// What failed.
    pub(super) error: Ink,
}

/// A colour of the terminal; `None` is the terminal's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ink {
    color: Option<Color>,
    bright: bool,
}

impl Ink {
    const fn new(color: Color) -> Self {
        Self {
            color: Some(color),
            bright: false,
        }
    }

    /// The escape sequences.
    pub(super) fn style(self) -> Style {
        let style = match self.color {
            None => Style::new(),
            Some(Color::TrueColor(red, green, blue)) => Style::new().true_color(red, green, blue),
            Some(color) => Style::new().fg(color),
        };
        if self.bright { style.bright() } else { style }
    }
}

impl Default for Colors {
    fn default() -> Self {
        Self {
            run: Ink::new(Color::Cyan),
            cancel: Ink::new(Color::Yellow),
            warning: Ink::new(Color::Yellow),
            error: Ink::new(Color::Red),
        }
    }
}

/// Entries of `BUILDKIT_COLORS` that mean nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "BUILDKIT_COLORS: `{0}` is none of run, cancel, error and warning with `=` and a colour: a \
     name such as light-blue, or red,green,blue from 0 to 255"
)]
pub struct BadColor(String);

impl Colors {
    /// Reads the variable's value; what cannot be read keeps its default and is returned, too.
    pub fn parse(text: &str) -> (Self, Vec<BadColor>) {
        let mut colors = Self::default();
        let mut bad = Vec::new();
        for entry in text.split(':').filter(|entry| !entry.is_empty()) {
            if colors.set(entry).is_none() {
                bad.push(BadColor(entry.to_owned()));
            }
        }
        (colors, bad)
    }

    fn set(&mut self, entry: &str) -> Option<()> {
        let (key, value) = entry.split_once('=')?;
        let place = match key.to_ascii_lowercase().as_str() {
            "run" => &mut self.run,
            "cancel" => &mut self.cancel,
            "warning" => &mut self.warning,
            "error" => &mut self.error,
            _ => return None,
        };
        *place = ink(&value.to_ascii_lowercase())?;
        Some(())
    }
}

fn ink(value: &str) -> Option<Ink> {
    if value.contains(',') {
        let parts: Option<Vec<u8>> = value.split(',').map(|part| part.parse().ok()).collect();
        let [red, green, blue] = parts?[..] else {
            return None;
        };
        return Some(Ink::new(Color::TrueColor(red, green, blue)));
    }
    let (name, bright) = match value.strip_prefix("light-") {
        Some(name) => (name, true),
        None => (value, false),
    };
    let color = match name {
        "default" if !bright => {
            return Some(Ink {
                color: None,
                bright,
            });
        }
        "black" => Color::Black,
        "blue" => Color::Blue,
        "cyan" => Color::Cyan,
        "green" => Color::Green,
        "magenta" => Color::Magenta,
        "red" => Color::Red,
        "white" => Color::White,
        "yellow" => Color::Yellow,
        _ => return None,
    };
    Some(Ink {
        color: Some(color),
        bright,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_and_mixed_colours_replace_the_defaults() {
        let (colors, bad) = Colors::parse("RUN=green:error=light-magenta:cancel=255,165,0");
        assert_eq!(bad, []);
        assert_eq!(colors.run, Ink::new(Color::Green));
        assert_eq!(colors.error.style(), Style::new().magenta().bright());
        assert_eq!(colors.cancel.style(), Style::new().true_color(255, 165, 0));
        assert_eq!(colors.warning, Colors::default().warning);
    }

    #[test]
    fn what_means_nothing_is_told_and_passed_over() {
        let check = |text: &str| {
            let (colors, bad) = Colors::parse(text);
            assert_eq!(colors, Colors::default(), "{text}");
            assert_eq!(bad.len(), 1, "{text}");
        };
        check("run");
        check("walk=red");
        check("run=crimson");
        check("run=1,2");
        check("run=1,2,256");
        check("run=light-default");
        assert_eq!(Colors::parse(""), (Colors::default(), Vec::new()));
    }
}
