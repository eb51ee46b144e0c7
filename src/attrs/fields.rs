//! Splits and joins comma-separated fields as Go's `encoding/csv` does for a single record.
//!
//! A field that begins with a quote ends at the next single one; any other field may hold no
//! quote at all. Spaces belong to the field. A line break at the end is dropped.

use super::FieldError;

/// Splits one record into its fields.
///
/// # Errors
///
/// When there is nothing to split or a quote is out of place.
pub fn split(text: &str) -> Result<Vec<String>, FieldError> {
    let text = match text.strip_suffix('\n') {
        Some(line) => line.strip_suffix('\r').unwrap_or(line),
        None => text,
    };
    if text.is_empty() {
        return Err(FieldError::Empty);
    }
    let mut fields = Vec::new();
    let mut rest = Some(text);
    while let Some(from) = rest {
        let at = text.len() - from.len();
        let (field, after) = match from.strip_prefix('"') {
            Some(quoted) => split_quoted(quoted, at + 1)?,
            None => split_plain(from, at)?,
        };
        fields.push(field);
        rest = after;
    }
    Ok(fields)
}

/// Joins fields so that `split` gives them back, quoting only those that need it.
pub fn join<I>(fields: I) -> String
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut joined = String::new();
    for (i, field) in fields.into_iter().enumerate() {
        if i > 0 {
            joined.push(',');
        }
        let field = field.as_ref();
        // The line breaks are quoted because one at the end of the record would be dropped.
        if field.contains(['"', ',', '\r', '\n']) {
            joined.push('"');
            joined.push_str(&field.replace('"', "\"\""));
            joined.push('"');
        } else {
            joined.push_str(field);
        }
    }
    joined
}

/// Joins pairs as `key=value` fields.
pub fn join_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    join(
        pairs
            .into_iter()
            .map(|(key, value)| format!("{key}={value}")),
    )
}

/// A field and, unless it is the last, what follows the comma after it.
type Split<'a> = Result<(String, Option<&'a str>), FieldError>;

fn split_plain(text: &str, at: usize) -> Split<'_> {
    let (field, rest) = match text.split_once(',') {
        Some((field, rest)) => (field, Some(rest)),
        None => (text, None),
    };
    match field.find('"') {
        Some(quote) => Err(FieldError::BareQuote(at + quote)),
        None => Ok((field.to_owned(), rest)),
    }
}

/// Splits what follows an opening quote; `at` is its place in the record.
fn split_quoted(text: &str, at: usize) -> Split<'_> {
    let mut field = String::new();
    let mut rest = text;
    while let Some((part, after)) = rest.split_once('"') {
        field.push_str(part);
        if after.is_empty() {
            return Ok((field, None));
        }
        if let Some(next) = after.strip_prefix(',') {
            return Ok((field, Some(next)));
        }
        let Some(next) = after.strip_prefix('"') else {
            return Err(FieldError::Quote(at + text.len() - after.len() - 1));
        };
        field.push('"');
        rest = next;
    }
    Err(FieldError::Quote(at + text.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_quotes_out_of_place() {
        let check = |text: &str, expect: FieldError| assert_eq!(split(text), Err(expect));
        check("", FieldError::Empty);
        check("\r\n", FieldError::Empty);
        check("a,b\"c\"", FieldError::BareQuote(3));
        check("a, \"b\"", FieldError::BareQuote(3));
        check("a,\"b", FieldError::Quote(3));
        check("\"a\"b", FieldError::Quote(2));
        check("\"a\"\"b", FieldError::Quote(4));
        check("\"", FieldError::Quote(1));
    }

    #[test]
    fn splits_at_commas_outside_quotes() {
        let check = |text: &str, expect: &[&str]| assert_eq!(split(text).unwrap(), expect);
        check("a", &["a"]);
        check("a, b,,", &["a", " b", "", ""]);
        check("\"a,b\",c", &["a,b", "c"]);
        check("\"a\"\"b\"\"\"", &["a\"b\""]);
        check("\"\",", &["", ""]);
        check("a,b\r\n", &["a", "b"]);
        check("a\nb", &["a\nb"]);
    }

    #[test]
    fn joins_with_as_few_quotes_as_possible() {
        assert_eq!(join(["a=b", "c,d", "e\"f", ""]), "a=b,\"c,d\",\"e\"\"f\",");
    }

    proptest! {
        #[test]
        fn what_is_joined_splits_into_the_same(
            fields in proptest::collection::vec("[a\",\\r\\n =]{0,4}", 1..4),
        ) {
            // One empty field cannot be told from no field.
            prop_assume!(fields.iter().any(|field| !field.is_empty()) || fields.len() > 1);
            prop_assert_eq!(split(&join(&fields)).unwrap(), fields);
        }
    }
}
