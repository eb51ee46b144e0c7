//! Options that contradict each other, and names that are too long: [`PoolOptions::check`].
//!
//! Everything that can be known without asking the cluster.

use super::values::{self, Wrong};
use super::{Isolation, OptionError, PoolOptions};

/// A StatefulSet's pods are labelled with its name and the hash of a revision (`-` and ten
/// characters), in the 63 of a label.
const WORKLOAD_LIMIT: usize = 52;
const ARCHITECTURE_LIMIT: usize = 16;

impl PoolOptions {
    /// Checks what no single option shows.
    ///
    /// # Errors
    ///
    /// When two options exclude each other, one needs another, or a name is none.
    pub fn check(&self) -> Result<(), OptionError> {
        let longest = self.architectures.iter().map(String::len).max();
        let limit = WORKLOAD_LIMIT - 1 - longest.unwrap_or(0).min(ARCHITECTURE_LIMIT);
        name("pool", values::label_name(&self.name, limit))?;
        name("namespace", values::namespace(&self.namespace))?;
        for arch in &self.architectures {
            name("architecture", architecture(arch))?;
        }
        if self.architectures.is_empty() {
            return name(
                "architecture",
                values::wrong("", "is missing: name a platform"),
            );
        }
        self.check_root()?;
        let emulated = self.qemu.is_some();
        if emulated && self.isolation == Isolation::UserNamespace {
            return Err(OptionError::Together {
                one: "qemu.install",
                other: "hostusers=false",
                why: "emulators are installed on the node, by its root",
            });
        }
        match &self.autoscale {
            Some(scale) if scale.image.is_empty() => Err(OptionError::Needs {
                option: "autoscale",
                needed: "autoscale.image",
            }),
            Some(scale) if scale.most < self.replicas.max(1) => Err(OptionError::Invalid {
                option: "autoscale.max".to_owned(),
                part: scale.most.to_string(),
                problem: format!(
                    "is less than the least number of pods, {}",
                    self.replicas.max(1)
                ),
            }),
            _ => Ok(()),
        }
    }

    fn check_root(&self) -> Result<(), OptionError> {
        if self.claim.is_some() && self.root_memory.is_some() {
            return Err(OptionError::Together {
                one: "persistent-volume-claim.requests.storage",
                other: "buildkit-root-volume-memory",
                why: "the root is in a volume or in memory",
            });
        }
        if self.storage_class.is_some() && self.claim.is_none() {
            return Err(OptionError::Needs {
                option: "storageclass",
                needed: "persistent-volume-claim.requests.storage",
            });
        }
        Ok(())
    }
}

fn architecture(arch: &str) -> Result<String, Wrong> {
    let fits = (1..=ARCHITECTURE_LIMIT).contains(&arch.len())
        && arch
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    match fits {
        true => Ok(arch.to_owned()),
        false => values::wrong(arch, "is not one that nodes can be of, such as amd64"),
    }
}

fn name(what: &'static str, result: Result<String, Wrong>) -> Result<(), OptionError> {
    match result {
        Ok(_) => Ok(()),
        Err(Wrong { part, problem }) => Err(OptionError::Name {
            what,
            value: part,
            problem,
        }),
    }
}
