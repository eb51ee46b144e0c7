//! A private key that signs as SSH wants it: [`PrivateKey`].
//!
//! What ring can sign with is supported, so no second library holds keys: Ed25519, ECDSA on
//! P-256 and P-384, RSA of 2048 to 4096 bits. Certificates and hardware keys are an agent's.

mod openssh;
mod pem;
mod rsa;

use std::fmt;

use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair};

use super::{put_mpint, put_string};

/// Asks for an RSA signature with SHA-256 (draft-miller-ssh-agent, section 3.6.1).
const RSA_SHA2_256: u32 = 2;
/// Asks for an RSA signature with SHA-512.
const RSA_SHA2_512: u32 = 4;

/// A key that can sign.
pub struct PrivateKey {
    public: Vec<u8>,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    Ecdsa(Curve, EcdsaKeyPair),
    Rsa(ring::rsa::KeyPair),
}

/// A curve of ECDSA.
#[derive(Clone, Copy)]
enum Curve {
    P256,
    P384,
}

/// Why a file's text gives no key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// It holds nothing that looks like one.
    #[error("this is no private key")]
    NotAKey,
    /// It is the other half.
    #[error("this is a public key")]
    Public,
    /// It can be read only with a passphrase.
    #[error("the key is protected by a passphrase")]
    Encrypted,
    /// It ends early, or says one thing here and another there.
    #[error("the key is damaged")]
    Damaged,
    /// It is of a kind that cannot sign here.
    #[error(
        "keys of type {0} are not supported; Ed25519, ECDSA on P-256 and P-384, and RSA of 2048 \
         to 4096 bits are"
    )]
    Unsupported(String),
    /// The numbers in it are refused.
    #[error("the key cannot be used: {0}")]
    Rejected(String),
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignError {
    /// RSA with SHA-1 was asked for, which is not secure and not done.
    #[error("a signature with SHA-1 was asked for")]
    Sha1,
    /// The key's numbers do not belong together.
    #[error("the key cannot sign")]
    Key,
}

impl PrivateKey {
    /// Reads the text of a key file: OpenSSH's format, PKCS#8, PKCS#1 (RSA) or SEC 1 (ECDSA).
    ///
    /// # Errors
    ///
    /// When there is no key in it, or none that can be used.
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let pair = pem::parse(text)?;
        Ok(Self {
            public: pair.public(),
            pair,
        })
    }

    /// The public half as SSH encodes it.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Signs; gives the signature as SSH encodes it. The flags are those of an agent's request.
    ///
    /// # Errors
    ///
    /// When the flags ask for what is not done, or the key is unusable.
    pub fn sign(&self, data: &[u8], flags: u32) -> Result<Vec<u8>, SignError> {
        let rng = SystemRandom::new();
        let (name, signature) = match &self.pair {
            Pair::Ed25519(pair) => ("ssh-ed25519", pair.sign(data).as_ref().to_vec()),
            Pair::Ecdsa(curve, pair) => {
                let fixed = pair.sign(&rng, data).map_err(|_| SignError::Key)?;
                let (r, s) = fixed.as_ref().split_at(fixed.as_ref().len() / 2);
                let mut both = Vec::new();
                put_mpint(&mut both, r);
                put_mpint(&mut both, s);
                (curve.key_type(), both)
            }
            Pair::Rsa(pair) => {
                let (name, encoding) = rsa::algorithm(flags).ok_or(SignError::Sha1)?;
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(encoding, &rng, data, &mut signature)
                    .map_err(|_| SignError::Key)?;
                (name, signature)
            }
        };
        let mut out = Vec::new();
        put_string(&mut out, name.as_bytes());
        put_string(&mut out, &signature);
        Ok(out)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(hidden)")
    }
}

impl Pair {
    fn public(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Pair::Ed25519(pair) => {
                put_string(&mut out, b"ssh-ed25519");
                put_string(&mut out, pair.public_key().as_ref());
            }
            Pair::Ecdsa(curve, pair) => {
                put_string(&mut out, curve.key_type().as_bytes());
                put_string(&mut out, curve.name().as_bytes());
                put_string(&mut out, pair.public_key().as_ref());
            }
            Pair::Rsa(pair) => {
                let parts = rsa::public(pair);
                put_string(&mut out, b"ssh-rsa");
                put_mpint(&mut out, &parts.e);
                put_mpint(&mut out, &parts.n);
            }
        }
        out
    }
}

impl Curve {
    const ALL: [Self; 2] = [Self::P256, Self::P384];

    /// The type of the keys on it, which is their signatures' too.
    fn key_type(self) -> &'static str {
        match self {
            Self::P256 => "ecdsa-sha2-nistp256",
            Self::P384 => "ecdsa-sha2-nistp384",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
        }
    }

    fn signing(self) -> &'static ring::signature::EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ring::signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        }
    }

    /// How many bytes a number on it has.
    fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }
}

#[cfg(test)]
mod tests;
