//! Finds the builder of a run: the one that is named, or the first place that answers.
//!
//! [`Finder`] gathers every definition there is. Only a builder that nobody named costs a
//! look at the machine's sockets.

use super::Builder;
use super::choose::{
    Choosers, DEFAULT_BUILDER, Elsewhere, Named, NamedBy, NoneChosen, UnknownBuilder, choose,
};
use super::docker_host::docker_engine;
use super::import::buildx_has;
use super::own_pool::{OwnPool, SeveralPools, own_pool};
use super::places::{NothingAnswers, Place, first_answering, nodes_at, places};
use super::probe::{Probed, probe};
use super::spec::{BuilderSpec, SpecError};
use super::store::{Store, StoreError};
use crate::causes::causes;
use crate::config::{Env, Settings};

/// All that defines or chooses builders.
#[derive(Debug, Clone, Copy)]
pub struct Finder<'a> {
    /// The environment.
    pub env: &'a Env,
    /// The configuration.
    pub settings: &'a Settings,
    /// The state directory's builders.
    pub store: &'a Store,
    /// The value of `--builder`.
    pub flag: Option<&'a str>,
}

/// A builder that was found.
#[derive(Debug)]
pub struct FoundBuilder {
    /// The builder.
    pub builder: Builder,
    /// The first node's answer where it was asked already, to find it.
    pub probed: Option<Probed>,
}

/// A builder that is defined, but not so that it could be used.
#[derive(Debug)]
pub struct BrokenBuilder {
    /// Its name.
    pub name: String,
    /// Why not.
    pub error: FindError,
}

/// Why there is no builder.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The state directory cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration defines a builder that cannot be.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A name is of no builder.
    #[error(transparent)]
    Unknown(#[from] UnknownBuilder),
    /// None is named, and the configuration defines several.
    #[error(transparent)]
    NoneChosen(#[from] NoneChosen),
    /// None is named, and the pod's namespace has several pools.
    #[error(transparent)]
    SeveralPools(#[from] SeveralPools),
    /// None is named, and nothing answers.
    #[error(transparent)]
    Nothing(#[from] NothingAnswers),
}

impl FindError {
    /// Says what the user can do about it.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::Store(error) => error.hint().into_iter().collect(),
            Self::Spec(_) => Vec::new(),
            Self::Unknown(error) => error.hints.clone(),
            Self::NoneChosen(error) => vec![error.hint()],
            Self::SeveralPools(error) => vec![error.hint()],
            Self::Nothing(error) => error.hints.clone(),
        }
    }
}

impl Finder<'_> {
    /// Finds the builder to use. Asks daemons only when none is named.
    ///
    /// # Errors
    ///
    /// When the name that counts is of no builder, none is given and nothing answers, or the
    /// configuration has an endpoint that is none, whichever builder it is in.
    pub async fn find(&self) -> Result<FoundBuilder, FindError> {
        if let Some(source) = &self.settings.source {
            for (name, def) in &self.settings.builders {
                BuilderSpec::from_def(name, def, source)?;
            }
        }
        match self.chosen()? {
            Some(named) => {
                let builder = Builder::new(self.named(&named)?, self.env);
                Ok(FoundBuilder {
                    builder,
                    probed: None,
                })
            }
            None => {
                self.check_unnamed()?;
                let own = self.own_pool().await?;
                let passed = match own.into_builder(self.env) {
                    Ok(builder) => {
                        return Ok(FoundBuilder {
                            builder,
                            probed: None,
                        });
                    }
                    Err(passed) => passed,
                };
                let places = self.places();
                let probed = probe(&nodes_at(&places, self.env), "").await;
                let found = first_answering(places, probed, self.env);
                Ok(found.map_err(|error| error.after(passed))?)
            }
        }
    }

    /// Looks for the pool of the pod's own namespace, where this is a pod and `BUILDKIT_HOST`
    /// says nothing else.
    ///
    /// # Errors
    ///
    /// When there are several.
    pub async fn own_pool(&self) -> Result<OwnPool, SeveralPools> {
        match self.env.get("BUILDKIT_HOST") {
            Some(host) if !host.is_empty() => Ok(OwnPool::NoPod),
            _ => own_pool(self.env).await,
        }
    }

    /// Makes sure that not naming a builder passes none over that the configuration defines.
    ///
    /// # Errors
    ///
    /// When none is given, not even `default`, and the configuration defines several.
    pub fn check_unnamed(&self) -> Result<(), FindError> {
        let Settings {
            builders, source, ..
        } = self.settings;
        match source {
            Some(source) if builders.len() > 1 && self.given()?.is_none() => Err(NoneChosen {
                path: source.path.clone(),
                names: builders.keys().cloned().collect(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// Returns the name that counts; `None` when none is given, or `default` is.
    ///
    /// The only builder of a configuration counts as if that chose it.
    ///
    /// # Errors
    ///
    /// When it depends on `mbuild builder use`, and that cannot be read.
    pub fn chosen(&self) -> Result<Option<Named>, StoreError> {
        Ok(self.given()?.filter(|named| named.name != DEFAULT_BUILDER))
    }

    /// Returns the name that counts, which may be `default`.
    fn given(&self) -> Result<Option<Named>, StoreError> {
        let explicit = Choosers {
            flag: self.flag,
            env: self.env,
            current: None,
            config: None,
        };
        let named = match choose(&explicit) {
            // A choice that cannot be read does not matter to who overrides it.
            Some(named) => Some(named),
            None => {
                let current = self.store.current()?;
                let config = self.settings.builder.as_deref();
                choose(&Choosers {
                    current: current.as_deref(),
                    config,
                    ..explicit
                })
            }
        };
        Ok(named.or_else(|| {
            let mut names = self.settings.builders.keys();
            let (name, None) = (names.next()?.clone(), names.next()) else {
                return None;
            };
            let by = NamedBy::Only;
            Some(Named { name, by })
        }))
    }

    /// Returns the definition of a builder.
    ///
    /// # Errors
    ///
    /// When there is none of that name, or it cannot be understood.
    pub fn named(&self, named: &Named) -> Result<BuilderSpec, FindError> {
        if let Some(spec) = self.defined(&named.name)? {
            return Ok(spec);
        }
        let known: Vec<_> = self.all()?.into_iter().filter_map(Result::ok).collect();
        let elsewhere = Elsewhere {
            buildx: buildx_has(self.env, &named.name),
            unread: self
                .settings
                .unread
                .as_ref()
                .zip(self.settings.source.as_ref())
                .map(|(unread, source)| {
                    (
                        unread.display().to_string(),
                        source.path.display().to_string(),
                    )
                }),
        };
        Err(UnknownBuilder::new(named.clone(), &known, &elsewhere).into())
    }

    /// Looks a name up in the configuration, then in the state directory.
    fn defined(&self, name: &str) -> Result<Option<BuilderSpec>, FindError> {
        let source = self.settings.source.as_ref();
        match (self.settings.builders.get(name), source) {
            (Some(def), Some(source)) => Ok(Some(BuilderSpec::from_def(name, def, source)?)),
            _ => Ok(self.store.load(name)?),
        }
    }

    /// Reads every definition, sorted by name; one that is broken takes only its own place.
    ///
    /// # Errors
    ///
    /// When the state directory cannot be listed.
    pub fn all(&self) -> Result<Vec<Result<BuilderSpec, BrokenBuilder>>, StoreError> {
        let mut names: Vec<String> = self.settings.builders.keys().cloned().collect();
        names.extend(self.store.names()?);
        names.sort();
        names.dedup();
        let read = |name: String| match self.defined(&name) {
            Ok(Some(spec)) => Some(Ok(spec)),
            // Removed since it was listed.
            Ok(None) => None,
            Err(error) => Some(Err(BrokenBuilder { name, error })),
        };
        Ok(names.into_iter().filter_map(read).collect())
    }

    /// Lists where a daemon may be when no builder is named.
    pub fn places(&self) -> Vec<Place> {
        places(
            self.env,
            docker_engine(self.env).map_err(|error| causes(&error)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::{NodeSpec, Origin};
    use super::super::store::Replace;
    use super::*;
    use crate::config::{self, Found, Source};

    struct World {
        dir: tempfile::TempDir,
        env: Env,
        settings: Settings,
        store: Store,
    }

    impl World {
        /// A home with nothing in it and a configuration of this text.
        fn new(config: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let home = dir.path().to_str().unwrap().to_owned();
            let runtime = dir.path().join("run").to_str().unwrap().to_owned();
            let env = Env::from([("HOME".into(), home), ("XDG_RUNTIME_DIR".into(), runtime)]);
            let source = Source {
                path: "/etc/mbuild.toml".into(),
                found: Found::User,
            };
            let settings = config::parse(config, source, None).unwrap();
            let store = Store::new(&dir.path().join("state"));
            Self {
                dir,
                env,
                settings,
                store,
            }
        }

        fn finder(&self) -> Finder<'_> {
            Finder {
                env: &self.env,
                settings: &self.settings,
                store: &self.store,
                flag: None,
            }
        }

        fn save(&self, name: &str, endpoint: &str) {
            let nodes = vec![NodeSpec::new("n", endpoint.parse().unwrap())];
            let spec = BuilderSpec {
                name: name.into(),
                nodes,
                origin: Origin::New,
            };
            self.store.save(&spec, Replace::No).unwrap();
        }
    }

    const FARM: &str =
        "builder = \"farm\"\n[[builders.farm.nodes]]\nname = \"n\"\nendpoint = \"tcp://c:1\"\n";

    #[tokio::test]
    async fn a_named_builder_is_taken_unasked() {
        let world = World::new(FARM);
        world.save("farm", "tcp://s:1");
        world.save("barn", "tcp://b:1");
        let found = world.finder().find().await.unwrap();
        assert!(found.probed.is_none());
        let endpoint = &found.builder.nodes[0].spec().reach;
        assert_eq!(
            endpoint.to_string(),
            "tcp://c:1",
            "the configuration wins over the state"
        );

        world.store.choose(Some("barn")).unwrap();
        assert_eq!(world.finder().find().await.unwrap().builder.name, "barn");
        let flagged = Finder {
            flag: Some("farm"),
            ..world.finder()
        };
        assert_eq!(flagged.find().await.unwrap().builder.name, "farm");
    }

    #[tokio::test]
    async fn builders_that_are_defined_are_not_passed_over() {
        let farm = "[[builders.farm.nodes]]\nname = \"n\"\nendpoint = \"tcp://c:1\"\n";
        let world = World::new(farm);
        assert_eq!(world.finder().find().await.unwrap().builder.name, "farm");

        let barn = farm.replace("farm", "barn");
        let world = World::new(&format!("{farm}{barn}"));
        let error = world.finder().find().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "/etc/mbuild.toml defines the builders barn, farm, and nothing chooses one"
        );
        assert!(error.hints()[0].contains("builder = \"barn\" to /etc/mbuild.toml"));
        let unnamed = Finder {
            flag: Some("default"),
            ..world.finder()
        };
        unnamed.check_unnamed().unwrap();
    }

    #[tokio::test]
    async fn a_bad_endpoint_is_reported_whichever_builder_it_is_in() {
        for endpoint in ["foo", "ssh://-oProxyCommand=x"] {
            let world = World::new(&format!(
                "{FARM}[[builders.odd.nodes]]\nname = \"n\"\nendpoint = \"{endpoint}\"\n"
            ));
            let error = world.finder().find().await.unwrap_err().to_string();
            assert!(error.starts_with("/etc/mbuild.toml:7: "), "{error}");
        }
    }

    #[tokio::test]
    async fn an_unknown_name_is_an_error_that_helps() {
        let mut world = World::new(FARM);
        world.settings.unread = Some("/home/me/.config/mbuild/mbuild.toml".into());
        world.env.insert("BUILDX_BUILDER".into(), "barn".into());
        let instances = world.dir.path().join(".docker/buildx/instances");
        std::fs::create_dir_all(&instances).unwrap();
        std::fs::write(instances.join("barn"), "{}").unwrap();
        let error = world.finder().find().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no builder `barn`, which BUILDX_BUILDER names; known are farm \
             (/etc/mbuild.toml)"
        );
        assert_eq!(error.hints().len(), 2, "{:?}", error.hints());
    }

    #[tokio::test]
    async fn a_broken_builder_hides_no_other() {
        let world = World::new("[[builders.odd.nodes]]\nname = \"n\"\nendpoint = \"odd\"\n");
        world.save("barn", "tcp://b:1");
        let all = world.finder().all().unwrap();
        assert_eq!(all[0].as_ref().unwrap().name, "barn");
        let BrokenBuilder { name, error } = all[1].as_ref().unwrap_err();
        assert_eq!(name, "odd");
        assert!(
            error.to_string().starts_with("/etc/mbuild.toml:3: "),
            "{error}"
        );
    }

    /// Tries all places but the socket of a buildkitd that this machine may have.
    async fn nothing_answers(world: &World) -> NothingAnswers {
        let mut places = world.finder().places();
        places.retain(|place| place.what != "buildkitd's socket");
        let probed = probe(&nodes_at(&places, &Env::new()), "").await;
        first_answering(places, probed, &Env::new()).unwrap_err()
    }

    #[tokio::test]
    async fn if_nothing_answers_every_place_is_listed() {
        let mut world = World::new("");
        let run = world.dir.path().join("run");
        std::fs::create_dir(&run).unwrap();
        drop(std::os::unix::net::UnixListener::bind(run.join("docker.sock")).unwrap());
        let docker = format!("unix://{}", world.dir.path().join("d.sock").display());
        world.env.insert("DOCKER_HOST".into(), docker);
        let error = nothing_answers(&world).await;
        let tried: Vec<&str> = error.tried.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(tried, ["DOCKER_HOST", "rootless buildkitd's socket"]);
        let text = error.to_string();
        assert!(
            text.contains("\n  DOCKER_HOST: cannot connect to docker+unix://"),
            "{text}"
        );
        assert!(text.contains("No such file"), "{text}");
        assert_eq!(
            error.hints.len(),
            1,
            "an absent socket needs no hint: {:?}",
            error.hints
        );

        world.env.insert("BUILDKIT_HOST".into(), "nonsense".into());
        let error = nothing_answers(&world).await;
        assert_eq!(error.tried.len(), 1);
        assert!(
            error.tried[0].1.contains("`nonsense` is not an endpoint"),
            "{error}"
        );
    }
}
