//! The one task that writes progress: receives events, folds them, lets a renderer draw.
//!
//! The channel is unbounded, so that a slow terminal never holds up a build. What can pile
//! up is small: daemons cut the output of a step at 200 KiB/s and 2 MiB, and everything else
//! is coalesced by them.

use std::io::{ErrorKind, Write};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::terminal::RestoreOnDrop;
use super::{Renderer, State, View};
use crate::event::Event;

/// How many events are folded before anything is drawn.
const BATCH: usize = 1000;

/// How long a write waits for a terminal that takes nothing, when stderr is non-blocking.
const STUCK: Duration = Duration::from_secs(10);

/// How often such a write is tried.
const RETRY: Duration = Duration::from_millis(10);

/// Shows events until their channel closes, on a thread of its own; returns the final picture.
///
/// Writing to a terminal can block for as long as the user likes (Ctrl-S), so it must not
/// happen on a thread that other tasks need. Whoever waits for the handle sets a limit.
pub fn start<W>(
    events: UnboundedReceiver<Event>,
    renderer: Box<dyn Renderer>,
    out: W,
) -> JoinHandle<State>
where
    W: Write + Send + 'static,
{
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(run(events, renderer, out)))
}

/// Shows events until their channel closes; returns the final picture.
///
/// Writes block the calling task: see [`start`]. When a write fails nothing more is written,
/// but events are still folded: a build does not fail because nobody watches.
pub async fn run(
    mut events: UnboundedReceiver<Event>,
    renderer: Box<dyn Renderer>,
    out: impl Write,
) -> State {
    let _restore = RestoreOnDrop;
    let mut show = Show {
        state: State::default(),
        renderer,
        text: String::new(),
    };
    let mut out = Out { out, broken: false };
    let mut draw_at: Option<Instant> = None;
    loop {
        let draw_time = draw_at.unwrap_or_else(Instant::now);
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => show.events(event, &mut events),
                None => break,
            },
            () = sleep_until(draw_time), if draw_at.is_some() => {
                draw_at = None;
                show.draw();
            }
        }
        out.write(&mut show.text);
        let wanted = show
            .renderer
            .redraw_after(&show.state)
            .map(|after| Instant::now() + after);
        draw_at = match (draw_at, wanted) {
            (Some(set), Some(wanted)) => Some(set.min(wanted)),
            (set, wanted) => set.or(wanted),
        };
    }
    show.finish();
    out.write(&mut show.text);
    show.state
}

/// The picture, who draws it, and what is to be written.
struct Show {
    state: State,
    renderer: Box<dyn Renderer>,
    text: String,
}

impl Show {
    /// Takes over one event and those that wait behind it.
    fn events(&mut self, first: Event, events: &mut UnboundedReceiver<Event>) {
        let waiting = std::iter::from_fn(|| events.try_recv().ok());
        for event in std::iter::once(first).chain(waiting.take(BATCH)) {
            let now = Timestamp::now();
            let changes = self.state.apply(&event, now);
            let view = View {
                state: &self.state,
                now,
            };
            self.renderer.event(&event, &view, &mut self.text);
            for change in &changes {
                self.renderer.change(change, &view, &mut self.text);
            }
        }
    }

    fn draw(&mut self) {
        let now = Timestamp::now();
        let changes = self.state.flush_old_output(now);
        let view = View {
            state: &self.state,
            now,
        };
        for change in &changes {
            self.renderer.change(change, &view, &mut self.text);
        }
        self.renderer.draw(&view, &mut self.text);
    }

    fn finish(&mut self) {
        let view = View {
            state: &self.state,
            now: Timestamp::now(),
        };
        self.renderer.finish(&view, &mut self.text);
    }
}

/// Where text goes, until that fails for the first time.
struct Out<W> {
    out: W,
    broken: bool,
}

impl<W: Write> Out<W> {
    /// Writes the text and empties it.
    fn write(&mut self, text: &mut String) {
        if !self.broken && !text.is_empty() {
            self.broken = !self.write_all(text.as_bytes());
        }
        text.clear();
    }

    /// Writes everything or returns false.
    ///
    /// Other processes can make a shared stderr non-blocking, and then a full pipe is an
    /// error that passes.
    fn write_all(&mut self, mut bytes: &[u8]) -> bool {
        let mut waited = Duration::ZERO;
        while !bytes.is_empty() {
            match self.out.write(bytes) {
                Ok(0) => return false,
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && waited < STUCK => {
                    thread::sleep(RETRY);
                    waited += RETRY;
                }
                Err(_) => return false,
            }
        }
        self.out.flush().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::event::{ClientStep, UnitId};
    use crate::progress::{Display, Mode, renderer};

    /// Takes a few bytes, then does what it was told.
    struct Picky {
        taken: Vec<u8>,
        errors: Vec<ErrorKind>,
    }

    impl Write for Picky {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.errors.pop() {
                Some(kind) => Err(kind.into()),
                None => {
                    self.taken.extend(&bytes[..1]);
                    Ok(1)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn plain() -> Box<dyn Renderer> {
        renderer(
            Display {
                mode: Mode::Plain,
                colors: None,
            },
            0,
        )
    }

    fn step() -> Event {
        Event::Client(ClientStep {
            name: "writing tag".into(),
            end: Some(Ok(())),
        })
    }

    #[tokio::test]
    async fn everything_is_written_when_the_channel_closes() {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        sender.send(step()).unwrap();
        drop(sender);
        let mut out = Vec::new();
        run(receiver, plain(), &mut out).await;
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "#1 writing tag\n#1 DONE 0.0s\n");
    }

    #[tokio::test]
    async fn a_step_shows_while_the_build_goes_on() {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let (mut reader, writer) = io::pipe().unwrap();
        let task = start(receiver, plain(), writer);
        sender.send(step()).unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut seen = [0; 8];
            io::Read::read_exact(&mut reader, &mut seen).unwrap();
            (seen, reader)
        });
        let (seen, _reader) = read.await.unwrap();
        assert_eq!(&seen, b"#1 writi");
        drop(sender);
        assert_eq!(task.await.unwrap().steps_in_view().count(), 1);
    }

    #[tokio::test]
    async fn a_reader_that_left_does_not_end_the_build() {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        for sent in [10, 20] {
            sender.send(step()).unwrap();
            sender
                .send(Event::Transfer {
                    unit: UnitId(0),
                    sent,
                    received: 0,
                })
                .unwrap();
        }
        drop(sender);
        let state = start(receiver, plain(), writer).await.unwrap();
        assert_eq!(state.unit(UnitId(0)).unwrap().sent, 30);
    }

    #[test]
    fn a_full_pipe_is_waited_for() {
        let errors = vec![ErrorKind::WouldBlock, ErrorKind::Interrupted];
        let mut out = Out {
            out: Picky {
                taken: Vec::new(),
                errors,
            },
            broken: false,
        };
        out.write(&mut "text".to_owned());
        assert!(!out.broken);
        assert_eq!(out.out.taken, b"text");
        out.out.errors.push(ErrorKind::BrokenPipe);
        out.write(&mut "more".to_owned());
        assert!(out.broken);
    }
}
