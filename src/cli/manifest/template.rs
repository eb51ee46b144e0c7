//! [`Template`]: the part of Go's templates that people give to `imagetools inspect`. Pure.
//!
//! Text, fields (`.Manifest.Digest`), `index VALUE "KEY"`, `json VALUE`, parentheses, strings,
//! and `range VALUE`…`end`. Fields are found by Go's names and by those of the JSON.

use serde_json::Value;

/// What is understood, for messages.
const KNOWN: &str = "text, {{.Field.Field}}, {{json VALUE}}, {{index VALUE \"KEY\"}}, \
                     {{(VALUE).Field}} and {{range VALUE}}…{{end}}";

/// A template.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template(Vec<Node>);

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    /// It is more than is understood here, or not a template.
    #[error(
        "--format: `{{{{{0}}}}}` is not understood: there are {KNOWN}, and --format json for programs such as jq"
    )]
    Unknown(String),
    /// A brace or an `end` is missing.
    #[error("--format: {0}")]
    Unfinished(&'static str),
    /// There is no such field.
    #[error("--format: no field {field}; there are {}", known.join(", "))]
    Field {
        /// The field.
        field: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// What is not a list or an object was to be taken apart.
    #[error("--format: {0} is not a list or an object")]
    Parts(String),
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Print(Expr),
    Range(Expr, Vec<Node>),
}

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Dot,
    Root,
    Literal(String),
    Field(Box<Expr>, String),
    Index(Box<Expr>, Vec<String>),
    Json(Box<Expr>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Dot,
    Dollar,
    Field(String),
    Word(String),
    Text(String),
    Open,
    Close,
}

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut stack: Vec<(Option<Expr>, Vec<Node>)> = vec![(None, Vec::new())];
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (action, after) = after
                .split_once("}}")
                .ok_or(TemplateError::Unfinished("`{{` without `}}`"))?;
            // A dash beside a brace takes away the space there.
            let (before, action) = match action.strip_prefix("- ") {
                Some(action) => (before.trim_end(), action),
                None => (before, action),
            };
            let (after, action) = match action.strip_suffix(" -") {
                Some(action) => (after.trim_start(), action),
                None => (after, action),
            };
            push(&mut stack, Node::Text(before.to_owned()));
            take(action, &mut stack)?;
            rest = after;
        }
        push(&mut stack, Node::Text(rest.to_owned()));
        match (stack.pop(), stack.is_empty()) {
            (Some((None, nodes)), true) => Ok(Self(nodes)),
            _ => Err(TemplateError::Unfinished("`{{range}}` without `{{end}}`")),
        }
    }

    /// Whether one of these fields is named anywhere.
    pub(super) fn mentions(&self, names: &[&str]) -> bool {
        let text = format!("{:?}", self.0);
        names
            .iter()
            .any(|name| text.contains(&format!("\"{name}\"")))
    }

    /// Writes it with these values.
    pub(super) fn render(&self, root: &Value) -> Result<String, TemplateError> {
        let mut text = String::new();
        render(&self.0, root, root, &mut text)?;
        Ok(text)
    }
}

fn push(stack: &mut [(Option<Expr>, Vec<Node>)], node: Node) {
    if let (Some((_, nodes)), false) = (stack.last_mut(), node == Node::Text(String::new())) {
        nodes.push(node);
    }
}

/// Takes in what stands between braces.
fn take(action: &str, stack: &mut Vec<(Option<Expr>, Vec<Node>)>) -> Result<(), TemplateError> {
    let unknown = || TemplateError::Unknown(action.to_owned());
    let action = action.trim();
    if action == "end" {
        return match stack.pop() {
            Some((Some(list), nodes)) => {
                push(stack, Node::Range(list, nodes));
                Ok(())
            }
            _ => Err(TemplateError::Unfinished("`{{end}}` without `{{range}}`")),
        };
    }
    let tokens = tokens(action).ok_or_else(unknown)?;
    match tokens.split_first() {
        Some((Token::Word(word), list)) if word == "range" => {
            stack.push((Some(expr(list).ok_or_else(unknown)?), Vec::new()));
        }
        _ => {
            let value = expr(&tokens).ok_or_else(unknown)?;
            push(stack, Node::Print(value));
        }
    }
    Ok(())
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let name = |text: &str| {
            let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            text.split_at(end.unwrap_or(text.len())).0.to_owned()
        };
        let used = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '$' => (Token::Dollar, 1),
            '"' => {
                let mut words = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                let text = words.next()?.ok()?;
                (Token::Text(text), words.byte_offset())
            }
            '`' => {
                let (text, _) = rest[1..].split_once('`')?;
                (Token::Text(text.to_owned()), text.len() + 2)
            }
            '.' => match name(&rest[1..]) {
                name if name.is_empty() => (Token::Dot, 1),
                name => {
                    let length = name.len() + 1;
                    (Token::Field(name), length)
                }
            },
            _ => match name(rest) {
                name if name.is_empty() => return None,
                name => {
                    let length = name.len();
                    (Token::Word(name), length)
                }
            },
        };
        tokens.push(used.0);
        rest = &rest[used.1..];
        // A field after a space is another value, as in `index .A .B`, which is not understood.
        if rest.starts_with(' ') && rest.trim_start().starts_with('.') {
            match tokens.last() {
                Some(Token::Word(_)) => {}
                _ => return None,
            }
        }
        rest = rest.trim_start();
    }
    Some(tokens)
}

fn expr(tokens: &[Token]) -> Option<Expr> {
    match tokens.split_first()? {
        (Token::Word(word), rest) if word == "json" => Some(Expr::Json(Box::new(expr(rest)?))),
        (Token::Word(word), rest) if word == "index" => {
            let (value, keys) = operand(rest)?;
            let keys: Option<Vec<String>> = keys
                .iter()
                .map(|key| match key {
                    Token::Text(key) | Token::Word(key) => Some(key.clone()),
                    _ => None,
                })
                .collect();
            let keys = keys.filter(|keys| !keys.is_empty())?;
            Some(Expr::Index(Box::new(value), keys))
        }
        _ => match operand(tokens)? {
            (value, []) => Some(value),
            _ => None,
        },
    }
}

/// One value with the fields behind it, and what follows.
fn operand(tokens: &[Token]) -> Option<(Expr, &[Token])> {
    let (first, mut rest) = tokens.split_first()?;
    let mut value = match first {
        Token::Dot => Expr::Dot,
        Token::Dollar => Expr::Root,
        Token::Field(name) => Expr::Field(Box::new(Expr::Dot), name.clone()),
        Token::Text(text) => Expr::Literal(text.clone()),
        Token::Open => {
            let end = closing(rest)?;
            let inner = expr(&rest[..end])?;
            rest = &rest[end + 1..];
            inner
        }
        Token::Word(_) | Token::Close => return None,
    };
    while let [Token::Field(name), after @ ..] = rest {
        value = Expr::Field(Box::new(value), name.clone());
        rest = after;
    }
    Some((value, rest))
}

/// Where the parenthesis closes that is open before these.
fn closing(tokens: &[Token]) -> Option<usize> {
    let mut depth = 1;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

fn render(
    nodes: &[Node],
    root: &Value,
    dot: &Value,
    text: &mut String,
) -> Result<(), TemplateError> {
    for node in nodes {
        match node {
            Node::Text(part) => text.push_str(part),
            Node::Print(value) => match eval(value, root, dot)? {
                Value::String(part) => text.push_str(&part),
                Value::Null => text.push_str("<no value>"),
                other => text.push_str(&other.to_string()),
            },
            Node::Range(list, body) => match eval(list, root, dot)? {
                Value::Array(items) => {
                    for item in &items {
                        render(body, root, item, text)?;
                    }
                }
                Value::Object(items) => {
                    for item in items.values() {
                        render(body, root, item, text)?;
                    }
                }
                Value::Null => {}
                _ => return Err(TemplateError::Parts(format!("{list:?}"))),
            },
        }
    }
    Ok(())
}

fn eval(expr: &Expr, root: &Value, dot: &Value) -> Result<Value, TemplateError> {
    Ok(match expr {
        Expr::Dot => whole(root, dot),
        Expr::Root => whole(root, root),
        Expr::Literal(text) => Value::String(text.clone()),
        Expr::Field(of, name) => {
            let value = match &**of {
                // Not copied: statements may be large.
                Expr::Dot => return field(dot, name),
                Expr::Root => return field(root, name),
                other => eval(other, root, dot)?,
            };
            field(&value, name)?
        }
        Expr::Index(of, keys) => {
            let mut value = eval(of, root, dot)?;
            for key in keys {
                value = index(&value, key)?;
            }
            value
        }
        Expr::Json(of) => {
            let value = eval(of, root, dot)?;
            Value::String(serde_json::to_string_pretty(&value).unwrap_or_default())
        }
    })
}

/// A value as a whole; of the outermost one, what buildx has as methods is no part.
fn whole(root: &Value, value: &Value) -> Value {
    let mut copy = value.clone();
    if let (true, Value::Object(members)) = (std::ptr::eq(root, value), &mut copy) {
        members.retain(|name, _| name.starts_with(|c: char| c.is_ascii_lowercase()));
    }
    copy
}

/// A member by its own name, or by the name that Go's structure has for it.
fn field(value: &Value, name: &str) -> Result<Value, TemplateError> {
    let Value::Object(members) = value else {
        return match value {
            Value::Null => Ok(Value::Null),
            _ => Err(TemplateError::Parts(format!("what has no .{name}"))),
        };
    };
    let plain = |text: &str| text.replace(['_', '.', '-'], "").to_lowercase();
    let found = members.get(name).or_else(|| {
        let same = members.iter().find(|(key, _)| plain(key) == plain(name));
        same.map(|(_, value)| value)
    });
    match found {
        Some(value) => Ok(value.clone()),
        // What is empty is left out of documents; only the outermost fields are known.
        None if !members.contains_key("manifest") => Ok(Value::Null),
        None => Err(TemplateError::Field {
            field: format!(".{name}"),
            known: ["Name", "Manifest", "Image", "SBOM", "Provenance"]
                .map(|name| format!(".{name}"))
                .to_vec(),
        }),
    }
}

fn index(value: &Value, key: &str) -> Result<Value, TemplateError> {
    match value {
        Value::Object(members) => Ok(members.get(key).cloned().unwrap_or_default()),
        Value::Array(items) => {
            let at: Option<usize> = key.parse().ok();
            Ok(at.and_then(|at| items.get(at)).cloned().unwrap_or_default())
        }
        Value::Null => Ok(Value::Null),
        _ => Err(TemplateError::Parts(format!("what has no \"{key}\""))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(text: &str) -> Result<String, String> {
        let values = json!({
            "name": "r.io/a",
            "manifest": {"digest": "sha256:1", "mediaType": "t", "manifests": [{"size": 1}, {"size": 2}]},
            "image": {"linux/amd64": {"os": "linux", "config": {"Env": ["A=1"], "Labels": {"a.b": "c"}},
                "rootfs": {"diff_ids": ["x"]}}},
            "SBOM": {"SPDX": {"packages": [{"name": "p", "versionInfo": "1"}]}},
        });
        Template::parse(text)
            .and_then(|template| template.render(&values))
            .map_err(|error| error.to_string())
    }

    fn check(text: &str, expect: &str) {
        assert_eq!(render(text).as_deref(), Ok(expect), "{text}");
    }

    #[test]
    fn fields_have_gos_names_and_the_documents() {
        check("{{.Manifest.Digest}} of {{ .Name }}", "sha256:1 of r.io/a");
        check("{{.Manifest.MediaType}}{{.manifest.mediaType}}", "tt");
        check("{{(index .Image \"linux/amd64\").OS}}", "linux");
        check(
            "{{(index .Image \"linux/amd64\").RootFS.DiffIDs}}",
            "[\"x\"]",
        );
        check(
            "{{index (index .Image `linux/amd64`).Config.Labels \"a.b\"}}",
            "c",
        );
        check("{{index .Manifest.Manifests 1}}", "{\"size\":2}");
        check("{{.Manifest.Annotations}}", "<no value>");
    }

    #[test]
    fn json_is_indented_and_whole() {
        check(
            "{{json (index .Image \"linux/amd64\").config.Env}}",
            "[\n  \"A=1\"\n]",
        );
        check("{{json .Manifest.Digest}}", "\"sha256:1\"");
        let all = render("{{json .}}").unwrap();
        assert!(
            all.contains("\"manifest\"") && !all.contains("SBOM"),
            "{all}"
        );
    }

    #[test]
    fn lists_are_gone_through() {
        check(
            "{{ range .SBOM.SPDX.packages }}{{ .name }}@{{ .versionInfo }}{{ \"\\n\" }}{{ end }}",
            "p@1\n",
        );
        check(
            "a {{- range .Manifest.Manifests -}} {{.size}},{{$.Name}} {{end}}",
            "a1,r.io/a 2,r.io/a ",
        );
        check("{{range .Manifest.Nothing}}x{{end}}", "");
    }

    #[test]
    fn what_is_not_understood_is_said_with_what_is() {
        for text in [
            "{{if .Name}}x{{end}}",
            "{{.Name | upper}}",
            "{{printf \"%s\" .Name}}",
            "{{}}",
            "{{index .Image}}",
            "{{(.Name}}",
        ] {
            let error = render(text).unwrap_err();
            assert!(error.contains("is not understood"), "{text}: {error}");
        }
        assert!(render("{{.Name").unwrap_err().contains("without"));
        assert!(render("{{range .Name}}").unwrap_err().contains("without"));
        assert!(render("{{end}}").unwrap_err().contains("without"));
        assert!(
            render("{{.Nothing}}")
                .unwrap_err()
                .contains("there are .Name")
        );
        assert!(render("{{.Name.First}}").unwrap_err().contains("no .First"));
    }

    #[test]
    fn what_is_mentioned_is_known_before() {
        let mentions = |text: &str| Template::parse(text).unwrap().mentions(&["SBOM"]);
        assert!(mentions("{{json .SBOM.SPDX}}"));
        assert!(!mentions("SBOM {{.Name}}"));
    }
}
