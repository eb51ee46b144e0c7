//! Matching in time linear in the path: a small nondeterministic automaton.
//!
//! All states that could be reached are followed at once, so that no pattern can make the
//! matcher backtrack; `***a*b*` costs what its length says.

use super::charset::CharSet;
use super::runes::first_rune;

/// One character's worth of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Symbol {
    Char(char),
    NotSlash,
    /// Any character but a line break, which is what `.` means to Go.
    NotNewline,
    Set(CharSet),
}

/// A pattern is a sequence of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    One(Symbol),
    /// Any number, none included.
    Many(Symbol),
    /// Any number of whole leading directories: `(.*/)?`.
    Directories,
    /// Matches only where the path begins.
    Start,
}

#[derive(Debug, Clone)]
enum State {
    One(Symbol),
    Many(Symbol),
    /// Goes on, or into the `Inside` that follows it.
    Directories,
    Inside,
    Start,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) struct Automaton {
    /// Literal text at both ends, compared first: it refuses most paths.
    head: Vec<u8>,
    tail: Vec<u8>,
    states: Vec<State>,
}

impl Automaton {
    pub(super) fn new(mut tokens: Vec<Token>) -> Self {
        let starts = tokens
            .iter()
            .take_while(|token| **token == Token::Start)
            .count();
        tokens.drain(..starts);
        let leading = tokens.iter().map_while(literal).count();
        let head: String = tokens
            .drain(..leading)
            .filter_map(|token| literal(&token))
            .collect();
        let trailing = tokens.iter().rev().map_while(literal).count();
        let ending = tokens.split_off(tokens.len() - trailing);
        let tail: String = ending.iter().filter_map(literal).collect();
        let states = tokens.into_iter().flat_map(expand).collect();
        Self {
            head: head.into_bytes(),
            tail: tail.into_bytes(),
            states,
        }
    }

    /// Reports whether the whole of `path` matches.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let middle = path.strip_prefix(self.head.as_slice());
        let middle = middle.and_then(|rest| rest.strip_suffix(self.tail.as_slice()));
        middle.is_some_and(|middle| self.matches_middle(middle))
    }

    fn matches_middle(&self, middle: &[u8]) -> bool {
        let mut current = StateSet::new(self.states.len() + 1);
        let mut next = StateSet::new(self.states.len() + 1);
        self.enter(&mut current, 0, self.head.is_empty());
        let mut rest = middle;
        while let Some((rune, width)) = first_rune(rest) {
            rest = &rest[width..];
            next.clear();
            for index in current.iter() {
                self.step(index, rune, &mut next);
            }
            std::mem::swap(&mut current, &mut next);
            if current.is_empty() {
                return false;
            }
        }
        current.contains(self.states.len())
    }

    /// Follows one state over one character.
    fn step(&self, index: usize, rune: char, next: &mut StateSet) {
        match self.states.get(index) {
            Some(State::One(symbol)) if symbol.accepts(rune) => self.enter(next, index + 1, false),
            Some(State::Many(symbol)) if symbol.accepts(rune) => self.enter(next, index, false),
            Some(State::Inside) if rune != '\n' => {
                next.insert(index);
                if rune == '/' {
                    self.enter(next, index + 1, false);
                }
            }
            _ => {}
        }
    }

    /// Adds a state and all that can be reached from it without a character.
    fn enter(&self, set: &mut StateSet, index: usize, at_start: bool) {
        let mut index = index;
        while set.insert(index) {
            match self.states.get(index) {
                Some(State::Many(_)) => index += 1,
                Some(State::Start) if at_start => index += 1,
                Some(State::Directories) => {
                    set.insert(index + 1);
                    index += 2;
                }
                _ => return,
            }
        }
    }
}

impl Symbol {
    fn accepts(&self, rune: char) -> bool {
        match self {
            Self::Char(wanted) => *wanted == rune,
            Self::NotSlash => rune != '/',
            Self::NotNewline => rune != '\n',
            Self::Set(set) => set.contains(rune),
        }
    }
}

/// The character of a literal token. U+FFFD is none: it also stands for invalid bytes.
fn literal(token: &Token) -> Option<char> {
    match token {
        Token::One(Symbol::Char(rune)) if *rune != char::REPLACEMENT_CHARACTER => Some(*rune),
        _ => None,
    }
}

fn expand(token: Token) -> Vec<State> {
    match token {
        Token::One(symbol) => vec![State::One(symbol)],
        Token::Many(symbol) => vec![State::Many(symbol)],
        Token::Directories => vec![State::Directories, State::Inside],
        Token::Start => vec![State::Start],
    }
}

/// A set of state numbers, one bit each.
struct StateSet {
    words: Vec<u64>,
}

impl StateSet {
    fn new(size: usize) -> Self {
        Self {
            words: vec![0; size.div_ceil(64)],
        }
    }

    /// Adds a number; false if it was there.
    fn insert(&mut self, index: usize) -> bool {
        let bit = 1 << (index % 64);
        let word = &mut self.words[index / 64];
        let added = *word & bit == 0;
        *word |= bit;
        added
    }

    fn contains(&self, index: usize) -> bool {
        self.words[index / 64] & (1 << (index % 64)) != 0
    }

    fn clear(&mut self) {
        self.words.fill(0);
    }

    fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(position, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros();
                left &= left.checked_sub(1)?;
                Some(position * 64 + bit as usize)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_states_than_one_word_holds() {
        let mut tokens = vec![Token::Many(Symbol::NotSlash)];
        tokens.extend((0..200).map(|_| Token::One(Symbol::NotSlash)));
        tokens.push(Token::Many(Symbol::NotNewline));
        let automaton = Automaton::new(tokens);
        assert!(automaton.matches(&[b'x'; 200]));
        assert!(automaton.matches(&[b'x'; 300]));
        assert!(!automaton.matches(&[b'x'; 199]));
    }

    #[test]
    fn a_start_inside_matches_only_after_nothing() {
        let star = Token::Many(Symbol::NotSlash);
        let a = Token::One(Symbol::Char('a'));
        let automaton = Automaton::new(vec![star.clone(), Token::Start, a.clone()]);
        assert!(automaton.matches(b"a"));
        assert!(!automaton.matches(b"xa"));
        let automaton = Automaton::new(vec![a.clone(), Token::Start, star]);
        assert!(!automaton.matches(b"a"));
    }

    #[test]
    fn the_replacement_character_matches_any_invalid_byte() {
        let automaton = Automaton::new(vec![Token::One(Symbol::Char('\u{fffd}'))]);
        assert!(automaton.matches(b"\xe9"));
        assert!(automaton.matches("\u{fffd}".as_bytes()));
        assert!(!automaton.matches("é".as_bytes()));
    }
}
