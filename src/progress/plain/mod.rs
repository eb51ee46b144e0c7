//! The renderer of `plain`: lines that stay, each with the number of its step.
//!
//! Steps run side by side, so their lines are held back a little and shown in blocks; a
//! block that returns to a step repeats its name. Made for CI logs: without colour there is
//! no escape sequence in it.

mod held;
mod lines;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;

use self::held::{Block, Held, Opened};
use super::colors::Colors;
use super::state::{Change, Outcome, State, StepId};
use super::style::Paint;
use super::{Renderer, View, closing, text};
use crate::event::{Event, UnitId, VertexStatus};

/// How often held lines are looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// How often a build without news is looked at, for output lines that have no end.
const IDLE_GLANCE: Duration = Duration::from_secs(1);

/// Writes lines.
#[derive(Debug)]
pub(super) struct Plain {
    paint: Paint,
    held: Held,
    /// Units that have ended while lines of theirs were held.
    ended: Vec<UnitId>,
    /// What was last said of each transfer.
    said: HashMap<(StepId, usize), (i64, Option<Timestamp>)>,
    /// Whether something was written, so that an empty line has to separate what follows.
    begun: bool,
}

impl Renderer for Plain {
    fn event(&mut self, event: &Event, view: &View<'_>, out: &mut String) {
        match event {
            Event::Warning(text) => {
                let line = format!("WARNING: {}", self.tame(text));
                self.say(&self.paint.warning(&line), out);
            }
            Event::Note(line) => {
                let line = self.tame(line);
                self.say(&line, out);
            }
            Event::UnitWaiting { unit, reason } => {
                let name = lines::name(view.state, *unit);
                let reason = text::without_controls(reason);
                self.aside(&format!("{name}: waiting for {reason}"), out);
            }
            Event::UnitFinished { unit, .. } if view.state.units().len() > 1 => {
                self.ended.push(*unit);
            }
            _ => {}
        }
    }

    fn change(&mut self, change: &Change, view: &View<'_>, _: &mut String) {
        let now = view.now;
        match change {
            Change::Started(id) => self.held.block(*id, now).ended = None,
            Change::Ended(id) => self.held.block(*id, now).ended = Some(now),
            Change::Line(id, line) => {
                let text = self.tame(&line.text);
                let line = format!("{} {text}", text::log_time(line.since_start));
                self.held.block(*id, now).add(line);
            }
            Change::Warned(id, short) => {
                let line = self.paint.warning(&format!("WARN: {}", self.tame(short)));
                self.held.block(*id, now).add(line);
            }
            Change::Status(id, place) => {
                let status = &view.state.step(*id).statuses[*place];
                if let Some(line) = self.status(*id, *place, status) {
                    self.held.block(*id, now).set_status(*place, line);
                }
            }
        }
    }

    fn draw(&mut self, view: &View<'_>, out: &mut String) {
        self.show_ended_units(view, out);
        while let Some(block) = self.held.next_ended(view.now) {
            self.show(block, view, out);
            self.show_ended_units(view, out);
        }
        while let Some(block) = self.held.next_due(view.now) {
            self.show(block, view, out);
        }
    }

    fn finish(&mut self, view: &View<'_>, out: &mut String) {
        self.held.close();
        self.draw(view, out);
        self.show_ended_units(view, out);
        out.push_str(&closing::warnings(view.state, self.paint));
    }

    fn redraw_after(&self, state: &State) -> Option<Duration> {
        if !self.held.is_empty() || !self.ended.is_empty() {
            return Some(GLANCE);
        }
        state.is_running().then_some(IDLE_GLANCE)
    }
}

impl Plain {
    pub(super) fn new(colors: Option<Colors>) -> Self {
        Self {
            paint: Paint { colors },
            held: Held::new(),
            ended: Vec::new(),
            said: HashMap::new(),
            begun: false,
        }
    }

    /// Other people's text; with its own colours where colours are welcome, as in buildx.
    fn tame<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.paint.colors.is_some() {
            Cow::Borrowed(text)
        } else {
            text::without_controls(text)
        }
    }

    /// A line about a transfer, unless too little has happened since the last one.
    fn status(&mut self, step: StepId, place: usize, status: &VertexStatus) -> Option<String> {
        let last = self.said.get(&(step, place)).copied();
        if !lines::is_news(status, last) {
            return None;
        }
        self.said
            .insert((step, place), (status.current, status.timestamp));
        Some(lines::describe(status))
    }

    fn show(&mut self, mut block: Block, view: &View<'_>, out: &mut String) {
        let id = block.step;
        let step = view.state.step(id);
        let number = step.number.unwrap_or_default();
        let opened = self.held.open(id, view.now);
        if let Opened::InsteadOf(other) = opened {
            let left = view.state.step(other).number.unwrap_or_default();
            let _ = writeln!(out, "#{left} ...");
        }
        if opened != Opened::Already {
            self.separate(out);
            let name = self.paint.heading(&view.state.step_name(step));
            let _ = writeln!(out, "#{number} {name}");
        }
        for line in block.lines.drain(..) {
            let _ = writeln!(out, "#{number} {}", line.text);
        }
        if self.held.take_back(block, view.now) {
            let _ = writeln!(out, "#{number} {}", self.result(id, view));
        }
    }

    /// How a step ended.
    fn result(&self, id: StepId, view: &View<'_>) -> String {
        let step = view.state.step(id);
        match step.outcome() {
            Outcome::Cached => "CACHED".to_owned(),
            Outcome::Cancelled => self.paint.cancelled("CANCELED"),
            Outcome::Failed => self
                .paint
                .error(&format!("ERROR: {}", self.tame(step.error()))),
            Outcome::Done | Outcome::Running | Outcome::Waiting => {
                format!("DONE {}", text::seconds(view.state.elapsed(step, view.now)))
            }
        }
    }

    /// Says how units ended of which no line is held any more.
    fn show_ended_units(&mut self, view: &View<'_>, out: &mut String) {
        let held: Vec<_> = self
            .held
            .steps()
            .map(|id| view.state.step(id).unit)
            .collect();
        let is_held = |unit: &UnitId| held.contains(&Some(*unit));
        let (wait, ready): (Vec<_>, Vec<_>) = self.ended.drain(..).partition(is_held);
        self.ended = wait;
        for unit in ready {
            self.aside(&lines::unit_result(view.state, unit), out);
        }
    }

    /// Writes a line that belongs to no step.
    fn say(&mut self, line: &str, out: &mut String) {
        self.begun = true;
        out.push_str(line);
        out.push('\n');
    }

    /// Writes such a line between blocks.
    fn aside(&mut self, line: &str, out: &mut String) {
        self.separate(out);
        self.held.interrupt();
        self.say(line, out);
    }

    fn separate(&mut self, out: &mut String) {
        if self.begun {
            out.push('\n');
        }
        self.begun = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ClientStep, UnitEnd};
    use crate::progress::play::{Player, announced, at, cached, failed, planned, vertex};

    fn player() -> Player<Plain> {
        Player::new(Plain::new(None))
    }

    #[test]
    fn one_unit_looks_as_in_buildx() {
        let mut player = player();
        player.event(&planned(&[("a", "linux/amd64")])).started(0);
        player.vertex(0, announced("s1", "[1/3] FROM base"));
        player.vertex(0, cached("s1", "[1/3] FROM base", 0));
        player.vertex(0, vertex("s2", "[2/3] RUN make", 0, None));
        player.at(500).log(0, "s2", "com").log(0, "s2", "piling\n");
        player
            .at(1500)
            .log(0, "s2", "\x1b[1mlinking\x1b[0m\n50%\r100%\n");
        player.vertex(0, vertex("s2", "[2/3] RUN make", 0, Some(1500)));
        player
            .at(2000)
            .vertex(0, failed("s3", "[3/3] RUN test", 1500, 2000));
        insta::assert_snapshot!(player.finish(), @r#"
        #1 [1/3] FROM base
        #1 CACHED

        #2 [2/3] RUN make
        #2 0.500 compiling
        #2 1.500 linking
        #2 1.500 100%
        #2 DONE 1.5s

        #3 [3/3] RUN test
        #3 ERROR: exit code: 1
        "#);
    }

    #[test]
    fn steps_carry_node_and_platform_when_there_are_several_units() {
        let mut player = player();
        player.event(&planned(&[("a", "linux/amd64"), ("b", "linux/arm64")]));
        player.started(0).started(1);
        player.vertex(0, vertex("s1", "[1/2] RUN make", 0, None));
        player.vertex(1, vertex("s1", "[linux/arm64 1/2] RUN make", 0, None));
        player
            .at(100)
            .log(0, "s1", "amd64 one\n")
            .log(1, "s1", "arm64 one\n");
        player.at(200).log(0, "s1", "amd64 two\n");
        player.at(2000).log(1, "s1", "arm64 two\n");
        player
            .at(2100)
            .vertex(0, vertex("s1", "[1/2] RUN make", 0, Some(2100)));
        player.event(&Event::Transfer {
            unit: UnitId(0),
            sent: 1_234_567,
            received: 1,
        });
        player.finished(0, UnitEnd::Done);
        player
            .at(3000)
            .vertex(1, failed("s1", "[1/2] RUN make", 0, 3000));
        player.finished(1, UnitEnd::Failed("exit code: 1".into()));
        player.at(4000);
        player.event(&Event::Client(ClientStep {
            name: "writing index".into(),
            end: None,
        }));
        insta::assert_snapshot!(player.finish(), @r#"
        #1 [a · linux/amd64 1/2] RUN make
        #1 0.100 amd64 one
        #1 0.200 amd64 two
        #1 ...

        #2 [b · linux/arm64 1/2] RUN make
        #2 0.100 arm64 one
        #2 2.000 arm64 two
        #2 ...

        #1 [a · linux/amd64 1/2] RUN make
        #1 DONE 2.1s

        linux/amd64 on a: done in 2.1s, 0 of 1 steps cached, sent 1.2 MB

        #2 [b · linux/arm64 1/2] RUN make
        #2 ERROR: exit code: 1

        linux/arm64 on b: failed after 3.0s: exit code: 1

        #3 writing index
        "#);
    }

    #[test]
    fn a_step_that_ends_and_starts_again_at_once_is_shown_once() {
        let mut player = player();
        player.event(&planned(&[("a", "linux/amd64")])).started(0);
        for start in [0, 20, 40] {
            player.vertex(0, vertex("s1", "[1/1] COPY . .", start, Some(start + 10)));
        }
        player.at(1000);
        assert_eq!(player.finish(), "#1 [1/1] COPY . .\n#1 DONE 0.0s\n");
    }

    #[test]
    fn a_talkative_step_does_not_hide_another_for_long() {
        let mut player = player();
        player.event(&planned(&[("a", "linux/amd64")])).started(0);
        player
            .vertex(0, vertex("s1", "one", 0, None))
            .log(0, "s1", "start\n");
        player
            .at(50)
            .vertex(0, vertex("s2", "two", 0, None))
            .log(0, "s2", "here\n");
        for tick in 2..60 {
            player.at(tick * 100).log(0, "s1", "on\n");
        }
        assert!(
            player.text.contains("#2 two\n#2 0.050 here\n"),
            "{}",
            player.text
        );
    }

    #[test]
    fn transfers_are_reported_now_and_then() {
        let mut player = player();
        player.event(&planned(&[("a", "linux/amd64")])).started(0);
        player.vertex(0, vertex("s1", "[internal] load build context", 0, None));
        let transfer = |now: i64, current, done: bool| VertexStatus {
            id: "transferring context:".into(),
            vertex: "s1".into(),
            current,
            timestamp: Some(at(now)),
            started: Some(at(0)),
            completed: done.then(|| at(now)),
            ..VertexStatus::default()
        };
        for now in (0..10_000).step_by(100) {
            player.at(now).status(0, transfer(now, now * 10_000, false));
        }
        player.status(0, transfer(9_950, 99_500_000, true));
        insta::assert_snapshot!(player.finish(), @r#"
        #1 [internal] load build context
        #1 transferring context: 10.00MB 1.0s
        #1 transferring context: 60.00MB 6.0s
        #1 transferring context: 99.50MB 9.9s done
        "#);
    }

    #[test]
    fn output_without_line_ends_is_shown_in_time() {
        let mut player = player();
        player.event(&planned(&[("a", "linux/amd64")])).started(0);
        player
            .vertex(0, vertex("s1", "RUN curl", 0, None))
            .log(0, "s1", "waiting...");
        assert!(!player.at(4_000).text.contains("waiting"));
        assert!(
            player.at(6_500).text.ends_with("#1 0.000 waiting...\n"),
            "{}",
            player.text
        );
    }

    #[test]
    fn without_colour_there_is_no_escape_sequence() {
        let mut player = player();
        player.event(&planned(&[("a", "linux/amd64")])).started(0);
        player.vertex(0, failed("s1", "RUN \x1b[31mred\x1b[0m", 0, 10));
        player.log(0, "s1", "\x1b[31mred\x1b[0m\x1b[2J\n");
        player.event(&Event::Warning("odd".into())).at(500);
        assert!(!player.finish().contains('\x1b'));
    }
}
