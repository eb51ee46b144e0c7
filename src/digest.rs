//! The `Digest` type: the SHA-256 that names a blob, a manifest or an index.
//!
//! Other algorithms are refused: no registry or daemon in use makes them.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const ALGORITHM: &str = "sha256";
const LEN: usize = 32;

/// A SHA-256 digest, printed as `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; LEN]);

/// Why a text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// There is no colon after the algorithm.
    #[error("digest `{0}` is not of the form sha256:HEX")]
    NoAlgorithm(String),
    /// The algorithm is another one than sha256.
    #[error("digest algorithm `{0}` is not supported, only sha256 is")]
    Algorithm(String),
    /// What follows the algorithm is not 64 lower-case hexadecimal digits.
    #[error("digest `{0}` does not have 64 lower-case hexadecimal digits")]
    Hex(String),
}

/// Computes a [`Digest`] of bytes as they come by.
#[derive(Clone)]
pub struct Hasher(ring::digest::Context);

impl Digest {
    /// Parses `sha256:` and 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    ///
    /// When the text has another form or another algorithm.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let Some((algorithm, hex)) = text.split_once(':') else {
            return Err(DigestError::NoAlgorithm(text.to_owned()));
        };
        if algorithm != ALGORITHM {
            return Err(DigestError::Algorithm(algorithm.to_owned()));
        }
        from_hex(hex)
            .map(Self)
            .ok_or_else(|| DigestError::Hex(text.to_owned()))
    }

    /// Computes the digest of bytes that are all there.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Makes a digest of the 32 bytes it consists of.
    pub fn from_bytes(bytes: [u8; LEN]) -> Self {
        Self(bytes)
    }

    /// Returns the 32 bytes.
    pub fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    /// Returns the 64 digits without the algorithm, as the path of a blob in a layout has them.
    pub fn hex(&self) -> String {
        let mut hex = String::with_capacity(2 * LEN);
        for byte in self.0 {
            for nibble in [byte >> 4, byte & 15] {
                hex.extend(char::from_digit(u32::from(nibble), 16));
            }
        }
        hex
    }

    /// Returns the first twelve digits, for a person to read.
    pub fn short(&self) -> String {
        let mut hex = self.hex();
        hex.truncate(12);
        hex
    }
}

impl Hasher {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of all bytes taken in.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; LEN];
        // SHA-256 is 32 bytes long, so that nothing is cut off.
        for (to, from) in bytes.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        Digest(bytes)
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes in what is written, so that a copy can go through a hasher.
impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(sha256)")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::parse(text)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

fn from_hex(hex: &str) -> Option<[u8; LEN]> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if hex.len() != 2 * LEN {
        return None;
    }
    let mut bytes = [0; LEN];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn refuses_other_forms() {
        let check = |text: &str, expect: DigestError| {
            assert_eq!(Digest::parse(text), Err(expect));
        };
        let hex = |text: &str| DigestError::Hex(text.to_owned());
        check("abc", DigestError::NoAlgorithm("abc".to_owned()));
        check("sha512:00", DigestError::Algorithm("sha512".to_owned()));
        check("sha256:", hex("sha256:"));
        check(
            &EMPTY.to_uppercase(),
            DigestError::Algorithm("SHA256".to_owned()),
        );
        check(&EMPTY.replace('e', "E"), hex(&EMPTY.replace('e', "E")));
        check(&format!("{EMPTY}0"), hex(&format!("{EMPTY}0")));
        check(&EMPTY.replace("e3", "é"), hex(&EMPTY.replace("e3", "é")));
    }

    #[test]
    fn hashes_what_comes_in_pieces() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        let mut hasher = Hasher::new();
        hasher.update(b"ab");
        hasher.write_all(b"c").unwrap();
        let expect = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hasher.finish().to_string(), expect);
        assert_eq!(Digest::of(b"abc").short(), "ba7816bf8f01");
    }

    #[test]
    fn travels_as_a_string() {
        let json = format!("\"{EMPTY}\"");
        let digest: Digest = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&digest).unwrap(), json);
        assert!(serde_json::from_str::<Digest>("\"sha256:1\"").is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(bytes: [u8; 32]) {
            let digest = Digest::from_bytes(bytes);
            prop_assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        }
    }
}
