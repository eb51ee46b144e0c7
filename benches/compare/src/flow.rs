//! How fast bytes went through a bridge: [`Flow`] keeps when how many had passed.

use std::sync::Mutex;
use std::time::Instant;

/// Of a transfer the first and the last tenth are left out: connection, windows that grow, and
/// what a daemon does at the end.
const RAMP: f64 = 0.1;

/// The bytes of one bridge, in both directions, since it was last cleared.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    up: Mutex<Vec<Mark>>,
    down: Mutex<Vec<Mark>>,
}

/// So many bytes had passed then.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    bytes: f64,
}

impl Flow {
    /// Forgets what passed.
    pub(crate) fn clear(&self) {
        for marks in [&self.up, &self.down] {
            if let Ok(mut marks) = marks.lock() {
                marks.clear();
            }
        }
    }

    /// These bytes went to the daemon.
    pub(crate) fn up(&self, bytes: usize) {
        pass(&self.up, bytes);
    }

    /// These bytes came from the daemon.
    pub(crate) fn down(&self, bytes: usize) {
        pass(&self.down, bytes);
    }

    /// Bytes a second after ramp-up, of the direction that carried more; `None` when nothing did.
    pub(crate) fn rate(&self) -> Option<f64> {
        let up = self.up.lock().ok()?;
        let down = self.down.lock().ok()?;
        let total = |marks: &[Mark]| marks.last().map_or(0.0, |mark| mark.bytes);
        steady(match total(&up) > total(&down) {
            true => &up,
            false => &down,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a benchmark")]
fn pass(marks: &Mutex<Vec<Mark>>, bytes: usize) {
    let at = Instant::now();
    if let Ok(mut marks) = marks.lock() {
        let before = marks.last().map_or(0.0, |mark| mark.bytes);
        marks.push(Mark {
            at,
            bytes: before + bytes as f64,
        });
    }
}

fn steady(marks: &[Mark]) -> Option<f64> {
    let total = marks.last()?.bytes;
    let first = marks.iter().find(|mark| mark.bytes >= total * RAMP)?;
    let last = marks
        .iter()
        .find(|mark| mark.bytes >= total * (1.0 - RAMP))?;
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    (seconds > 0.0).then(|| (last.bytes - first.bytes) / seconds)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(marks: &[(u64, f64)], expect: Option<f64>) {
        let start = Instant::now();
        let marks: Vec<Mark> = marks
            .iter()
            .map(|(ms, bytes)| Mark {
                at: start + Duration::from_millis(*ms),
                bytes: *bytes,
            })
            .collect();
        assert_eq!(steady(&marks), expect);
    }

    #[test]
    fn a_slow_start_and_a_slow_end_do_not_count() {
        check(
            &[(1000, 10.0), (1500, 50.0), (2000, 90.0), (9000, 100.0)],
            Some(80.0),
        );
    }

    #[test]
    fn nothing_and_all_at_once_have_no_rate() {
        check(&[], None);
        check(&[(5, 100.0)], None);
    }

    #[test]
    fn the_busier_direction_is_told() {
        let flow = Flow::default();
        flow.up(10);
        for _ in 0..3 {
            flow.down(1000);
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(flow.rate().unwrap() > 10_000.0);
        flow.clear();
        assert_eq!(flow.rate(), None);
    }
}
