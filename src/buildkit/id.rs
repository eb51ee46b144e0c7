//! Names of builds and sessions that no one else will make.

use ring::rand::{SecureRandom, SystemRandom};

/// 25 characters out of 36 are 129 bits.
const LENGTH: usize = 25;
const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Makes a random id of 25 characters `0-9a-z`, for a reference or a session.
///
/// # Panics
///
/// When the system has no randomness to give; nothing could be named then.
pub fn new_id() -> String {
    let random = SystemRandom::new();
    let mut id = String::with_capacity(LENGTH);
    let mut bytes = [0; 64];
    while id.len() < LENGTH {
        assert!(
            random.fill(&mut bytes).is_ok(),
            "the system gives no random bytes"
        );
        // 252 is the largest multiple of 36: taking more would favour some characters.
        let even = bytes.iter().filter(|byte| **byte < 252);
        let letters = even.map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        id.extend(letters.take(LENGTH - id.len()));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_25_small_letters_and_digits_and_differ() {
        let ids: std::collections::BTreeSet<_> = (0..100).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 100);
        for id in ids {
            assert_eq!(id.len(), 25);
            assert!(id.bytes().all(|byte| ALPHABET.contains(&byte)), "{id}");
        }
    }
}
