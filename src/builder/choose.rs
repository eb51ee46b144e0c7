//! Which builder's name counts: flag, environment, `use`, configuration.
//!
//! [`choose`] decides from plain data. Where a daemon may be when none is named is in
//! `places`.

use std::path::PathBuf;

use super::spec::BuilderSpec;
use crate::config::Env;

/// The name of what is found when nothing is configured.
pub const DEFAULT_BUILDER: &str = "default";

/// What may name a builder, in the order in which it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The flag `--builder`, or the command's argument.
    Flag,
    /// `MBUILD_BUILDER`.
    MbuildEnv,
    /// `BUILDX_BUILDER`.
    BuildxEnv,
    /// `mbuild builder use`.
    Use,
    /// `builder =` in the configuration.
    Config,
    /// Nothing, but the configuration defines no other.
    Only,
}

/// A builder's name and what gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// What gave it.
    pub by: NamedBy,
}

/// Everything that can name a builder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choosers<'a> {
    /// The value of `--builder`.
    pub(super) flag: Option<&'a str>,
    /// The environment.
    pub(super) env: &'a Env,
    /// What `mbuild builder use` chose.
    pub(super) current: Option<&'a str>,
    /// What the configuration chooses.
    pub(super) config: Option<&'a str>,
}

impl NamedBy {
    /// The end of a sentence that starts with the builder: `which BUILDX_BUILDER names`.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Flag => "which was asked for",
            Self::MbuildEnv => "which MBUILD_BUILDER names",
            Self::BuildxEnv => "which BUILDX_BUILDER names",
            Self::Use => "which `mbuild builder use` chose",
            Self::Config => "which the configuration chooses",
            Self::Only => "the only one that the configuration defines",
        }
    }
}

/// Finds the name that counts; it may be `default`. `None` means that none is given.
pub(super) fn choose(choosers: &Choosers<'_>) -> Option<Named> {
    let var = |name: &str| choosers.env.get(name).map(String::as_str);
    let candidates = [
        (choosers.flag, NamedBy::Flag),
        (var("MBUILD_BUILDER"), NamedBy::MbuildEnv),
        (var("BUILDX_BUILDER"), NamedBy::BuildxEnv),
        (choosers.current, NamedBy::Use),
        (choosers.config, NamedBy::Config),
    ];
    let given = |(name, by): (Option<&str>, NamedBy)| {
        let name = name.filter(|name| !name.is_empty())?.to_owned();
        Some(Named { name, by })
    };
    candidates.into_iter().find_map(given)
}

/// Why a builder that is named cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no builder `{}`, {}{}", named.name, named.by.phrase(), list(known))]
pub struct UnknownBuilder {
    /// The name, and what gave it.
    pub named: Named,
    /// The builders there are, each with where it is defined.
    pub known: Vec<(String, String)>,
    /// What the user can do about it.
    pub hints: Vec<String>,
}

fn list(known: &[(String, String)]) -> String {
    if known.is_empty() {
        return "; none is defined".to_owned();
    }
    let known = known
        .iter()
        .map(|(name, origin)| format!("{name} ({origin})"));
    format!("; known are {}", known.collect::<Vec<_>>().join(", "))
}

impl UnknownBuilder {
    /// Makes the error; `elsewhere` says where else the name may be known.
    pub(super) fn new(named: Named, known: &[BuilderSpec], elsewhere: &Elsewhere) -> Self {
        let mut hints = Vec::new();
        if elsewhere.buildx {
            let name = &named.name;
            hints.push(format!(
                "buildx has one of this name: mbuild builder import {name}"
            ));
        }
        if let Some((unread, read)) = &elsewhere.unread {
            hints.push(format!(
                "{unread} was not read, since {read} was found first; keep the builder in the \
                 state directory (mbuild builder create), or name the file with --config or \
                 MBUILD_CONFIG"
            ));
        }
        if named.by == NamedBy::Use {
            hints.push("take the choice back with: mbuild builder use default".to_owned());
        }
        let known = known
            .iter()
            .map(|spec| (spec.name.clone(), spec.origin.to_string()));
        Self {
            known: known.collect(),
            named,
            hints,
        }
    }
}

/// A file defines several builders, and nothing says which one is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} defines the builders {}, and nothing chooses one",
    path.display(),
    names.join(", ")
)]
pub struct NoneChosen {
    /// The file.
    pub path: PathBuf,
    /// The builders in it.
    pub names: Vec<String>,
}

impl NoneChosen {
    /// Says what the user can do about it.
    pub fn hint(&self) -> String {
        let name = self.names.first().map_or("NAME", String::as_str);
        format!(
            "add builder = \"{name}\" to {}, or give --builder {name}; --builder default means \
             none of them",
            self.path.display()
        )
    }
}

/// Where else a builder that is not known may be defined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// Whether buildx has a builder of that name.
    pub(super) buildx: bool,
    /// The user's own file that was not read, and the one that was instead.
    pub(super) unread: Option<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// Takes sources away one by one, the strongest first.
    #[test]
    fn the_strongest_source_names_the_builder() {
        let both = env(&[("MBUILD_BUILDER", "m"), ("BUILDX_BUILDER", "x")]);
        let buildx = env(&[("MBUILD_BUILDER", ""), ("BUILDX_BUILDER", "x")]);
        let none = Env::new();
        let check = |flag, env, current, config, expect: &str| {
            let named = choose(&Choosers {
                flag,
                env,
                current,
                config,
            });
            let named = named.map_or("nothing".into(), |n| format!("{} by {:?}", n.name, n.by));
            assert_eq!(named, expect);
        };
        check(Some("f"), &both, Some("u"), Some("c"), "f by Flag");
        check(None, &both, Some("u"), Some("c"), "m by MbuildEnv");
        check(Some(""), &buildx, Some("u"), Some("c"), "x by BuildxEnv");
        check(None, &none, Some("u"), Some("c"), "u by Use");
        check(None, &none, None, Some("c"), "c by Config");
        check(None, &none, None, None, "nothing");
        check(
            Some("default"),
            &both,
            Some("u"),
            Some("c"),
            "default by Flag",
        );
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let farm = BuilderSpec {
            name: "farm".into(),
            nodes: Vec::new(),
            origin: super::super::spec::Origin::Config("/etc/mbuild.toml".into()),
        };
        let named = Named {
            name: "barn".into(),
            by: NamedBy::BuildxEnv,
        };
        let elsewhere = Elsewhere {
            buildx: true,
            unread: Some(("/u".into(), "/w".into())),
        };
        let error = UnknownBuilder::new(named, &[farm], &elsewhere);
        assert_eq!(
            error.to_string(),
            "there is no builder `barn`, which BUILDX_BUILDER names; known are farm \
             (/etc/mbuild.toml)"
        );
        assert!(
            error.hints[0].ends_with("mbuild builder import barn"),
            "{:?}",
            error.hints
        );
        assert!(
            error.hints[1].starts_with("/u was not read, since /w"),
            "{:?}",
            error.hints
        );
        let named = Named {
            name: "barn".into(),
            by: NamedBy::Use,
        };
        let error = UnknownBuilder::new(named, &[], &Elsewhere::default());
        assert!(error.to_string().ends_with("; none is defined"), "{error}");
        assert!(error.hints[0].contains("use default"), "{:?}", error.hints);
    }
}
