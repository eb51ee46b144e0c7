//! Every shape of docker's and podman's files and of a helper's behaviour.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

use super::*;

/// A home with docker's folder, podman's file and a folder of helpers on `PATH`.
struct Home {
    dir: TempDir,
    env: CredentialEnv,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("bin")).unwrap();
        let env = CredentialEnv {
            docker_config_dir: Some(at("docker")),
            auth_config: None,
            podman_auth_files: vec![at("podman.json")],
            path: Some(format!("{}:/usr/bin:/bin", at("bin").display())),
        };
        fs::create_dir(at("docker")).unwrap();
        Self { dir, env }
    }

    fn docker(self, text: &str) -> Self {
        fs::write(self.path().join("docker/config.json"), text).unwrap();
        self
    }

    fn podman(self, text: &str) -> Self {
        fs::write(self.path().join("podman.json"), text).unwrap();
        self
    }

    fn inline(mut self, text: &str) -> Self {
        self.env.auth_config = Some(text.to_owned());
        self
    }

    fn helper(self, name: &str, script: &str) -> Self {
        let file = self
            .path()
            .join("bin")
            .join(format!("docker-credential-{name}"));
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn credentials(&self) -> Credentials {
        Credentials::new(self.env.clone()).with_helper_limit(Duration::from_millis(700))
    }

    async fn lookup(&self, host: &str) -> Answer {
        self.credentials().lookup(host).await
    }
}

fn basic(username: &str, secret: &str) -> Credential {
    Credential::Basic {
        username: username.to_owned(),
        secret: secret.to_owned(),
    }
}

fn auth(user_password: &str) -> String {
    STANDARD.encode(user_password)
}

/// Checks what a `config.json` with these `auths` answers for `host`.
async fn check(auths: &str, host: &str, expect: Credential) {
    let home = Home::new().docker(&format!(r#"{{"auths": {{{auths}}}}}"#));
    assert_eq!(home.lookup(host).await.unwrap(), expect, "{auths}");
}

const ECHO: &str = r#"read host; test "$1" = get && printf '{"ServerURL":"%s","Username":"u","Secret":"for %s"}' "$host" "$host""#;
const NOTHING: &str = r#"echo "credentials not found in native keychain"; exit 1"#;

#[tokio::test]
async fn nothing_configured_is_anonymous() {
    assert_eq!(
        Home::new().lookup("r.example").await.unwrap(),
        Credential::Anonymous
    );
    let bare = Credentials::new(CredentialEnv::default());
    assert_eq!(
        bare.lookup("r.example").await.unwrap(),
        Credential::Anonymous
    );
}

#[tokio::test]
async fn auth_is_decoded_with_and_without_padding() {
    let entry = |value: &str| format!(r#""r.example:5000": {{"auth": "{value}"}}"#);
    let padded = auth("ann:pass:word");
    check(&entry(&padded), "r.example:5000", basic("ann", "pass:word")).await;
    let bare = padded.trim_end_matches('=');
    check(&entry(bare), "r.example:5000", basic("ann", "pass:word")).await;
    check(
        &entry(&auth("ann:pw\0\0")),
        "r.example:5000",
        basic("ann", "pw"),
    )
    .await;
}

#[tokio::test]
async fn username_and_password_serve_without_auth() {
    check(
        r#""r": {"username": "ann", "password": "pw"}"#,
        "r",
        basic("ann", "pw"),
    )
    .await;
    check(
        r#""r": {"auth": "", "username": "ann", "password": "pw"}"#,
        "r",
        basic("ann", "pw"),
    )
    .await;
}

#[tokio::test]
async fn auth_wins_over_a_different_username() {
    let entry = format!(
        r#""r": {{"auth": "{}", "username": "bob", "password": "x"}}"#,
        auth("ann:pw")
    );
    check(&entry, "r", basic("ann", "pw")).await;
}

#[tokio::test]
async fn tokens_win_over_passwords() {
    let with = |token: &str| format!(r#""r": {{"auth": "{}", "{token}": "t"}}"#, auth("ann:pw"));
    check(
        &with("identitytoken"),
        "r",
        Credential::IdentityToken("t".into()),
    )
    .await;
    check(
        &with("registrytoken"),
        "r",
        Credential::RegistryToken("t".into()),
    )
    .await;
}

#[tokio::test]
async fn empty_entries_are_anonymous() {
    for entry in [
        r#""r": {}"#,
        r#""r": null"#,
        r#""r": {"auth": ""}"#,
        r#""r": {"username": "u"}"#,
    ] {
        check(entry, "r", Credential::Anonymous).await;
    }
}

#[tokio::test]
async fn keys_that_are_urls_answer_for_their_host() {
    for key in [
        "https://r.example/v1/",
        "https://r.example",
        "http://r.example/v2/",
    ] {
        let entry = format!(r#""{key}": {{"auth": "{}"}}"#, auth("u:p"));
        check(&entry, "r.example", basic("u", "p")).await;
    }
}

#[tokio::test]
async fn docker_hub_is_found_under_all_its_names_and_the_same_one_wins_always() {
    for key in [
        "https://index.docker.io/v1/",
        "docker.io",
        "index.docker.io",
        "registry-1.docker.io",
    ] {
        let entry = format!(r#""{key}": {{"auth": "{}"}}"#, auth("u:p"));
        for host in ["docker.io", "registry-1.docker.io", "index.docker.io"] {
            check(&entry, host, basic("u", "p")).await;
        }
    }
    let both = format!(
        r#""docker.io": {{"auth": "{}"}}, "https://index.docker.io/v1/": {{"auth": "{}"}}"#,
        auth("short:p"),
        auth("full:p"),
    );
    for _ in 0..20 {
        check(&both, "docker.io", basic("full", "p")).await;
    }
}

#[tokio::test]
async fn a_repositorys_password_never_serves_the_whole_host() {
    let entry = format!(r#""quay.io/team": {{"auth": "{}"}}"#, auth("u:p"));
    check(&entry, "quay.io", Credential::Anonymous).await;
}

#[tokio::test]
async fn garbage_is_an_error_without_its_content() {
    let home = Home::new().docker(r#"{"auths": {"r": {"auth": "hunter2 hunter2"}}}"#);
    let error = home.lookup("r").await.unwrap_err();
    assert!(matches!(error, CredentialError::Decode { .. }));
    assert!(!format!("{error} {error:?}").contains("hunter2"));

    let home = Home::new().docker(r#"{"auths": "hunter2"}"#);
    let error = home.lookup("r").await.unwrap_err();
    assert!(matches!(error, CredentialError::Parse { line: 1, .. }));
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert!(error.to_string().contains("config.json"));
}

#[tokio::test]
async fn empty_files_and_null_members_are_no_configuration() {
    for text in [
        "",
        " \n",
        "{}",
        r#"{"auths": null, "credHelpers": null, "credsStore": null}"#,
    ] {
        let home = Home::new().docker(text);
        assert_eq!(
            home.lookup("r").await.unwrap(),
            Credential::Anonymous,
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn an_unreadable_file_is_an_error() {
    let home = Home::new();
    fs::create_dir(home.path().join("docker/config.json")).unwrap();
    assert!(matches!(
        home.lookup("r").await,
        Err(CredentialError::Read { .. })
    ));
}

#[tokio::test]
async fn the_hosts_helper_goes_before_the_store() {
    let home = Home::new()
        .docker(r#"{"credHelpers": {"r.example": "one"}, "credsStore": "all"}"#)
        .helper("one", ECHO)
        .helper(
            "all",
            r#"printf '{"ServerURL":"","Username":"store","Secret":"s"}'"#,
        );
    let credentials = home.credentials();
    assert_eq!(
        credentials.lookup("r.example").await.unwrap(),
        basic("u", "for r.example")
    );
    assert_eq!(
        credentials.lookup("other.example").await.unwrap(),
        basic("store", "s")
    );
}

#[tokio::test]
async fn an_empty_helper_name_switches_the_store_off() {
    let home = Home::new().docker(&format!(
        r#"{{"credHelpers": {{"r": ""}}, "credsStore": "absent", "auths": {{"r": {{"auth": "{}"}}}}}}"#,
        auth("u:p")
    ));
    assert_eq!(home.lookup("r").await.unwrap(), basic("u", "p"));
}

#[tokio::test]
async fn helpers_are_asked_for_docker_hub_by_its_one_key() {
    let home = Home::new()
        .docker(r#"{"credHelpers": {"docker.io": "one"}}"#)
        .helper("one", ECHO);
    let found = home.lookup("registry-1.docker.io").await.unwrap();
    assert_eq!(found, basic("u", "for https://index.docker.io/v1/"));
}

#[tokio::test]
async fn the_token_user_means_an_identity_token() {
    let home = Home::new().docker(r#"{"credsStore": "t"}"#).helper(
        "t",
        r#"printf '{"ServerURL":"r","Username":"<token>","Secret":"abc"}'"#,
    );
    assert_eq!(
        home.lookup("r").await.unwrap(),
        Credential::IdentityToken("abc".into())
    );
}

#[tokio::test]
async fn a_helper_that_knows_nothing_leaves_the_word_to_the_entries() {
    let home = Home::new()
        .docker(r#"{"credsStore": "n"}"#)
        .helper("n", NOTHING);
    assert_eq!(home.lookup("r").await.unwrap(), Credential::Anonymous);

    let text = format!(
        r#"{{"credsStore": "n", "auths": {{"r": {{"auth": "{}"}}}}}}"#,
        auth("u:p")
    );
    let home = Home::new().docker(&text).helper("n", NOTHING);
    assert_eq!(home.lookup("r").await.unwrap(), basic("u", "p"));
}

#[tokio::test]
async fn a_failing_helper_is_an_error_that_says_what_it_said() {
    let home = Home::new()
        .docker(r#"{"credsStore": "f"}"#)
        .helper("f", "echo 'session expired' >&2; exit 3");
    let error = home.lookup("r").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "docker-credential-f failed for r: session expired"
    );
}

#[tokio::test]
async fn a_garbled_answer_is_an_error_that_does_not_repeat_it() {
    for script in ["echo hunter2", r#"echo '{"Username":"hunter2"}'"#, "true"] {
        let home = Home::new()
            .docker(r#"{"credsStore": "g"}"#)
            .helper("g", script);
        let error = home.lookup("r").await.unwrap_err();
        assert!(
            matches!(error, CredentialError::HelperAnswer { .. }),
            "{error:?}"
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn an_absent_helper_is_named_with_who_names_it() {
    let home = Home::new().docker(r#"{"credHelpers": {"r": "absent-xyz"}}"#);
    let error = home.lookup("r").await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("docker-credential-absent-xyz") && text.contains("config.json"),
        "{text}"
    );
    assert!(error.advice().unwrap().contains("install"));
}

#[tokio::test]
async fn a_helper_name_cannot_be_a_path() {
    let home = Home::new().docker(r#"{"credsStore": "x/../../../bin/sh"}"#);
    assert!(matches!(
        home.lookup("r").await,
        Err(CredentialError::HelperName { .. })
    ));
}

#[tokio::test]
async fn a_helper_that_hangs_is_killed_with_its_children() {
    let home = Home::new().docker(r#"{"credsStore": "h"}"#);
    let pid_file = home.path().join("pid");
    let script = format!("sleep 300 & echo $! > {}; wait", pid_file.display());
    let home = home.helper("h", &script);
    let started = Instant::now();
    let error = home.lookup("r").await.unwrap_err();
    assert!(
        matches!(error, CredentialError::HelperTimeout { .. }),
        "{error:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(5));
    let pid = fs::read_to_string(pid_file).unwrap();
    let gone = || match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    for _ in 0..50 {
        if gone() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the helper's child is still alive");
}

#[tokio::test]
async fn those_who_ask_together_share_one_call_of_the_helper() {
    let home = Home::new().docker(r#"{"credsStore": "c"}"#);
    let count = home.path().join("count");
    let script = format!("echo x >> {}; {ECHO}", count.display());
    let home = home.helper("c", &script);
    let credentials = home.credentials();
    let (a, b, c) = tokio::join!(
        credentials.lookup("r"),
        credentials.lookup("r"),
        credentials.lookup("r")
    );
    assert_eq!(a.unwrap(), basic("u", "for r"));
    assert!(b.is_ok() && c.is_ok());
    assert_eq!(fs::read_to_string(count).unwrap(), "x\n");
}

#[tokio::test]
async fn the_variable_goes_first_and_podmans_file_last() {
    let one = |user: &str| format!(r#"{{"auths": {{"r": {{"auth": "{}"}}}}}}"#, auth(user));
    let home = Home::new().podman(&one("podman:p"));
    assert_eq!(home.lookup("r").await.unwrap(), basic("podman", "p"));
    let home = home.docker(&one("docker:p"));
    assert_eq!(home.lookup("r").await.unwrap(), basic("docker", "p"));
    let home = home.inline(&one("inline:p"));
    assert_eq!(home.lookup("r").await.unwrap(), basic("inline", "p"));
    let home = home.inline(r#"{"auths": {"other": {"auth": "dTpw"}}}"#);
    assert_eq!(home.lookup("r").await.unwrap(), basic("docker", "p"));
}

#[tokio::test]
async fn proxies_and_headers_are_handed_out() {
    let home = Home::new().docker(
        r#"{"proxies": {"default": {"httpProxy": "http://p:1", "noProxy": "a,b"},
                        "tcp://d:2375": {"httpsProxy": "http://q:2"}},
            "HttpHeaders": {"X-Team": "one"}}"#,
    );
    let config = home.credentials().docker_config().await.unwrap();
    let default = config.proxies("unix:///var/run/docker.sock").unwrap();
    assert_eq!(
        (default.http_proxy.as_str(), default.no_proxy.as_str()),
        ("http://p:1", "a,b")
    );
    assert_eq!(
        config.proxies("tcp://d:2375").unwrap().https_proxy,
        "http://q:2"
    );
    assert_eq!(config.http_headers()["X-Team"], "one");
}
