//! The files of a TLS client, and the rustls configuration they make.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::TlsError;

/// The files of a TLS client, as configuration names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file of the authorities that the daemon's certificate may come from; `None` means
    /// those the system trusts.
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate and its chain; goes with `key`.
    pub cert: Option<PathBuf>,
    /// PEM file of the client's private key, not encrypted.
    pub key: Option<PathBuf>,
    /// The name in the daemon's certificate, where it is not the host dialled.
    pub server_name: Option<String>,
}

impl TlsFiles {
    /// Reads the files. Blocks: not for async threads.
    pub(super) fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Rustls)?
            .with_root_certificates(self.roots()?);
        match (&self.cert, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(cert), Some(key)) => {
                let chain = certificates(cert)?;
                let mismatch = |_| TlsError::KeyMismatch {
                    cert: cert.clone(),
                    key: key.clone(),
                };
                builder
                    .with_client_auth_cert(chain, private_key(key)?)
                    .map_err(mismatch)
            }
            (Some(cert), None) => Err(TlsError::HalfPair(cert.clone())),
            (None, Some(key)) => Err(TlsError::HalfPair(key.clone())),
        }
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.ca else {
            let found = rustls_native_certs::load_native_certs().certs;
            roots.add_parsable_certificates(found);
            return Ok(roots);
        };
        for certificate in certificates(path)? {
            roots
                .add(certificate)
                .map_err(|source| TlsError::BadCertificate {
                    path: path.clone(),
                    source,
                })?;
        }
        Ok(roots)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_path_buf(),
        source,
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let not_pem = || TlsError::NotPem {
        path: path.to_path_buf(),
        what: "certificate",
    };
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(not_pem()),
    }
}

/// An encrypted key is told apart by its header: rustls sees no key at all there.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    let encrypted = text.split(|byte| *byte == b'\n').any(|line| {
        line.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || line.starts_with(b"Proc-Type: 4,ENCRYPTED")
    });
    if encrypted {
        return Err(TlsError::EncryptedKey(path.to_path_buf()));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| TlsError::NotPem {
        path: path.to_path_buf(),
        what: "private key",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        folder: tempfile::TempDir,
        files: TlsFiles,
    }

    fn client() -> Case {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["client".into()]).unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let files = TlsFiles {
            ca: write("ca.pem", made.cert.pem()),
            cert: write("cert.pem", made.cert.pem()),
            key: write("key.pem", made.signing_key.serialize_pem()),
            server_name: None,
        };
        Case { folder, files }
    }

    fn refused(files: &TlsFiles, expect: &str) {
        let error = files.client_config().unwrap_err().to_string();
        assert!(error.ends_with(expect), "{error}");
    }

    #[test]
    fn a_pair_and_an_authority_make_a_configuration() {
        let case = client();
        assert!(
            case.files
                .client_config()
                .unwrap()
                .client_auth_cert_resolver
                .has_certs()
        );
        let anonymous = TlsFiles {
            ca: case.files.ca.clone(),
            ..TlsFiles::default()
        };
        assert!(
            !anonymous
                .client_config()
                .unwrap()
                .client_auth_cert_resolver
                .has_certs()
        );
    }

    #[test]
    fn files_that_do_not_serve_are_named() {
        let case = client();
        let path = |name: &str| Some(case.folder.path().join(name));
        let with = |change: fn(&mut TlsFiles, Option<PathBuf>), name: &str| {
            let mut files = case.files.clone();
            change(&mut files, path(name));
            files
        };
        refused(&with(|f, p| f.ca = p, "none.pem"), "none.pem");
        std::fs::write(case.folder.path().join("empty"), "").unwrap();
        refused(
            &with(|f, p| f.cert = p, "empty"),
            "empty holds no certificate in PEM form",
        );
        refused(
            &with(|f, p| f.key = p, "cert.pem"),
            "cert.pem holds no private key in PEM form",
        );
        refused(
            &with(|f, _| f.key = None, ""),
            "cert.pem needs its other half: give both cert and key",
        );
        let other = client();
        let mut files = case.files.clone();
        files.key = other.files.key.clone();
        refused(&files, "key.pem");
    }

    #[test]
    fn an_encrypted_key_is_recognised_in_both_forms() {
        let case = client();
        for text in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
        ] {
            let path = case.folder.path().join("locked.pem");
            std::fs::write(&path, text).unwrap();
            let mut files = case.files.clone();
            files.key = Some(path);
            let error = files.client_config().unwrap_err();
            assert!(matches!(error, TlsError::EncryptedKey(_)), "{error}");
            assert!(error.hint().unwrap().contains("openssl pkey"));
        }
    }
}
