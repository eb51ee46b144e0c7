//! The page: generated parts between markers, and whatever people write around them.

use crate::record::Set;

use super::table::tables;

/// The generated part of one set of daemons.
pub(crate) fn part(plot: &str, set: &Set) -> String {
    format!(
        "{}\n![Measured against the goals]({plot})\n\n{}\n{}",
        set.machine.list(),
        tables(set),
        dates(set)
    )
}

/// Puts a part between its markers; a page without them gets both at its end.
pub(crate) fn put(page: &str, name: &str, part: &str) -> String {
    let begin = format!("<!-- benches/run: {name} -->\n");
    let end = format!("<!-- benches/run: end of {name} -->\n");
    let found = page.find(&begin).and_then(|at| {
        let start = at + begin.len();
        let length = page[start..].find(&end)?;
        Some((start, start + length))
    });
    match found {
        Some((start, stop)) => format!("{}{part}{}", &page[..start], &page[stop..]),
        None => {
            let gap = if page.is_empty() { "" } else { "\n" };
            format!("{page}{gap}{begin}{part}{end}")
        }
    }
}

/// When and of which commit: once where all rows agree.
fn dates(set: &Set) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (name, row) in &set.rows {
        let (date, commit) = (&row.date, &row.commit);
        let start = format!("Measured on {date}, mbuild of commit {commit}: ");
        let pairs = row.runs.first().map_or(0, |run| run.samples.len());
        let word = format!("{name} ({pairs})");
        match lines.iter_mut().find(|line| line.starts_with(&start)) {
            Some(line) => *line += &format!(", {word}"),
            None => lines.push(start + &word),
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    // How often each client ran stands behind each row.
    format!("{}. In brackets: runs of each client.\n", lines.join(". "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Measured;

    #[test]
    fn what_people_wrote_stays() {
        let page =
            "# Title\n\n<!-- benches/run: a -->\nold\n<!-- benches/run: end of a -->\n\nNotes\n";
        let expect =
            "# Title\n\n<!-- benches/run: a -->\nnew\n<!-- benches/run: end of a -->\n\nNotes\n";
        assert_eq!(put(page, "a", "new\n"), expect);
        assert_eq!(put(expect, "a", "new\n"), expect);
    }

    #[test]
    fn a_new_set_comes_at_the_end() {
        let expect = "Notes\n\n<!-- benches/run: b -->\nnew\n<!-- benches/run: end of b -->\n";
        assert_eq!(put("Notes\n", "b", "new\n"), expect);
        // Half a pair of markers is none.
        let torn = "<!-- benches/run: b -->\nNotes\n";
        assert!(put(torn, "b", "new\n").starts_with(torn));
    }

    #[test]
    fn commits_are_told_once() {
        let mut set = Set::default();
        for (name, commit) in [("cached", "1"), ("files-cold", "1"), ("version", "2")] {
            let measured = Measured {
                commit: commit.into(),
                date: "2026-01-31".into(),
                ..Measured::default()
            };
            set.rows.insert(name.into(), measured);
        }
        let expect = "Measured on 2026-01-31, mbuild of commit 1: cached (0), files-cold (0). \
                      Measured on 2026-01-31, mbuild of commit 2: version (0). \
                      In brackets: runs of each client.\n";
        assert_eq!(dates(&set), expect);
    }
}
