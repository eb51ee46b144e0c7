//! The grammar that many flags share: comma-separated `key=value` fields, quoted as in CSV.
//!
//! Gives keys and values; what they mean is up to each flag's parser in `request`. Also the one
//! place that reads a boolean as Go does.

mod error;
mod fields;
pub mod secret;

use std::collections::BTreeMap;

pub use error::{FieldError, FlagError};
pub use fields::{join, join_pairs, split};

/// Splits a flag's value into its fields.
///
/// # Errors
///
/// When a quote is out of place or the value is empty.
pub fn split_flag(flag: &'static str, value: &str) -> Result<Vec<String>, FlagError> {
    split(value).map_err(|source| FlagError::Fields {
        flag,
        value: value.to_owned(),
        source,
    })
}

/// Splits one field into a lower-case key, without spaces around it, and its value.
///
/// # Errors
///
/// When the field has no `=`.
pub fn split_pair<'a>(flag: &'static str, field: &'a str) -> Result<(String, &'a str), FlagError> {
    match field.split_once('=') {
        Some((key, value)) => Ok((key.to_ascii_lowercase().trim().to_owned(), value)),
        None => Err(FlagError::NotAPair {
            flag,
            field: field.to_owned(),
        }),
    }
}

/// Splits a flag's value into pairs of a lower-case key and a value, in the order given.
///
/// # Errors
///
/// When the value is empty, a quote is out of place, or a field has no `=`.
pub fn split_pairs(flag: &'static str, value: &str) -> Result<Vec<(String, String)>, FlagError> {
    split_flag(flag, value)?
        .iter()
        .map(|field| split_pair(flag, field).map(|(key, value)| (key, value.to_owned())))
        .collect()
}

/// Returns keys and values of a map as pairs that can be joined.
pub fn pairs(map: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    map.iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
}

/// Reads a boolean in any of the spellings that Go's `ParseBool` knows; `None` for others.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Reads the boolean value of a key.
///
/// # Errors
///
/// When the value is not a boolean.
pub fn bool_value(flag: &'static str, key: &str, value: &str) -> Result<bool, FlagError> {
    parse_bool(value).ok_or_else(|| FlagError::Value {
        flag,
        key: key.to_owned(),
        value: value.to_owned(),
        expected: "true or false",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_flag_and_the_field() {
        let check = |value: &str, expect: &str| {
            assert_eq!(split_pairs("--x", value).unwrap_err().to_string(), expect);
        };
        check("a=1,b", "--x: field `b` is not of the form key=value");
        check("a=1,", "--x: field `` is not of the form key=value");
        check("", "--x: cannot read the fields of ``");
        check("a=\"1\"", "--x: cannot read the fields of `a=\"1\"`");
    }

    #[test]
    fn keys_lose_case_and_spaces_but_values_do_not() {
        let expect = [("ab", " C "), ("d", "e=f"), ("", "g")];
        let expect = expect.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(split_pairs("--x", " aB = C ,d=e=f,=g").unwrap(), expect);
    }

    #[test]
    fn booleans_have_twelve_spellings() {
        let check = |texts: &str, expect: Option<bool>| {
            for text in texts.split(' ') {
                assert_eq!(parse_bool(text), expect, "{text}");
            }
        };
        check("yes no tRUE on 2  ", None);
        check("1 t T true TRUE True", Some(true));
        check("0 f F false FALSE False", Some(false));
        let error = bool_value("--x", "push", "yes").unwrap_err();
        let expect = "--x: `push` is `yes`, which is not true or false";
        assert_eq!(error.to_string(), expect);
    }
}
