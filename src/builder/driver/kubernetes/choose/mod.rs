//! Which pod builds: the project's own, where its cache is, unless that one is too busy.
//!
//! Pure: [`order`] ranks pods for a project, [`choose`] decides among those that were asked
//! what they do. Nobody keeps a table: every client comes to the same order by itself.
//!
//! A hash alone spreads projects unevenly: of 500 on 40 pods, the fullest pod gets 1.5 to 1.7
//! times the mean. The builds that run now tell a crowded pod from an idle one, and the builds
//! of the last hours tell a pod with too many projects from one that has a burst; only the
//! first kind gives builds away. The numbers below come out of the simulation beside this file.

#[cfg(test)]
mod simulation;

use ring::digest::{SHA256, digest};

/// From so many running builds on, a project's own pod is compared with others.
const COMPARE_FROM: usize = 2;
/// How many pods are asked at most, the project's own included, before one of them is taken.
pub(super) const ASKED: usize = 6;
/// A pod gives a build away when it had so many times the builds of the one that gets it.
const MORE_THAN_ITS_SHARE: f64 = 1.5;
/// From so many running builds on, a pod gives builds away whatever it did before.
const CROWDED: usize = 7;

/// What a pod's daemon does and did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Load {
    /// The builds that run now.
    pub(super) running: usize,
    /// Builds a second over the last of them; `None` where too few are known.
    pub(super) rate: Option<f64>,
}

/// What to do with a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The pod at this place of those that were asked takes it.
    Take(usize),
    /// None of them has a free slot.
    Full,
}

/// Ranks pods for a project by rendezvous hashing: the first one is its own; losing a pod
/// moves only that pod's projects. Equal keys and names give equal orders everywhere.
pub(super) fn order(key: &str, pods: &[&str]) -> Vec<usize> {
    let mut ranked: Vec<(u64, usize)> = pods
        .iter()
        .enumerate()
        .map(|(position, pod)| (weight(key, pod), position))
        .collect();
    ranked.sort_by(|a, b| b.0.cmp(&a.0).then(pods[a.1].cmp(pods[b.1])));
    ranked.into_iter().map(|(_, position)| position).collect()
}

fn weight(key: &str, pod: &str) -> u64 {
    let text = format!("{key}\0{pod}");
    let hash = digest(&SHA256, text.as_bytes());
    hash.as_ref()
        .iter()
        .take(8)
        .fold(0, |weight, byte| weight << 8 | u64::from(*byte))
}

/// Tells whether a project's own pod has so little to do that no other needs to be asked.
pub(super) fn is_idle(running: usize, slots: Option<usize>) -> bool {
    running < COMPARE_FROM && slots.is_none_or(|slots| running < slots)
}

/// Decides among pods that were asked, in the project's order.
pub(super) fn choose(asked: &[Load], slots: Option<usize>) -> Choice {
    let is_free = |load: &Load| slots.is_none_or(|slots| load.running < slots);
    let Some((home, others)) = asked.split_first() else {
        return Choice::Full;
    };
    let takes_over = |load: &Load| {
        load.running < home.running && (home.running >= CROWDED || is_busier(home, load))
    };
    let free = |(position, load): (usize, &Load)| is_free(load).then_some(position + 1);
    if is_free(home) {
        if home.running < COMPARE_FROM {
            return Choice::Take(0);
        }
        let other = others
            .iter()
            .enumerate()
            .filter(|(_, load)| takes_over(load));
        return Choice::Take(other.filter_map(free).next().unwrap_or(0));
    }
    match others.iter().enumerate().find_map(free) {
        Some(position) => Choice::Take(position),
        None => Choice::Full,
    }
}

/// Tells whether a pod had more than its share of builds, against another.
fn is_busier(pod: &Load, other: &Load) -> bool {
    match (pod.rate, other.rate) {
        (Some(rate), Some(other)) => rate > MORE_THAN_ITS_SHARE * other,
        // One that is new has had nothing yet.
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Picks the pod with the fewest builds; the first of several.
pub(super) fn least_loaded(asked: &[Load], slots: Option<usize>) -> Choice {
    let least = asked
        .iter()
        .enumerate()
        .min_by_key(|(_, load)| load.running);
    match least {
        Some((position, load)) if slots.is_none_or(|slots| load.running < slots) => {
            Choice::Take(position)
        }
        _ => Choice::Full,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(running: usize, rate: f64) -> Load {
        Load {
            running,
            rate: Some(rate),
        }
    }

    #[test]
    fn the_order_depends_on_names_alone() {
        let pods = ["a-0", "a-1", "a-2", "a-3"];
        let names = |pods: &[&str]| -> Vec<String> {
            order("git@host:project app", pods)
                .into_iter()
                .map(|position| pods[position].to_owned())
                .collect()
        };
        let turned: Vec<&str> = pods.iter().rev().copied().collect();
        assert_eq!(names(&pods), names(&turned));
        assert_eq!(order("x", &[]), Vec::<usize>::new());
        // Written down: another version of this program must come to the same pods.
        assert_eq!(names(&pods), ["a-0", "a-2", "a-3", "a-1"]);
    }

    #[test]
    fn a_project_stays_home_unless_home_has_too_much() {
        let check = |asked: &[Load], expect| assert_eq!(choose(asked, None), expect, "{asked:?}");
        check(&[load(1, 9.0), load(0, 1.0)], Choice::Take(0));
        check(&[load(3, 2.0), load(0, 1.0)], Choice::Take(1));
        check(&[load(3, 1.2), load(0, 1.0)], Choice::Take(0));
        check(&[load(3, 2.0), load(3, 1.0), load(1, 1.0)], Choice::Take(2));
        check(&[load(9, 1.0), load(4, 1.0)], Choice::Take(1));
        check(&[load(9, 1.0), load(9, 1.0)], Choice::Take(0));
        check(&[load(2, 1.0), Load::default()], Choice::Take(1));
        check(
            &[
                Load {
                    running: 2,
                    rate: None,
                },
                load(0, 0.1),
            ],
            Choice::Take(0),
        );
        check(&[], Choice::Full);
    }

    #[test]
    fn slots_come_before_everything() {
        let check = |asked: &[Load], slots, expect| {
            assert_eq!(choose(asked, Some(slots)), expect, "{asked:?}");
        };
        check(&[load(1, 1.0), load(0, 9.0)], 1, Choice::Take(1));
        check(&[load(1, 1.0), load(1, 9.0)], 1, Choice::Full);
        check(&[load(3, 9.0), load(2, 1.0)], 2, Choice::Full);
        check(&[load(3, 9.0), load(2, 1.0)], 4, Choice::Take(1));
        assert!(is_idle(0, Some(1)) && !is_idle(1, Some(1)) && !is_idle(2, None));
        assert_eq!(
            least_loaded(&[load(3, 1.0), load(1, 1.0)], None),
            Choice::Take(1)
        );
        assert_eq!(
            least_loaded(&[load(3, 1.0), load(1, 1.0)], Some(1)),
            Choice::Full
        );
        assert_eq!(least_loaded(&[], None), Choice::Full);
    }
}
