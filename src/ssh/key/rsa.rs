//! RSA keys: from OpenSSH's five numbers to the eight that signing wants.

use ring::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use ring::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding};

use super::{KeyError, RSA_SHA2_256, RSA_SHA2_512};

/// What OpenSSH keeps of a key, as bytes without leading zeros.
pub(super) struct Numbers<'a> {
    pub(super) modulus: &'a [u8],
    pub(super) public_exponent: &'a [u8],
    pub(super) private_exponent: &'a [u8],
    /// The inverse of the second prime modulo the first.
    pub(super) inverse: &'a [u8],
    pub(super) primes: [&'a [u8]; 2],
}

impl Numbers<'_> {
    pub(super) fn pair(&self) -> Result<KeyPair, KeyError> {
        let [p, q] = self.primes;
        // OpenSSH leaves out both exponents modulo the primes less one.
        let (dp, dq) = (self.exponent_for(p)?, self.exponent_for(q)?);
        KeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents {
                n: self.modulus,
                e: self.public_exponent,
            },
            d: self.private_exponent,
            p,
            q,
            dP: &dp,
            dQ: &dq,
            qInv: self.inverse,
        })
        .map_err(|why| KeyError::Rejected(why.to_string()))
    }

    fn exponent_for(&self, prime: &[u8]) -> Result<Vec<u8>, KeyError> {
        let mut less_one = prime.to_vec();
        match less_one.last_mut() {
            // A prime of this size is odd.
            Some(last) if *last & 1 == 1 => *last -= 1,
            _ => return Err(KeyError::Damaged),
        }
        Ok(remainder(self.private_exponent, &less_one))
    }
}

/// The public half.
pub(super) fn public(pair: &KeyPair) -> PublicKeyComponents<Vec<u8>> {
    pair.public().into()
}

/// How the flags want it signed; `None` for SHA-1.
pub(super) fn algorithm(flags: u32) -> Option<(&'static str, &'static dyn RsaEncoding)> {
    // Both may be set; OpenSSH's agent prefers the first too.
    if flags & RSA_SHA2_256 != 0 {
        Some(("rsa-sha2-256", &RSA_PKCS1_SHA256))
    } else if flags & RSA_SHA2_512 != 0 {
        Some(("rsa-sha2-512", &RSA_PKCS1_SHA512))
    } else {
        None
    }
}

/// What is left of `value` divided by `modulus`, without leading zeros; both have their largest
/// byte first. Bit by bit: keys are read once, and have 4096 at most.
fn remainder(value: &[u8], modulus: &[u8]) -> Vec<u8> {
    let width = modulus.len() + 1;
    let modulus: Vec<u8> = [&[0], modulus].concat();
    let mut rest = vec![0; width];
    for at in 0..value.len() * 8 {
        let bit = value[at / 8] >> (7 - at % 8) & 1;
        double(&mut rest, bit);
        if rest >= modulus {
            subtract(&mut rest, &modulus);
        }
    }
    let zeros = rest.iter().take_while(|byte| **byte == 0).count();
    rest.split_off(zeros)
}

/// Doubles a number and adds a bit.
fn double(number: &mut [u8], mut bit: u8) {
    for byte in number.iter_mut().rev() {
        let carry = *byte >> 7;
        *byte = *byte << 1 | bit;
        bit = carry;
    }
}

/// Takes a number from a larger one of the same width.
fn subtract(number: &mut [u8], other: &[u8]) {
    let mut borrow = false;
    for (byte, other) in number.iter_mut().zip(other).rev() {
        let (less, first) = byte.overflowing_sub(*other);
        let (less, second) = less.overflowing_sub(u8::from(borrow));
        *byte = less;
        borrow = first || second;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(number: u128) -> Vec<u8> {
        let all = number.to_be_bytes();
        all[number.leading_zeros() as usize / 8..].to_vec()
    }

    proptest! {
        #[test]
        fn remainders_are_those_of_machine_numbers(value: u128, modulus in 1..u128::MAX) {
            prop_assert_eq!(remainder(&bytes(value), &bytes(modulus)), bytes(value % modulus));
        }
    }

    #[test]
    fn sha_1_is_not_done_and_the_stated_hash_is() {
        let name = |flags| algorithm(flags).map(|(name, _)| name);
        assert_eq!(name(0), None);
        assert_eq!(name(RSA_SHA2_256), Some("rsa-sha2-256"));
        assert_eq!(name(RSA_SHA2_512), Some("rsa-sha2-512"));
    }
}
