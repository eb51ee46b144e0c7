//! Contexts and Dockerfiles from the network: every node builds the same commit.

use flate2::Compression;
use flate2::write::GzEncoder;
use mbuild::digest::Digest;

use crate::support::git_server::GitServer;
use crate::support::hub::Hub;
use crate::support::sandbox::Sandbox;
use crate::support::target::{Target, cases};
use crate::support::web_server::WebServer;

const BOTH: &str = "--platform linux/amd64,linux/arm64";
const ONE: &str = "--platform linux/amd64";

cases!(at_host:
    a_branch_that_moves_is_one_commit_on_both_nodes,
    every_spelling_of_a_repository_is_built,
    a_ref_that_is_not_there_stops_the_build_before_it_starts,
    a_repository_that_the_client_cannot_ask_is_left_to_the_nodes,
    without_git_the_nodes_ask_by_themselves,
    secrets_for_git_are_used_by_the_client_too,
    a_dockerfile_beside_a_repository_is_its_own_or_ours,
    a_dockerfile_may_come_from_the_web,
    a_dockerfile_that_does_not_come_stops_the_build_before_it_starts,
    an_archive_on_the_web_is_the_same_on_both_nodes,
    a_file_on_the_web_that_the_client_cannot_have_is_left_to_the_nodes,
);

fn host(target: &Target) -> &str {
    target.get("HOST")
}

/// A repository with a Dockerfile that copies `file`, at its root and in `sub`.
fn repository(target: &Target, text: &str) -> (GitServer, String) {
    let server = GitServer::new(host(target));
    let dockerfile = "FROM scratch\nCOPY file /\n";
    let commit = server.commit(&[
        ("Dockerfile", dockerfile),
        ("file", text),
        ("sub/Dockerfile", dockerfile),
        ("sub/file", &format!("{text} in sub")),
    ]);
    (server, commit)
}

/// Another node of a build of two platforms may be slower: here, a commit is pushed as soon as
/// anybody was told which commit the branch is.
fn a_branch_that_moves_is_one_commit_on_both_nodes(target: &Target) {
    let (server, commit) = repository(target, "old");
    let sandbox = Sandbox::new(target);
    // As buildx lets each node clone by itself, two architectures of one image may differ.
    let path = sandbox.stand_in(
        "git",
        &format!(
            "PATH=${{PATH#*:}}\ngit \"$@\" || exit\ncd {} && echo new >file && \
             git -c user.name=x -c user.email=x commit -qam new >&2",
            server.path().display()
        ),
    );
    let name = target.repository("git");
    let url = server.url();
    sandbox
        .mbuild(&format!(
            "{BOTH} -t {name}:1 --push --metadata-file meta.json {url}#main"
        ))
        .env("PATH", path)
        .run()
        .exits(0);
    assert_ne!(server.git(&["rev-parse", "main"]), commit, "it has moved");
    let hub = Hub::new(&name);
    let index = hub.manifest("1");
    for platform in ["linux/amd64", "linux/arm64"] {
        assert_eq!(hub.file(&hub.image(&index, platform), "file"), b"old");
    }
    let contexts = &sandbox.json("meta.json")["mbuild.contexts"];
    assert_eq!(contexts["context"], format!("{url}#{commit}"));
}

fn every_spelling_of_a_repository_is_built(target: &Target) {
    let (server, first) = repository(target, "1");
    server.git(&["tag", "-a", "v1", "-m", "x"]);
    let tag = server.git(&["rev-parse", "v1"]);
    server.git(&["branch", "old"]);
    let second = server.commit(&[("file", "2"), ("sub/file", "2 in sub")]);
    let keep = "FROM scratch\nCOPY .git/HEAD /file\n";
    server.commit(&[("keep/Dockerfile", keep), ("file", "3")]);
    let url = server.url();
    let sandbox = Sandbox::new(target);
    let check = |context: &str, file: &str, pinned: &str| {
        sandbox
            .run(&format!(
                "{ONE} -o out --metadata-file meta.json {url}{context}"
            ))
            .exits(0);
        assert_eq!(sandbox.read("out/file"), file, "{context}");
        let contexts = &sandbox.json("meta.json")["mbuild.contexts"];
        assert_eq!(contexts["context"], format!("{url}{pinned}"), "{context}");
    };
    check("#v1:sub", "1 in sub", &format!("#{first}:sub"));
    check(
        "?branch=old&subdir=sub",
        "1 in sub",
        &format!("#{first}:sub"),
    );
    check("?tag=v1", "1", &format!("#{first}"));
    check(
        &format!("?ref=v1&checksum={}", &tag[..12]),
        "1",
        &format!("#{first}"),
    );
    check(&format!("#{second}"), "2", &format!("#{second}"));
    let head = server.git(&["rev-parse", "HEAD"]);
    check("", "3", &format!("#{head}"));
    // The tag's name stays in a `.git` that is kept.
    server.git(&["tag", "v3"]);
    server.git(&["tag", "v2", &second]);
    let tag = "FROM scratch\nCOPY .git/refs/tags/v3 /file\n";
    sandbox.write("D", tag);
    let ours = sandbox.path("D").display().to_string();
    check(
        &format!("?tag=v3&keep-git-dir=1 -f {ours}"),
        &format!("{head}\n"),
        &format!("?ref=refs/tags/v3&checksum={head}&keep-git-dir=true"),
    );
    let keep = "--build-arg BUILDKIT_CONTEXT_KEEP_GIT_DIR=1";
    check(
        &format!("#v3 -f {ours} {keep}"),
        &format!("{head}\n"),
        "#v3",
    );
    // Only a query can ask for the directory `.git`, whose HEAD is the commit.
    check(
        "?branch=main&keep-git-dir=1 -f keep/Dockerfile",
        &format!("{head}\n"),
        &format!("?ref={head}&keep-git-dir=true"),
    );
}

fn a_ref_that_is_not_there_stops_the_build_before_it_starts(target: &Target) {
    let (server, _) = repository(target, "x");
    let sandbox = Sandbox::new(target);
    let check = |context: &str, says: &[&str]| {
        sandbox
            .run(&format!("{BOTH} -o out {}{context}", server.url()))
            .exits(2)
            .says(says)
            .says_not(&["linux/arm64"]);
        assert!(!sandbox.path("out").exists());
    };
    check("#nope", &["app.git#nope: the repository has no nope"]);
    check("?tag=main", &["the repository has no refs/tags/main"]);
    check(
        "?ref=main&checksum=abcdef",
        &["does not begin with the checksum abcdef"],
    );
    check(
        "?brnch=main",
        &["unknown key `brnch`, expected one of: ref, tag, branch"],
    );
    check(
        "?tag=a&branch=b",
        &["it names both refs/tags/a and refs/heads/b"],
    );
    sandbox
        .run("-o out ftp://host/a.git")
        .exits(2)
        .says(&["nothing is known of ftp addresses"]);
}

fn a_repository_that_the_client_cannot_ask_is_left_to_the_nodes(target: &Target) {
    let sandbox = Sandbox::new(target);
    // Nobody listens there, and the nodes say so.
    let url = format!("git://{}:1/app.git", host(target));
    sandbox
        .run(&format!("{BOTH} -o out {url}#main"))
        .exits(1)
        .says(&["every node asks by itself which commit", "git: ", "#main"]);
    assert!(!sandbox.path("out").exists());
}

fn without_git_the_nodes_ask_by_themselves(target: &Target) {
    let (server, _) = repository(target, "x");
    let sandbox = Sandbox::new(target);
    let run = |platforms: &str| {
        let line = format!("{platforms} -o out {}#main", server.url());
        let ran = sandbox.mbuild(&line).env("PATH", "/nowhere").run().exits(0);
        ran.stderr
    };
    let warning = "there is no git on this machine";
    assert!(!run(ONE).contains(warning));
    assert_eq!(sandbox.read("out/file"), "x");
    assert!(run(BOTH).contains(warning));
    assert_eq!(sandbox.read("out/linux_arm64/file"), "x");
}

fn secrets_for_git_are_used_by_the_client_too(target: &Target) {
    let sandbox = Sandbox::new(target);
    let commit = "1".repeat(40);
    // A stand-in that keeps what it is told, since this server knows no users.
    let path = sandbox.stand_in(
        "git",
        &format!(
            "env >$HOME/told\necho \"$@\" >$HOME/words\nprintf '{commit}\\trefs/heads/main\\n'"
        ),
    );
    let url = format!("http://{}:1/app.git", host(target));
    sandbox
        .mbuild(&format!(
            "{ONE} -o out --secret id=GIT_AUTH_TOKEN,env=T {url}#main"
        ))
        .env("PATH", path)
        .env("T", "s3cret")
        .run()
        .exits(1)
        .says_not(&["s3cret"]);
    let told = sandbox.read("home/told");
    // base64 of x-access-token:s3cret
    assert!(
        told.contains("basic eC1hY2Nlc3MtdG9rZW46czNjcmV0"),
        "{told}"
    );
    assert!(told.contains("GIT_TERMINAL_PROMPT=0"), "{told}");
    assert!(!sandbox.read("home/words").contains("basic"));
}

fn a_dockerfile_beside_a_repository_is_its_own_or_ours(target: &Target) {
    let (server, _) = repository(target, "x");
    server.commit(&[("other/D", "FROM scratch\nCOPY sub/file /file\n")]);
    let sandbox = Sandbox::new(target);
    sandbox.write("D", "FROM scratch\nCOPY file /of-ours\n");
    sandbox.write("other/D", "FROM scratch\nCOPY file /wrong\n");
    let url = server.url();
    let ours = sandbox.path("D").display().to_string();
    sandbox
        .run(&format!("{ONE} -o a -f other/D {url}"))
        .exits(0);
    assert_eq!(sandbox.read("a/file"), "x in sub");
    sandbox
        .run(&format!("{BOTH} -o b -f {ours} {url}"))
        .exits(0);
    assert_eq!(sandbox.read("b/linux_arm64/of-ours"), "x");
    let stdin = sandbox.read("D");
    let piped = sandbox.mbuild(&format!("{ONE} -o c -f - {url}"));
    piped.stdin(stdin).run().exits(0);
    assert_eq!(sandbox.read("c/of-ours"), "x");
}

fn a_dockerfile_may_come_from_the_web(target: &Target) {
    let dockerfile = b"FROM scratch\nCOPY file /\n".to_vec();
    let web = WebServer::new(host(target), &[("/d/My.Dockerfile", dockerfile)]);
    let (server, _) = repository(target, "of git");
    let sandbox = Sandbox::new(target);
    sandbox.write("ctx/file", "of the directory");
    let url = web.url("/d/My.Dockerfile?x=y");
    sandbox.run(&format!("{BOTH} -o out -f {url} ctx")).exits(0);
    assert_eq!(sandbox.read("out/linux_arm64/file"), "of the directory");
    let git = server.url();
    sandbox
        .run(&format!("{ONE} -o git -f {url} {git}"))
        .exits(0);
    assert_eq!(sandbox.read("git/file"), "of git");
}

fn a_dockerfile_that_does_not_come_stops_the_build_before_it_starts(target: &Target) {
    let large = vec![b'#'; 3 << 20];
    let web = WebServer::new(host(target), &[("/large", large)]);
    let sandbox = Sandbox::new(target);
    let check = |url: &str, says: &str| {
        let line = format!("{ONE} -o out -f {url} ctx");
        sandbox
            .run(&line)
            .exits(2)
            .says(&[says, "cannot download the Dockerfile"]);
        assert!(!sandbox.path("out").exists());
    };
    check(&web.url("/none"), "the server answered 404 Not Found");
    check(&web.url("/large"), "it has more than 2097152 bytes");
    check(
        &format!("http://{}:1/d", host(target)),
        "the server cannot be reached",
    );
}

/// Nodes that download by themselves, as with buildx, may get different files.
fn an_archive_on_the_web_is_the_same_on_both_nodes(target: &Target) {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let files: [(&str, &[u8]); 2] = [
        ("Dockerfile", b"FROM scratch\nCOPY file /\n"),
        ("file", b"x"),
    ];
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes).unwrap();
    }
    let tar = tar.into_inner().unwrap().finish().unwrap();
    let alone = b"FROM scratch\nCOPY context /file\n".to_vec();
    let files = [("/ctx.tar.gz", tar.clone()), ("/alone", alone.clone())];
    let web = WebServer::new(host(target), &files);
    let sandbox = Sandbox::new(target);
    let check = |path: &str, line: &str, served: &[u8]| {
        let (url, before) = (web.url(path), web.asked());
        let line = format!("{line} --metadata-file meta.json {url}?sig=s3cret");
        sandbox.run(&line).exits(0).says_not(&["s3cret", "WARNING"]);
        assert_eq!(web.asked() - before, 1, "by the client alone");
        let shown = format!("{url}@{}", Digest::of(served));
        assert_eq!(
            sandbox.json("meta.json")["mbuild.contexts"]["context"],
            shown
        );
    };
    check("/ctx.tar.gz", &format!("{BOTH} -o out"), &tar);
    assert_eq!(sandbox.read("out/linux_arm64/file"), "x");
    // What is no archive is a Dockerfile.
    check("/alone", &format!("{BOTH} -o alone"), &alone);
    assert_eq!(sandbox.read("alone/linux_arm64/file").as_bytes(), alone);
}

fn a_file_on_the_web_that_the_client_cannot_have_is_left_to_the_nodes(target: &Target) {
    let sandbox = Sandbox::new(target);
    let url = format!("http://{}:1/ctx.tar", host(target));
    sandbox
        .run(&format!("{BOTH} -o out {url}"))
        .exits(1)
        .says(&[
            "/ctx.tar by itself, and may get another one",
            "cannot be reached",
        ]);
    // One node cannot differ from another, so nothing is asked here.
    let one = sandbox.run(&format!("{ONE} -o out {url}")).exits(1);
    one.says_not(&["WARNING"]);
}
