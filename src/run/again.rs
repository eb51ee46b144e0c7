//! Whether a failed unit is worth another try on the same daemon, which has everything cached.
//!
//! `node` does it.

use std::time::Duration;

use crate::unit::{BuildUnit, ExportKind};

use super::error::UnitError;

/// The pause before an image is pushed once more.
const PUSH_PAUSE: Duration = Duration::from_secs(1);

/// Waits before an image is pushed once more.
pub(super) async fn after_push() {
    tokio::time::sleep(PUSH_PAUSE).await;
}

/// Says whether a failed unit's push might succeed now. What came to this machine beside it comes
/// once more, to another place.
///
/// Registries that keep files, such as the reference one, let a daemon down now and then that
/// pushes a layer while another node pushes the same: they say 400 or 404 to its manifest, or that
/// a digest does not match.
pub(super) fn is_worth_another_push(unit: &BuildUnit, error: &UnitError) -> bool {
    const REFUSALS: [&str; 4] = ["401 ", "403 ", "denied", "authorization failed"];
    let UnitError::Solve(error) = error else {
        return false;
    };
    let pushes = unit
        .exports
        .iter()
        .any(|export| export.kind == ExportKind::Push);
    let refused = REFUSALS.iter().any(|word| error.message.contains(word));
    pushes && error.is_push() && !refused
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::buildkit::{SolveError, SolveErrorKind};
    use crate::event::UnitId;
    use crate::platform::Platform;
    use crate::unit::UnitExport;

    fn check(kinds: &[ExportKind], message: &str, expect: bool) {
        let export = |kind: &ExportKind| UnitExport {
            output: 0,
            kind: *kind,
            attrs: BTreeMap::new(),
        };
        let unit = BuildUnit {
            id: UnitId(0),
            platform: Platform::new("linux", "amd64"),
            node: "a".into(),
            why: String::new(),
            exports: kinds.iter().map(export).collect(),
            caches: Default::default(),
        };
        let error = UnitError::Solve(SolveError {
            kind: SolveErrorKind::Build,
            message: message.into(),
            endpoint: String::new(),
            details: Box::default(),
        });
        assert_eq!(is_worth_another_push(&unit, &error), expect, "{message}");
    }

    #[test]
    fn only_a_push_that_might_succeed_is_tried_again() {
        use ExportKind::{Push, Tree};
        let unknown = "failed to push r/x: unexpected status from PUT request: 400 Bad Request";
        check(&[Push, Push], unknown, true);
        check(&[Push, Tree], unknown, true);
        check(&[Tree], unknown, false);
        let refused = "failed to push r/x: unexpected status from PUT request: 403 Forbidden";
        check(&[Push], refused, false);
        let token = "failed to push r/x: server message: insufficient_scope: authorization failed";
        check(&[Push], token, false);
        check(
            &[Push],
            "process \"failed to push x\" did not complete",
            false,
        );
    }
}
