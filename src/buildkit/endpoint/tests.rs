//! Every form, and every way to get one wrong.

use super::*;

/// The text parses, and prints as it was.
fn same(text: &str) -> Endpoint {
    let endpoint: Endpoint = text.parse().unwrap();
    assert_eq!(endpoint.to_string(), text);
    endpoint
}

fn refused(text: &str, reason: &str) {
    let error = text.parse::<Endpoint>().unwrap_err();
    assert_eq!(error.reason, reason, "{text}");
    assert!(
        error.to_string().contains(text),
        "the message names the value"
    );
    assert!(
        error.to_string().contains("docker+unix:///path"),
        "the message lists the forms"
    );
}

#[test]
fn every_form_prints_as_it_was_written() {
    assert_eq!(
        same("unix:///run/buildkit/buildkitd.sock"),
        Endpoint::Unix("/run/buildkit/buildkitd.sock".into())
    );
    same("unix:///with space/x.sock");
    same("tcp://10.0.0.5:1234");
    same("tcp://buildkit.example:1234");
    let v6 = HostPort {
        host: "::1".into(),
        port: 1234,
    };
    assert_eq!(same("tcp://[::1]:1234"), Endpoint::Tcp(v6));
    same("docker+unix:///var/run/docker.sock");
    same("docker+tcp://[fe80::1]:2375");
    same("ssh://host");
    same("ssh://me@host:2222");
    same("ssh://me@[::1]:22/run/user/1000/buildkit/buildkitd.sock");
    same("docker+ssh://me@host/var/run/docker.sock");
    same("docker-container://buildx_buildkit_default0");
}

#[test]
fn a_slash_at_the_end_says_nothing() {
    assert_eq!(
        "tcp://h:1/".parse::<Endpoint>().unwrap().to_string(),
        "tcp://h:1"
    );
    assert_eq!(
        "ssh://h/".parse::<Endpoint>().unwrap().to_string(),
        "ssh://h"
    );
}

#[test]
fn words_that_would_be_options_are_refused() {
    refused("ssh://-oProxyCommand=x", "the host must not start with `-`");
    refused("ssh://-l@host", "the user must not start with `-`");
    refused(
        "docker-container://-it",
        "`-it` is not a container's name or id",
    );
    refused("tcp://-h:1", "the host must not start with `-`");
}

#[test]
fn a_refusal_says_what_is_wrong() {
    refused("", "it has no `scheme://`");
    refused("/run/x.sock", "it has no `scheme://`");
    refused(
        "unix://run/x.sock",
        "the socket's path must be absolute, as in `unix:///run/x.sock`",
    );
    refused("tcp://host", "the port is missing, as in `host:1234`");
    refused("tcp://host:0", "`0` is not a port from 1 to 65535");
    refused("tcp://host:+1", "`+1` is not a port from 1 to 65535");
    refused("tcp://host:99999", "`99999` is not a port from 1 to 65535");
    refused("tcp://:1234", "the host is missing");
    refused(
        "tcp://::1:1234",
        "an IPv6 address needs brackets, as in `[::1]:1234`",
    );
    refused("tcp://[::1", "the bracket is not closed");
    refused("tcp://[host]:1", "`host` is not an IPv6 address");
    refused("tcp://a b:1", "the host `a b` must not contain ' '");
    refused("tcp://h:1/path", "`1/path` is not a port from 1 to 65535");
    refused(
        "ssh://u:p@host",
        "a password in it would be seen by everyone; use a key",
    );
    refused("ssh://h;reboot", "the host `h;reboot` must not contain ';'");
    refused("kube-pod://x", "`kube-pod://` is not supported");
    refused("docker-container://", "`` is not a container's name or id");
}

#[test]
fn docker_host_means_a_docker_engine() {
    let check = |value: &str, tls: bool, expect: &str| {
        let endpoint = Endpoint::from_docker_host(value, tls).unwrap();
        assert_eq!(endpoint.to_string(), expect);
        assert!(endpoint.is_docker());
    };
    check(
        "unix:///var/run/docker.sock",
        false,
        "docker+unix:///var/run/docker.sock",
    );
    check("tcp://10.0.0.1:2375", false, "docker+tcp://10.0.0.1:2375");
    check("tcp://10.0.0.1", false, "docker+tcp://10.0.0.1:2375");
    check("tcp://10.0.0.1", true, "docker+tcp://10.0.0.1:2376");
    check("ssh://me@host", false, "docker+ssh://me@host");
    let error = Endpoint::from_docker_host("npipe:////./pipe/docker", false).unwrap_err();
    assert!(error.to_string().contains("DOCKER_HOST"), "{error}");
}
