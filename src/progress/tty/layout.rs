//! What the live table shows: from the picture and a size to lines, purely.
//!
//! [`table`] fits any number of units and steps into the terminal; [`full_list`] is what
//! stays on the screen at the end. Moving the cursor is `frame`'s business.

use super::rows;
use super::share::share;
use crate::event::UnitId;
use crate::progress::View;
use crate::progress::state::{Outcome, Step};
use crate::progress::style::Paint;

/// How much room there is, in columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: usize,
    pub(super) height: usize,
}

/// What does not change while the table lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// How many lines of output are shown below a running step.
    pub(super) log_lines: usize,
    pub(super) paint: Paint,
}

/// A unit, or the client's own steps, and the steps of it that are worth a line now.
struct Section<'a> {
    /// The first line; the client's own steps have none.
    header: Option<String>,
    steps: Vec<&'a Step>,
}

/// Lays out the table; it has fewer lines than the terminal, so that nothing scrolls.
pub(super) fn table(view: &View<'_>, size: Size, look: Look) -> Vec<String> {
    let room = size.height.saturating_sub(1);
    let live = |step: &Step| matches!(step.outcome(), Outcome::Running | Outcome::Failed);
    let mut sections = sections(view, size.width, look.paint, live);
    let mut lines = Vec::new();
    let left_out = drop_sections(&mut sections, room);
    let headers = sections
        .iter()
        .filter(|section| section.header.is_some())
        .count();
    let room = room.saturating_sub(headers + usize::from(left_out > 0));

    let wanted: Vec<_> = sections.iter().map(|section| section.steps.len()).collect();
    let step_rows = share(&wanted, room);
    let room = room.saturating_sub(step_rows.iter().sum());
    let tail_rows = share(&tails_wanted(&sections, &step_rows, look), room);

    let mut tails = tail_rows.into_iter();
    for (section, rows) in sections.iter().zip(step_rows) {
        lines.extend(section.header.clone());
        let shown = shown(section.steps.len(), rows);
        let hidden = section.steps.len() - shown;
        for step in &section.steps[..shown] {
            lines.push(rows::step(view, step, size.width, look.paint));
            let count = tails.next().unwrap_or_default();
            lines.extend(rows::tail(step, count, size.width, look.paint));
        }
        if hidden > 0 && rows > 0 {
            lines.push(rows::fit(
                &format!("  … {hidden} more steps"),
                "",
                size.width,
            ));
        }
    }
    if left_out > 0 && lines.len() < size.height.saturating_sub(1) {
        lines.push(rows::fit(
            &format!("… {left_out} more platforms"),
            "",
            size.width,
        ));
    }
    lines
}

/// Lays out every step, for the end.
pub(super) fn full_list(view: &View<'_>, width: usize, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for section in sections(view, width, paint, |_| true) {
        lines.extend(section.header);
        lines.extend(
            section
                .steps
                .iter()
                .map(|step| rows::step(view, step, width, paint)),
        );
    }
    lines
}

/// Sorts the steps that are wanted under their units, the client's own ones last.
fn sections<'a>(
    view: &View<'a>,
    width: usize,
    paint: Paint,
    wanted: impl Fn(&Step) -> bool,
) -> Vec<Section<'a>> {
    let of = |unit: Option<UnitId>| {
        let steps = view.state.steps_in_view().map(|(_, step)| step);
        steps
            .filter(|step| step.unit == unit && wanted(step))
            .collect()
    };
    let names = view
        .state
        .units()
        .map(|(id, unit)| rows::unit_name(id, unit));
    let name_width = names
        .map(|name| console::measure_text_width(&name))
        .max()
        .unwrap_or(0);
    let mut sections: Vec<_> = view
        .state
        .units()
        .map(|(id, _)| Section {
            header: Some(rows::header(view, id, (name_width, width), paint)),
            steps: of(Some(id)),
        })
        .collect();
    sections.push(Section {
        header: None,
        steps: of(None),
    });
    sections
}

/// Leaves out units when not even their headers fit; those without a step to show go first.
/// Returns how many.
fn drop_sections(sections: &mut Vec<Section<'_>>, room: usize) -> usize {
    let headers = sections.len() - 1;
    if headers <= room {
        return 0;
    }
    let keep = room.saturating_sub(1);
    let mut by_worth: Vec<_> = (0..headers).collect();
    by_worth.sort_by_key(|place| sections[*place].steps.is_empty());
    let kept = &by_worth[..keep];
    let mut place = 0;
    sections.retain(|_| {
        place += 1;
        place > headers || kept.contains(&(place - 1))
    });
    headers - keep
}

/// How many of a section's steps are shown in its rows: the last row may have to say how
/// many are not.
fn shown(steps: usize, rows: usize) -> usize {
    if rows >= steps {
        steps
    } else {
        rows.saturating_sub(1)
    }
}

/// How many lines of output each step that is shown could fill.
fn tails_wanted(sections: &[Section<'_>], step_rows: &[usize], look: Look) -> Vec<usize> {
    let shown = sections.iter().zip(step_rows).flat_map(|(section, rows)| {
        let count = shown(section.steps.len(), *rows);
        section.steps[..count].iter()
    });
    shown
        .map(|step| match step.outcome() {
            Outcome::Running => step.output.kept_lines().min(look.log_lines),
            _ => 0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ClientStep, Event, UnitEnd, VertexStatus};
    use crate::progress::play::{Player, announced, at, cached, failed, planned, vertex};
    use crate::progress::quiet::Quiet;

    fn draw(player: &Player<Quiet>, width: usize, height: usize) -> String {
        let look = Look {
            log_lines: 6,
            paint: Paint { colors: None },
        };
        let lines = table(&player.view(), Size { width, height }, look);
        assert!(lines.len() < height.max(1), "{lines:#?}");
        for line in &lines {
            assert!(console::measure_text_width(line) <= width, "{line}");
        }
        lines.join("\n")
    }

    /// Two nodes at work: one builds, one receives the context; a third waits.
    fn busy() -> Player<Quiet> {
        let mut player = Player::new(Quiet);
        let plan = [
            ("a", "linux/amd64"),
            ("pool-b", "linux/arm64"),
            ("pool-b", "linux/arm/v7"),
        ];
        player.event(&planned(&plan)).started(0).started(1);
        player.event(&Event::UnitWaiting {
            unit: UnitId(2),
            reason: "a free slot".into(),
        });
        for unit in [0, 1] {
            player.vertex(unit, cached("s1", "[1/3] FROM base", 0));
            player.vertex(unit, announced("s3", "[3/3] RUN test"));
        }
        player.vertex(
            0,
            vertex("s2", "[2/3] RUN make -j8 all install DESTDIR=/out", 0, None),
        );
        player.vertex(1, vertex("ctx", "[internal] load build context", 0, None));
        for part in 1..=9 {
            player
                .at(part * 1000)
                .log(0, "s2", &format!("compiling\tpart {part}\n"));
        }
        player.at(12_300).log(0, "s2", "linking");
        player.status(
            1,
            VertexStatus {
                id: "transferring context:".into(),
                vertex: "ctx".into(),
                current: 12_345_678,
                timestamp: Some(at(12_300)),
                started: Some(at(0)),
                ..VertexStatus::default()
            },
        );
        player.event(&Event::Transfer {
            unit: UnitId(1),
            sent: 12_345_678,
            received: 1_000,
        });
        player
    }

    #[test]
    fn nodes_show_what_they_do() {
        insta::assert_snapshot!(draw(&busy(), 80, 24), @r#"
        linux/amd64 on a         1/3 steps (1 cached)  12.3s
         => [2/3] RUN make -j8 all install DESTDIR=/out                            12.3s
            │ compiling part 5
            │ compiling part 6
            │ compiling part 7
            │ compiling part 8
            │ compiling part 9
            │ linking
        linux/arm64 on pool-b    1/3 steps (1 cached)  12.3s  ↑ 12.3 MB  ↓ 1.0 kB
         => [internal] load build context           transferring context: 12.3 MB  12.3s
        linux/arm/v7 on pool-b   waiting for a free slot
        "#);
    }

    #[test]
    fn a_low_terminal_shows_fewer_lines_of_output() {
        insta::assert_snapshot!(draw(&busy(), 50, 8), @r#"
        linux/amd64 on a         1/3 steps  12.3s
         => [2/3] RUN make -j8 all install DESTDIR…  12.3s
            │ compiling part 9
            │ linking
        linux/arm64 on pool-b    1/3 steps  12.3s
         => [internal] load build context            12.3s
        linux/arm/v7 on pool-b   waiting for a free slot
        "#);
    }

    #[test]
    fn a_tiny_terminal_still_shows_something() {
        insta::assert_snapshot!(draw(&busy(), 24, 3), @r#"
        linux/amd64 on a       …
        … 2 more platforms
        "#);
        for height in 0..10 {
            for width in 0..30 {
                draw(&busy(), width, height);
            }
        }
    }

    #[test]
    fn many_steps_fit() {
        let mut player = Player::new(Quiet);
        player.event(&planned(&[("a", "linux/amd64"), ("b", "linux/arm64")]));
        player.started(0).started(1);
        for step in 0..100 {
            let name = format!("[stage-{step} 1/2] RUN make");
            player.vertex(0, vertex(&format!("s{step}"), &name, 0, None));
        }
        player
            .vertex(1, vertex("s1", "[1/1] RUN make", 0, None))
            .at(65_000);
        insta::assert_snapshot!(draw(&player, 60, 9), @r#"
        linux/amd64 on a   0/100 steps  1m05s
         => [stage-0 1/2] RUN make                             1m05s
         => [stage-1 1/2] RUN make                             1m05s
         => [stage-2 1/2] RUN make                             1m05s
         => [stage-3 1/2] RUN make                             1m05s
          … 96 more steps
        linux/arm64 on b   0/1 steps  1m05s
         => [1/1] RUN make                                     1m05s
        "#);
    }

    #[test]
    fn what_failed_stays_and_what_ended_collapses() {
        let mut player = busy();
        player.vertex(0, failed("s2", "[2/3] RUN make", 0, 11_000));
        player.finished(0, UnitEnd::Failed("exit code: 1".into()));
        player.finished(1, UnitEnd::Cancelled);
        player.event(&Event::Client(ClientStep {
            name: "removing".into(),
            end: None,
        }));
        insta::assert_snapshot!(draw(&player, 72, 24), @r#"
        linux/amd64 on a         2/3 steps (1 cached)  12.3s  failed
         => ERROR [2/3] RUN make                                           11.0s
        linux/arm64 on pool-b    2/3 steps (1 cached)  12.3s  cancelled
        linux/arm/v7 on pool-b   waiting for a free slot
         => removing                                                        0.0s
        "#);
    }

    #[test]
    fn the_full_list_has_every_step() {
        let mut player = busy();
        player.vertex(0, vertex("s2", "[2/3] RUN make", 0, Some(11_000)));
        player
            .finished(0, UnitEnd::Done)
            .finished(1, UnitEnd::Cancelled);
        let end = Some(Ok(()));
        player.event(&Event::Client(ClientStep {
            name: "writing x/app:1".into(),
            end,
        }));
        let lines = full_list(&player.view(), 60, Paint { colors: None }).join("\n");
        insta::assert_snapshot!(lines, @r#"
        linux/amd64 on a         2/3 steps (1 cached)  12.3s  done
         => CACHED [1/3] FROM base                              0.0s
         => [2/3] RUN make                                     11.0s
        linux/arm64 on pool-b    2/3 steps  12.3s  cancelled
         => CACHED [1/3] FROM base                              0.0s
         => CANCELED [internal] load build context             12.3s
        linux/arm/v7 on pool-b   waiting for a free slot
         => writing x/app:1                                     0.0s
        "#);
    }
}
