//! Builds on the real daemons: results, progress, errors, cancelling.

use std::time::{Duration, Instant};

use mbuild::buildkit::excerpt;
use mbuild::buildkit::history;
use mbuild::buildkit::{ExporterSpec, SolveErrorKind};
use tokio_util::sync::CancellationToken;

use crate::support::dockerfile_build::Build;
use crate::support::real;

#[tokio::test]
async fn a_build_reports_its_steps_and_what_they_print() {
    let Some(env) = real::env() else { return };
    for node in ["AMD64", "ARM64"] {
        let dockerfile = format!(
            "FROM {}\nRUN echo hello from $(uname -m)\n",
            env.get("BASE")
        );
        let outcome = Build::new(&env, node, &dockerfile).await.outcome().await;
        outcome.verdict.as_ref().unwrap();
        let logs = outcome.updates.iter().flat_map(|update| &update.logs);
        let text: Vec<u8> = logs.flat_map(|log| log.data.to_vec()).collect();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("hello from "), "{text}");
        let vertexes = outcome.vertexes();
        let step = vertexes
            .values()
            .find(|vertex| vertex.name.contains("RUN echo"))
            .unwrap();
        let (started, completed) = (step.started.unwrap(), step.completed.unwrap());
        assert!(started <= completed);
        let age = jiff::Timestamp::now().duration_since(started).as_secs();
        assert!((-2..60).contains(&age), "started {age} s ago");
    }
}

#[tokio::test]
async fn a_push_answers_with_digest_and_descriptor() {
    let Some(env) = real::env() else { return };
    let mut build = Build::new(
        &env,
        "AMD64",
        &format!("FROM {}\nLABEL x=y\n", env.get("BASE")),
    )
    .await;
    let info = build.connection.info();
    if info.is_docker() && !info.containerd_store() {
        eprintln!("skipped: this engine's classic store cannot push from a build");
        return;
    }
    let name = format!("{}/e2e-solve", env.get("REGISTRY"));
    let attrs = [
        ("name", name.as_str()),
        ("push", "true"),
        ("push-by-digest", "true"),
        ("oci-mediatypes", "true"),
        ("store", "false"),
        ("registry.insecure", "true"),
    ];
    build.spec.exporters = vec![ExporterSpec {
        kind: "image".into(),
        attrs: attrs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    }];
    let output = build.outcome().await.verdict.unwrap();
    let digest = output.digest().unwrap().to_string();
    let descriptor: serde_json::Value =
        serde_json::from_str(&output.descriptor_json().unwrap()).unwrap();
    assert_eq!(descriptor["digest"], digest);
    assert_eq!(
        descriptor["mediaType"],
        "application/vnd.oci.image.manifest.v1+json"
    );
    assert!(output.config_digest().is_some());
    assert_eq!(output.names(), [name]);
}

#[tokio::test]
async fn a_failed_step_says_which_line_and_how() {
    let Some(env) = real::env() else { return };
    let dockerfile = format!("FROM {}\nRUN echo so far\nRUN exit 7\n", env.get("BASE"));
    let outcome = Build::new(&env, "AMD64", &dockerfile).await.outcome().await;
    let error = outcome.verdict.as_ref().unwrap_err();
    assert_eq!(error.kind, SolveErrorKind::Build, "{error:?}");
    assert_eq!(error.details.exit_code, Some(7));
    assert!(error.message.ends_with("exit code: 7"), "{error}");
    let drawn = excerpt::render(&error.details.sources[0]);
    assert!(drawn.contains("   3 | >>> RUN exit 7\n"), "{drawn}");
    let vertexes = outcome.vertexes();
    let failed = vertexes[error.details.vertex.as_deref().unwrap()];
    assert!(failed.name.contains("RUN exit 7"), "{failed:?}");
    assert!(failed.error.contains("exit code: 7"), "{failed:?}");
}

#[tokio::test]
async fn an_error_with_a_400_kb_dockerfile_arrives_whole() {
    let Some(env) = real::env() else { return };
    let padding = "# nothing to see here, but it is sent back with the error\n".repeat(7000);
    let dockerfile = format!("FROM {}\n{padding}RUN false\n", env.get("BASE"));
    let build = Build::new(&env, "AMD64", &dockerfile).await;
    let connection = build.connection.clone();
    let error = build.outcome().await.verdict.unwrap_err();
    assert_eq!(error.details.exit_code, Some(1), "{:?}", error.message);
    assert_eq!(error.details.sources[0].data, dockerfile);
    connection
        .capabilities()
        .await
        .expect("the connection is still good");
}

#[tokio::test]
async fn a_build_refused_before_it_starts_does_not_keep_us_waiting() {
    let Some(env) = real::env() else { return };
    let mut build = Build::new(&env, "AMD64", "FROM scratch\n").await;
    build.spec.exporters = vec![ExporterSpec {
        kind: "no-such-exporter".into(),
        ..ExporterSpec::default()
    }];
    let start = Instant::now();
    let error = build.outcome().await.verdict.unwrap_err();
    assert!(error.message.contains("no-such-exporter"), "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_dropped_build_ends_on_the_daemon_at_once() {
    let Some(env) = real::env() else { return };
    let dockerfile = format!("FROM {}\nRUN echo waiting; sleep 60\n", env.get("BASE"));
    let build = Build::new(&env, "AMD64", &dockerfile).await;
    let cancel = CancellationToken::new();
    let other = build.connection.clone();
    let cancelling = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        if let Some(activity) = history::activity(&other).await {
            assert!(activity.running >= 1, "this build runs");
        }
        cancel.cancel();
        Instant::now()
    };
    let ((outcome, updates), dropped) = tokio::join!(build.run(cancel.clone()), cancelling);
    assert!(outcome.is_none(), "it was dropped");
    assert!(
        dropped.elapsed() < Duration::from_secs(2),
        "{:?}",
        dropped.elapsed()
    );
    let vertexes = updates.iter().flat_map(|update| &update.vertexes);
    let ended = vertexes.filter(|vertex| vertex.error.contains("context canceled"));
    assert!(ended.count() > 0, "the step is reported as cancelled");
}

#[tokio::test]
async fn two_outputs_work_or_are_refused_by_name() {
    let Some(env) = real::env() else { return };
    let mut build = Build::new(&env, "AMD64", "FROM scratch\nLABEL a=b\n").await;
    let exporter = ExporterSpec {
        kind: "image".into(),
        attrs: [("store".to_owned(), "false".to_owned())].into(),
    };
    build.spec.exporters = vec![exporter.clone(), exporter];
    let several = build
        .connection
        .capabilities()
        .await
        .unwrap()
        .has("exporter.multiple");
    match build.outcome().await.verdict {
        Ok(_) => assert!(several),
        Err(error) => {
            assert_eq!(error.kind, SolveErrorKind::Refused, "{error}");
            assert!(
                !several && error.message.contains("more than one output"),
                "{error}"
            );
        }
    }
}
