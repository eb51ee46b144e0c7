//! Goals: [`Goal`] knows what it is about, how it is said, and what was measured of it.

use crate::measure::Sample;
use crate::numbers::Span;
use crate::record::Measured;

/// Beside what the daemons' own work takes on these processors, a build may take so much more.
pub(crate) const BESIDE_DAEMONS: f64 = 1.1;
/// Bits a second of the slow link, and seconds of a round trip on it.
pub(crate) const LINE: f64 = 1e9;
pub(crate) const ROUND_TRIP: f64 = 0.05;

/// What a row is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// Seconds.
    Wall(f64),
    /// Of buildx's time.
    WallRatio(f64),
    /// Of buildx's time, or no more than a tenth above what the daemons' processor time allows.
    WallRatioOrDaemons(f64),
    /// Of buildx's processor time.
    CpuRatio(f64),
    /// Seconds beside the slowest node's own Solve.
    Overhead(f64),
    /// Of the line's rate.
    Line(f64),
    /// What the link adds, in round trips.
    RoundTrips(f64),
    /// KiB of memory; every row has it.
    Memory(f64),
}

/// A measured number beside the one that it should not exceed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bar {
    pub(crate) value: f64,
    pub(crate) limit: f64,
    /// Are both parts of what buildx takes?
    pub(crate) is_ratio: bool,
}

impl Goal {
    /// What was measured, in the goal's own unit.
    pub(crate) fn found(self, measured: &Measured) -> Option<f64> {
        let ours = measured.samples("mbuild")?;
        let theirs = measured.samples("buildx");
        match self {
            Self::Wall(_) => middle(ours, wall),
            Self::WallRatio(_) | Self::WallRatioOrDaemons(_) => {
                Some(middle(ours, wall)? / middle(theirs?, wall)?)
            }
            Self::CpuRatio(_) => Some(middle(ours, cpu)? / middle(theirs?, cpu)?),
            Self::Overhead(_) => middle(ours, |sample| Some(sample.wall - sample.solve?)),
            Self::Line(_) => Some(middle(ours, |sample| sample.rate)? * 8.0 / LINE),
            Self::RoundTrips(_) => round_trips("mbuild", measured),
            // The goal is about the most there ever was.
            Self::Memory(_) => Some(Span::of(ours.iter().filter_map(rss))?.max),
        }
    }

    pub(crate) fn allows(self, value: f64) -> bool {
        match self {
            Self::Line(least) => value >= least,
            _ => value <= self.limit(),
        }
    }

    fn limit(self) -> f64 {
        match self {
            Self::Wall(limit)
            | Self::WallRatio(limit)
            | Self::WallRatioOrDaemons(limit)
            | Self::CpuRatio(limit)
            | Self::Overhead(limit)
            | Self::Line(limit)
            | Self::RoundTrips(limit)
            | Self::Memory(limit) => limit,
        }
    }

    pub(crate) fn text(self) -> String {
        let limit = self.say(self.limit());
        match self {
            Self::Wall(_) => format!("wall at most {limit}"),
            Self::WallRatio(_) => format!("wall at most {limit}"),
            Self::WallRatioOrDaemons(_) => {
                format!("wall at most {limit}, or {BESIDE_DAEMONS} of what the daemons' CPU allows")
            }
            Self::CpuRatio(_) => format!("CPU at most {limit}"),
            Self::Overhead(_) => format!("at most {limit} beside the slowest Solve"),
            Self::Line(_) => format!("at least {limit}"),
            Self::RoundTrips(_) => format!("at most {limit}"),
            Self::Memory(_) => format!("peak RSS at most {limit}"),
        }
    }

    pub(crate) fn say(self, value: f64) -> String {
        match self {
            Self::Wall(_) | Self::Overhead(_) => format!("{:.1} ms", value * 1000.0),
            Self::WallRatio(_) | Self::WallRatioOrDaemons(_) | Self::CpuRatio(_) => {
                format!("{} of buildx", ratio(value))
            }
            Self::Line(_) => format!("{:.0} % of the line", value * 100.0),
            Self::RoundTrips(_) => format!("{value:.1} round trips"),
            Self::Memory(_) => format!("{:.1} MiB", value / 1024.0),
        }
    }

    pub(crate) fn bar(self, value: f64) -> Option<Bar> {
        let (value, limit, is_ratio) = match self {
            Self::WallRatio(limit) | Self::WallRatioOrDaemons(limit) | Self::CpuRatio(limit) => {
                (value, limit, true)
            }
            // Turned over, so that less is better everywhere.
            Self::Line(least) => (least / value, 1.0, false),
            _ => (value / self.limit(), 1.0, false),
        };
        value.is_finite().then_some(Bar {
            value,
            limit,
            is_ratio,
        })
    }
}

/// Two digits, and a third where it says something: beside a goal it may decide.
fn ratio(value: f64) -> String {
    let text = format!("{value:.3}");
    text.strip_suffix('0').map_or(text.clone(), str::to_owned)
}

/// What the link adds to a client's time, in round trips.
pub(crate) fn round_trips(name: &str, measured: &Measured) -> Option<f64> {
    let far = middle(measured.samples(name)?, wall)?;
    let near = middle(measured.samples(&format!("{name} near"))?, wall)?;
    Some((far - near) / ROUND_TRIP)
}

pub(crate) fn middle(samples: &[Sample], what: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    Some(Span::of(samples.iter().filter_map(what))?.median)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "as the others that may be missing"
)]
pub(crate) fn wall(sample: &Sample) -> Option<f64> {
    Some(sample.wall)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "as the others that may be missing"
)]
pub(crate) fn cpu(sample: &Sample) -> Option<f64> {
    Some(sample.cpu)
}

#[expect(
    clippy::unnecessary_wraps,
    clippy::cast_precision_loss,
    reason = "as the others that may be missing; KiB of one process"
)]
fn rss(sample: &Sample) -> Option<f64> {
    Some(sample.rss as f64)
}
