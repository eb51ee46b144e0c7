//! What a pool's certificates are to become: [`plan`], of what there is and what is asked for.
//!
//! Pure but for the random keys; running it on its own result changes nothing.

use jiff::{SignedDuration, Timestamp};

use super::issue::{self, IssueError, Pair, Side, authority, facts, first, fits, leaf, vouch};

/// How long before its end a certificate is renewed.
const RENEW: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long before its end an authority is replaced: what it signs would live shorter.
const RENEW_AUTHORITY: SignedDuration = SignedDuration::from_hours(365 * 24);

/// What is kept in one Secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Kept {
    /// The authorities that are trusted, the newest first; PEM.
    pub(super) trusted: String,
    pub(super) pair: Pair,
}

/// All that is kept; `None` where there is none, or none that can be read.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) authority: Option<Kept>,
    pub(super) server: Option<Kept>,
    pub(super) client: Option<Kept>,
}

/// What is made anew although it would do for longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rotate {
    /// Nothing.
    #[default]
    Due,
    /// The certificates of both sides; only their own authority stays trusted.
    Leaves,
    /// The authority, and the certificates; the authority before it stays trusted until the
    /// next rotation.
    Authority,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wish<'a> {
    pub(super) pool: &'a str,
    /// The names by which daemons are known.
    pub(super) names: Vec<String>,
    pub(super) life: SignedDuration,
    pub(super) rotate: Rotate,
}

/// What became of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It is as it was.
    Kept,
    /// There was none.
    Made,
    /// It was about to end.
    Renewed,
    /// It was replaced because that was asked for, or because its authority was.
    Replaced,
    /// It has names that it did not have.
    Extended,
    /// It is as it was; other authorities are trusted with it.
    Trusts,
}

/// What is to be kept from now on.
pub(super) struct Planned {
    /// `None` where it is kept elsewhere, and what it signed is good.
    pub(super) authority: Option<(Kept, Deed)>,
    pub(super) server: (Kept, Deed),
    pub(super) client: (Kept, Deed),
}

/// The names in the daemons' certificate: each architecture's Service, and its pods.
pub(super) fn names(pool: &str, namespace: &str, arches: &[String]) -> Vec<String> {
    let of_arch = |arch: &String| {
        let service = format!("{pool}-{arch}");
        [
            format!("{service}.{namespace}.svc"),
            format!("*.{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
            format!("*.{service}.{namespace}.svc.cluster.local"),
            service,
        ]
    };
    arches.iter().flat_map(of_arch).collect()
}

/// Plans what is kept from now on.
pub(super) fn plan(
    stored: &Stored,
    wish: &Wish<'_>,
    now: Timestamp,
) -> Result<Planned, IssueError> {
    let server = Side::Server(&wish.names);
    if let (None, Rotate::Due, Some(kept), Some(client)) = (
        &stored.authority,
        wish.rotate,
        &stored.server,
        &stored.client,
    ) {
        // Whoever takes the authority away, so that nobody signs, keeps what it signed.
        let is_good = |kept: &Kept, side| reason(kept, first(&kept.trusted), side, wish, now);
        if is_good(kept, server).is_none() && is_good(client, Side::Client).is_none() {
            return Ok(Planned {
                authority: None,
                server: (kept.clone(), Deed::Kept),
                client: (client.clone(), Deed::Kept),
            });
        }
    }
    let (authority, deed) = plan_authority(stored.authority.as_ref(), wish, now)?;
    Ok(Planned {
        server: plan_leaf(stored.server.as_ref(), &authority, server, wish, now)?,
        client: plan_leaf(stored.client.as_ref(), &authority, Side::Client, wish, now)?,
        authority: Some((authority, deed)),
    })
}

fn plan_authority(
    kept: Option<&Kept>,
    wish: &Wish<'_>,
    now: Timestamp,
) -> Result<(Kept, Deed), IssueError> {
    let Some(kept) = kept else {
        let pair = authority(wish.pool, now)?;
        let trusted = pair.cert.clone();
        return Ok((Kept { trusted, pair }, Deed::Made));
    };
    let is_due = facts(&kept.pair.cert)?.until < now + RENEW_AUTHORITY;
    if is_due || wish.rotate == Rotate::Authority {
        let (old, new) = (&kept.pair, authority(wish.pool, now)?);
        let kept = Kept {
            trusted: format!("{}{}", new.cert, first(&old.cert)),
            pair: Pair {
                cert: format!("{}{}", new.cert, vouch(&new, old, now)?),
                key: new.key,
            },
        };
        let deed = if is_due {
            Deed::Renewed
        } else {
            Deed::Replaced
        };
        return Ok((kept, deed));
    }
    let alone = first(&kept.pair.cert).to_owned();
    if wish.rotate == Rotate::Leaves && kept.trusted != alone {
        let pair = Pair {
            cert: alone.clone(),
            key: kept.pair.key.clone(),
        };
        let trusted = alone;
        return Ok((Kept { trusted, pair }, Deed::Trusts));
    }
    Ok((kept.clone(), Deed::Kept))
}

fn plan_leaf(
    kept: Option<&Kept>,
    authority: &Kept,
    side: Side<'_>,
    wish: &Wish<'_>,
    now: Timestamp,
) -> Result<(Kept, Deed), IssueError> {
    let trusted = authority.trusted.clone();
    let current = first(&authority.pair.cert);
    let deed = match kept {
        None => Deed::Made,
        Some(kept) => match reason(kept, current, side, wish, now) {
            Some(deed) => deed,
            None if wish.rotate != Rotate::Due => Deed::Replaced,
            None if kept.trusted == trusted => return Ok((kept.clone(), Deed::Kept)),
            None => {
                let pair = kept.pair.clone();
                return Ok((Kept { trusted, pair }, Deed::Trusts));
            }
        },
    };
    let names = known_names(kept, side);
    let side = match side {
        Side::Server(_) => Side::Server(&names),
        Side::Client => Side::Client,
    };
    let pair = leaf(&authority.pair, side, now, wish.life)?;
    Ok((Kept { trusted, pair }, deed))
}

/// Why a certificate has to be made anew; `None` where it does.
fn reason(
    kept: &Kept,
    authority: &str,
    side: Side<'_>,
    wish: &Wish<'_>,
    now: Timestamp,
) -> Option<Deed> {
    let Ok(facts) = facts(&kept.pair.cert) else {
        return Some(Deed::Made);
    };
    if !fits(&kept.pair, authority) {
        return Some(Deed::Replaced);
    }
    // Those that live shortly are renewed in the last third of their lives.
    if facts.until < now + RENEW.min(wish.life / 3) {
        return Some(Deed::Renewed);
    }
    match side {
        Side::Server(names) if !names.iter().all(|name| facts.names.contains(name)) => {
            Some(Deed::Extended)
        }
        _ => None,
    }
}

/// The names asked for, and those that there are: each architecture may be asked for alone.
fn known_names(kept: Option<&Kept>, side: Side<'_>) -> Vec<String> {
    let Side::Server(names) = side else {
        return Vec::new();
    };
    let mut names = names.to_vec();
    let known = kept.and_then(|kept| issue::facts(&kept.pair.cert).ok());
    let known = known.into_iter().flat_map(|facts| facts.names);
    for name in known {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}
