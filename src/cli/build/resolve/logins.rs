//! Logins of caches, from the environment of the client.
//!
//! A login is sent only where a daemon has no other way to it, as far as the client can know:
//! what was given with the flag, the token of a GitHub job, and the static keys of AWS in the
//! environment or the profile it names. Roles and machine identities are the daemon's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::request::{CacheKind, CacheSpec};

use super::super::super::app::App;

/// The keys of a static login at AWS, and the variables that hold it.
const AWS_KEYS: [(&str, &str); 3] = [
    ("access_key_id", "AWS_ACCESS_KEY_ID"),
    ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("session_token", "AWS_SESSION_TOKEN"),
];
/// The largest file of credentials that is read, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// Fills in what the flag leaves to the environment; what is still missing is said in words.
pub(super) fn complete(spec: &mut CacheSpec, app: &App) -> Option<String> {
    match spec.kind {
        CacheKind::Gha => github(&mut spec.attrs, app),
        CacheKind::S3 => {
            aws(&mut spec.attrs, app);
            None
        }
        _ => None,
    }
}

/// The token and the addresses that a GitHub job has.
fn github(attrs: &mut BTreeMap<String, String>, app: &App) -> Option<String> {
    let service_v2 = app.is_on("ACTIONS_CACHE_SERVICE_V2");
    if service_v2 {
        default(attrs, "version", Some("2"));
    }
    default(attrs, "token", app.var("ACTIONS_RUNTIME_TOKEN"));
    let results = app.var("ACTIONS_RESULTS_URL");
    let second = attrs.get("version").is_some_and(|version| version == "2");
    if second {
        default(attrs, "url_v2", results);
    }
    // Daemons that know only the first version ask here.
    let first = app.var("ACTIONS_CACHE_URL");
    default(attrs, "url", first.or(if second { None } else { results }));

    let has = |key: &str| attrs.get(key).is_some_and(|value| !value.is_empty());
    let mut missing = Vec::new();
    if !has("token") {
        missing.push("`token` (ACTIONS_RUNTIME_TOKEN)");
    }
    match second {
        true if !has("url_v2") && !has("url") => missing.push("`url_v2` (ACTIONS_RESULTS_URL)"),
        false if !has("url") => missing.push("`url` (ACTIONS_CACHE_URL)"),
        _ => {}
    }
    (!missing.is_empty()).then(|| {
        format!(
            "this is no job of GitHub Actions, or it hides its cache: {} missing",
            missing.join(" and ")
        )
    })
}

/// The bucket, the region and static keys. `access_key_id=` with nothing behind it says that the
/// daemon has its own.
fn aws(attrs: &mut BTreeMap<String, String>, app: &App) {
    default(attrs, "bucket", app.var("AWS_BUCKET"));
    let region = app.var("AWS_REGION").or(app.var("AWS_DEFAULT_REGION"));
    default(attrs, "region", region);
    let given = AWS_KEYS.iter().any(|(key, _)| attrs.contains_key(*key));
    if !given {
        let login = static_login(app);
        attrs.extend(login);
    }
    let keys = AWS_KEYS.map(|(key, _)| key);
    attrs.retain(|key, value| !(keys.contains(&key.as_str()) && value.is_empty()));
}

fn static_login(app: &App) -> BTreeMap<String, String> {
    let variables = AWS_KEYS.map(|(key, name)| Some((key.to_owned(), app.var(name)?.to_owned())));
    let login: BTreeMap<String, String> = variables.into_iter().flatten().collect();
    if login.contains_key("access_key_id") && login.contains_key("secret_access_key") {
        return login;
    }
    // Only a profile that is named: keys that lie about may be meant for something else.
    let Some(profile) = app.var("AWS_PROFILE") else {
        return BTreeMap::new();
    };
    let path = match app.var("AWS_SHARED_CREDENTIALS_FILE") {
        Some(path) => app.path(Path::new(path)),
        None => app.home().join(".aws/credentials"),
    };
    let login = profile_login(&read(&path), profile);
    match login.contains_key("access_key_id") && login.contains_key("secret_access_key") {
        true => login,
        false => BTreeMap::new(),
    }
}

fn read(path: &PathBuf) -> String {
    let small = std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() < FILE_LIMIT);
    match small {
        true => std::fs::read_to_string(path).unwrap_or_default(),
        false => String::new(),
    }
}

/// The keys of one section of a file of credentials.
fn profile_login(text: &str, profile: &str) -> BTreeMap<String, String> {
    let mut login = BTreeMap::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            inside = name.trim() == profile;
            continue;
        }
        let Some((name, value)) = line.split_once('=').filter(|_| inside) else {
            continue;
        };
        let name = name.trim().to_ascii_uppercase();
        if let Some((key, _)) = AWS_KEYS.iter().find(|(_, variable)| *variable == name) {
            login.insert((*key).to_owned(), value.trim().to_owned());
        }
    }
    login
}

/// Gives a key its value unless it was given one.
fn default(attrs: &mut BTreeMap<String, String>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        attrs
            .entry(key.to_owned())
            .or_insert_with(|| value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::app::Global;
    use crate::progress::NoteWriter;
    use crate::request::CacheSide;

    fn app(env: &[(&str, &str)]) -> App {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        App {
            env: env.iter().map(pair).collect(),
            cwd: PathBuf::from("/work"),
            stderr_is_terminal: false,
            stdout_is_terminal: false,
            stdin_is_terminal: false,
            global: Global::default(),
            notes: NoteWriter::default(),
        }
    }

    /// The completed cache, unhidden, or what is missing.
    fn check(value: &str, env: &[(&str, &str)], expect: &str) {
        let mut spec = CacheSpec::parse(CacheSide::To.flag(), value)
            .unwrap()
            .remove(0);
        let missing = complete(&mut spec, &app(env));
        assert_eq!(missing.unwrap_or_else(|| spec.to_string()), expect);
    }

    const JOB: [(&str, &str); 3] = [
        ("ACTIONS_RUNTIME_TOKEN", "t"),
        ("ACTIONS_CACHE_URL", "http://one/"),
        ("ACTIONS_RESULTS_URL", "http://two/"),
    ];

    #[test]
    fn a_github_job_has_a_token_and_an_address() {
        check("type=gha", &JOB, "type=gha,token=t,url=http://one/");
        let v2 = [&JOB[..], &[("ACTIONS_CACHE_SERVICE_V2", "true")]].concat();
        let expect = "type=gha,token=t,url=http://one/,url_v2=http://two/,version=2";
        check("type=gha", &v2, expect);
        check(
            "type=gha,token=mine,url=u",
            &JOB,
            "type=gha,token=mine,url=u",
        );
    }

    #[test]
    fn what_a_github_job_lacks_is_said() {
        let says = "this is no job of GitHub Actions, or it hides its cache: ";
        check(
            "type=gha",
            &[],
            &format!("{says}`token` (ACTIONS_RUNTIME_TOKEN) and `url` (ACTIONS_CACHE_URL) missing"),
        );
        check(
            "type=gha,version=2",
            &JOB[..1],
            &format!("{says}`url_v2` (ACTIONS_RESULTS_URL) missing"),
        );
    }

    #[test]
    fn static_keys_of_aws_are_sent_and_roles_are_not() {
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let value = "type=s3,bucket=b";
        let expect = "type=s3,access_key_id=a,bucket=b,secret_access_key=s";
        check(value, &keys, expect);
        check(value, &keys[..1], value);
        check("type=s3,bucket=b,access_key_id=", &keys, value);
        check(
            "type=s3,bucket=b,access_key_id=x,secret_access_key=y",
            &keys,
            "type=s3,access_key_id=x,bucket=b,secret_access_key=y",
        );
        let role = [("AWS_ROLE_ARN", "r"), ("AWS_WEB_IDENTITY_TOKEN_FILE", "/f")];
        check(value, &role, value);
        let place = [("AWS_BUCKET", "c"), ("AWS_DEFAULT_REGION", "eu")];
        check("type=s3", &place, "type=s3,bucket=c,region=eu");
    }

    #[test]
    fn a_profile_counts_when_it_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("credentials");
        let text = "[default]\naws_access_key_id = no\naws_secret_access_key = no\n\
                    # more\n[ci]\naws_access_key_id=a\naws_secret_access_key = s=\n";
        std::fs::write(&file, text).unwrap();
        let file = ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap());
        let value = "type=s3,bucket=b";
        check(value, &[file], value);
        check(value, &[file, ("AWS_PROFILE", "other")], value);
        let expect = "type=s3,access_key_id=a,bucket=b,secret_access_key=s=";
        check(value, &[file, ("AWS_PROFILE", "ci")], expect);
    }
}
