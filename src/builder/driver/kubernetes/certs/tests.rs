//! Certificates are judged by what judges them in a build: rustls.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;

use super::issue::facts;
use super::plan::{Deed, Kept, Planned, Rotate, Stored, Wish, names, plan};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn wish(arches: &[&str]) -> Wish<'static> {
    let arches: Vec<String> = arches.iter().map(|&arch| arch.to_owned()).collect();
    Wish {
        pool: "p",
        names: names("p", "ns", &arches),
        life: DAY * 365,
        rotate: Rotate::Due,
    }
}

fn rotating(rotate: Rotate) -> Wish<'static> {
    Wish {
        rotate,
        ..wish(&["amd64"])
    }
}

fn made(wish: &Wish<'_>) -> Planned {
    plan(&Stored::default(), wish, now()).unwrap()
}

fn kept(planned: &Planned) -> Stored {
    Stored {
        authority: planned.authority.as_ref().map(|(kept, _)| kept.clone()),
        server: Some(planned.server.0.clone()),
        client: Some(planned.client.0.clone()),
    }
}

fn deeds(planned: &Planned) -> [Option<Deed>; 3] {
    let authority = planned.authority.as_ref().map(|(_, deed)| *deed);
    [authority, Some(planned.server.1), Some(planned.client.1)]
}

/// Whether who trusts these accepts that server, and clients; at a time.
fn accepts(
    trusting: &Kept,
    shown: &Kept,
    server: Option<&str>,
    at: Timestamp,
) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(trusting.trusted.as_bytes()) {
        roots.add(cert.unwrap()).unwrap();
    }
    let chain: Vec<_> = CertificateDer::pem_slice_iter(shown.pair.cert.as_bytes())
        .map(Result::unwrap)
        .collect();
    let (leaf, rest) = chain.split_first().unwrap();
    let seconds = u64::try_from(at.as_second()).unwrap();
    let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let roots = Arc::new(roots);
    let outcome = match server {
        Some(name) => {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider);
            let verifier = verifier.build().unwrap();
            let verified = verifier.verify_server_cert(leaf, rest, &name, &[], time);
            verified.map(drop)
        }
        None => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = verifier.build().unwrap();
            verifier.verify_client_cert(leaf, rest, time).map(drop)
        }
    };
    outcome.map_err(|error| error.to_string())
}

const NAME: &str = "p-amd64.ns.svc";

/// Both sides accept each other.
fn check_pair(server: &Kept, client: &Kept) {
    accepts(client, server, Some(NAME), now()).unwrap();
    accepts(server, client, None, now()).unwrap();
}

#[test]
fn both_sides_accept_each_other_and_nobody_else() {
    let planned = made(&wish(&["amd64", "arm64"]));
    assert_eq!(deeds(&planned), [Some(Deed::Made); 3]);
    let (server, client) = (&planned.server.0, &planned.client.0);
    check_pair(server, client);
    for name in [
        "p-arm64",
        "p-arm64-1.p-arm64.ns.svc",
        "p-arm64-0.p-arm64.ns.svc.cluster.local",
    ] {
        accepts(client, server, Some(name), now()).unwrap();
    }
    for name in ["p-s390x.ns.svc", "p-amd64.other.svc"] {
        accepts(client, server, Some(name), now()).unwrap_err();
    }
    let stranger = made(&wish(&["amd64"]));
    accepts(server, &stranger.client.0, None, now()).unwrap_err();
    accepts(&stranger.client.0, server, Some(NAME), now()).unwrap_err();
    // A client is no server, and a server no client.
    accepts(server, server, None, now()).unwrap_err();
    accepts(client, client, Some(NAME), now()).unwrap_err();
    accepts(client, server, Some(NAME), now() + DAY * 364).unwrap();
    accepts(client, server, Some(NAME), now() + DAY * 366).unwrap_err();
}

#[test]
fn planning_again_changes_nothing() {
    let planned = made(&wish(&["amd64", "arm64"]));
    for arches in [&["amd64", "arm64"][..], &["arm64"]] {
        let again = plan(&kept(&planned), &wish(arches), now()).unwrap();
        assert_eq!(deeds(&again), [Some(Deed::Kept); 3]);
        assert!(kept(&again) == kept(&planned));
    }
}

#[test]
fn what_is_missing_or_broken_is_made() {
    let planned = made(&wish(&["amd64"]));
    let mut stored = kept(&planned);
    stored.client = None;
    let again = plan(&stored, &wish(&["amd64"]), now()).unwrap();
    assert_eq!(
        deeds(&again),
        [Some(Deed::Kept), Some(Deed::Kept), Some(Deed::Made)]
    );
    check_pair(&planned.server.0, &again.client.0);
    let mut stored = kept(&planned);
    stored.server.as_mut().unwrap().pair.cert = "no certificate".into();
    // A key that is another certificate's.
    stored.client.as_mut().unwrap().pair.key = planned.server.0.pair.key.clone();
    let again = plan(&stored, &wish(&["amd64"]), now()).unwrap();
    let expect = [Some(Deed::Kept), Some(Deed::Made), Some(Deed::Replaced)];
    assert_eq!(deeds(&again), expect);
    stored.authority.as_mut().unwrap().pair.cert = "no certificate".into();
    assert!(plan(&stored, &wish(&["amd64"]), now()).is_err());
}

#[test]
fn another_architecture_gets_its_names_and_takes_none_away() {
    let planned = made(&wish(&["amd64"]));
    let more = plan(&kept(&planned), &wish(&["arm64"]), now()).unwrap();
    assert_eq!(
        deeds(&more),
        [Some(Deed::Kept), Some(Deed::Extended), Some(Deed::Kept)]
    );
    check_pair(&more.server.0, &planned.client.0);
    accepts(
        &planned.client.0,
        &more.server.0,
        Some("p-arm64.ns.svc"),
        now(),
    )
    .unwrap();
}

#[test]
fn certificates_are_renewed_in_their_last_thirty_days() {
    let stored = kept(&made(&wish(&["amd64"])));
    let after = |days: i32| {
        let later = now() + DAY * days;
        deeds(&plan(&stored, &wish(&["amd64"]), later).unwrap())
    };
    assert_eq!(after(334), [Some(Deed::Kept); 3]);
    let renewed = [Some(Deed::Kept), Some(Deed::Renewed), Some(Deed::Renewed)];
    assert_eq!(after(336), renewed);
    assert_eq!(after(400), renewed);
    let short = Wish {
        life: DAY * 3,
        ..wish(&["amd64"])
    };
    let stored = kept(&made(&short));
    let after = |days: i32| {
        let later = now() + DAY * days;
        deeds(&plan(&stored, &short, later).unwrap())[1]
    };
    assert_eq!(
        (after(1), after(3)),
        (Some(Deed::Kept), Some(Deed::Renewed))
    );
}

#[test]
fn rotating_makes_new_certificates_that_the_old_ones_get_on_with() {
    let old = made(&wish(&["amd64"]));
    let new = plan(&kept(&old), &rotating(Rotate::Leaves), now()).unwrap();
    let replaced = [Some(Deed::Kept), Some(Deed::Replaced), Some(Deed::Replaced)];
    assert_eq!(deeds(&new), replaced);
    assert!(new.server.0.pair != old.server.0.pair);
    check_pair(&old.server.0, &new.client.0);
    check_pair(&new.server.0, &old.client.0);
}

#[test]
fn a_new_authority_gets_on_with_daemons_and_clients_of_the_old_one() {
    let old = made(&wish(&["amd64"]));
    let new = plan(&kept(&old), &rotating(Rotate::Authority), now()).unwrap();
    assert_eq!(deeds(&new), [Some(Deed::Replaced); 3]);
    check_pair(&old.server.0, &new.client.0);
    check_pair(&new.server.0, &old.client.0);
    check_pair(&new.server.0, &new.client.0);
    let again = plan(&kept(&new), &wish(&["amd64"]), now()).unwrap();
    assert_eq!(deeds(&again), [Some(Deed::Kept); 3]);
    // A certificate that is made in between gets on with the old ones too.
    let more = plan(&kept(&new), &wish(&["arm64"]), now()).unwrap();
    check_pair(&more.server.0, &old.client.0);

    // The next rotation ends it.
    let last = plan(&kept(&new), &rotating(Rotate::Leaves), now()).unwrap();
    assert_eq!(deeds(&last)[0], Some(Deed::Trusts));
    check_pair(&last.server.0, &new.client.0);
    accepts(&last.server.0, &old.client.0, None, now()).unwrap_err();
    let third = plan(&kept(&new), &rotating(Rotate::Authority), now()).unwrap();
    check_pair(&third.server.0, &new.client.0);
    accepts(&third.server.0, &old.client.0, None, now()).unwrap_err();
}

#[test]
fn an_authority_in_its_last_year_is_replaced() {
    let old = made(&wish(&["amd64"]));
    let until = facts(&old.authority.as_ref().unwrap().0.pair.cert)
        .unwrap()
        .until;
    let late = until - DAY * 364;
    let new = plan(&kept(&old), &wish(&["amd64"]), late).unwrap();
    assert_eq!(deeds(&new)[0], Some(Deed::Renewed));
    accepts(&new.client.0, &new.server.0, Some(NAME), late + DAY * 360).unwrap();
}

#[test]
fn an_authority_that_was_taken_away_is_not_missed_before_it_has_to_sign() {
    let planned = made(&wish(&["amd64"]));
    let stored = Stored {
        authority: None,
        ..kept(&planned)
    };
    let again = plan(&stored, &wish(&["amd64"]), now()).unwrap();
    assert_eq!(deeds(&again), [None, Some(Deed::Kept), Some(Deed::Kept)]);
    let due = plan(&stored, &wish(&["amd64"]), now() + DAY * 350).unwrap();
    let replaced = [Some(Deed::Made), Some(Deed::Replaced), Some(Deed::Replaced)];
    assert_eq!(deeds(&due), replaced);
}
