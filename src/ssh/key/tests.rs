use std::path::Path;

use ring::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::*;
use crate::ssh::Reader;

fn file(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data/ssh-keys");
    std::fs::read(dir.join(name)).unwrap()
}

fn key(name: &str) -> PrivateKey {
    PrivateKey::parse(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The blob of a `.pub` file, which ssh-keygen wrote.
fn public(name: &str) -> Vec<u8> {
    use base64::prelude::*;
    let text = String::from_utf8(file(name)).unwrap();
    let word = text.split_whitespace().nth(1).unwrap();
    BASE64_STANDARD.decode(word).unwrap()
}

/// Signs, and checks the signature with the public half alone.
fn check(name: &str, flags: u32, expect: &str) {
    let (key, data) = (key(name), b"data");
    let signed = key.sign(data, flags).unwrap();
    let mut fields = Reader::new(&signed);
    assert_eq!(fields.string().unwrap(), expect.as_bytes(), "{name}");
    let signature = fields.string().unwrap();
    let mut public = Reader::new(key.public());
    let _kind = public.string().unwrap();
    let verified = match expect {
        "ssh-ed25519" => {
            UnparsedPublicKey::new(&ED25519, public.string().unwrap()).verify(data, signature)
        }
        "rsa-sha2-256" | "rsa-sha2-512" => {
            let e = public.mpint().unwrap();
            let n = public.mpint().unwrap();
            let hash: &signature::RsaParameters = match expect {
                "rsa-sha2-256" => &RSA_PKCS1_2048_8192_SHA256,
                _ => &RSA_PKCS1_2048_8192_SHA512,
            };
            RsaPublicKeyComponents { n, e }.verify(hash, data, signature)
        }
        _ => {
            let _curve = public.string().unwrap();
            let (hash, width) = match expect {
                "ecdsa-sha2-nistp256" => (&ECDSA_P256_SHA256_FIXED, 32),
                _ => (&ECDSA_P384_SHA384_FIXED, 48),
            };
            let mut parts = Reader::new(signature);
            let mut fixed = Vec::new();
            for part in [parts.mpint().unwrap(), parts.mpint().unwrap()] {
                fixed.extend(vec![0; width - part.len()]);
                fixed.extend(part);
            }
            UnparsedPublicKey::new(hash, public.string().unwrap()).verify(data, &fixed)
        }
    };
    assert!(verified.is_ok(), "{name} with flags {flags}");
}

#[test]
fn keys_of_every_kind_sign() {
    check("ed25519", 0, "ssh-ed25519");
    check("ed25519-pkcs8", 4, "ssh-ed25519");
    check("rsa-2048", RSA_SHA2_256, "rsa-sha2-256");
    check("rsa-2048", RSA_SHA2_512, "rsa-sha2-512");
    // Numbers on a curve are shorter now and then.
    for _ in 0..100 {
        check("ecdsa-256", 0, "ecdsa-sha2-nistp256");
        check("ecdsa-384", 0, "ecdsa-sha2-nistp384");
    }
}

#[test]
fn the_public_half_is_what_ssh_keygen_says() {
    for name in ["ed25519", "ecdsa-256", "ecdsa-384", "rsa-2048"] {
        assert_eq!(key(name).public(), public(&format!("{name}.pub")), "{name}");
    }
}

#[test]
fn other_formats_hold_the_same_keys() {
    let check = |name, same| assert_eq!(key(name).public(), key(same).public(), "{name}");
    check("rsa-pkcs1", "rsa-2048");
    check("rsa-pkcs8", "rsa-2048");
    check("ecdsa-sec1", "ecdsa-256");
    check("ecdsa-pkcs8", "ecdsa-384");
}

#[test]
fn what_is_no_usable_key_is_told_apart() {
    let check = |text: &[u8], expect: &str| {
        let error = PrivateKey::parse(text).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    let passphrase = "protected by a passphrase";
    check(&file("encrypted"), passphrase);
    check(&file("rsa-pkcs1-encrypted"), passphrase);
    check(&file("rsa-pkcs8-encrypted"), passphrase);
    check(&file("ed25519.pub"), "a public key");
    check(
        &file("ecdsa-521"),
        "type ecdsa-sha2-nistp521 are not supported",
    );
    check(&file("rsa-1024"), "cannot be used: TooSmall");
    check(b"", "no private key");
    check(b"\xff\x00", "no private key");
    check(
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "no private key",
    );
    check(
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "the key cannot be used",
    );
}

#[test]
fn a_key_cut_anywhere_is_an_error_and_nothing_worse() {
    for name in ["ed25519", "ecdsa-256", "rsa-2048"] {
        let armour = ::pem::parse(file(name)).unwrap();
        for end in 0..armour.contents().len() - 16 {
            let cut = ::pem::Pem::new(armour.tag(), &armour.contents()[..end]);
            assert!(PrivateKey::parse(::pem::encode(&cut).as_bytes()).is_err());
        }
    }
}

#[test]
fn sha_1_is_refused() {
    assert_eq!(key("rsa-2048").sign(b"x", 0), Err(SignError::Sha1));
}

#[test]
fn debug_output_hides_the_key() {
    assert_eq!(format!("{:?}", key("ed25519")), "PrivateKey(hidden)");
}
