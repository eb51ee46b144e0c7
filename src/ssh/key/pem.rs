//! The armour around a key, and the formats of other programs in it: PKCS#8, PKCS#1, SEC 1.

use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};

use super::{Curve, KeyError, Pair, openssh};

/// What the formats that do not say it better are called when ring knows none of it.
const OTHER: &str = "other than these";

/// Reads the text of a file.
pub(super) fn parse(text: &[u8]) -> Result<Pair, KeyError> {
    let Ok(armour) = ::pem::parse(text) else {
        return Err(match is_public(text) {
            true => KeyError::Public,
            false => KeyError::NotAKey,
        });
    };
    let bytes = armour.contents();
    // OpenSSL's older encryption leaves the label alone and says it in a header.
    let is_encrypted = armour
        .headers()
        .get("Proc-Type")
        .is_some_and(|kind| kind.ends_with("ENCRYPTED"));
    match armour.tag() {
        _ if is_encrypted => Err(KeyError::Encrypted),
        "ENCRYPTED PRIVATE KEY" => Err(KeyError::Encrypted),
        "OPENSSH PRIVATE KEY" => openssh::parse(bytes),
        "PRIVATE KEY" => pkcs8(bytes),
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(bytes)
            .map(Pair::Rsa)
            .map_err(|why| KeyError::Rejected(why.to_string())),
        "EC PRIVATE KEY" => sec1(bytes),
        "DSA PRIVATE KEY" => Err(KeyError::Unsupported("ssh-dss".to_owned())),
        tag if tag.ends_with("PUBLIC KEY") => Err(KeyError::Public),
        _ => Err(KeyError::NotAKey),
    }
}

/// Whether this is a line of an `authorized_keys` or `.pub` file.
fn is_public(text: &[u8]) -> bool {
    ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|kind| text.starts_with(kind.as_bytes()))
}

/// Whose key it is, each of the readers finds out by itself.
fn pkcs8(bytes: &[u8]) -> Result<Pair, KeyError> {
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes) {
        return Ok(Pair::Ed25519(pair));
    }
    if let Some(pair) = ecdsa(bytes) {
        return Ok(pair);
    }
    match RsaKeyPair::from_pkcs8(bytes) {
        Ok(pair) => Ok(Pair::Rsa(pair)),
        Err(why) if why.to_string() == "WrongAlgorithm" => {
            Err(KeyError::Unsupported(OTHER.to_owned()))
        }
        Err(why) => Err(KeyError::Rejected(why.to_string())),
    }
}

fn ecdsa(pkcs8: &[u8]) -> Option<Pair> {
    let rng = SystemRandom::new();
    Curve::ALL.into_iter().find_map(|curve| {
        let pair = EcdsaKeyPair::from_pkcs8(curve.signing(), pkcs8, &rng).ok()?;
        Some(Pair::Ecdsa(curve, pair))
    })
}

/// ring reads such a key only inside PKCS#8, which names the curve once more.
fn sec1(bytes: &[u8]) -> Result<Pair, KeyError> {
    let wrapped = [P256, P384].map(|curve| {
        let algorithm = der(0x30, &[der(0x06, EC_PUBLIC_KEY), der(0x06, curve)].concat());
        let version = der(0x02, &[0]);
        der(0x30, &[version, algorithm, der(0x04, bytes)].concat())
    });
    let found = wrapped.iter().find_map(|pkcs8| ecdsa(pkcs8));
    found.ok_or_else(|| KeyError::Unsupported(OTHER.to_owned()))
}

/// Object identifiers of RFC 5480: 1.2.840.10045.2.1, 1.2.840.10045.3.1.7 and 1.3.132.0.34.
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

/// A value of DER, of less than 64 KiB.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let mut out = match (high, low) {
        (0, 0..0x80) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    out.extend(content);
    out
}
