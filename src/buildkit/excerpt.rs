//! A few lines of a Dockerfile with the ones at fault marked, as buildx prints them.

use std::fmt::Write as _;

use crate::event::SourceExcerpt;

const RULE: &str = "--------------------";

/// Draws an excerpt, with a newline at its end; empty if no range lies in the file.
///
/// One line at fault gets two lines of context on each side, several get one.
pub fn render(source: &SourceExcerpt) -> String {
    let text = String::from_utf8_lossy(&source.data);
    let lines: Vec<&str> = text
        .split('\n')
        .map(|line| line.trim_end_matches('\r'))
        .collect();
    let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    let Some(start) = source.lines.iter().map(|(start, _)| *start).min() else {
        return String::new();
    };
    let end = source
        .lines
        .iter()
        .map(|(_, end)| *end)
        .max()
        .unwrap_or(start)
        .min(count);
    if start == 0 || start > count {
        return String::new();
    }
    let context = if start == end { 2 } else { 1 };
    let shown = start.saturating_sub(context).max(1)..=end.saturating_add(context).min(count);
    let mut drawn = format!("{}:{start}\n{RULE}\n", source.filename);
    for number in shown {
        let marked = source
            .lines
            .iter()
            .any(|(start, end)| (*start..=*end).contains(&number));
        let mark = if marked { ">>>" } else { "   " };
        let line = lines[number as usize - 1];
        // Writing to a string does not fail.
        let _ = writeln!(drawn, " {number:3} | {mark} {line}");
    }
    drawn.push_str(RULE);
    drawn.push('\n');
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(text: &'static str, lines: &[(u32, u32)]) -> String {
        render(&SourceExcerpt {
            filename: "Dockerfile".into(),
            language: String::new(),
            data: text.into(),
            lines: lines.to_vec(),
        })
    }

    const FILE: &str = "FROM a\nENV x=1\nRUN false\nRUN a \\\n  && b\nCMD c\n";

    #[test]
    fn one_line_has_two_lines_around_it() {
        insta::assert_snapshot!(draw(FILE, &[(3, 3)]), @r"
        Dockerfile:3
        --------------------
           1 |     FROM a
           2 |     ENV x=1
           3 | >>> RUN false
           4 |     RUN a \
           5 |       && b
        --------------------
        ");
    }

    #[test]
    fn several_lines_have_one_around_them() {
        insta::assert_snapshot!(draw(FILE, &[(4, 5)]), @r"
        Dockerfile:4
        --------------------
           3 |     RUN false
           4 | >>> RUN a \
           5 | >>>   && b
           6 |     CMD c
        --------------------
        ");
    }

    #[test]
    fn the_first_line_has_nothing_before_it() {
        insta::assert_snapshot!(draw(FILE, &[(1, 1)]), @r"
        Dockerfile:1
        --------------------
           1 | >>> FROM a
           2 |     ENV x=1
           3 |     RUN false
        --------------------
        ");
    }

    #[test]
    fn ranges_outside_the_file_draw_nothing() {
        assert_eq!(draw(FILE, &[]), "");
        assert_eq!(draw(FILE, &[(40, 41)]), "");
        assert_eq!(draw("", &[(0, 0)]), "");
        assert!(
            draw(FILE, &[(6, 90)])
                .ends_with("   6 | >>> CMD c\n   7 | >>> \n--------------------\n")
        );
    }
}
