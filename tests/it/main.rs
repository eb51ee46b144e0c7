//! The one integration-test binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod builder_cli;
mod buildkit_faults;
mod dependencies;
mod deploy_kustomize;
mod e2e_buildx;
mod e2e_connection;
mod e2e_context;
mod e2e_daemon_lost;
mod e2e_endpoints;
mod e2e_failure;
mod e2e_flags;
mod e2e_interrupt;
mod e2e_local;
mod e2e_placement;
mod e2e_push;
mod e2e_readme;
mod e2e_registry;
mod e2e_report;
mod e2e_secrets;
mod e2e_session;
mod e2e_solve;
mod e2e_stdin;
mod e2e_terminal;
mod e2e_transport;
mod e2e_usage;
mod examples_action;
mod examples_ci;
mod kube_api_double;
mod kube_apply;
mod layers;
mod output_hostile;
mod output_local;
mod progress_replay;
mod registry_auth;
mod registry_copy;
mod registry_publish;
mod registry_real;
mod registry_requests;
mod registry_tls;
mod session_calls;
mod session_files;
mod support;
mod vectors;
