//! 10,000 builds of 500 projects on 40 pods: does a project meet its pod, and is the work even?
//!
//! Projects are equally busy; builds come at random (Poisson) and last at random
//! (exponential), so that a pod has a mean of two running builds. A pod's rate is what its
//! last 50 builds tell, which is what a daemon keeps by default.

use std::collections::{BTreeSet, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{ASKED, Choice, Load, choose, is_idle, order};

const PODS: usize = 40;
const BUILDS: usize = 10_000;
const PROJECTS: usize = 500;
const MEAN_RUNNING: f64 = 2.0;
/// What a daemon keeps of its past by default.
const KEPT: usize = 50;

#[derive(Default, Clone)]
struct Pod {
    running: usize,
    total: usize,
    starts: VecDeque<f64>,
}

impl Pod {
    fn load(&self, now: f64) -> Load {
        let since = self.starts.front();
        Load {
            running: self.running,
            rate: since.map(|since| self.starts.len() as f64 / (now - since).max(1e-9)),
        }
    }

    fn start(&mut self, now: f64) {
        self.running += 1;
        self.total += 1;
        self.starts.push_back(now);
        if self.starts.len() > KEPT {
            self.starts.pop_front();
        }
    }
}

struct Outcome {
    at_home: f64,
    busiest: f64,
    asked: f64,
}

fn exponential(random: &mut StdRng, mean: f64) -> f64 {
    let uniform: f64 = random.random();
    -mean * (1.0 - uniform).ln()
}

fn simulate(seed: u64) -> Outcome {
    let mut random = StdRng::seed_from_u64(seed);
    let names: Vec<String> = (0..PODS).map(|pod| format!("pool-amd64-{pod}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let orders: Vec<Vec<usize>> = (0..PROJECTS)
        .map(|project| order(&format!("{seed}/project-{project}"), &names))
        .collect();
    let mut pods = vec![Pod::default(); PODS];
    let mut ends: BTreeSet<(u64, usize, usize)> = BTreeSet::new();
    let (mut now, mut at_home, mut asked) = (0.0, 0, 0);
    for build in 0..BUILDS {
        now += exponential(&mut random, 1.0 / (PODS as f64 * MEAN_RUNNING));
        while let Some((end, _, pod)) = ends.first().copied()
            && f64::from_bits(end) <= now
        {
            ends.pop_first();
            pods[pod].running -= 1;
        }
        let order = &orders[random.random_range(0..PROJECTS)];
        let home = pods[order[0]].load(now);
        let seen = if is_idle(home.running, None) {
            1
        } else {
            ASKED
        };
        let loads: Vec<Load> = order[..seen]
            .iter()
            .map(|pod| pods[*pod].load(now))
            .collect();
        let Choice::Take(taken) = choose(&loads, None) else {
            panic!("no slots are set");
        };
        let pod = order[taken];
        pods[pod].start(now);
        at_home += usize::from(taken == 0);
        asked += seen;
        // Positive numbers order as their bits do.
        let end = now + exponential(&mut random, 1.0);
        ends.insert((end.to_bits(), build, pod));
    }
    let busiest = pods.iter().map(|pod| pod.total).max().unwrap_or(0);
    Outcome {
        at_home: at_home as f64 / BUILDS as f64,
        busiest: busiest as f64 * PODS as f64 / BUILDS as f64,
        asked: asked as f64 / BUILDS as f64,
    }
}

#[test]
fn projects_meet_their_pods_and_the_work_is_even() {
    for seed in 0..20 {
        let Outcome {
            at_home,
            busiest,
            asked,
        } = simulate(seed);
        let seen = format!("seed {seed}: {at_home:.3} at home, {busiest:.3}, {asked:.2} asked");
        assert!(at_home >= 0.9, "{seen}");
        assert!(busiest <= 1.3, "{seen}");
        assert!(asked < 4.3, "{seen}");
    }
}

#[test]
fn losing_a_pod_moves_only_its_projects() {
    let names: Vec<String> = (0..PODS).map(|pod| format!("pool-arm64-{pod}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let left: Vec<&str> = all.iter().copied().filter(|pod| *pod != all[17]).collect();
    let mut moved = 0;
    for project in 0..PROJECTS {
        let key = format!("project-{project}");
        let (before, after) = (order(&key, &all), order(&key, &left));
        if before[0] == 17 {
            moved += 1;
            assert_eq!(left[after[0]], all[before[1]], "its second one takes over");
        } else {
            assert_eq!(left[after[0]], all[before[0]]);
        }
    }
    assert!((3..30).contains(&moved), "{moved} projects lived there");
}
