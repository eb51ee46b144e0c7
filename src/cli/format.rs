//! `--format`: a table, paragraphs, JSON lines, or a row of fields in buildx's spelling. Pure.
//!
//! Of Go's templates only what a row needs: text, `{{.Field}}`, `{{json .}}`, `{{json .Field}}`,
//! and `table` before them for a heading. More than that is `--format json` and jq.

use serde_json::Value;

use super::error::CliError;
use super::table::align;

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// As the command's own table.
    Table,
    /// As paragraphs.
    Pretty,
    /// One JSON object on each line.
    Json,
    /// As these fields.
    Fields {
        /// Whether they are columns under a heading.
        is_table: bool,
        parts: Vec<Part>,
    },
}

/// A piece of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Field(String),
    /// A field as JSON; `None` means the whole row.
    Json(Option<String>),
}

/// What a format must be, as a hint.
const HINT: &str = "fields are written {{.Name}} or {{json .Name}}; for more take --format json and a \
                    program such as jq";

impl Format {
    /// Reads the flag's value.
    pub(super) fn parse(text: &str) -> Result<Self, CliError> {
        match text {
            "" | "table" => return Ok(Self::Table),
            "pretty" => return Ok(Self::Pretty),
            "json" => return Ok(Self::Json),
            _ => {}
        }
        let (is_table, template) = match text.strip_prefix("table ") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let parts = parts(&template.replace("\\t", "\t").replace("\\n", "\n"));
        match parts {
            Some(parts) if parts.iter().any(|part| !matches!(part, Part::Text(_))) => {
                Ok(Self::Fields { is_table, parts })
            }
            _ => {
                let text = format!("--format {text}: it is table, json, or a text with fields");
                Err(CliError::usage(text).hint(HINT))
            }
        }
    }

    /// Writes rows as JSON lines or as fields; `None` where the command has a form of its own.
    ///
    /// `heading` gives a column's heading; by default it is the field's name.
    pub(super) fn write(
        &self,
        rows: &[Value],
        heading: impl Fn(&str) -> Option<&'static str>,
    ) -> Result<Option<String>, CliError> {
        match self {
            Self::Table | Self::Pretty => Ok(None),
            Self::Json => Ok(Some(rows.iter().map(|row| format!("{row}\n")).collect())),
            Self::Fields { is_table, parts } => {
                let lines: Result<Vec<String>, CliError> =
                    rows.iter().map(|row| line(parts, row)).collect();
                let mut lines = lines?;
                if !is_table {
                    return Ok(Some(lines.iter().map(|line| format!("{line}\n")).collect()));
                }
                lines.insert(0, parts.iter().map(|part| title(part, &heading)).collect());
                let rows: Vec<Vec<String>> = lines
                    .iter()
                    .map(|line| line.split('\t').map(str::to_owned).collect())
                    .collect();
                Ok(Some(align(&rows)))
            }
        }
    }
}

/// Takes a template apart; `None` where it has more than fields.
fn parts(template: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once("{{") {
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        let (action, after) = after.split_once("}}")?;
        parts.push(part(action.trim())?);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Some(parts)
}

fn part(action: &str) -> Option<Part> {
    let field = |text: &str| {
        let name = text.strip_prefix('.')?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.chars().all(is_name).then(|| name.to_owned())
    };
    match action.strip_prefix("json ") {
        Some(rest) => {
            let name = field(rest.trim())?;
            Some(Part::Json((!name.is_empty()).then_some(name)))
        }
        None => field(action)
            .filter(|name| !name.is_empty())
            .map(Part::Field),
    }
}

fn line(parts: &[Part], row: &Value) -> Result<String, CliError> {
    parts.iter().map(|part| text(part, row)).collect()
}

fn text(part: &Part, row: &Value) -> Result<String, CliError> {
    let get = |name: &str| row.get(name).ok_or_else(|| unknown(name, row));
    Ok(match part {
        Part::Text(text) => text.clone(),
        Part::Field(name) => match get(name)? {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        },
        Part::Json(Some(name)) => get(name)?.to_string(),
        Part::Json(None) => row.to_string(),
    })
}

fn title(part: &Part, heading: impl Fn(&str) -> Option<&'static str>) -> String {
    match part {
        Part::Text(text) => text.clone(),
        Part::Field(name) | Part::Json(Some(name)) => {
            heading(name).map_or_else(|| name.to_uppercase(), str::to_owned)
        }
        Part::Json(None) => String::new(),
    }
}

fn unknown(name: &str, row: &Value) -> CliError {
    let known: Vec<&str> = row
        .as_object()
        .map(|row| row.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let known = known.join(", ");
    CliError::usage(format!("--format: no field `{name}`; there are {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(format: &str) -> Result<Option<String>, CliError> {
        let rows = [
            json!({"ID": "a", "Size": 3}),
            json!({"ID": "bcd", "Size": 12}),
        ];
        Format::parse(format)?.write(&rows, |name| (name == "Size").then_some("SIZE!"))
    }

    fn check(format: &str, expect: &str) {
        assert_eq!(write(format).unwrap().unwrap(), expect, "{format}");
    }

    #[test]
    fn fields_are_written_as_in_a_template() {
        check("{{.ID}}: {{ .Size }} B", "a: 3 B\nbcd: 12 B\n");
        check(
            "{{json .ID}}\\t{{json .}}",
            "\"a\"\t{\"ID\":\"a\",\"Size\":3}\n\"bcd\"\t{\"ID\":\"bcd\",\"Size\":12}\n",
        );
        check(
            "table {{.ID}}\\t{{.Size}}",
            "ID    SIZE!\na     3\nbcd   12\n",
        );
        check(
            "json",
            "{\"ID\":\"a\",\"Size\":3}\n{\"ID\":\"bcd\",\"Size\":12}\n",
        );
        assert_eq!(write("table").unwrap(), None);
    }

    #[test]
    fn more_than_fields_is_refused_with_a_way_out() {
        for format in [
            "xml",
            "{{.ID",
            "{{range .}}x{{end}}",
            "{{.ID | upper}}",
            "{{.}}",
        ] {
            let error = Format::parse(format).unwrap_err();
            assert!(error.render().contains("jq"), "{}", error.render());
        }
    }

    #[test]
    fn an_unknown_field_comes_with_those_there_are() {
        let error = write("{{.Id}}").unwrap_err().render();
        assert!(error.contains("`Id`; there are ID, Size"), "{error}");
    }
}
