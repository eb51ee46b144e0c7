//! From a file's text to [`Settings`]: the schema, and messages that name file, line and key.
//!
//! Touches no disk: whether a named file exists is found out by who opens it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::schema::{BuildTable, BuilderTable, FileTable, NodeTable, RegistryTable, TlsTable};
use super::{
    BuildDefaults, BuilderDef, ConfigError, DriverName, Found, NodeDef, ReachDef, RegistryDef,
    SCHEMA_VERSION, Settings, Source, TlsDef,
};
use crate::platform::Platform;

/// Names become file names and parts of messages; nobody types longer ones.
const MAX_NAME: usize = 128;
const PROGRESS_MODES: &[&str] = &["auto", "tty", "plain", "quiet", "none", "rawjson"];

/// Tells whether a text can name a builder or a node: a letter or digit, then also `.`, `_`, `-`.
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= MAX_NAME
        && bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Parses the text of a configuration file; relative paths in it start at its directory.
///
/// `user_file` is where a file of the source tree is told to put what it may not define.
///
/// # Errors
///
/// When the text is no TOML, has a key that is not in the schema or a value that makes no
/// sense, or when [`Found::Walked`] and it defines where data goes.
pub fn parse(
    text: &str,
    source: Source,
    user_file: Option<&Path>,
) -> Result<Settings, ConfigError> {
    let parser = Parser {
        text,
        source: &source,
    };
    let file: FileTable = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        parser.invalid_at(start, in_our_words(error.message()))
    })?;
    parser.check_trust(&file, user_file)?;
    if let Some(version) = &file.version
        && *version.as_ref() != SCHEMA_VERSION
    {
        let message = format!(
            "version {} is not known; this mbuild reads version {SCHEMA_VERSION}",
            version.as_ref()
        );
        return Err(parser.invalid(version, message));
    }
    if let Some(name) = &file.builder {
        parser.check_name("a builder", name)?;
    }
    Ok(Settings {
        builder: file.builder.map(Spanned::into_inner),
        builders: parser.builders(file.builders)?,
        allow_emulation: file.allow_emulation,
        build: parser.build_defaults(file.build)?,
        registries: parser.registries(file.registries)?,
        source: Some(source),
        unread: None,
    })
}

/// Says `key` where the deserializer says `field`, since that is the word of the file's format.
fn in_our_words(message: &str) -> String {
    message
        .replace("unknown field", "unknown key")
        .replace("missing field", "missing key")
        .replace(", expected one of ", "; allowed are ")
        .replace(", expected ", "; expected ")
        .replace("a nonzero usize", "a whole number from 1")
        .replace('\n', " ")
}

/// The text being read and where it is from, for messages.
pub(super) struct Parser<'a> {
    text: &'a str,
    source: &'a Source,
}

impl Parser<'_> {
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn invalid_at(&self, offset: usize, message: String) -> ConfigError {
        ConfigError::Invalid {
            path: self.source.path.clone(),
            line: self.line(offset),
            message,
        }
    }

    pub(super) fn invalid<T>(&self, at: &Spanned<T>, message: String) -> ConfigError {
        self.invalid_at(at.span().start, message)
    }

    fn check_trust(&self, file: &FileTable, user_file: Option<&Path>) -> Result<(), ConfigError> {
        if self.source.found != Found::Walked {
            return Ok(());
        }
        let builder = file.builders.keys().map(|name| ("builders", name));
        let registry = file.registries.keys().map(|name| ("registries", name));
        match builder
            .chain(registry)
            .min_by_key(|(_, name)| name.span().start)
        {
            None => Ok(()),
            Some((table, name)) => Err(ConfigError::Untrusted {
                path: self.source.path.clone(),
                line: self.line(name.span().start),
                what: format!("[{table}.{}]", quoted_key(name.as_ref())),
                user_file: user_file.map(Path::to_owned),
            }),
        }
    }

    fn check_name(&self, what: &str, name: &Spanned<String>) -> Result<(), ConfigError> {
        if is_name(name.as_ref()) {
            return Ok(());
        }
        let message = format!(
            "`{}` cannot name {what}: a name is at most {MAX_NAME} letters, digits and `.`, `_`, \
             `-`, and starts with a letter or digit",
            name.as_ref().escape_debug()
        );
        Err(self.invalid(name, message))
    }

    pub(super) fn resolve(&self, path: PathBuf) -> PathBuf {
        self.source
            .path
            .parent()
            .unwrap_or(Path::new(""))
            .join(path)
    }

    fn platforms(&self, texts: &[Spanned<String>]) -> Result<Vec<Platform>, ConfigError> {
        let mut platforms: Vec<Platform> = Vec::new();
        for text in texts {
            let platform: Platform = text
                .as_ref()
                .parse()
                .map_err(|error| self.invalid(text, format!("{error}")))?;
            let platform = platform.normalized();
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        Ok(platforms)
    }

    fn build_defaults(&self, table: BuildTable) -> Result<BuildDefaults, ConfigError> {
        let progress = table.progress;
        if let Some(mode) = &progress
            && !PROGRESS_MODES.contains(&mode.as_ref().as_str())
        {
            let message = format!(
                "`{}` is no way to show progress; allowed are {}",
                mode.as_ref().escape_debug(),
                PROGRESS_MODES.join(", ")
            );
            return Err(self.invalid(mode, message));
        }
        Ok(BuildDefaults {
            platforms: self.platforms(&table.platforms)?,
            progress: progress.map(Spanned::into_inner),
        })
    }

    fn builders(
        &self,
        tables: BTreeMap<Spanned<String>, BuilderTable>,
    ) -> Result<BTreeMap<String, BuilderDef>, ConfigError> {
        let mut builders = BTreeMap::new();
        for (name, table) in tables {
            self.check_name("a builder", &name)?;
            if name.as_ref() == "default" {
                let message = "`default` is what is found when nothing is configured, and cannot \
                               be defined";
                return Err(self.invalid(&name, message.to_owned()));
            }
            let driver = self.driver(table.driver.as_ref())?;
            if table.nodes.is_empty() {
                let message = format!(
                    "builder `{0}` has no nodes; each needs a table [[builders.{0}.nodes]]",
                    name.as_ref()
                );
                return Err(self.invalid(&name, message));
            }
            let mut names = BTreeSet::new();
            for node in &table.nodes {
                self.check_name("a node", &node.name)?;
                if !names.insert(node.name.as_ref().clone()) {
                    let message = format!(
                        "builder `{}` has two nodes named `{}`",
                        name.as_ref(),
                        node.name.as_ref()
                    );
                    return Err(self.invalid(&node.name, message));
                }
            }
            let nodes = table.nodes.into_iter().map(|node| self.node(driver, node));
            let nodes = nodes.collect::<Result<_, _>>()?;
            builders.insert(name.into_inner(), BuilderDef { driver, nodes });
        }
        Ok(builders)
    }

    fn driver(&self, name: Option<&Spanned<String>>) -> Result<DriverName, ConfigError> {
        match name.map(|name| (name, name.as_ref().as_str())) {
            None | Some((_, "remote")) => Ok(DriverName::Remote),
            Some((_, "kubernetes")) => Ok(DriverName::Kubernetes),
            Some((at, other)) => {
                let other = other.escape_debug();
                Err(self.invalid(
                    at,
                    format!("driver `{other}` is not known; allowed are remote and kubernetes"),
                ))
            }
        }
    }

    fn node(&self, driver: DriverName, mut table: NodeTable) -> Result<NodeDef, ConfigError> {
        let reach = match driver {
            DriverName::Remote => ReachDef::Endpoint(self.endpoint(&mut table)?),
            DriverName::Kubernetes => ReachDef::Pods(self.pods(&mut table)?),
        };
        Ok(NodeDef {
            reach,
            platforms: self.platforms(&table.platforms)?,
            tls: table.tls.map(|tls| self.tls(tls)).transpose()?,
            name: table.name.into_inner(),
            slots: table.slots.map(NonZeroUsize::get),
        })
    }

    fn tls(&self, table: Spanned<TlsTable>) -> Result<TlsDef, ConfigError> {
        let missing = match (&table.as_ref().cert, &table.as_ref().key) {
            (Some(_), None) => Some(("cert", "key")),
            (None, Some(_)) => Some(("key", "cert")),
            _ => None,
        };
        if let Some((given, missing)) = missing {
            let message = format!("tls has `{given}` and no `{missing}`; the two go together");
            return Err(self.invalid(&table, message));
        }
        let table = table.into_inner();
        Ok(TlsDef {
            ca: table.ca.map(|path| self.resolve(path)),
            cert: table.cert.map(|path| self.resolve(path)),
            key: table.key.map(|path| self.resolve(path)),
            server_name: table.server_name,
        })
    }

    fn registries(
        &self,
        tables: BTreeMap<Spanned<String>, RegistryTable>,
    ) -> Result<BTreeMap<String, RegistryDef>, ConfigError> {
        let mut registries = BTreeMap::new();
        for (host, table) in tables {
            let odd = |c: char| c == '/' || c == '@' || c.is_whitespace() || c.is_control();
            if host.as_ref().is_empty() || host.as_ref().contains(odd) {
                let message = format!(
                    "`{}` is not a registry's host[:port]",
                    host.as_ref().escape_debug()
                );
                return Err(self.invalid(&host, message));
            }
            if table.http && (table.insecure || table.ca.is_some()) {
                let message =
                    "`http` means no TLS at all, so `insecure` and `ca` do not go with it";
                return Err(self.invalid(&host, message.to_owned()));
            }
            let def = RegistryDef {
                http: table.http,
                insecure: table.insecure,
                ca: table.ca.map(|path| self.resolve(path)),
            };
            registries.insert(host.into_inner(), def);
        }
        Ok(registries)
    }
}

/// Writes a key as TOML needs it after a dot.
pub(super) fn quoted_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Located;
    use super::*;

    fn read(text: &str, found: Found) -> Result<Settings, ConfigError> {
        let source = Source {
            path: "/etc/mbuild/mbuild.toml".into(),
            found,
        };
        parse(
            text,
            source,
            Some(Path::new("/home/me/.config/mbuild/mbuild.toml")),
        )
    }

    fn settings(text: &str) -> Settings {
        read(text, Found::User).unwrap()
    }

    /// The text is refused in this line and with this message.
    #[track_caller]
    fn refused(line: usize, message: &str, text: &str) {
        let error = read(text, Found::User).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("/etc/mbuild/mbuild.toml:{line}: {message}")
        );
    }

    /// Builder `b` with one node that has these lines besides its name and endpoint.
    fn node(lines: &str) -> String {
        format!("[[builders.b.nodes]]\nname = \"n\"\nendpoint = \"tcp://h:1\"\n{lines}\n")
    }

    #[test]
    fn an_empty_file_sets_nothing() {
        let empty = settings("# nothing\n");
        assert_eq!(
            empty,
            Settings {
                source: empty.source.clone(),
                ..Settings::default()
            }
        );
    }

    #[test]
    fn the_documented_form_is_read_whole() {
        let read = settings(
            r#"
    version = 1
    builder = "farm"                      # the default
    allow_emulation = true

    [build]
    platforms = ["linux/amd64", "linux/aarch64"]
    progress = "plain"

    [[builders.farm.nodes]]
    name = "amd64"
    endpoint = "tcp://10.0.0.5:1234"
    platforms = ["linux/amd64"]           # optional
    slots = 2
    tls = { ca = "ca.pem", cert = "/run/cert.pem", key = "../key.pem", server_name = "buildkit" }

    [[builders.farm.nodes]]
    name = "arm64"
    endpoint = "unix:///run/buildkit/buildkitd.sock"

    [registries."registry.example:5000"]
    ca = "registry.pem"
    [registries.localhost]
    http = true
    "#,
        );
        assert_eq!(read.builder.as_deref(), Some("farm"));
        assert_eq!(read.allow_emulation, Some(true));
        let platforms: Vec<String> = read
            .build
            .platforms
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
        assert_eq!(read.build.progress.as_deref(), Some("plain"));
        let nodes = &read.builders["farm"].nodes;
        assert_eq!(
            nodes[0],
            NodeDef {
                name: "amd64".into(),
                reach: ReachDef::Endpoint(Located {
                    text: "tcp://10.0.0.5:1234".into(),
                    line: 12
                }),
                platforms: vec![Platform::new("linux", "amd64")],
                slots: Some(2),
                tls: Some(TlsDef {
                    ca: Some("/etc/mbuild/ca.pem".into()),
                    cert: Some("/run/cert.pem".into()),
                    key: Some("/etc/mbuild/../key.pem".into()),
                    server_name: Some("buildkit".into()),
                }),
            }
        );
        assert_eq!((nodes[1].slots, &nodes[1].tls), (None, &None));
        let registry = &read.registries["registry.example:5000"];
        assert_eq!(
            registry.ca.as_deref(),
            Some(Path::new("/etc/mbuild/registry.pem"))
        );
        assert!(read.registries["localhost"].http);
    }

    #[test]
    fn unknown_keys_name_the_allowed_ones() {
        refused(
            2,
            "unknown key `builer`; allowed are `version`, `builder`, `allow_emulation`, `build`, \
             `builders`, `registries`",
            "\nbuiler = \"x\"\n",
        );
        refused(
            4,
            "unknown key `slot`; allowed are `name`, `endpoint`, `platforms`, `slots`, `tls`, \
             `namespace`, `kubeconfig`, `context`, `selector`, `pods`, `container`, `transport`, \
             `loadbalance`, `port`, `created`",
            &node("slot = 1"),
        );
        refused(
            4,
            "unknown key `cacert`; allowed are `ca`, `cert`, `key`, `server_name`",
            &node("tls = { cacert = \"x\" }"),
        );
        refused(
            1,
            "unknown key `node`; expected `driver` or `nodes`",
            "[[builders.b.node]]\nname = \"n\"\n",
        );
        refused(
            2,
            "unknown key `cafile`; allowed are `http`, `insecure`, `ca`",
            "[registries.\"r:5000\"]\ncafile = \"x\"\n",
        );
        refused(
            2,
            "unknown key `platform`; expected `platforms` or `progress`",
            "[build]\nplatform = \"linux/arm64\"\n",
        );
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        refused(
            4,
            "invalid value: integer `0`; expected a whole number from 1",
            &node("slots = 0"),
        );
        refused(
            4,
            "invalid value: integer `-1`; expected a whole number from 1",
            &node("slots = -1"),
        );
        refused(
            4,
            "invalid type: string \"2\"; expected a whole number from 1",
            &node("slots = \"2\""),
        );
        refused(
            4,
            "`arm46` is neither an operating system nor an architecture",
            &node("platforms = [\"arm46\"]"),
        );
        refused(
            4,
            "tls has `cert` and no `key`; the two go together",
            &node("tls = { cert = \"c\" }"),
        );
        refused(
            4,
            "tls has `key` and no `cert`; the two go together",
            &node("tls = { key = \"k\" }"),
        );
        refused(
            2,
            "node `n` has no `endpoint`, which driver remote needs",
            "[[builders.b.nodes]]\nname = \"n\"\n",
        );
        refused(
            1,
            "missing key `name`",
            "[[builders.b.nodes]]\nendpoint = \"tcp://h:1\"\n",
        );
        refused(
            5,
            "builder `b` has two nodes named `n`",
            &format!("{}{}", node(""), node("")).replace("\n\n", "\n"),
        );
        refused(
            1,
            "builder `b` has no nodes; each needs a table [[builders.b.nodes]]",
            "[builders.b]\ndriver = \"remote\"\n",
        );
        refused(
            2,
            "driver `docker` is not known; allowed are remote and kubernetes",
            "[builders.b]\ndriver = \"docker\"\n",
        );
        refused(
            1,
            "version 2 is not known; this mbuild reads version 1",
            "version = 2\n",
        );
        refused(
            2,
            "`fancy` is no way to show progress; allowed are auto, tty, plain, quiet, none, rawjson",
            "[build]\nprogress = \"fancy\"\n",
        );
        refused(
            1,
            "`http` means no TLS at all, so `insecure` and `ca` do not go with it",
            "[registries.r]\nhttp = true\ninsecure = true\n",
        );
        refused(
            1,
            "`https://r` is not a registry's host[:port]",
            "[registries.\"https://r\"]\nhttp = true\n",
        );
    }

    #[test]
    fn names_stay_safe_as_file_names() {
        for name in ["farm", "a", "9", "build.kit_1-x"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(129);
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "-x",
            "_x",
            "a/b",
            "a b",
            "ä",
            "tcp://h:1",
            &long,
        ] {
            assert!(!is_name(name), "{name}");
        }
        let error = read("builder = \"../x\"\n", Found::User)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(":1: `../x` cannot name a builder"),
            "{error}"
        );
        let bad_node = node("").replace("\"n\"", "\"a b\"");
        let error = read(&bad_node, Found::User).unwrap_err().to_string();
        assert!(error.contains(":2: `a b` cannot name a node"), "{error}");
        let error = read(&node("").replace(".b.", ".default."), Found::User)
            .unwrap_err()
            .to_string();
        assert!(error.contains("cannot be defined"), "{error}");
    }

    #[test]
    fn text_that_is_no_toml_names_its_line() {
        let error = read("builder = \"a\"\nbuilder = \"b\"\n", Found::User)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("/etc/mbuild/mbuild.toml:2: "), "{error}");
        let error = read("builder = \n", Found::User).unwrap_err().to_string();
        assert!(error.starts_with("/etc/mbuild/mbuild.toml:1: "), "{error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }

    #[test]
    fn a_file_of_the_source_tree_chooses_but_defines_nothing() {
        let chosen = read(
            "builder = \"farm\"\n[build]\nprogress = \"plain\"\n",
            Found::Walked,
        );
        assert_eq!(chosen.unwrap().builder.as_deref(), Some("farm"));

        let check = |text: &str, line: usize, what: &str| {
            let error = read(text, Found::Walked).unwrap_err();
            let message = error.to_string();
            let start = format!("/etc/mbuild/mbuild.toml:{line}: {what} may not be defined here");
            assert!(message.starts_with(&start), "{message}");
            let hint = error.hint().unwrap();
            assert!(
                hint.contains("/home/me/.config/mbuild/mbuild.toml"),
                "{hint}"
            );
            assert!(hint.contains("--config /etc/mbuild/mbuild.toml"), "{hint}");
        };
        check(&format!("builder = \"b\"\n{}", node("")), 2, "[builders.b]");
        check(
            "[registries.\"r:5000\"]\nhttp = true\n",
            1,
            "[registries.\"r:5000\"]",
        );
        for found in [Found::Flag, Found::Env, Found::User, Found::State] {
            assert!(read(&node(""), found).is_ok());
        }
    }
}
