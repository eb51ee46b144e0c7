//! `certs`: the certificates of a pool whose daemons take mutual TLS.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::builder::kubernetes::certs::{
    Certified, CertsError, CertsRequest, DEFAULT_DAYS, Deed, Rotate, certify, render,
};
use crate::builder::kubernetes::cluster::Cluster;
use crate::builder::kubernetes::sets::PoolSets;

use super::super::super::error::{CliError, CommandResult};
use super::super::super::exit::Exit;
use super::super::World;
use super::place::{Place, PlaceArgs};
use super::{cluster, kube_error};

/// Make and renew the certificates of a pool with mutual TLS
#[derive(Debug, Clone, clap::Args)]
pub struct CertsArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// How many days new certificates live; they are renewed 30 days before their end
    #[arg(long, value_name = "N", default_value_t = DEFAULT_DAYS,
        value_parser = clap::value_parser!(u16).range(1..))]
    days: u16,
    /// Replace the certificates of daemons and clients
    #[arg(long)]
    rotate: bool,
    /// Replace the authority too; the old one stays trusted until the next rotation
    #[arg(long)]
    rotate_ca: bool,
    /// Replace the pods, each when its builds have ended, so that daemons read what is new
    #[arg(long, conflicts_with = "dry_run")]
    restart: bool,
    /// Write the client's ca.crt, tls.crt and tls.key to a directory
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run")]
    dir: Option<PathBuf>,
    /// Print the Secrets that would be made or changed, with their keys, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// One pool: where its Secrets go, and its workloads where there are any yet.
struct Target {
    name: String,
    arches: Vec<String>,
    cluster: Cluster,
    sets: Option<PoolSets>,
}

pub(in super::super) async fn certs(args: &CertsArgs, world: &World<'_>) -> CommandResult {
    let mut targets = Vec::new();
    for place in args.place.places(world)? {
        targets.extend(find(&place, args, world).await?);
    }
    if let (Some(dir), [_, _, ..]) = (&args.dir, &targets[..]) {
        let text = format!("--dir {}: there are several pools", dir.display());
        return Err(CliError::usage(text).hint("name one of them, and its --namespace"));
    }
    for target in &targets {
        let request = CertsRequest {
            pool: target.name.clone(),
            namespace: target.cluster.namespace.clone(),
            arches: target.arches.clone(),
            days: args.days,
            rotate: match (args.rotate, args.rotate_ca) {
                (_, true) => Rotate::Authority,
                (true, false) => Rotate::Leaves,
                (false, false) => Rotate::Due,
            },
        };
        if args.dry_run {
            let yaml = render(&target.cluster, &request).await;
            world.print(&yaml.map_err(certs_error)?)?;
            continue;
        }
        let certified = certify(&target.cluster, &request).await;
        let certified = certified.map_err(certs_error)?;
        if let Some(dir) = &args.dir {
            write_files(&world.app.path(dir), &certified.client).map_err(|error| {
                CliError::new(Exit::Publish, error)
                    .hint("the Secrets are made; run it again with another --dir")
            })?;
        }
        world.print(&report(&certified))?;
        follow(target, &certified, args, world).await?;
    }
    Ok(Exit::Done)
}

/// The pools of a place; one that is to be deployed yet is known by its flags alone.
async fn find(place: &Place, args: &CertsArgs, world: &World<'_>) -> Result<Vec<Target>, CliError> {
    let pools = args.place.pools(place, world).await?;
    if !pools.is_empty() {
        let target = |sets: PoolSets| Target {
            name: sets.name.clone(),
            arches: sets.arches(),
            cluster: sets.cluster.clone(),
            sets: Some(sets),
        };
        return Ok(pools.into_iter().map(target).collect());
    }
    let cluster = cluster(&place.reach, world).await?;
    match (&place.pool, &args.place.arch[..]) {
        (Some(name), [_, ..]) => Ok(vec![Target {
            name: name.clone(),
            arches: args.place.arch.clone(),
            cluster,
            sets: None,
        }]),
        _ => Err(place.empty(&cluster.namespace).hint(
            "for one that is to be deployed: mbuild builder certs POOL --namespace NAMESPACE \
             --arch amd64,arm64",
        )),
    }
}

/// Lets daemons read their certificates, or says who has to.
async fn follow(
    target: &Target,
    certified: &Certified,
    args: &CertsArgs,
    world: &World<'_>,
) -> Result<(), CliError> {
    let Some(sets) = &target.sets else {
        return Ok(());
    };
    if args.restart {
        for workload in sets.restart().await.map_err(kube_error)? {
            world.app.say(&format!(
                "{workload}: its pods are replaced, each when its builds have ended\n"
            ));
        }
    } else if certified.concerns_daemons() {
        let names: Vec<_> = sets
            .sets
            .iter()
            .map(|set| format!("statefulset/{}", set.name))
            .collect();
        world.app.say(&format!(
            "daemons read their certificates when they start. For those that run:\n  kubectl -n {} \
             rollout restart {}\n(or --restart, which does the same)\n",
            target.cluster.namespace,
            names.join(" ")
        ));
    }
    Ok(())
}

fn report(certified: &Certified) -> String {
    let line = |secret: &crate::builder::kubernetes::certs::SecretReport| {
        let deed = match secret.deed {
            Deed::Kept => "is good",
            Deed::Made => "made",
            Deed::Renewed => "renewed",
            Deed::Replaced => "replaced",
            Deed::Extended => "replaced, with more names",
            Deed::Trusts => "stays; the authorities trusted with it are others",
        };
        let until = secret.until.strftime("%Y-%m-%d");
        format!("secret/{} {deed}; until {until}\n", secret.name)
    };
    certified.secrets.iter().map(line).collect()
}

/// Writes each file whole, for its owner alone.
fn write_files(dir: &Path, files: &BTreeMap<&str, String>) -> io::Result<()> {
    let describe = |error: io::Error, path: &Path| {
        io::Error::new(
            error.kind(),
            format!("cannot write {}: {error}", path.display()),
        )
    };
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(dir);
    made.map_err(|error| describe(error, dir))?;
    for (name, text) in files {
        let path = dir.join(name);
        // A temporary file is its owner's alone from the first byte on.
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(dir)?;
            file.write_all(text.as_bytes())?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|error| describe(error, &path))?;
    }
    Ok(())
}

fn certs_error(error: CertsError) -> CliError {
    match error {
        CertsError::Kube(error) => kube_error(*error),
        error @ CertsError::NotOurs { .. } => CliError::config(error)
            .hint("renew them where they come from, or delete them and run this again"),
        error @ CertsError::Issue { .. } => CliError::config(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_their_owners_alone() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/tls");
        let files = BTreeMap::from([("tls.crt", "c".to_owned()), ("tls.key", "k".to_owned())]);
        write_files(&dir, &files).unwrap();
        write_files(&dir, &files).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join("tls.key"))), (0o700, 0o600));
        assert_eq!(fs::read_to_string(dir.join("tls.key")).unwrap(), "k");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
        let error = write_files(&dir.join("tls.key"), &files).unwrap_err();
        assert!(error.to_string().contains("tls.key"), "{error}");
    }
}
