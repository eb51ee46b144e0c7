//! Random names for sessions and builds.

use ring::rand::{SecureRandom, SystemRandom};

/// 25 digits of base 36 carry 129 bits.
const LENGTH: usize = 25;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Why no name could be made.
#[derive(Debug, thiserror::Error)]
pub enum IdError {
    /// The system's source of random bytes failed.
    #[error("the system gives no random bytes")]
    Random,
}

/// Makes a name that nobody guesses and nobody has used: 25 of `[0-9a-z]`.
///
/// Daemons split session ids at `:` and keep a build's name for a while after it ended, so
/// both want a new one of these each time.
///
/// # Errors
///
/// Fails when the system gives no random bytes.
pub fn random_id() -> Result<String, IdError> {
    let random = SystemRandom::new();
    let mut id = String::with_capacity(LENGTH);
    while id.len() < LENGTH {
        let mut bytes = [0; 2 * LENGTH];
        random.fill(&mut bytes).map_err(|_| IdError::Random)?;
        id.extend(
            bytes
                .iter()
                .filter_map(|byte| digit(*byte))
                .take(LENGTH - id.len()),
        );
    }
    Ok(id)
}

/// One digit of a random byte; `None` for the bytes that would make some digits more likely.
fn digit(byte: u8) -> Option<char> {
    let base = DIGITS.len() as u8;
    let fair = u8::MAX - u8::MAX % base;
    (byte < fair).then(|| char::from(DIGITS[usize::from(byte % base)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_25_lower_case_digits_and_differ() {
        let (one, two) = (random_id().unwrap(), random_id().unwrap());
        assert_eq!(one.len(), 25);
        assert!(
            one.bytes()
                .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()),
            "{one}"
        );
        assert_ne!(one, two);
    }

    #[test]
    fn every_digit_is_equally_likely() {
        let mut counts = [0; 36];
        for byte in 0..=u8::MAX {
            if let Some(digit) = digit(byte) {
                counts[digit.to_digit(36).unwrap() as usize] += 1;
            }
        }
        assert_eq!(counts, [7; 36]);
    }
}
