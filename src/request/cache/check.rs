//! Whether a cache makes sense, as far as its flag alone can tell.

use super::keys::{self, BOOLEANS, EXPORTS, IMPORTS};
use super::{CacheKind, CacheSide, CacheSpec};
use crate::attrs::{self, FlagError};
use crate::digest::Digest;
use crate::reference::ImageRef;

/// Compressions that daemons know.
const COMPRESSIONS: &[&str] = &["uncompressed", "gzip", "estargz", "zstd"];

impl CacheSpec {
    /// Checks the kind, the keys and the values that the client can judge.
    ///
    /// # Errors
    ///
    /// When the kind or a key is unknown on this side, a key that is needed is missing, or a
    /// value cannot be right.
    pub fn check(&self, side: CacheSide) -> Result<(), FlagError> {
        let flag = side.flag();
        let Some(allowed) = keys::known(&self.kind, side) else {
            return Err(self.unknown_kind(side));
        };
        if let Some(key) = self
            .attrs
            .keys()
            .find(|key| !allowed.contains(&key.as_str()))
        {
            return Err(FlagError::UnknownKey {
                flag,
                key: key.clone(),
                allowed,
            });
        }
        self.check_needed(side)?;
        for key in BOOLEANS {
            if let Some(value) = self.attrs.get(*key) {
                attrs::bool_value(flag, key, value)?;
            }
        }
        self.check_mode(flag)?;
        self.check_compression(flag)?;
        self.check_place(side)
    }

    /// Says whether a failure of this cache lets the build go on.
    pub fn ignores_errors(&self) -> bool {
        self.is_true("ignore-error")
    }

    /// Whether the value of a key says yes.
    pub fn is_true(&self, key: &str) -> bool {
        let value = self.attrs.get(key);
        value.and_then(|value| attrs::parse_bool(value)) == Some(true)
    }

    fn unknown_kind(&self, side: CacheSide) -> FlagError {
        let expected = match (&self.kind, side) {
            (CacheKind::Inline, _) => {
                "read by that name: it is in an image, so give type=registry,ref=IMAGE"
            }
            (_, CacheSide::From) => IMPORTS,
            (_, CacheSide::To) => EXPORTS,
        };
        FlagError::Value {
            flag: side.flag(),
            key: "type".to_owned(),
            value: self.kind.name().to_owned(),
            expected,
        }
    }

    fn check_needed(&self, side: CacheSide) -> Result<(), FlagError> {
        let needed: &[&'static str] = match (&self.kind, side) {
            (CacheKind::Registry, _) => &["ref"],
            (CacheKind::Local, CacheSide::To) => &["dest"],
            (CacheKind::Local, CacheSide::From) => &["src"],
            (CacheKind::S3, _) => &["bucket"],
            _ => &[],
        };
        let missing = |key: &&&str| self.attrs.get(**key).is_none_or(String::is_empty);
        let missing = needed.iter().find(missing).copied();
        // Half of a login is none.
        let missing = missing.or_else(|| {
            let given = |key: &str| self.attrs.get(key).is_some_and(|value| !value.is_empty());
            match (given("access_key_id"), given("secret_access_key")) {
                (true, false) => Some("secret_access_key"),
                (false, true) if self.kind == CacheKind::S3 => Some("access_key_id"),
                _ => None,
            }
        });
        missing.map_or(Ok(()), |key| {
            Err(FlagError::MissingKey {
                flag: side.flag(),
                key,
                value: self.shown(),
            })
        })
    }

    fn check_mode(&self, flag: &'static str) -> Result<(), FlagError> {
        let expected = match (self.attrs.get("mode").map(String::as_str), &self.kind) {
            (None | Some("min"), _) => return Ok(()),
            (Some("max"), CacheKind::Inline) => {
                "possible inside an image, which holds the layers of its last stage only: min"
            }
            (Some("max"), _) => return Ok(()),
            (Some(_), _) => "min or max",
        };
        Err(self.wrong(flag, "mode", expected))
    }

    fn check_compression(&self, flag: &'static str) -> Result<(), FlagError> {
        let value = |key: &str| self.attrs.get(key).map(String::as_str);
        if value("compression").is_some_and(|name| !COMPRESSIONS.contains(&name)) {
            return Err(self.wrong(flag, "compression", "uncompressed, gzip, estargz or zstd"));
        }
        if value("compression-level").is_some_and(|level| level.parse::<i8>().is_err()) {
            return Err(self.wrong(flag, "compression-level", "a number"));
        }
        Ok(())
    }

    /// Placeholders are not filled in yet, so a name is judged as if they were.
    fn check_place(&self, side: CacheSide) -> Result<(), FlagError> {
        let flag = side.flag();
        if let (CacheKind::Registry, Some(name)) = (&self.kind, self.attrs.get("ref")) {
            let filled = name.replace(['{', '}'], "x").to_lowercase();
            // The case is the registry's to judge where a tag may have any.
            let name = match name.contains('{') {
                true => ImageRef::parse(&filled),
                false => ImageRef::parse(name),
            };
            let name = name.map_err(|source| FlagError::Reference {
                flag,
                value: self.shown(),
                source,
            })?;
            if side == CacheSide::To && name.digest().is_some() {
                return Err(self.wrong(
                    flag,
                    "ref",
                    "a name that can be written to: it has a digest",
                ));
            }
        }
        if let (CacheKind::Local, Some(digest)) = (&self.kind, self.attrs.get("digest"))
            && Digest::parse(digest).is_err()
        {
            return Err(self.wrong(flag, "digest", "of the form sha256:HEX"));
        }
        Ok(())
    }

    fn wrong(&self, flag: &'static str, key: &str, expected: &'static str) -> FlagError {
        let value = self.attrs.get(key).map(String::as_str).unwrap_or_default();
        FlagError::Value {
            flag,
            key: key.to_owned(),
            value: attrs::secret::shown(key, value).into_owned(),
            expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(side: CacheSide, value: &str, expect: &str) {
        let specs = CacheSpec::parse(side.flag(), value).unwrap();
        let result = specs.iter().try_for_each(|spec| spec.check(side));
        let message = result.err().map(|error| error.to_string());
        assert_eq!(message.as_deref().unwrap_or_default(), expect, "{value}");
    }

    #[test]
    fn what_makes_sense_passes() {
        let to = |value| check(CacheSide::To, value, "");
        let from = |value| check(CacheSide::From, value, "");
        to("host:5000/app");
        to("type=registry,ref=host/app:{platform}-C,mode=max,compression=zstd,compression-level=3");
        to("type=local,dest=d,tag=t,reset=true,image-manifest=false");
        to("type=inline");
        to("type=gha");
        to("type=s3,bucket=b,access_key_id=a,secret_access_key=s,session_token=t");
        to("type=azblob,secret_access_key=s");
        from("host/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        from("type=local,src=d,ignore-error=true");
    }

    #[test]
    fn unknown_kinds_and_keys_are_named_with_the_known_ones() {
        check(
            CacheSide::To,
            "type=bogus",
            "--cache-to: `type` is `bogus`, which is not registry, local, inline, gha, s3 or azblob",
        );
        check(
            CacheSide::From,
            "type=inline",
            "--cache-from: `type` is `inline`, which is not read by that name: it is in an image, \
             so give type=registry,ref=IMAGE",
        );
        check(
            CacheSide::From,
            "type=registry,ref=a,mode=max",
            "--cache-from: unknown key `mode`, expected one of: type, ignore-error, ref, \
             registry.insecure",
        );
        check(
            CacheSide::To,
            "type=inline,ref=a",
            "--cache-to: unknown key `ref`, expected one of: type, mode, ignore-error",
        );
    }

    #[test]
    fn what_is_needed_is_asked_for() {
        let to = |value, expect| check(CacheSide::To, value, expect);
        to("type=registry", "--cache-to: `type=registry` has no `ref`");
        to("type=local", "--cache-to: `type=local` has no `dest`");
        to(
            "type=local,dest=",
            "--cache-to: `type=local,dest=` has no `dest`",
        );
        to("type=s3", "--cache-to: `type=s3` has no `bucket`");
        to(
            "type=s3,bucket=b,secret_access_key=hunter2",
            "--cache-to: `type=s3,bucket=b,secret_access_key=***` has no `access_key_id`",
        );
        check(
            CacheSide::From,
            "type=local,dest=d",
            "--cache-from: unknown key `dest`, expected one of: type, ignore-error, src, tag, digest",
        );
    }

    #[test]
    fn values_are_judged_where_the_client_can() {
        let to = |value, expect| check(CacheSide::To, value, expect);
        to(
            "type=inline,mode=max",
            "--cache-to: `mode` is `max`, which is not possible inside an image, which holds the \
             layers of its last stage only: min",
        );
        to(
            "type=gha,mode=MAX",
            "--cache-to: `mode` is `MAX`, which is not min or max",
        );
        to(
            "type=gha,ignore-error=yes",
            "--cache-to: `ignore-error` is `yes`, which is not true or false",
        );
        to(
            "type=gha,compression=lzma",
            "--cache-to: `compression` is `lzma`, which is not uncompressed, gzip, estargz or zstd",
        );
        to(
            "type=registry,ref=A/B",
            "--cache-to: bad name in `type=registry,ref=A/B`",
        );
        let digest = "a@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        to(
            digest,
            &format!(
                "--cache-to: `ref` is `{digest}`, which is not a name that can be written to: it \
                 has a digest"
            ),
        );
        check(
            CacheSide::From,
            "type=local,src=d,digest=x",
            "--cache-from: `digest` is `x`, which is not of the form sha256:HEX",
        );
    }
}
