//! Warnings about Dockerfiles, each kept once.
//!
//! Every unit reports the same ones, and a daemon repeats them when it splits a batch. The
//! main type is [`Finding`].

use std::collections::BTreeSet;

use crate::event::{UnitId, VertexWarning};

/// A warning and the units that gave it.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What was said; `vertex` is that of the first unit.
    pub warning: VertexWarning,
    /// Who said it.
    pub units: BTreeSet<UnitId>,
}

impl Finding {
    /// The text in one line, ending in its place: `FromAsCasing: … (Dockerfile:1)`.
    pub fn text(&self) -> String {
        let short = &self.warning.short;
        let Some(source) = &self.warning.source else {
            return short.clone();
        };
        let text = short
            .rsplit_once(" (line ")
            .map_or(short.as_str(), |(text, _)| text);
        match source.lines.first() {
            Some((line, _)) => format!("{text} ({}:{line})", source.filename),
            None => format!("{text} ({})", source.filename),
        }
    }
}

/// Adds a warning; returns whether this unit says it for the first time.
pub(super) fn add(findings: &mut Vec<Finding>, unit: UnitId, warning: &VertexWarning) -> bool {
    let known = findings
        .iter_mut()
        .find(|finding| is_same(&finding.warning, warning));
    let Some(finding) = known else {
        findings.push(Finding {
            warning: warning.clone(),
            units: BTreeSet::from([unit]),
        });
        return true;
    };
    finding.units.insert(unit)
}

/// Compares all but the vertex, whose digest depends on the session.
fn is_same(one: &VertexWarning, other: &VertexWarning) -> bool {
    one.short == other.short
        && one.level == other.level
        && one.url == other.url
        && one.detail == other.detail
        && one.source == other.source
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SourceExcerpt;

    fn warning(line: u32) -> VertexWarning {
        VertexWarning {
            short: format!("FromAsCasing: casing does not match (line {line})"),
            source: Some(SourceExcerpt {
                filename: "app.Dockerfile".into(),
                lines: vec![(line, line)],
                ..SourceExcerpt::default()
            }),
            ..VertexWarning::default()
        }
    }

    #[test]
    fn a_warning_is_kept_once() {
        let mut findings = Vec::new();
        let repeated = VertexWarning {
            vertex: "sha256:2".into(),
            ..warning(1)
        };
        assert!(add(&mut findings, UnitId(0), &warning(1)));
        assert!(!add(&mut findings, UnitId(0), &repeated));
        assert!(add(&mut findings, UnitId(1), &repeated));
        assert!(add(&mut findings, UnitId(0), &warning(2)));
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[0].units.len(), 2);
    }

    #[test]
    fn the_place_is_the_file_and_line() {
        let text = |warning| {
            Finding {
                warning,
                units: BTreeSet::new(),
            }
            .text()
        };
        assert_eq!(
            text(warning(3)),
            "FromAsCasing: casing does not match (app.Dockerfile:3)"
        );
        let nowhere = VertexWarning {
            short: "odd (line 3)".into(),
            ..VertexWarning::default()
        };
        assert_eq!(text(nowhere), "odd (line 3)");
    }
}
