//! What a TLS failure means to the person who set the certificates up.

use std::io;
use std::path::PathBuf;

use rustls::{AlertDescription, CertificateError};

/// Why there is no TLS connection.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file has another content than it should.
    #[error("{} holds no {what} in PEM form", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A certificate in a file is not valid.
    #[error("a certificate in {} is not valid", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The key's file is protected by a passphrase.
    #[error("the private key in {} is encrypted", .0.display())]
    EncryptedKey(PathBuf),
    /// A certificate without its key, or the other way round.
    #[error("{} needs its other half: give both cert and key", .0.display())]
    HalfPair(PathBuf),
    /// Certificate and key do not belong together, or the key is of an unknown kind.
    #[error("the certificate in {} does not go with the key in {}", cert.display(), key.display())]
    KeyMismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The name to look for in the certificate is no name.
    #[error("`{0}` cannot be a server's name")]
    ServerName(String),
    /// The daemon's certificate is out of date.
    #[error("the daemon's certificate has expired")]
    Expired,
    /// The daemon's certificate is from the future.
    #[error("the daemon's certificate is not valid yet")]
    NotYetValid,
    /// Nobody we trust signed the daemon's certificate.
    #[error("the daemon's certificate comes from an authority that is not trusted")]
    UnknownAuthority,
    /// The daemon's certificate is for other names.
    #[error("the daemon's certificate is not for `{expected}` but for {}", presented.join(", "))]
    OtherName {
        /// The name looked for.
        expected: String,
        /// The names in it.
        presented: Vec<String>,
    },
    /// The daemon's certificate has its name in the old place only.
    #[error("the daemon's certificate names no host: it has no subject alternative name")]
    CommonNameOnly {
        /// The name looked for.
        expected: String,
    },
    /// The daemon wants a certificate of the client, and got none.
    #[error("the daemon asks for a client certificate")]
    ClientCertificateNeeded,
    /// The daemon does not accept the client's certificate.
    #[error("the daemon refuses the client's certificate ({0})")]
    ClientCertificateRefused(String),
    /// The daemon's port speaks something else.
    #[error("the daemon does not speak TLS there")]
    NotTls,
    /// The daemon does not offer the application protocol that is needed.
    #[error("the daemon does not offer the protocol that is needed (ALPN)")]
    NoProtocol,
    /// Another failure of TLS itself.
    #[error("TLS failed")]
    Rustls(#[source] rustls::Error),
    /// The connection broke during the handshake.
    #[error("the connection broke during the TLS handshake")]
    Other(#[source] io::Error),
}

impl TlsError {
    /// Whether the client's own files or settings are at fault, whatever the daemon is like.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Read { .. }
                | Self::NotPem { .. }
                | Self::BadCertificate { .. }
                | Self::EncryptedKey(_)
                | Self::HalfPair(_)
                | Self::KeyMismatch { .. }
                | Self::ServerName(_)
        )
    }

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::EncryptedKey(path) => {
                let path = path.display();
                return Some(format!(
                    "decrypt it once, for instance with `openssl pkey -in {path} -out key.pem`"
                ));
            }
            Self::OtherName { presented, .. } => {
                let name = presented.first()?;
                return Some(format!(
                    "if that is the right daemon, set tls.server_name = \"{name}\""
                ));
            }
            Self::CommonNameOnly { expected } => {
                return Some(format!(
                    "its common name is not looked at any more; make one with \
                     subjectAltName = DNS:{expected}"
                ));
            }
            Self::UnknownAuthority => "set tls.ca to the authority's certificate",
            Self::ClientCertificateNeeded => "set tls.cert and tls.key",
            Self::NotTls => "leave tls away for this endpoint, or use the daemon's TLS port",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// Finds the meaning of a failed handshake or read, where `name` was looked for.
pub(super) fn explain(error: io::Error, name: &str) -> TlsError {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner.cloned() {
        Some(error) => explain_rustls(error, name),
        None => TlsError::Other(error),
    }
}

fn explain_rustls(error: rustls::Error, name: &str) -> TlsError {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(inner) => explain_certificate(inner, name),
        E::AlertReceived(alert) => explain_alert(alert),
        E::InvalidMessage(_) | E::InappropriateMessage { .. } => TlsError::NotTls,
        E::NoApplicationProtocol => TlsError::NoProtocol,
        other => TlsError::Rustls(other),
    }
}

fn explain_certificate(error: CertificateError, name: &str) -> TlsError {
    use CertificateError as C;
    match error {
        C::Expired | C::ExpiredContext { .. } => TlsError::Expired,
        C::NotValidYet | C::NotValidYetContext { .. } => TlsError::NotYetValid,
        // A bad signature is what an authority made anew under its old name looks like.
        C::UnknownIssuer | C::BadSignature => TlsError::UnknownAuthority,
        C::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            TlsError::CommonNameOnly {
                expected: name.to_owned(),
            }
        }
        C::NotValidForNameContext { presented, .. } => TlsError::OtherName {
            expected: name.to_owned(),
            presented: presented.iter().map(|text| plain_name(text)).collect(),
        },
        other => TlsError::Rustls(rustls::Error::InvalidCertificate(other)),
    }
}

/// rustls prints names as `DnsName("x")` and `IpAddress(127.0.0.1)`; only what is within is
/// of use.
fn plain_name(text: &str) -> String {
    let mut quoted = text.split('"');
    if let (Some(_), Some(name)) = (quoted.next(), quoted.next()) {
        return name.to_owned();
    }
    let address = text
        .strip_prefix("IpAddress(")
        .and_then(|rest| rest.strip_suffix(')'));
    address.unwrap_or(text).to_owned()
}

fn explain_alert(alert: AlertDescription) -> TlsError {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => TlsError::ClientCertificateNeeded,
        A::NoApplicationProtocol => TlsError::NoProtocol,
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::DecryptError
        | A::AccessDenied => TlsError::ClientCertificateRefused(format!("{alert:?}")),
        other => TlsError::Rustls(rustls::Error::AlertReceived(other)),
    }
}
