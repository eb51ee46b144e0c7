//! Makes certificates and reads them: [`authority`], [`leaf`] and [`Facts`].
//!
//! Pure but for the random keys. ECDSA P-256 throughout. When something is made, and where it
//! is kept, is decided elsewhere.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use x509_parser::pem::Pem;
use x509_parser::prelude::{GeneralName, X509Certificate};

/// How long an authority signs.
pub(super) const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// Clocks differ: what is made now is valid since a little earlier.
const SKEW: SignedDuration = SignedDuration::from_mins(10);

/// A certificate with what leads from it to its root, and its key; PEM.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

/// Whose certificate it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side<'a> {
    /// The daemons', for these names.
    Server(&'a [String]),
    /// The clients'.
    Client,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) until: Timestamp,
    pub(super) names: Vec<String>,
}

/// Why a certificate cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// What is said to be a certificate is none.
    #[error("not a certificate: {0}")]
    Read(String),
}

/// Makes an authority, which signs itself; its name is its own, so that it is not taken for
/// the one before it.
pub(super) fn authority(pool: &str, now: Timestamp) -> Result<Pair, IssueError> {
    let key = KeyPair::generate()?;
    let day = now.strftime("%Y-%m-%d");
    let id: String = key.public_key_raw()[1..5]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let params = authority_params(&format!("{pool} authority {day} {id}"), now)?;
    Ok(Pair {
        cert: params.self_signed(&key)?.pem(),
        key: key.serialize_pem(),
    })
}

/// Lets an older authority vouch for a newer one: who trusts only the older one then accepts
/// what the newer one signs.
pub(super) fn vouch(new: &Pair, old: &Pair, now: Timestamp) -> Result<String, IssueError> {
    let name = read(&new.cert, common_name)?;
    let key = KeyPair::from_pem(&new.key)?;
    let mut params = authority_params(&name, now)?;
    limit(
        &mut params,
        now,
        until(now, AUTHORITY_LIFE, facts(&old.cert)?.until),
    );
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(&key, &issuer(old)?)?.pem())
}

/// Makes a certificate that lives so long, but not longer than its authority.
pub(super) fn leaf(
    authority: &Pair,
    side: Side<'_>,
    now: Timestamp,
    life: SignedDuration,
) -> Result<Pair, IssueError> {
    let key = KeyPair::generate()?;
    let names = match side {
        Side::Server(names) => names.to_vec(),
        Side::Client => Vec::new(),
    };
    let (name, purpose) = match side {
        Side::Server(_) => ("buildkitd", ExtendedKeyUsagePurpose::ServerAuth),
        Side::Client => ("mbuild client", ExtendedKeyUsagePurpose::ClientAuth),
    };
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    limit(
        &mut params,
        now,
        until(now, life, facts(&authority.cert)?.until),
    );
    let cert = params.signed_by(&key, &issuer(authority)?)?.pem();
    Ok(Pair {
        cert: cert + rest(&authority.cert),
        key: key.serialize_pem(),
    })
}

/// Reads a chain's first certificate.
pub(super) fn facts(pem: &str) -> Result<Facts, IssueError> {
    read(pem, |cert| {
        let names = cert.subject_alternative_name().ok().flatten();
        let names = names
            .into_iter()
            .flat_map(|names| &names.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let until = cert.validity().not_after.timestamp();
        Facts {
            until: Timestamp::from_second(until).unwrap_or(Timestamp::MAX),
            names: names.collect(),
        }
    })
}

/// Whether an authority signed a leaf, and the leaf's key is its own.
pub(super) fn fits(leaf: &Pair, authority: &str) -> bool {
    let Ok(key) = KeyPair::from_pem(&leaf.key) else {
        return false;
    };
    let signed = read(authority, |authority| {
        read(&leaf.cert, |cert| {
            let own = &cert.public_key().subject_public_key.data;
            own.as_ref() == key.public_key_raw()
                && cert.issuer() == authority.subject()
                && cert.verify_signature(Some(authority.public_key())).is_ok()
        })
    });
    matches!(signed, Ok(Ok(true)))
}

/// A chain's first certificate alone.
pub(super) fn first(pem: &str) -> &str {
    &pem[..pem.len() - rest(pem).len()]
}

/// What follows a chain's first certificate.
pub(super) fn rest(pem: &str) -> &str {
    const END: &str = "-----END CERTIFICATE-----";
    match pem.find(END) {
        Some(at) => pem[at + END.len()..].trim_start(),
        None => "",
    }
}

fn authority_params(name: &str, now: Timestamp) -> Result<CertificateParams, IssueError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    // No limit to what is below: the next authority will be.
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit(&mut params, now, until(now, AUTHORITY_LIFE, Timestamp::MAX));
    Ok(params)
}

fn issuer(authority: &Pair) -> Result<Issuer<'static, KeyPair>, IssueError> {
    let key = KeyPair::from_pem(&authority.key)?;
    Ok(Issuer::from_ca_cert_pem(first(&authority.cert), key)?)
}

/// Sets from when until when a certificate is valid.
fn limit(params: &mut CertificateParams, now: Timestamp, until: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |at: Timestamp| Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
    params.not_before = epoch + since(now - SKEW);
    params.not_after = epoch + since(until);
}

fn until(now: Timestamp, life: SignedDuration, most: Timestamp) -> Timestamp {
    now.checked_add(life).unwrap_or(most).min(most)
}

fn common_name(cert: &X509Certificate<'_>) -> String {
    let name = cert.subject().iter_common_name().next();
    let name = name.and_then(|name| name.as_str().ok());
    name.unwrap_or_default().to_owned()
}

fn read<T>(pem: &str, look: impl FnOnce(&X509Certificate<'_>) -> T) -> Result<T, IssueError> {
    let broken = |error: &dyn ToString| IssueError::Read(error.to_string());
    let first = Pem::iter_from_buffer(pem.as_bytes()).next();
    let first = first.ok_or_else(|| IssueError::Read("no PEM in it".to_owned()))?;
    let first = first.map_err(|error| broken(&error))?;
    let cert = first.parse_x509().map_err(|error| broken(&error))?;
    Ok(look(&cert))
}
