//! Settings per registry and the TLS files that docker keeps for it.
//!
//! [`RegistrySettings`] comes from the configuration; [`RegistrySettings::tls_files`] reads the
//! certificates. Nothing here opens a connection.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::config::RegistryDef;

/// What the user configured about registries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// By host, with the port if there is one: `registry.example:5000`.
    pub hosts: BTreeMap<String, RegistryDef>,
    /// Folders with a folder per host, as docker's daemon reads them.
    pub certs_dirs: Vec<PathBuf>,
}

/// How a registry is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    /// TLS, with a certificate that we trust.
    Verified,
    /// TLS with any certificate, else plain HTTP.
    Any,
    /// Plain HTTP.
    Plain,
}

/// The PEM texts for one registry.
#[derive(Default)]
pub(super) struct TlsFiles {
    /// Authorities to trust.
    pub(super) authorities: Vec<(PathBuf, Vec<u8>)>,
    /// Our own certificate with its key.
    pub(super) identity: Option<(PathBuf, Vec<u8>)>,
}

impl Default for RegistrySettings {
    /// No host is configured; docker's certificates are honoured.
    fn default() -> Self {
        Self {
            hosts: BTreeMap::new(),
            certs_dirs: vec!["/etc/docker/certs.d".into()],
        }
    }
}

impl RegistrySettings {
    /// How `host` is spoken to: as configured; a loopback address as docker does, without
    /// verification; all others verified.
    pub(super) fn security(&self, host: &str) -> Security {
        match self.hosts.get(host) {
            Some(RegistryDef { http: true, .. }) => Security::Plain,
            Some(RegistryDef { insecure: true, .. }) => Security::Any,
            Some(RegistryDef { ca: Some(_), .. }) => Security::Verified,
            _ if is_loopback(host) => Security::Any,
            _ => Security::Verified,
        }
    }

    /// Reads the certificates for `host`; the error names the file.
    ///
    /// Docker's rules: `*.crt` are authorities, `NAME.cert` with `NAME.key` is ours.
    pub(super) fn tls_files(&self, host: &str) -> Result<TlsFiles, (PathBuf, io::Error)> {
        let mut files = TlsFiles::default();
        if let Some(ca) = self
            .hosts
            .get(host)
            .and_then(|settings| settings.ca.as_ref())
        {
            files.authorities.push((ca.clone(), read(ca)?));
        }
        for dir in self.certs_dirs.iter().map(|dir| dir.join(host)) {
            for file in list(&dir)? {
                match file.extension().and_then(|end| end.to_str()) {
                    Some("crt") => files.authorities.push((file.clone(), read(&file)?)),
                    Some("cert") if files.identity.is_none() => {
                        let mut pem = read(&file)?;
                        pem.push(b'\n');
                        pem.extend(read(&file.with_extension("key"))?);
                        files.identity = Some((file, pem));
                    }
                    _ => {}
                }
            }
        }
        Ok(files)
    }
}

/// The host that serves a registry's requests, which differs from its name for Docker Hub.
pub(super) fn endpoint(domain: &str) -> &str {
    match domain {
        "docker.io" | "index.docker.io" => "registry-1.docker.io",
        other => other,
    }
}

fn read(file: &Path) -> Result<Vec<u8>, (PathBuf, io::Error)> {
    std::fs::read(file).map_err(|error| (file.to_owned(), error))
}

/// The files of a folder by name; none if it isn't there.
fn list(dir: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err((dir.to_owned(), error)),
    };
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| (dir.to_owned(), error))?;
    files.sort();
    Ok(files)
}

/// Whether requests stay on this machine, where no proxy leads.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost"
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn hosts_are_verified_unless_loopback_or_configured() {
        let mut settings = RegistrySettings::default();
        let host = |http, insecure, ca: bool| RegistryDef {
            http,
            insecure,
            ca: ca.then(|| "ca.pem".into()),
        };
        settings
            .hosts
            .insert("plain:5000".into(), host(true, false, false));
        settings
            .hosts
            .insert("lax".into(), host(false, true, false));
        settings
            .hosts
            .insert("localhost:5001".into(), host(false, false, true));
        let check = |name: &str, expect| assert_eq!(settings.security(name), expect, "{name}");
        check("registry.example", Security::Verified);
        check("plain", Security::Verified);
        check("plain:5000", Security::Plain);
        check("lax", Security::Any);
        for loopback in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            check(loopback, Security::Any);
        }
        check("localhost:5001", Security::Verified);
        check("localhost.example", Security::Verified);
        check("10.0.0.1:5000", Security::Verified);
    }

    #[test]
    fn dockers_certificate_folder_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("r.example:5000");
        fs::create_dir(&host).unwrap();
        for (name, text) in [
            ("b.crt", "B"),
            ("a.crt", "A"),
            ("me.cert", "C"),
            ("me.key", "K"),
            ("note.txt", ""),
        ] {
            fs::write(host.join(name), text).unwrap();
        }
        let own = dir.path().join("own.pem");
        fs::write(&own, "O").unwrap();
        let mut settings = RegistrySettings {
            certs_dirs: vec![dir.path().into()],
            ..Default::default()
        };
        let configured = RegistryDef {
            ca: Some(own),
            ..Default::default()
        };
        settings.hosts.insert("r.example:5000".into(), configured);
        let files = settings.tls_files("r.example:5000").unwrap();
        let texts: Vec<_> = files
            .authorities
            .iter()
            .map(|(_, text)| text.as_slice())
            .collect();
        assert_eq!(texts, [b"O", b"A", b"B"]);
        assert_eq!(files.identity.unwrap().1, b"C\nK");
        assert!(settings.tls_files("other").unwrap().authorities.is_empty());
    }

    #[test]
    fn a_certificate_without_key_is_an_error_naming_the_key() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("r")).unwrap();
        fs::write(dir.path().join("r/me.cert"), "C").unwrap();
        let settings = RegistrySettings {
            certs_dirs: vec![dir.path().into()],
            ..Default::default()
        };
        let (file, _) = settings.tls_files("r").err().unwrap();
        assert!(file.ends_with("r/me.key"));
    }
}
