//! A set of characters, as written between brackets in a pattern.

/// Characters inside (or, if negated, outside) a list of inclusive ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CharSet {
    ranges: Vec<(char, char)>,
    negated: bool,
}

/// Perl classes by letter. Go means ASCII by them.
const PERL: [(char, &[(char, char)]); 3] = [
    ('d', &[('0', '9')]),
    ('s', &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')]),
    ('w', &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
];

/// POSIX classes by name, as in `[[:digit:]]`.
const POSIX: [(&str, &[(char, char)]); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", &[('0', '9')]),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

impl CharSet {
    /// An empty set; if `negated`, the set of everything.
    pub(super) fn new(negated: bool) -> Self {
        Self {
            ranges: Vec::new(),
            negated,
        }
    }

    /// Adds `low` to `high`, both included. A reversed range adds nothing.
    pub(super) fn add(&mut self, low: char, high: char) {
        self.ranges.push((low, high));
    }

    /// Adds the class of `\d`, `\S` and the like; false if `letter` names none.
    pub(super) fn add_perl(&mut self, letter: char) -> bool {
        let named = PERL
            .iter()
            .find(|(name, _)| *name == letter.to_ascii_lowercase());
        let Some((_, ranges)) = named else {
            return false;
        };
        self.add_class(ranges, letter.is_ascii_uppercase());
        true
    }

    /// Adds the class named between `[:` and `:]`; false if there is none.
    pub(super) fn add_posix(&mut self, name: &str) -> bool {
        let (name, negated) = match name.strip_prefix('^') {
            Some(rest) => (rest, true),
            None => (name, false),
        };
        let Some((_, ranges)) = POSIX.iter().find(|(known, _)| *known == name) else {
            return false;
        };
        self.add_class(ranges, negated);
        true
    }

    fn add_class(&mut self, ranges: &[(char, char)], negated: bool) {
        if !negated {
            self.ranges.extend_from_slice(ranges);
            return;
        }
        let mut next = '\0';
        for (low, high) in ranges {
            if next < *low {
                self.ranges.push((next, before(*low)));
            }
            next = after(*high);
        }
        self.ranges.push((next, char::MAX));
    }

    pub(super) fn contains(&self, rune: char) -> bool {
        let listed = self
            .ranges
            .iter()
            .any(|(low, high)| *low <= rune && rune <= *high);
        listed != self.negated
    }
}

/// The neighbour of an ASCII character; the tables hold no other.
fn before(rune: char) -> char {
    char::from_u32(u32::from(rune).saturating_sub(1)).unwrap_or(rune)
}

fn after(rune: char) -> char {
    char::from_u32(u32::from(rune) + 1).unwrap_or(rune)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_negation() {
        let mut set = CharSet::new(false);
        set.add('a', 'c');
        assert!(set.contains('b') && !set.contains('d'));
        let mut set = CharSet::new(true);
        set.add('a', 'c');
        assert!(!set.contains('b') && set.contains('d') && set.contains('\n'));
    }

    #[test]
    fn named_classes_and_their_complements() {
        let mut set = CharSet::new(false);
        assert!(set.add_posix("digit") && set.contains('7') && !set.contains('x'));
        let mut set = CharSet::new(false);
        assert!(set.add_posix("^digit") && !set.contains('7') && set.contains('é'));
        let mut set = CharSet::new(false);
        assert!(set.add_posix("^ascii") && !set.contains('\0') && set.contains('\u{80}'));
        let mut set = CharSet::new(false);
        assert!(set.add_perl('W') && !set.contains('_') && set.contains('-'));
        assert!(!set.add_perl('q') && !set.add_posix("nonsense"));
    }
}
