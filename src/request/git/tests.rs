use super::*;

fn parse(text: &str) -> GitContext {
    GitContext::parse(text).unwrap().unwrap()
}

/// What a daemon is told, and whether it needs to know queries.
#[track_caller]
fn check(text: &str, expect: &str, has_query: bool) {
    let context = parse(text);
    assert_eq!(context.to_string(), expect, "{text}");
    assert_eq!(context.has_query(), has_query, "{text}");
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn a_repository_is_told_from_a_file_on_the_web() {
    for text in [
        "https://h/a.git",
        "http://h:1/a.git#x",
        "https://h/a.git?branch=x",
        "git://h/a",
        "ssh://git@h:22/a",
        "git@h.io:a/b",
        "github.com/a/b",
    ] {
        assert!(GitContext::parse(text).unwrap().is_some(), "{text}");
    }
    for text in [
        "https://h/a",
        "https://h/a.tar.gz#x.git",
        "https://h/a.git/x",
        "ftp://h/a.git",
        "a/b@c:d",
        "dir",
    ] {
        assert_eq!(GitContext::parse(text), Ok(None), "{text}");
    }
}

#[test]
fn what_a_fragment_can_say_is_said_by_one() {
    check("https://h/a.git", "https://h/a.git", false);
    check("https://h/a.git#main", "https://h/a.git#main", false);
    check("https://h/a.git#:sub/", "https://h/a.git#:sub", false);
    check(
        "https://h/a.git?branch=main&subdir=/x/./y/../z",
        "https://h/a.git#refs/heads/main:x/z",
        false,
    );
    check("git@h:a.git?tag=v1", "git@h:a.git#refs/tags/v1", false);
    check("github.com/a/b?ref=x", "github.com/a/b#x", false);
    check("https://h/a.git#m:a%20b", "https://h/a.git#m:a%20b", false);
    check("git@h:a.git#m:a b", "git@h:a.git#m:a b", false);
}

#[test]
fn what_only_a_query_can_say_stays_one() {
    check(
        "https://h/a.git?keep-git-dir&branch=main&subdir=a+b",
        "https://h/a.git?ref=refs/heads/main&subdir=a%20b&keep-git-dir=true",
        true,
    );
    check(
        "https://h/a.git?commit=ABC&mtime=commit#v1",
        "https://h/a.git?ref=v1&checksum=abc&mtime=commit",
        true,
    );
    check(
        "git@h:a.git?submodules=0",
        "git@h:a.git?submodules=false",
        true,
    );
}

#[test]
fn a_commit_takes_the_place_of_a_name() {
    let pinned = |text: &str| parse(text).pinned(COMMIT).to_string();
    assert_eq!(
        pinned("https://h/a.git"),
        format!("https://h/a.git#{COMMIT}")
    );
    assert_eq!(
        pinned("https://h/a.git?tag=v1&subdir=d&checksum=abc"),
        format!("https://h/a.git#{COMMIT}:d")
    );
    assert_eq!(
        pinned("https://h/a.git?branch=m&keep-git-dir=1"),
        format!("https://h/a.git?ref={COMMIT}&keep-git-dir=true")
    );
    // The daemon fetches this one without its history, under the name.
    assert_eq!(
        pinned("https://h/a.git?branch=m&fetch-by-commit=true"),
        format!("https://h/a.git?ref=refs/heads/m&checksum={COMMIT}&fetch-by-commit=true")
    );
}

#[test]
fn a_promised_commit_leaves_the_name() {
    let context = parse("https://h/a.git#v1:d");
    assert!(!context.keeps_git_dir());
    assert_eq!(
        context.promised(COMMIT).to_string(),
        format!("https://h/a.git?ref=v1&subdir=d&checksum={COMMIT}")
    );
    assert!(parse("https://h/a.git?keep-git-dir#v1").keeps_git_dir());
    assert!(!parse("https://h/a.git?keep-git-dir=0#v1").keeps_git_dir());
}

#[test]
fn a_full_commit_needs_no_question() {
    assert!(parse(&format!("https://h/a.git#{COMMIT}:d")).is_pinned());
    assert!(parse(&format!("https://h/a.git?branch=m&checksum={COMMIT}")).is_pinned());
    for text in ["https://h/a.git", "git@h:a#v1", "git@h:a#0123456"] {
        assert!(!parse(text).is_pinned(), "{text}");
    }
    assert!(!is_commit(&COMMIT.to_uppercase()));
}

#[test]
fn says_what_is_wrong_with_a_query() {
    let check = |query: &str, expect: &str| {
        let error = GitContext::parse(&format!("https://h/a.git?{query}")).unwrap_err();
        assert_eq!(error.to_string(), expect, "{query}");
    };
    check(
        "brnch=x",
        "unknown key `brnch`, expected one of: ref, tag, branch, subdir, checksum, commit, \
         keep-git-dir, submodules, mtime, fetch-by-commit",
    );
    check("tag=", "`tag` is ``, which is not a value");
    check("subdir", "`subdir` is ``, which is not a value");
    check("tag=a&tag=b", "`tag` is given twice");
    check(
        "tag=a&branch=a",
        "it names both refs/tags/a and refs/heads/a",
    );
    check("ref=a#b", "it names both b and a");
    check("subdir=a#x:b", "it names both b and a");
    check(
        "keep-git-dir=perhaps",
        "`keep-git-dir` is `perhaps`, which is not true or false",
    );
    check(
        "mtime=now",
        "`mtime` is `now`, which is not checkout or commit",
    );
    check(
        "checksum=xyz",
        "`checksum` is `xyz`, which is not a commit, in hexadecimal digits",
    );
    check("checksum=ab&commit=cd", "it names both ab and cd");
}

#[test]
fn git_gets_an_address_and_people_one_without_a_password() {
    assert_eq!(parse("github.com/a/b#x").url(), "https://github.com/a/b");
    assert_eq!(parse("git@h:a/b.git#x").url(), "git@h:a/b.git");
    let context = parse("https://user:secret@h/a/b.git#x:dir");
    assert_eq!(context.url(), "https://user:secret@h/a/b.git");
    assert_eq!(context.place(), ("https://user@h/a/b.git".into(), "dir"));
    for text in ["https://h/a/b.git", "git@h:b", "ssh://h/a/b.git/"] {
        assert_eq!(parse(text).name(), "b", "{text}");
    }
}
