//! `--cache-from` and `--cache-to`: parsed, completed from the environment, checked.

use std::collections::BTreeMap;
use std::path::Path;

use crate::attrs::parse_bool;
use crate::request::{CacheKind, CacheSide, CacheSpec};

use super::super::super::app::App;
use super::super::super::error::CliError;
use super::super::args::BuildArgs;
use super::logins;

/// The build argument that asks for an inline cache.
const INLINE_ARG: &str = "BUILDKIT_INLINE_CACHE";

/// The caches to read.
pub(super) fn cache_from(args: &BuildArgs, app: &App) -> Result<Vec<CacheSpec>, CliError> {
    caches(&args.cache_from, CacheSide::From, app)
}

/// The caches to write.
pub(super) fn cache_to(
    args: &BuildArgs,
    build_args: &BTreeMap<String, String>,
    app: &App,
) -> Result<Vec<CacheSpec>, CliError> {
    let mut specs = caches(&args.cache_to, CacheSide::To, app)?;
    let wanted = build_args.get(INLINE_ARG);
    let wanted = wanted.and_then(|value| parse_bool(value)) == Some(true);
    if wanted && specs.iter().all(|spec| spec.kind != CacheKind::Inline) {
        specs.push(CacheSpec {
            kind: CacheKind::Inline,
            attrs: BTreeMap::new(),
        });
    }
    Ok(specs)
}

fn caches(values: &[String], side: CacheSide, app: &App) -> Result<Vec<CacheSpec>, CliError> {
    let mut caches = Vec::new();
    for value in values {
        let specs = CacheSpec::parse(side.flag(), value).map_err(CliError::usage)?;
        for mut spec in specs {
            let missing = logins::complete(&mut spec, app);
            spec.check(side).map_err(CliError::usage)?;
            let Some(missing) = missing else {
                absolute(&mut spec, app)?;
                caches.push(spec);
                continue;
            };
            let problem = format!("{} {}: {missing}", side.flag(), spec.shown());
            if !spec.ignores_errors() {
                return Err(CliError::usage(problem)
                    .hint("with ignore-error=true the build goes on without this cache"));
            }
            app.warn(&format!("{problem}; the build goes on without it"));
        }
    }
    Ok(caches)
}

/// Makes a local cache's directory absolute.
fn absolute(spec: &mut CacheSpec, app: &App) -> Result<(), CliError> {
    if spec.kind != CacheKind::Local {
        return Ok(());
    }
    for key in ["dest", "src"] {
        if let Some(dir) = spec.attrs.get_mut(key) {
            let path = app.path(Path::new(&*dir));
            let text = path.into_os_string().into_string();
            *dir = text.map_err(|path| {
                let path = path.display().to_string();
                CliError::usage(format!("{path}: a cache's directory has to be UTF-8"))
            })?;
        }
    }
    Ok(())
}
