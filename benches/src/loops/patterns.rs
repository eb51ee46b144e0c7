//! Holds four thousand paths against the patterns of a `.dockerignore`, as a walk does.

use mbuild_hot::ignore::{MatchState, PatternSet, parse_ignore_file};

use super::project::{Item, project};
use super::{Failure, Work};

const DOCKERIGNORE: &[u8] = b"# what no image needs
.git
.gitignore
**/.DS_Store
**/*.swp
**/*.log
**/__pycache__
**/node_modules/**/test
*.md
!README.md
docs/**/*.md
coverage
dist/
build/*
!build/keep
**/*.test.ts
**/*_1[0-9].map
tmp
.env*
cmd/*/lib/*.json
testdata/cache-?
Dockerfile*
";

/// The patterns, as the daemon gives them back.
pub(super) fn patterns() -> Vec<Vec<u8>> {
    parse_ignore_file(DOCKERIGNORE)
}

/// Judges each path with what its directory inherited; returns how many are ignored.
pub(super) fn prepare() -> Result<Work, Failure> {
    let set = PatternSet::new(&patterns())?;
    let items: Vec<(Item, usize)> = project()
        .into_iter()
        .map(|item| {
            let depth = item.path.matches('/').count();
            (item, depth)
        })
        .collect();
    Ok(Box::new(move || {
        let mut above = vec![MatchState::default()];
        let mut ignored = 0;
        for (item, depth) in &items {
            above.truncate(depth + 1);
            let Some(parent) = above.last() else {
                continue;
            };
            let (matched, state) = set.matches_below(item.path.as_bytes(), parent);
            ignored += usize::from(matched);
            if item.directory {
                above.push(state);
            }
        }
        Ok(ignored)
    }))
}
