//! Finds the subcommand in an argument list the way buildx's users type it.
//!
//! A subcommand counts only as the first word after the global flags; anything else there
//! is `mbuild build`. `mbuild ./context` therefore builds a directory called `context`.

use std::ffi::OsString;

/// Global flags that take a value as the next word.
const WITH_VALUE: [&str; 2] = ["--builder", "--config"];
/// Global flags that stand alone.
const ALONE: [&str; 5] = ["-v", "-vv", "--verbose", "-D", "--debug"];
/// Flags that ask about mbuild itself.
const ABOUT: [&str; 4] = ["-h", "--help", "-V", "--version"];

/// Inserts `build` where the user left it out.
///
/// `words` begins with the program's name. Unchanged when it names a subcommand, asks for
/// help or the version, or holds nothing but global flags.
pub(super) fn with_subcommand(words: Vec<OsString>, subcommands: &[String]) -> Vec<OsString> {
    let mut at = 1;
    while let Some(word) = words.get(at).map(|word| word.to_string_lossy()) {
        if WITH_VALUE.contains(&&*word) {
            at += 2;
        } else if ALONE.contains(&&*word)
            || WITH_VALUE
                .iter()
                .any(|flag| word.starts_with(&format!("{flag}=")))
        {
            at += 1;
        } else {
            break;
        }
    }
    let is_build = words.get(at).is_some_and(|word| {
        let word = word.to_string_lossy();
        !ABOUT.contains(&&*word) && !subcommands.iter().any(|name| *name == word)
    });
    let mut words = words;
    if is_build {
        words.insert(at, OsString::from("build"));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expect: &str) {
        let words = line.split_whitespace().map(OsString::from).collect();
        let got = with_subcommand(words, &["build".into(), "builder".into(), "context".into()]);
        let got: Vec<_> = got
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        assert_eq!(got.join(" "), expect);
    }

    #[test]
    fn a_build_needs_no_word_for_it() {
        check("mbuild .", "mbuild build .");
        check("mbuild --push -t a .", "mbuild build --push -t a .");
        check(
            "mbuild --builder farm -t a .",
            "mbuild --builder farm build -t a .",
        );
        check(
            "mbuild --builder=farm --platform x",
            "mbuild --builder=farm build --platform x",
        );
    }

    #[test]
    fn a_subcommand_counts_only_as_the_first_word() {
        check("mbuild builder ls", "mbuild builder ls");
        check(
            "mbuild -v --config c.toml builder ls",
            "mbuild -v --config c.toml builder ls",
        );
        check("mbuild --push context", "mbuild build --push context");
        check("mbuild context", "mbuild context");
        check("mbuild ./context", "mbuild build ./context");
    }

    #[test]
    fn asking_about_mbuild_is_no_build() {
        check("mbuild", "mbuild");
        check("mbuild --help", "mbuild --help");
        check("mbuild -v", "mbuild -v");
        check("mbuild --version", "mbuild --version");
        check("mbuild --builder", "mbuild --builder");
    }
}
