//! A real daemon frozen, killed and cut off in the middle of a build.
//!
//! These stop the environment's daemons, so they run alone: `cargo test --test it e2e_loss --
//! --ignored --test-threads=1`.

use std::time::{Duration, Instant};

use mbuild::buildkit::{SolveError, SolveErrorKind};
use rustix::process::Signal;
use tokio_util::sync::CancellationToken;

use crate::support::dockerfile_build::Build;
use crate::support::real::{self, Env};

const NODE: &str = "AMD64";

/// Starts a long build, does something to the daemon, and returns how the build ended and how
/// long that took.
async fn lose(env: &Env, act: impl FnOnce()) -> (SolveError, Duration) {
    let dockerfile = format!("FROM {}\nRUN echo waiting; sleep 100\n", env.get("BASE"));
    let build = Build::new(env, NODE, &dockerfile).await;
    let (connection, spec) = (build.connection.clone(), build.spec.clone());
    let stream = connection
        .open_session(&build.session.opening())
        .await
        .unwrap();
    let liveness = connection.line().liveness.clone();
    let served = tokio::spawn(
        build
            .session
            .serve(stream, liveness, CancellationToken::new()),
    );
    let acting = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        act();
        Instant::now()
    };
    let (verdict, acted) = tokio::join!(connection.solve(&spec), acting);
    let took = acted.elapsed();
    served.abort();
    (verdict.unwrap_err(), took)
}

#[tokio::test]
#[ignore = "kills one of the environment's daemons: run alone, with --ignored"]
async fn a_killed_daemon_is_named_at_once() {
    let Some(env) = real::env_alone() else { return };
    let (error, took) = lose(&env, || env.signal(NODE, Signal::KILL)).await;
    env.restart(NODE);
    assert_eq!(error.kind, SolveErrorKind::Lost, "{error:?}");
    assert!(error.to_string().contains(env.get(NODE)), "{error}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
#[ignore = "freezes one of the environment's daemons: run alone, with --ignored"]
async fn a_frozen_daemon_is_given_up_after_20_s() {
    let Some(env) = real::env_alone() else { return };
    let (error, took) = lose(&env, || env.signal(NODE, Signal::STOP)).await;
    env.signal(NODE, Signal::CONT);
    assert_eq!(error.kind, SolveErrorKind::Lost, "{error:?}");
    assert!(error.to_string().contains(env.get(NODE)), "{error}");
    assert!((15..27).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
#[ignore = "freezes one of the environment's daemons: run alone, with --ignored"]
async fn a_frozen_daemon_does_not_keep_a_new_connection_waiting() {
    let Some(env) = real::env_alone() else { return };
    env.signal(NODE, Signal::STOP);
    let dialer = mbuild::buildkit::dial::dialer(&env.endpoint(NODE), None);
    let start = Instant::now();
    let opened = mbuild::buildkit::Connection::open(dialer.into()).await;
    let took = start.elapsed();
    env.signal(NODE, Signal::CONT);
    let Err(error) = opened else {
        panic!("it was frozen")
    };
    assert!(error.to_string().contains(env.get(NODE)), "{error}");
    assert!(took < Duration::from_secs(12), "{took:?}");
}
