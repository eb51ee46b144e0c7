//! Tries an operation again while its failure looks temporary.
//!
//! [`retry`] is the only place that sleeps between attempts: exponential delays with
//! jitter, a peer's own wish (`Retry-After`) before ours, and a limit on the whole. It does
//! not decide what is temporary; dropping its future cancels it.

use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};

/// How often and how long to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Tries after the first one.
    pub retries: usize,
    /// The wait before the second try; doubled for each one after it, plus up to as much
    /// again at random.
    pub first: Duration,
    /// The longest wait that we choose by ourselves.
    pub longest: Duration,
    /// No try is started once this much time has passed since the first.
    pub total: Duration,
}

impl Backoff {
    /// For requests to a registry: it rides out a restart, and ends before a person gives up.
    pub const REGISTRY: Self = Self {
        retries: 5,
        first: Duration::from_millis(400),
        longest: Duration::from_secs(8),
        total: Duration::from_secs(60),
    };

    /// For checks that run while nothing else has started: says soon that a host is down.
    pub const CHECK: Self = Self {
        retries: 2,
        first: Duration::from_millis(300),
        longest: Duration::from_secs(2),
        total: Duration::from_secs(10),
    };
}

/// What a failure means for the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Trying again would fail the same way.
    GiveUp,
    /// It may pass; we choose the wait.
    Again,
    /// It may pass after the wait that the peer asked for.
    AgainAfter(Duration),
}

/// Runs `op` until it succeeds, fails for good, or `backoff` is used up; returns the last
/// failure.
///
/// A wait that would end after `backoff.total` is not begun: the failure is returned at once.
pub async fn retry<T, E, Fut>(
    backoff: Backoff,
    op: impl FnMut() -> Fut,
    verdict: impl Fn(&E) -> Verdict,
) -> Result<T, E>
where
    Fut: Future<Output = Result<T, E>>,
{
    let started = Instant::now();
    let delays = ExponentialBuilder::new()
        .with_jitter()
        .with_min_delay(backoff.first)
        .with_max_delay(backoff.longest)
        .with_max_times(backoff.retries);
    op.retry(delays)
        .sleep(tokio::time::sleep)
        .when(|error| verdict(error) != Verdict::GiveUp)
        .adjust(|error, ours| {
            let wait = match (ours?, verdict(error)) {
                (_, Verdict::AgainAfter(theirs)) => theirs,
                (ours, _) => ours,
            };
            (started.elapsed() + wait <= backoff.total).then_some(wait)
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const QUICK: Backoff = Backoff {
        retries: 3,
        first: Duration::from_millis(1),
        longest: Duration::from_millis(2),
        total: Duration::from_secs(5),
    };

    async fn check(
        backoff: Backoff,
        verdict: Verdict,
        succeed_at: usize,
    ) -> (usize, Result<usize, usize>) {
        let tries = Cell::new(0);
        let outcome = retry(
            backoff,
            || async {
                tries.set(tries.get() + 1);
                if tries.get() == succeed_at {
                    Ok(tries.get())
                } else {
                    Err(tries.get())
                }
            },
            |_| verdict,
        )
        .await;
        (tries.get(), outcome)
    }

    #[tokio::test]
    async fn two_temporary_failures_are_ridden_out() {
        assert_eq!(check(QUICK, Verdict::Again, 3).await, (3, Ok(3)));
    }

    #[tokio::test]
    async fn a_final_failure_is_not_tried_again() {
        assert_eq!(check(QUICK, Verdict::GiveUp, 3).await, (1, Err(1)));
    }

    #[tokio::test]
    async fn the_last_failure_is_returned_when_tries_are_spent() {
        assert_eq!(check(QUICK, Verdict::Again, 99).await, (4, Err(4)));
    }

    #[tokio::test]
    async fn the_peers_wait_replaces_ours() {
        let started = Instant::now();
        let asked = Verdict::AgainAfter(Duration::from_millis(60));
        assert_eq!(check(QUICK, asked, 2).await, (2, Ok(2)));
        assert!(started.elapsed() >= Duration::from_millis(60));
    }

    #[tokio::test]
    async fn a_wait_beyond_the_total_is_not_begun() {
        let started = Instant::now();
        let asked = Verdict::AgainAfter(Duration::from_secs(3600));
        assert_eq!(check(QUICK, asked, 2).await, (1, Err(1)));
        assert!(started.elapsed() < Duration::from_secs(1));
    }
}
