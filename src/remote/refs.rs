//! What `git ls-remote` prints, and which line of it a ref means. Pure.

use crate::request::git::is_commit;

/// What a ref stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The commit.
    pub commit: String,
    /// Whether it was found by the name of a tag.
    pub is_tag: bool,
    /// The digest of the annotated tag that leads to it.
    pub(super) tag: Option<String>,
}

impl Found {
    /// A commit that a branch or, if `is_tag`, a plain tag names.
    pub fn new(commit: &str, is_tag: bool) -> Self {
        Self {
            commit: commit.to_owned(),
            is_tag,
            tag: None,
        }
    }
}

/// The patterns to ask for: the ref, and what an annotated tag of that name leads to.
pub(super) fn patterns(reference: Option<&str>) -> Vec<String> {
    match reference {
        None => vec!["HEAD".to_owned()],
        Some(name) => vec![name.to_owned(), format!("{name}^{{}}")],
    }
}

/// Finds the ref among the lines, as daemons do: a whole name first, then a branch, then a tag.
///
/// A pattern finds every ref that ends with it, so there may be lines of others.
pub(super) fn find(lines: &str, reference: Option<&str>) -> Option<Found> {
    let refs: Vec<(&str, &str)> = lines
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter(|(id, _)| is_commit(id))
        .collect();
    let id = |name: &str| {
        let found = refs.iter().find(|(_, known)| *known == name);
        found.map(|(id, _)| (*id).to_owned())
    };
    let Some(name) = reference else {
        let commit = id("HEAD")?;
        return Some(Found::new(&commit, false));
    };
    let short = |prefix: &str| format!("{prefix}{}", name.strip_prefix(prefix).unwrap_or(name));
    let names = [short("refs/"), short("refs/heads/"), short("refs/tags/")];
    names.iter().find_map(|name| {
        let own = id(name)?;
        let (commit, tag) = match id(&format!("{name}^{{}}")) {
            Some(commit) => (commit, Some(own)),
            None => (own, None),
        };
        Some(Found {
            commit,
            is_tag: name.starts_with("refs/tags/"),
            tag,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> String {
        digit.to_string().repeat(40)
    }

    /// Each ref as `digit name`; the commit's digit, and the tag's if it is an annotated one.
    #[track_caller]
    fn check(refs: &[&str], reference: Option<&str>, expect: Option<(char, Option<char>)>) {
        let lines: String = refs
            .iter()
            .map(|line| format!("{}\t{}\n", id(line.chars().next().unwrap()), &line[2..]))
            .collect();
        let expect = expect.map(|(commit, tag)| Found {
            commit: id(commit),
            is_tag: false,
            tag: tag.map(id),
        });
        let found = find(&lines, reference).map(|found| Found {
            is_tag: false,
            ..found
        });
        assert_eq!(found, expect, "{reference:?}");
    }

    #[test]
    fn a_name_means_a_branch_before_a_tag() {
        let refs = [
            "1 refs/heads/a",
            "2 refs/tags/a",
            "3 refs/heads/x/a",
            "4 refs/pull/7/head",
        ];
        check(&refs, Some("a"), Some(('1', None)));
        check(&refs, Some("refs/tags/a"), Some(('2', None)));
        check(&refs, Some("x/a"), Some(('3', None)));
        check(&refs, Some("pull/7/head"), Some(('4', None)));
        check(&refs, Some("refs/heads/x/a"), Some(('3', None)));
        check(&refs, Some("b"), None);
        check(&["3 refs/heads/x/a"], Some("a"), None);
    }

    #[test]
    fn an_annotated_tag_leads_to_its_commit() {
        let refs = ["5 refs/tags/v1", "6 refs/tags/v1^{}"];
        check(&refs, Some("v1"), Some(('6', Some('5'))));
        check(&refs, Some("refs/tags/v1"), Some(('6', Some('5'))));
    }

    #[test]
    fn a_tag_is_known_as_one() {
        let line = |name: &str| format!("{}\t{name}\n", id('1'));
        let is_tag = |lines: &str, name: &str| find(lines, Some(name)).map(|found| found.is_tag);
        assert_eq!(is_tag(&line("refs/tags/v1"), "v1"), Some(true));
        assert_eq!(is_tag(&line("refs/tags/v1"), "refs/tags/v1"), Some(true));
        assert_eq!(is_tag(&line("refs/heads/v1"), "v1"), Some(false));
    }

    #[test]
    fn no_ref_means_the_head() {
        check(
            &["7 HEAD", "8 refs/remotes/o/HEAD"],
            None,
            Some(('7', None)),
        );
        check(&[], None, None);
        assert_eq!(find("garbage\nzz\tHEAD\n", None), None);
    }
}
