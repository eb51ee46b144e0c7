//! An agent that holds keys given as files, and does nothing but list them and sign.

use crate::ssh::{PrivateKey, Reader, put_string};

use super::message::{FAILURE, IDENTITIES_ANSWER, REQUEST_IDENTITIES, SIGN_REQUEST, SIGN_RESPONSE};

/// Answers one message.
pub(super) fn answer(keys: &[PrivateKey], message: &[u8]) -> Vec<u8> {
    let answer = match message {
        [REQUEST_IDENTITIES] => Some(identities(keys)),
        [SIGN_REQUEST, request @ ..] => sign(keys, request),
        _ => None,
    };
    answer.unwrap_or_else(|| vec![FAILURE])
}

fn identities(keys: &[PrivateKey]) -> Vec<u8> {
    let mut out = vec![IDENTITIES_ANSWER];
    let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    out.extend(count.to_be_bytes());
    for key in keys {
        put_string(&mut out, key.public());
        // Comments are names of people and machines, which are nobody's business there.
        put_string(&mut out, b"");
    }
    out
}

fn sign(keys: &[PrivateKey], request: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Reader::new(request);
    let (public, data, flags) = (fields.string()?, fields.string()?, fields.u32()?);
    let key = keys.iter().find(|key| key.public() == public)?;
    let signature = match key.sign(data, flags) {
        Ok(signature) => signature,
        Err(error) => {
            tracing::info!("ssh key: {error}");
            return None;
        }
    };
    let mut out = vec![SIGN_RESPONSE];
    put_string(&mut out, &signature);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<PrivateKey> {
        ["ed25519", "ecdsa-256"]
            .map(|name| {
                let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/data/ssh-keys");
                let text = std::fs::read(format!("{dir}/{name}")).unwrap();
                PrivateKey::parse(&text).unwrap()
            })
            .into()
    }

    fn request(key: &[u8]) -> Vec<u8> {
        let mut request = vec![SIGN_REQUEST];
        put_string(&mut request, key);
        put_string(&mut request, b"data");
        request.extend([0; 4]);
        request
    }

    #[test]
    fn keys_are_listed_in_their_order() {
        let keys = keys();
        let answer = answer(&keys, &[REQUEST_IDENTITIES]);
        let mut fields = Reader::new(&answer);
        assert_eq!(fields.take(5), Some(&[IDENTITIES_ANSWER, 0, 0, 0, 2][..]));
        for key in &keys {
            assert_eq!(fields.string(), Some(key.public()));
            assert_eq!(fields.string(), Some(&b""[..]));
        }
    }

    #[test]
    fn the_named_key_signs() {
        let keys = keys();
        let answer = answer(&keys, &request(keys[0].public()));
        let mut fields = Reader::new(&answer[1..]);
        assert_eq!(answer[0], SIGN_RESPONSE);
        let expect = keys[0].sign(b"data", 0).unwrap();
        assert_eq!(fields.string(), Some(&expect[..]));
    }

    #[test]
    fn anything_else_fails() {
        let keys = keys();
        let check = |message: &[u8]| assert_eq!(answer(&keys, message), [FAILURE], "{message:?}");
        check(&request(b"another key"));
        check(&request(keys[0].public())[..20]);
        check(&[]);
        // Add, remove, remove all, add with constraints, lock, unlock, extension.
        for kind in [17, 18, 19, 25, 22, 23, 27, 99] {
            check(&[kind, 0, 0, 0, 0]);
        }
        check(&[REQUEST_IDENTITIES, 0]);
    }
}
