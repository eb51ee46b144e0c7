//! A step's output, put together into lines.
//!
//! Daemons cut output anywhere, also inside a line or a character. [`Output`] keeps the
//! unfinished line of each stream and the last lines of both; it does not keep all output.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::progress::text;

/// How many lines are kept for reports and for the live table. Reports show 10; users may
/// ask the table for more.
pub const KEPT_LINES: usize = 50;

/// How long a line may become before it is cut: output without line ends must not use up
/// memory, and no reader looks further.
const LONGEST_LINE: usize = 16 * 1024;

/// One line of a step's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When its first piece was written, counted from the step's start.
    pub since_start: Duration,
    /// Its text without the line end. What a terminal would have overwritten after `\r` is
    /// gone; escape sequences are still in it.
    pub text: String,
}

/// The end of a step's output.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// The unfinished lines of stdout and of everything else.
    unfinished: [Option<Unfinished>; 2],
    tail: VecDeque<LogLine>,
}

#[derive(Debug, Clone)]
struct Unfinished {
    bytes: Vec<u8>,
    since_start: Duration,
    arrived: Timestamp,
}

impl Output {
    /// Adds a piece and returns the lines that it completes.
    ///
    /// `stream` is 1 for stdout; `since_start` is when it was written and `now` when it came.
    pub(super) fn feed(
        &mut self,
        stream: i64,
        data: &[u8],
        since_start: Duration,
        now: Timestamp,
    ) -> Vec<LogLine> {
        let slot = usize::from(stream != 1);
        let mut lines = Vec::new();
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let line = self.unfinished[slot].get_or_insert_with(|| Unfinished {
                bytes: Vec::new(),
                since_start,
                arrived: now,
            });
            line.bytes.extend_from_slice(piece);
            if piece.ends_with(b"\n") || line.bytes.len() >= LONGEST_LINE {
                lines.extend(self.finish(slot));
            } else {
                line.drop_overwritten();
            }
        }
        lines
    }

    /// Returns the unfinished lines that came before a moment, as lines of their own.
    ///
    /// Without this nobody would see `downloading…` until it is over.
    pub(super) fn flush(&mut self, came_before: Timestamp) -> Vec<LogLine> {
        (0..self.unfinished.len())
            .filter_map(|slot| match &self.unfinished[slot] {
                Some(line) if line.arrived < came_before => self.finish(slot),
                _ => None,
            })
            .collect()
    }

    /// The last lines, at most `count`, an unfinished one included.
    pub fn tail(&self, count: usize) -> Vec<LogLine> {
        let unfinished = self
            .unfinished
            .iter()
            .flatten()
            .filter_map(Unfinished::line);
        let mut lines: Vec<_> = self.tail.iter().cloned().chain(unfinished).collect();
        lines.drain(..lines.len().saturating_sub(count));
        lines
    }

    /// How many lines [`tail`](Self::tail) can return.
    pub fn kept_lines(&self) -> usize {
        let unfinished = self.unfinished.iter().flatten();
        self.tail.len() + unfinished.filter(|line| !line.bytes.is_empty()).count()
    }

    fn finish(&mut self, slot: usize) -> Option<LogLine> {
        let line = self.unfinished[slot].take()?.into_line();
        if self.tail.len() == KEPT_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.clone());
        Some(line)
    }
}

impl Unfinished {
    /// Forgets what a terminal would have overwritten, so that a progress bar takes no memory.
    fn drop_overwritten(&mut self) {
        let end = self.bytes.len().saturating_sub(1);
        if let Some(at) = self.bytes[..end].iter().rposition(|byte| *byte == b'\r') {
            self.bytes.drain(..=at);
        }
    }

    fn line(&self) -> Option<LogLine> {
        (!self.bytes.is_empty()).then(|| self.clone().into_line())
    }

    fn into_line(self) -> LogLine {
        let text = String::from_utf8_lossy(&self.bytes);
        LogLine {
            since_start: self.since_start,
            text: text::visible_part(&text).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(output: &mut Output, stream: i64, data: &[u8]) -> Vec<String> {
        let lines = output.feed(stream, data, Duration::ZERO, Timestamp::UNIX_EPOCH);
        lines.into_iter().map(|line| line.text).collect()
    }

    fn check(pieces: &[&[u8]], expected: &[&str]) {
        let mut output = Output::default();
        let lines: Vec<_> = pieces
            .iter()
            .flat_map(|piece| feed(&mut output, 1, piece))
            .collect();
        assert_eq!(lines, expected, "{pieces:?}");
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        check(&[b"one\ntwo\n"], &["one", "two"]);
        check(&[b"o", b"ne\nt", b"wo", b"\n"], &["one", "two"]);
        check(&[b"\n\n"], &["", ""]);
        check(&[b"no end"], &[]);
        check(&[b"caf\xc3", b"\xa9\n"], &["café"]);
        check(&[b"bad \xff byte\n"], &["bad \u{fffd} byte"]);
    }

    #[test]
    fn what_a_carriage_return_overwrites_is_dropped() {
        check(&[b"10%\r50%\r100%\n"], &["100%"]);
        check(&[b"windows\r\n"], &["windows"]);
        check(&[b"10%\r", b"\r50%", b"\r", b"100%\r", b"\n"], &["100%"]);
    }

    #[test]
    fn streams_do_not_mix_inside_a_line() {
        let mut output = Output::default();
        assert!(feed(&mut output, 1, b"out").is_empty());
        assert_eq!(feed(&mut output, 2, b"err\n"), ["err"]);
        assert_eq!(feed(&mut output, 1, b"put\n"), ["output"]);
    }

    #[test]
    fn endless_lines_are_cut() {
        let mut output = Output::default();
        assert_eq!(feed(&mut output, 1, &vec![b'x'; LONGEST_LINE]).len(), 1);
        for _ in 0..100_000 {
            feed(&mut output, 1, b"\r 42%");
        }
        assert!(output.unfinished[0].as_ref().unwrap().bytes.len() < 10);
    }

    #[test]
    fn an_unfinished_line_shows_in_the_tail_and_can_be_flushed() {
        let mut output = Output::default();
        feed(&mut output, 1, b"one\ntwo\nthr");
        let tail: Vec<_> = output.tail(2).into_iter().map(|line| line.text).collect();
        assert_eq!(tail, ["two", "thr"]);
        assert!(output.flush(Timestamp::UNIX_EPOCH).is_empty());
        assert_eq!(output.flush(Timestamp::MAX)[0].text, "thr");
        assert_eq!(feed(&mut output, 1, b"ee\n"), ["ee"]);
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut output = Output::default();
        for number in 0..KEPT_LINES + 5 {
            feed(&mut output, 1, format!("{number}\n").as_bytes());
        }
        let tail = output.tail(usize::MAX);
        assert_eq!((tail.len(), tail[0].text.as_str()), (KEPT_LINES, "5"));
    }
}
