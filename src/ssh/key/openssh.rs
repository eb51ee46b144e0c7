//! OpenSSH's own format for private keys, `openssh-key-v1` (its PROTOCOL.key says how).

use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, Ed25519KeyPair};

use super::rsa::Numbers;
use super::{Curve, KeyError, Pair};
use crate::ssh::Reader;

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Reads the bytes that the armour holds.
pub(super) fn parse(bytes: &[u8]) -> Result<Pair, KeyError> {
    let private = private_part(bytes)?;
    let mut fields = Reader::new(private);
    // The same number twice: what tells a wrong passphrase, and here a damaged file.
    if fields.take(4) != fields.take(4) {
        return Err(KeyError::Damaged);
    }
    let kind = fields.string().ok_or(KeyError::Damaged)?;
    match kind {
        b"ssh-ed25519" => ed25519(&mut fields),
        b"ecdsa-sha2-nistp256" => ecdsa(&mut fields, Curve::P256),
        b"ecdsa-sha2-nistp384" => ecdsa(&mut fields, Curve::P384),
        b"ssh-rsa" => rsa(&mut fields),
        other => Err(KeyError::Unsupported(
            String::from_utf8_lossy(other).escape_debug().to_string(),
        )),
    }
}

/// The private part of a file that is not encrypted and holds one key.
fn private_part(bytes: &[u8]) -> Result<&[u8], KeyError> {
    let mut fields = Reader::new(bytes.strip_prefix(MAGIC).ok_or(KeyError::Damaged)?);
    let cipher = fields.string().ok_or(KeyError::Damaged)?;
    if cipher != b"none" {
        return Err(KeyError::Encrypted);
    }
    let _derivation = (fields.string(), fields.string());
    if fields.u32() != Some(1) {
        return Err(KeyError::Damaged);
    }
    let _public = fields.string();
    fields.string().ok_or(KeyError::Damaged)
}

fn ed25519(fields: &mut Reader<'_>) -> Result<Pair, KeyError> {
    let public = fields.string().ok_or(KeyError::Damaged)?;
    let both = fields.string().ok_or(KeyError::Damaged)?;
    let seed = both.get(..32).ok_or(KeyError::Damaged)?;
    let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public);
    pair.map(Pair::Ed25519).map_err(rejected)
}

fn ecdsa(fields: &mut Reader<'_>, curve: Curve) -> Result<Pair, KeyError> {
    let name = fields.string().ok_or(KeyError::Damaged)?;
    let public = fields.string().ok_or(KeyError::Damaged)?;
    let private = fields.mpint().ok_or(KeyError::Damaged)?;
    let missing = curve.width().checked_sub(private.len());
    let (Some(missing), true) = (missing, name == curve.name().as_bytes()) else {
        return Err(KeyError::Damaged);
    };
    let private = [&vec![0; missing], private].concat();
    let rng = SystemRandom::new();
    let pair =
        EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), &private, public, &rng);
    pair.map(|pair| Pair::Ecdsa(curve, pair)).map_err(rejected)
}

fn rsa(fields: &mut Reader<'_>) -> Result<Pair, KeyError> {
    let mut number = || fields.mpint().ok_or(KeyError::Damaged);
    let numbers = Numbers {
        modulus: number()?,
        public_exponent: number()?,
        private_exponent: number()?,
        inverse: number()?,
        primes: [number()?, number()?],
    };
    numbers.pair().map(Pair::Rsa)
}

fn rejected(why: ring::error::KeyRejected) -> KeyError {
    KeyError::Rejected(why.to_string())
}
