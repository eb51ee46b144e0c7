//! Plays recorded progress of real daemons to the renderers.
//!
//! The clock is that of the recording, so what is printed is the same every time.

use std::time::Duration;

use jiff::Timestamp;
use mbuild::event::{Event, StatusUpdate, UnitEnd, UnitId, UnitLabel};
use mbuild::progress::{
    Display, LOG_LINES, Mode, Renderer, State, UnitSummary, View, renderer_on, report,
};

use crate::support::rawjson::{parse_line, recording};

/// How often a renderer may draw, as in a real build.
const FRAME: Duration = Duration::from_millis(50);

/// A renderer in front of a recording.
struct Replay {
    renderer: Box<dyn Renderer>,
    state: State,
    text: String,
    now: Timestamp,
}

impl Replay {
    fn new(mode: Mode) -> Self {
        let display = Display { mode, colors: None };
        Self {
            renderer: renderer_on(display, LOG_LINES, || Some((100, 30))),
            state: State::default(),
            text: String::new(),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    /// Plays recordings side by side, each as the progress of one unit, all from one moment on.
    fn play(mut self, units: &[(&str, &str, UnitEnd)]) -> Self {
        let labels = units
            .iter()
            .enumerate()
            .map(|(place, (node, _, _))| UnitLabel {
                unit: UnitId(place),
                platform: format!("linux/{node}").parse().ok(),
                node: (*node).to_owned(),
                instance: None,
            });
        self.event(&Event::Planned(labels.collect()));
        let mut events = Vec::new();
        for (place, (_, name, end)) in units.iter().enumerate() {
            events.extend(timed(UnitId(place), name, end));
        }
        events.sort_by_key(|(at, _)| *at);
        for (at, event) in events {
            self.pass_until(at);
            self.event(&event);
        }
        self.renderer.finish(
            &View {
                state: &self.state,
                now: self.now,
            },
            &mut self.text,
        );
        self
    }

    fn event(&mut self, event: &Event) {
        let changes = self.state.apply(event, self.now);
        let view = View {
            state: &self.state,
            now: self.now,
        };
        self.renderer.event(event, &view, &mut self.text);
        for change in &changes {
            self.renderer.change(change, &view, &mut self.text);
        }
    }

    fn pass_until(&mut self, at: Timestamp) {
        while self.now < at {
            self.now = (self.now + FRAME).min(at);
            let view = View {
                state: &self.state,
                now: self.now,
            };
            self.renderer.draw(&view, &mut self.text);
        }
    }

    fn summary(&self, unit: usize) -> UnitSummary {
        self.state.summary(UnitId(unit))
    }
}

/// The events of a recording and when they came, counted from the epoch.
fn timed(unit: UnitId, name: &str, end: &UnitEnd) -> Vec<(Timestamp, Event)> {
    let updates = recording(name);
    let first = updates.iter().find_map(newest).unwrap();
    let shift = |time: Timestamp| Timestamp::UNIX_EPOCH + time.duration_since(first);
    let mut at = Timestamp::UNIX_EPOCH;
    let mut events = vec![(
        at,
        Event::UnitStarted {
            unit,
            instance: None,
            at,
        },
    )];
    for mut update in updates {
        update.shift(shift);
        at = newest(&update).unwrap_or(at).max(at);
        events.push((at, Event::Status { unit, update }));
    }
    events.push((
        at,
        Event::UnitFinished {
            unit,
            at,
            end: end.clone(),
        },
    ));
    events
}

/// The latest time in an update: it cannot have come earlier.
fn newest(update: &StatusUpdate) -> Option<Timestamp> {
    let vertexes = update
        .vertexes
        .iter()
        .flat_map(|vertex| [vertex.started, vertex.completed]);
    let statuses = update.statuses.iter().map(|status| status.timestamp);
    let logs = update.logs.iter().map(|log| log.timestamp);
    vertexes.chain(statuses).chain(logs).flatten().max()
}

/// Moves all times of an update.
trait Shift {
    fn shift(&mut self, shift: impl Fn(Timestamp) -> Timestamp);
}

impl Shift for StatusUpdate {
    fn shift(&mut self, shift: impl Fn(Timestamp) -> Timestamp) {
        for vertex in &mut self.vertexes {
            vertex.started = vertex.started.map(&shift);
            vertex.completed = vertex.completed.map(&shift);
        }
        for status in &mut self.statuses {
            status.timestamp = status.timestamp.map(&shift);
            status.started = status.started.map(&shift);
            status.completed = status.completed.map(&shift);
        }
        for log in &mut self.logs {
            log.timestamp = log.timestamp.map(&shift);
        }
    }
}

fn failed() -> UnitEnd {
    UnitEnd::Failed("exit code: 3".into())
}

#[test]
fn a_build_is_printed_plainly() {
    let replay = Replay::new(Mode::Plain).play(&[("amd64", "success.jsonl", UnitEnd::Done)]);
    insta::assert_snapshot!(replay.text, @r#"
    #1 [internal] load build definition from Dockerfile
    #1 transferring dockerfile: 428B done
    #1 WARN: FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)
    #1 DONE 0.0s

    #2 [internal] load metadata for 10.213.77.1:5000/base:latest
    #2 DONE 0.0s

    #3 [internal] load .dockerignore
    #3 transferring context: 2B done
    #3 DONE 0.0s

    #4 [tools 1/5] FROM 10.213.77.1:5000/base:latest@sha256:0f6f9409f6ac2c6afeda94de40da5a9a10cd4842f964c7fb8b1f82e7f2d21c64
    #4 resolve 10.213.77.1:5000/base:latest@sha256:0f6f9409f6ac2c6afeda94de40da5a9a10cd4842f964c7fb8b1f82e7f2d21c64 0.0s done
    #4 DONE 0.0s

    #5 [internal] load build context
    #5 transferring context: 274.20kB 0.0s done
    #5 DONE 0.1s

    #6 [tools 2/5] WORKDIR /src
    #6 CACHED

    #7 [tools 3/5] COPY hello.txt .
    #7 DONE 0.2s

    #8 [tools 4/5] RUN i=1; while [ $i -le 12 ]; do echo "compiling part $i"; i=$((i+1)); done
    #8 0.266 compiling part 1
    #8 0.267 compiling part 2
    #8 0.267 compiling part 3
    #8 0.267 compiling part 4
    #8 0.267 compiling part 5
    #8 0.267 compiling part 6
    #8 0.268 compiling part 7
    #8 0.268 compiling part 8
    #8 0.268 compiling part 9
    #8 0.268 compiling part 10
    #8 0.268 compiling part 11
    #8 0.268 compiling part 12
    #8 DONE 0.3s

    #9 [tools 5/5] RUN printf 'load'; sleep 1; printf 'ing\n'; for p in 10 50 100; do printf '\rprogress %s%%' $p; done; echo; printf '\033[33ma note\033[0m on stderr\n' >&2
    #9 0.290 loading
    #9 1.291 a note on stderr
    #9 1.291 progress 100%
    #9 DONE 1.4s

    #10 [app 1/2] COPY --link hello.txt numbers.txt /other/
    #10 merging 0.0s done
    #10 DONE 0.2s

    #11 [app 2/2] RUN echo built > /built
    #11 DONE 0.5s

    #12 exporting to client directory
    #12 copying files 2.54MB 0.0s done
    #12 DONE 0.0s

     1 warning found:
     - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (Dockerfile:1)
    "#);
}

#[test]
fn a_cached_build_is_printed_plainly() {
    let replay = Replay::new(Mode::Plain).play(&[("amd64", "cached.jsonl", UnitEnd::Done)]);
    insta::assert_snapshot!(replay.text, @r#"
    #1 [internal] load build definition from Dockerfile
    #1 transferring dockerfile: 428B done
    #1 WARN: FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)
    #1 DONE 0.0s

    #2 [internal] load metadata for 10.213.77.1:5000/base:latest
    #2 DONE 0.0s

    #3 [internal] load .dockerignore
    #3 transferring context: 2B done
    #3 DONE 0.0s

    #4 [tools 1/5] FROM 10.213.77.1:5000/base:latest@sha256:0f6f9409f6ac2c6afeda94de40da5a9a10cd4842f964c7fb8b1f82e7f2d21c64
    #4 resolve 10.213.77.1:5000/base:latest@sha256:0f6f9409f6ac2c6afeda94de40da5a9a10cd4842f964c7fb8b1f82e7f2d21c64 0.0s done
    #4 DONE 0.0s

    #5 [internal] load build context
    #5 transferring context: 63B done
    #5 DONE 0.0s

    #6 [tools 2/5] WORKDIR /src
    #6 CACHED

    #7 [tools 3/5] COPY hello.txt .
    #7 CACHED

    #8 [tools 4/5] RUN i=1; while [ $i -le 12 ]; do echo "compiling part $i"; i=$((i+1)); done
    #8 CACHED

    #9 [tools 5/5] RUN printf 'load'; sleep 1; printf 'ing\n'; for p in 10 50 100; do printf '\rprogress %s%%' $p; done; echo; printf '\033[33ma note\033[0m on stderr\n' >&2
    #9 CACHED

    #10 [app 1/2] COPY --link hello.txt numbers.txt /other/
    #10 CACHED

    #11 [app 2/2] RUN echo built > /built
    #11 CACHED

    #12 exporting to client directory
    #12 copying files 2.54MB 0.0s done
    #12 DONE 0.1s

     1 warning found:
     - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (Dockerfile:1)
    "#);
}

#[test]
fn two_nodes_are_told_apart() {
    let units = [
        ("amd64", "success.jsonl", UnitEnd::Done),
        ("arm64", "failing.jsonl", failed()),
    ];
    let replay = Replay::new(Mode::Plain).play(&units);
    insta::assert_snapshot!(replay.text, @r#"
    #1 [amd64 · linux/amd64 internal] load build definition from Dockerfile
    #1 transferring dockerfile: 428B done
    #1 WARN: FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)
    #1 DONE 0.0s

    #2 [arm64 · linux/arm64 internal] load build definition from Dockerfile.fail
    #2 transferring dockerfile: 165B done
    #2 DONE 0.0s

    #3 [arm64 · linux/arm64 internal] load metadata for 10.213.77.1:5000/base:latest
    #3 DONE 0.0s

    #4 [arm64 · linux/arm64 internal] load .dockerignore
    #4 transferring context: 2B done
    #4 DONE 0.0s

    #5 [amd64 · linux/amd64 internal] load metadata for 10.213.77.1:5000/base:latest
    #5 DONE 0.0s

    #6 [arm64 · linux/arm64 internal] load build context
    #6 transferring context: 33B done
    #6 DONE 0.0s

    #7 [arm64 · linux/arm64 1/4] FROM 10.213.77.1:5000/base:latest@sha256:0f6f9409f6ac2c6afeda94de40da5a9a10cd4842f964c7fb8b1f82e7f2d21c64
    #7 resolve 10.213.77.1:5000/base:latest@sha256:0f6f9409f6ac2c6afeda94de40da5a9a10cd4842f964c7fb8b1f82e7f2d21c64 0.0s done
    #7 CACHED

    #8 [amd64 · linux/amd64 internal] load .dockerignore
    #8 transferring context: 2B done
    #8 DONE 0.0s

    #9 [arm64 · linux/arm64 2/4] COPY numbers.txt .
    #9 DONE 0.0s

    #10 [amd64 · linux/amd64 tools 1/5] FROM 10.213.77.1:5000/base:latest@sha256:0f6f9409f6ac2c6afeda94de40da5a9a10cd4842f964c7fb8b1f82e7f2d21c64
    #10 resolve 10.213.77.1:5000/base:latest@sha256:0f6f9409f6ac2c6afeda94de40da5a9a10cd4842f964c7fb8b1f82e7f2d21c64 0.0s done
    #10 DONE 0.0s

    #11 [amd64 · linux/amd64 internal] load build context
    #11 transferring context: 274.20kB 0.0s done
    #11 DONE 0.1s

    #13 [amd64 · linux/amd64 tools 2/5] WORKDIR /src
    #13 CACHED

    #12 [arm64 · linux/arm64 3/4] RUN seq 12; echo "cannot find <the thing>" >&2; exit 3
    #12 0.347 1
    #12 0.347 2
    #12 0.347 3
    #12 0.347 4
    #12 0.347 5
    #12 0.347 6
    #12 0.347 7
    #12 0.347 8
    #12 0.347 9
    #12 0.347 10
    #12 0.347 11
    #12 0.347 12
    #12 0.354 cannot find <the thing>
    #12 ...

    #14 [amd64 · linux/amd64 tools 3/5] COPY hello.txt .
    #14 DONE 0.2s

    #15 [amd64 · linux/amd64 tools 4/5] RUN i=1; while [ $i -le 12 ]; do echo "compiling part $i"; i=$((i+1)); done
    #15 0.266 compiling part 1
    #15 0.267 compiling part 2
    #15 0.267 compiling part 3
    #15 0.267 compiling part 4
    #15 0.267 compiling part 5
    #15 0.267 compiling part 6
    #15 0.268 compiling part 7
    #15 0.268 compiling part 8
    #15 0.268 compiling part 9
    #15 0.268 compiling part 10
    #15 0.268 compiling part 11
    #15 0.268 compiling part 12
    #15 ...

    #12 [arm64 · linux/arm64 3/4] RUN seq 12; echo "cannot find <the thing>" >&2; exit 3
    #12 ERROR: process "/bin/sh -c seq 12; echo \"cannot find <the thing>\" >&2; exit 3" did not complete successfully: exit code: 3

    linux/arm64 on arm64: failed after 0.5s: exit code: 3

    #15 [amd64 · linux/amd64 tools 4/5] RUN i=1; while [ $i -le 12 ]; do echo "compiling part $i"; i=$((i+1)); done
    #15 DONE 0.3s

    #16 [amd64 · linux/amd64 tools 5/5] RUN printf 'load'; sleep 1; printf 'ing\n'; for p in 10 50 100; do printf '\rprogress %s%%' $p; done; echo; printf '\033[33ma note\033[0m on stderr\n' >&2
    #16 0.290 loading
    #16 1.291 a note on stderr
    #16 1.291 progress 100%
    #16 DONE 1.4s

    #17 [amd64 · linux/amd64 app 1/2] COPY --link hello.txt numbers.txt /other/
    #17 merging 0.0s done
    #17 DONE 0.2s

    #18 [amd64 · linux/amd64 app 2/2] RUN echo built > /built
    #18 DONE 0.5s

    #19 [amd64 · linux/amd64] exporting to client directory
    #19 copying files 2.54MB 0.0s done
    #19 DONE 0.0s

    linux/amd64 on amd64: done in 2.8s, 1 of 12 steps cached

     1 warning found:
     - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (Dockerfile:1) [linux/amd64 on amd64]
    "#);
}

#[test]
fn the_table_ends_as_a_list_of_all_steps() {
    let units = [
        ("amd64", "success.jsonl", UnitEnd::Done),
        ("arm64", "failing.jsonl", failed()),
    ];
    let replay = Replay::new(Mode::Tty).play(&units);
    let last = replay.text.rsplit("\x1b[J").nth(1).unwrap();
    insta::assert_snapshot!(last.replace('\x1b', "^"), @r#"
    linux/amd64 on amd64   12/12 steps (1 cached)  2.8s  done
     => [internal] load build definition from Dockerfile                                            0.0s
     => [internal] load metadata for 10.213.77.1:5000/base:latest                                   0.0s
     => [internal] load .dockerignore                                                               0.0s
     => [tools 1/5] FROM 10.213.77.1:5000/base:latest@sha256:0f6f9409f6ac2c6afeda94de40da5a9a10cd…  0.0s
     => [internal] load build context                                                               0.1s
     => CACHED [tools 2/5] WORKDIR /src                                                             0.0s
     => [tools 3/5] COPY hello.txt .                                                                0.2s
     => [tools 4/5] RUN i=1; while [ $i -le 12 ]; do echo "compiling part $i"; i=$((i+1)); done     0.3s
     => [tools 5/5] RUN printf 'load'; sleep 1; printf 'ing\n'; for p in 10 50 100; do printf '\r…  1.4s
     => [app 1/2] COPY --link hello.txt numbers.txt /other/                                         0.2s
     => [app 2/2] RUN echo built > /built                                                           0.5s
     => exporting to client directory                                                               0.0s
    linux/arm64 on arm64   7/8 steps (1 cached)  0.5s  failed
     => [internal] load build definition from Dockerfile.fail                                       0.0s
     => [internal] load metadata for 10.213.77.1:5000/base:latest                                   0.0s
     => [internal] load .dockerignore                                                               0.0s
     => [internal] load build context                                                               0.0s
     => CACHED [1/4] FROM 10.213.77.1:5000/base:latest@sha256:0f6f9409f6ac2c6afeda94de40da5a9a10c…  0.0s
     => [2/4] COPY numbers.txt .                                                                    0.0s
     => ERROR [3/4] RUN seq 12; echo "cannot find <the thing>" >&2; exit 3                          0.4s
    ^[?7l
    "#);
}

#[test]
fn a_failure_is_reported_with_its_output() {
    let units = [
        ("amd64", "success.jsonl", UnitEnd::Done),
        ("arm64", "failing.jsonl", failed()),
    ];
    let replay = Replay::new(Mode::Quiet).play(&units);
    assert_eq!(replay.text, "");
    insta::assert_snapshot!(report::failure(&replay.state, UnitId(1), None, ""), @r#"
    ------
     > [arm64 · linux/arm64 3/4] RUN seq 12; echo "cannot find <the thing>" >&2; exit 3:
    0.347 4
    0.347 5
    0.347 6
    0.347 7
    0.347 8
    0.347 9
    0.347 10
    0.347 11
    0.347 12
    0.354 cannot find <the thing>
    ------
    "#);
}

#[test]
fn steps_are_counted() {
    let units = [
        ("amd64", "success.jsonl", UnitEnd::Done),
        ("arm64", "cached.jsonl", UnitEnd::Done),
    ];
    let replay = Replay::new(Mode::Quiet).play(&units);
    let counts = |unit| {
        let summary = replay.summary(unit);
        (
            summary.steps_cached,
            summary.steps_ended,
            summary.steps_total,
        )
    };
    assert_eq!((counts(0), counts(1)), ((1, 12, 12), (6, 12, 12)));
}

#[test]
fn json_lines_are_those_of_buildx_with_two_members_more() {
    for name in ["success.jsonl", "cached.jsonl", "failing.jsonl"] {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/data/status/");
        let recorded = std::fs::read_to_string(format!("{dir}{name}")).unwrap();
        for line in recorded.lines() {
            assert_eq!(printed(line), without_definition(line), "{name}");
        }
    }
}

/// What mbuild prints of a line, without its own members.
fn printed(line: &str) -> String {
    let mut replay = Replay::new(Mode::RawJson);
    let label = UnitLabel {
        unit: UnitId(0),
        platform: "linux/arm64".parse().ok(),
        node: "arm64".into(),
        instance: None,
    };
    replay.event(&Event::Planned(vec![label]));
    replay.event(&Event::Status {
        unit: UnitId(0),
        update: parse_line(line),
    });
    let own = ",\"node\":\"arm64\",\"platform\":\"linux/arm64\"}\n";
    format!("{}}}", replay.text.strip_suffix(own).unwrap())
}

/// The line without the LLB that mbuild leaves out.
fn without_definition(line: &str) -> String {
    let mut line = line.to_owned();
    while let Some(start) = line.find(",\"definition\":") {
        let end = start + line[start..].find(",\"language\":").unwrap();
        line.replace_range(start..end, "");
    }
    line
}
