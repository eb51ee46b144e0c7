//! The `--call` flag: a question to the Dockerfile's frontend in place of a build.
//!
//! Which questions there are is the frontend's business; `check` is another name of `lint`.

use crate::attrs::{self, FlagError};

const FLAG: &str = "--call";
const KEYS: &[&str] = &["format", "ignorestatus"];

/// A question to the frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSpec {
    /// What is asked: `lint`, `outline`, `targets`, `subrequests.describe`.
    pub name: String,
    /// Whether the answer is printed as JSON instead of text.
    pub json: bool,
    /// Whether the answer's own status does not become the exit code.
    pub ignore_status: bool,
}

impl CallSpec {
    /// Parses `NAME[,format=json][,ignorestatus=BOOL]`; `None` if a build is meant.
    ///
    /// # Errors
    ///
    /// When there are two names or none, a key is unknown, or its value is not one.
    pub fn parse(value: &str) -> Result<Option<Self>, FlagError> {
        if value.is_empty() {
            return Ok(None);
        }
        let mut spec = Self {
            name: String::new(),
            json: false,
            ignore_status: false,
        };
        for field in attrs::split_flag(FLAG, value)? {
            match field.split_once('=') {
                None if spec.name.is_empty() => spec.name = field,
                None => return Err(form(value)),
                Some(("format", format)) => spec.json = is_json(format)?,
                Some(("ignorestatus", ignore)) => {
                    spec.ignore_status = attrs::bool_value(FLAG, "ignorestatus", ignore)?;
                }
                Some((key, _)) => {
                    return Err(FlagError::UnknownKey {
                        flag: FLAG,
                        key: key.to_owned(),
                        allowed: KEYS,
                    });
                }
            }
        }
        match spec.name.as_str() {
            "" => return Err(form(value)),
            "build" => return Ok(None),
            "check" => "lint".clone_into(&mut spec.name),
            _ => {}
        }
        Ok(Some(spec))
    }

    /// The question as frontends know it.
    pub fn request_id(&self) -> String {
        format!("frontend.{}", self.name)
    }
}

fn is_json(format: &str) -> Result<bool, FlagError> {
    match format {
        "json" => Ok(true),
        "" | "text" => Ok(false),
        other => Err(FlagError::Value {
            flag: FLAG,
            key: "format".to_owned(),
            value: other.to_owned(),
            expected: "json or text",
        }),
    }
}

fn form(value: &str) -> FlagError {
    FlagError::Form {
        flag: FLAG,
        value: value.to_owned(),
        expected: "of the form NAME[,format=json][,ignorestatus=true]",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_no_question() {
        assert_eq!(CallSpec::parse("").unwrap(), None);
        assert_eq!(CallSpec::parse("build").unwrap(), None);
    }

    #[test]
    fn check_is_lint_and_the_rest_goes_by_its_name() {
        let check = |value: &str, expect: (&str, bool, bool)| {
            let spec = CallSpec::parse(value).unwrap().unwrap();
            let got = (spec.request_id(), spec.json, spec.ignore_status);
            assert_eq!((got.0.as_str(), got.1, got.2), expect, "{value}");
        };
        check("check", ("frontend.lint", false, false));
        check("lint,format=json", ("frontend.lint", true, false));
        check(
            "format=text,outline,ignorestatus=1",
            ("frontend.outline", false, true),
        );
        check(
            "subrequests.describe",
            ("frontend.subrequests.describe", false, false),
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |value: &str, expect: &str| {
            let error = CallSpec::parse(value).unwrap_err();
            assert_eq!(error.to_string(), expect);
        };
        let form = "of the form NAME[,format=json][,ignorestatus=true]";
        check("a,b", &format!("--call: `a,b` is not {form}"));
        check(
            "format=json",
            &format!("--call: `format=json` is not {form}"),
        );
        check(
            "check,form=json",
            "--call: unknown key `form`, expected one of: format, ignorestatus",
        );
        check(
            "check,format=xml",
            "--call: `format` is `xml`, which is not json or text",
        );
        check(
            "check,ignorestatus=x",
            "--call: `ignorestatus` is `x`, which is not true or false",
        );
    }
}
