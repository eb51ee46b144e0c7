//! Steps use the SSH agents and keys that they were lent, on every node, and can do no more
//! with them than list and sign.

use std::fs;
use std::path::Path;

use mbuild::ssh::{PrivateKey, Reader, put_string};
use ring::signature::UnparsedPublicKey;
use ring::signature::{ED25519, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents};

use crate::support::sandbox::Sandbox;
use crate::support::ssh_agent::{AgentDouble, client, framed, messages};
use crate::support::target::{Target, cases, fresh};

const BOTH: &str = "--platform linux/amd64,linux/arm64";
const PLATFORMS: [&str; 2] = ["linux_amd64", "linux_arm64"];

cases!(beside:
    an_agent_is_asked_for_lists_and_signatures_only,
    an_agent_that_is_given_raw_hears_everything,
    keys_of_files_sign,
    an_agent_that_ends_during_the_build_is_told,
    what_is_not_there_stops_the_build_before_it_starts,
    a_step_that_nobody_lends_an_agent_fails_and_says_so,
);

const FAILURE: [u8; 1] = [5];
const LIST: [u8; 1] = [11];

/// A context whose step says the bytes of the file `said` to the agents of these ids, and keeps
/// what it hears in files of their names.
fn sandbox(target: &Target, ids: &[&str], said: &[u8]) -> Sandbox {
    let sandbox = Sandbox::new(target);
    for arch in ["amd64", "arm64"] {
        sandbox.write(&format!("ctx/client-{arch}"), client(arch));
    }
    sandbox.write("ctx/said", said);
    let mut text = format!(
        "FROM BASE AS made\nARG TARGETARCH\nCOPY --chmod=755 client-* /\nCOPY said /\n\
         ENV RUN={}\n",
        fresh()
    );
    for id in ids {
        text += &format!(
            "RUN --mount=type=ssh,id={id} mkdir -p /t && \
             (/client-$TARGETARCH $SSH_AUTH_SOCK </said >/t/{id}; true)\n"
        );
    }
    sandbox.dockerfile(&(text + "FROM scratch\nCOPY --from=made /t /\n"));
    sandbox
}

/// What the step on each platform heard.
fn heard(sandbox: &Sandbox, id: &str) -> [Vec<Vec<u8>>; 2] {
    PLATFORMS.map(|dir| messages(&fs::read(sandbox.path(format!("out/{dir}/{id}"))).unwrap()))
}

/// An agent's answers that are easily told apart: a list of no keys, and a signature.
fn answer(message: &[u8]) -> Vec<u8> {
    match message[0] {
        11 => vec![12, 0, 0, 0, 0],
        13 => [&[14], message].concat(),
        _ => vec![6],
    }
}

/// Add, remove, remove all, smart card, lock, unlock, add constrained, extension.
const FORBIDDEN: [u8; 9] = [17, 18, 19, 20, 21, 22, 23, 25, 27];

fn everything() -> Vec<Vec<u8>> {
    let mut all: Vec<_> = FORBIDDEN.map(|kind| vec![kind, 0, 0, 0, 0]).into();
    all.insert(0, LIST.into());
    all.push(b"\x0dsign this".into());
    all
}

fn an_agent_is_asked_for_lists_and_signatures_only(target: &Target) {
    let asked = everything();
    let said: Vec<u8> = asked.iter().flat_map(|message| framed(message)).collect();
    let sandbox = sandbox(target, &["default", "deploy"], &said);
    let (first, second) = (sandbox.path("home/a.sock"), sandbox.path("home/b.sock"));
    let agents = [&first, &second].map(|path| AgentDouble::listen(path, None, answer));
    sandbox
        .mbuild(&format!(
            "{BOTH} --ssh default --ssh deploy={} -o out ctx",
            second.display()
        ))
        .env("SSH_AUTH_SOCK", first.display().to_string())
        .run()
        .exits(0);
    let (list, sign) = (asked.first().unwrap(), asked.last().unwrap());
    let mut expect = vec![answer(list)];
    expect.extend(FORBIDDEN.map(|_| FAILURE.to_vec()));
    expect.push(answer(sign));
    for (id, agent) in ["default", "deploy"].iter().zip(&agents) {
        assert_eq!(heard(&sandbox, id), [&expect[..], &expect[..]]);
        let mut passed = agent.heard();
        passed.sort();
        assert_eq!(passed.iter().collect::<Vec<_>>(), [list, list, sign, sign]);
    }
}

fn an_agent_that_is_given_raw_hears_everything(target: &Target) {
    let said = [framed(&LIST), framed(&[19]), framed(&[17, 1, 2])].concat();
    let sandbox = sandbox(target, &["default"], &said);
    let socket = sandbox.path("home/agent.sock");
    let agent = AgentDouble::listen(&socket, None, answer);
    sandbox
        .run(&format!(
            "--platform linux/amd64,linux/arm64 --ssh default={},raw=true -o out ctx",
            socket.display()
        ))
        .exits(0);
    let expect = [vec![12, 0, 0, 0, 0], vec![6], vec![6]];
    assert_eq!(heard(&sandbox, "default"), [&expect, &expect]);
    assert_eq!(agent.heard().len(), 6);
}

fn key_file(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/ssh-keys");
    fs::read(dir.join(name)).unwrap()
}

fn sign_request(public: &[u8], flags: u32) -> Vec<u8> {
    let mut request = vec![13];
    put_string(&mut request, public);
    put_string(&mut request, b"the data");
    request.extend(flags.to_be_bytes());
    request
}

fn keys_of_files_sign(target: &Target) {
    let names = ["ed25519", "rsa-2048"];
    let publics = names.map(|name| {
        let key = PrivateKey::parse(&key_file(name)).unwrap();
        key.public().to_vec()
    });
    let said = [
        framed(&LIST),
        framed(&sign_request(&publics[0], 0)),
        framed(&sign_request(&publics[1], 4)),
        // SHA-1 is not done, and another key is not there.
        framed(&sign_request(&publics[1], 0)),
        framed(&sign_request(b"another", 0)),
        framed(&[19]),
    ]
    .concat();
    let sandbox = sandbox(target, &["git"], &said);
    for name in names {
        sandbox.write(&format!("home/{name}"), key_file(name));
    }
    sandbox
        .run(&format!(
            "-v {BOTH} --ssh git=home/ed25519,home/rsa-2048 -o out ctx"
        ))
        .exits(0)
        .says_not(&["PRIVATE KEY"]);
    for answers in heard(&sandbox, "git") {
        let mut list = vec![12, 0, 0, 0, 2];
        for public in &publics {
            put_string(&mut list, public);
            put_string(&mut list, b"");
        }
        assert_eq!(answers[0], list);
        verify(&publics, &answers[1], &answers[2]);
        assert_eq!(answers[3..], [FAILURE, FAILURE, FAILURE]);
    }
}

/// Checks both signatures with the public halves.
fn verify(publics: &[Vec<u8>; 2], ed25519: &[u8], rsa: &[u8]) {
    let signature = |answer: &[u8], kind: &str| {
        assert_eq!(answer[0], 14);
        let mut answer = Reader::new(&answer[1..]);
        let mut fields = Reader::new(answer.string().unwrap());
        assert_eq!(fields.string().unwrap(), kind.as_bytes());
        fields.string().unwrap().to_vec()
    };
    let mut public = Reader::new(&publics[0]);
    public.string();
    UnparsedPublicKey::new(&ED25519, public.string().unwrap())
        .verify(b"the data", &signature(ed25519, "ssh-ed25519"))
        .unwrap();
    let mut public = Reader::new(&publics[1]);
    public.string();
    let (e, n) = (public.mpint().unwrap(), public.mpint().unwrap());
    RsaPublicKeyComponents { n, e }
        .verify(
            &RSA_PKCS1_2048_8192_SHA512,
            b"the data",
            &signature(rsa, "rsa-sha2-512"),
        )
        .unwrap();
}

fn an_agent_that_ends_during_the_build_is_told(target: &Target) {
    let sandbox = sandbox(target, &["default"], &framed(&LIST));
    let socket = sandbox.path("home/agent.sock");
    // The first to connect is mbuild, which looks whether anybody is there.
    let _agent = AgentDouble::listen(&socket, Some(1), answer);
    let said = format!("WARNING: ssh agent default at {}: ", socket.display());
    sandbox
        .run(&format!(
            "{BOTH} --ssh default={} -o out ctx",
            socket.display()
        ))
        .exits(0)
        .says(&[&said]);
    assert!(heard(&sandbox, "default").concat().is_empty());
}

fn what_is_not_there_stops_the_build_before_it_starts(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\nRUN true\n");
    for name in ["encrypted", "ed25519.pub", "ecdsa-521"] {
        sandbox.write(&format!("home/{name}"), key_file(name));
    }
    let socket = sandbox.path("home/dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let check = |flags: &str, says: &[&str]| {
        sandbox
            .run(&format!("{flags} ctx"))
            .exits(2)
            .says(says)
            .says_not(&["#1"]);
    };
    check("--ssh default", &["SSH_AUTH_SOCK is not set", "ssh-agent"]);
    check("--ssh x=", &["--ssh x: SSH_AUTH_SOCK is not set"]);
    check("--ssh a --ssh a=home/x", &["--ssh: `a` is given twice"]);
    check("--ssh =home/x --ssh default", &["`default` is given twice"]);
    check(
        "--ssh x=home/none",
        &["--ssh x", "home/none", "No such file"],
    );
    check(
        "--ssh x=home/encrypted",
        &["home/encrypted", "protected by a passphrase", "ssh-add"],
    );
    check("--ssh x=home/ed25519.pub", &["this is a public key"]);
    check("--ssh x=home/ecdsa-521", &["ecdsa-sha2-nistp521"]);
    check("--ssh x=home/dead.sock", &["dead.sock", "does not answer"]);
    check("--ssh x=ctx/Dockerfile", &["this is no private key"]);
    check("--ssh x=ctx", &["Is a directory"]);
    check("--ssh x=a,b,raw=true", &["`raw` is `true`"]);
}

fn a_step_that_nobody_lends_an_agent_fails_and_says_so(target: &Target) {
    let sandbox = Sandbox::new(target);
    sandbox.dockerfile("FROM BASE\nRUN --mount=type=ssh,id=wanted,required true\n");
    sandbox
        .run(&format!("{BOTH} --no-cache ctx"))
        .exits(1)
        .says(&["wanted", "type=ssh"]);
    sandbox.write("home/key", key_file("ed25519"));
    sandbox
        .run(&format!("{BOTH} --no-cache --ssh other=home/key ctx"))
        .exits(1)
        .says(&["ssh agent wanted was not given"]);
}
