//! Lines that are held back, and whose turn it is.
//!
//! The main type is [`Held`]. It decides by time alone; what lines say is not its business.

use std::time::Duration;

use jiff::Timestamp;

use crate::progress::state::{StepId, between};

/// How long a step has to be over before that is said. Daemons end and restart a step
/// within a few milliseconds when they look for its result in the cache.
const SETTLED: Duration = Duration::from_millis(150);

/// How long the step that is shown may be silent before another one takes its place.
const SILENT: Duration = Duration::from_secs(1);

/// How long lines are held at most while another step talks on.
const LONGEST: Duration = Duration::from_secs(5);

/// How many lines of a step are held at most.
const MOST_LINES: usize = 1000;

/// What is held back of all steps.
#[derive(Debug)]
pub(super) struct Held {
    /// In the order in which they began.
    blocks: Vec<Block>,
    /// The step that was shown last and has not ended.
    open: Option<StepId>,
    /// When it was shown.
    shown: Timestamp,
    /// Whether nothing more will come, so that nothing needs to be held.
    closing: bool,
}

/// Lines of one step that wait to be shown.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) step: StepId,
    pub(super) lines: Vec<Line>,
    /// When the step ended, if it did.
    pub(super) ended: Option<Timestamp>,
    since: Timestamp,
}

/// A line without its step's number.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    /// The status it is about: a later line about the same one takes its place.
    status: Option<usize>,
}

impl Held {
    pub(super) fn new() -> Self {
        Self {
            blocks: Vec::new(),
            open: None,
            shown: Timestamp::UNIX_EPOCH,
            closing: false,
        }
    }

    /// The block of a step, where more can be added.
    pub(super) fn block(&mut self, step: StepId, now: Timestamp) -> &mut Block {
        let known = self.blocks.iter().position(|block| block.step == step);
        let place = known.unwrap_or(self.blocks.len());
        if known.is_none() {
            self.blocks.push(Block {
                step,
                lines: Vec::new(),
                ended: None,
                since: now,
            });
        }
        &mut self.blocks[place]
    }

    /// The steps of which something is held.
    pub(super) fn steps(&self) -> impl Iterator<Item = StepId> {
        self.blocks.iter().map(|block| block.step)
    }

    /// Says whether nothing is held.
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Holds nothing back from now on.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Takes out more of the open step, else a step that ended, which leaves nothing open.
    pub(super) fn next_ended(&mut self, now: Timestamp) -> Option<Block> {
        let open = |block: &Block| self.open == Some(block.step) && !block.lines.is_empty();
        let ended = |block: &Block| self.is_settled(block, now) && !self.open_settles(now);
        let place = self.blocks.iter().position(open);
        let place = place.or_else(|| self.blocks.iter().position(ended))?;
        Some(self.blocks.remove(place))
    }

    /// Takes out a step that runs, if it is its turn.
    pub(super) fn next_due(&mut self, now: Timestamp) -> Option<Block> {
        let place = self
            .blocks
            .iter()
            .position(|block| self.is_due(block, now))?;
        Some(self.blocks.remove(place))
    }

    /// Says whether a step's name has to be repeated because another one was shown last.
    /// Returns that one, if it still runs.
    pub(super) fn open(&mut self, step: StepId, now: Timestamp) -> Opened {
        self.shown = now;
        match self.open.replace(step) {
            Some(known) if known == step => Opened::Already,
            Some(other) => Opened::InsteadOf(other),
            None => Opened::Anew,
        }
    }

    /// Ends the block that is open, so that its step's name is repeated.
    pub(super) fn interrupt(&mut self) {
        self.open = None;
    }

    /// Takes back a block whose lines were shown. Returns whether the end of its step can be
    /// shown as well; otherwise that stays held.
    pub(super) fn take_back(&mut self, block: Block, now: Timestamp) -> bool {
        let settled = self.is_settled(&block, now);
        if settled {
            self.open = None;
        } else if block.ended.is_some() {
            self.blocks.insert(0, block);
        }
        settled
    }

    /// Says whether a step ended and will stay so.
    fn is_settled(&self, block: &Block, now: Timestamp) -> bool {
        block
            .ended
            .is_some_and(|at| self.closing || between(at, now) >= SETTLED)
    }

    /// Says whether the end of the open step is about to be shown.
    fn open_settles(&self, now: Timestamp) -> bool {
        let open = self
            .blocks
            .iter()
            .find(|block| self.open == Some(block.step));
        open.is_some_and(|block| block.ended.is_some() && !self.is_settled(block, now))
    }

    fn is_due(&self, block: &Block, now: Timestamp) -> bool {
        if self.closing {
            return true;
        }
        let settling = self.blocks.iter().any(|block| block.ended.is_some());
        let free = match self.open {
            Some(_) => between(self.shown, now) >= SILENT,
            None => !settling,
        };
        let full = between(block.since, now) >= LONGEST || block.lines.len() >= MOST_LINES;
        block.ended.is_none() && !self.open_settles(now) && (free || full)
    }
}

/// How a block begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// Its step is the one shown last.
    Already,
    /// Another step, which still runs, was shown last.
    InsteadOf(StepId),
    /// Nothing is open.
    Anew,
}

impl Block {
    /// Adds a line.
    pub(super) fn add(&mut self, text: String) {
        self.lines.push(Line { text, status: None });
    }

    /// Adds a line about a status, or replaces the one that is held.
    pub(super) fn set_status(&mut self, place: usize, text: String) {
        let held = self
            .lines
            .iter_mut()
            .find(|line| line.status == Some(place));
        match held {
            Some(line) => line.text = text,
            None => self.lines.push(Line {
                text,
                status: Some(place),
            }),
        }
    }
}
