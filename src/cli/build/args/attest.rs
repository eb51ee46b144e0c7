//! Flags for statements about an image: `--attest`, `--provenance`, `--sbom`.

use clap::Args;

use crate::request::{AttestKind, AttestSpec, attest};

use super::super::super::error::CliError;

/// What is stated about the image.
#[derive(Debug, Clone, Default, Args)]
pub struct AttestArgs {
    /// Say how the image was built: a boolean, or mode=min|max[,KEY=VALUE…]
    #[arg(long, value_name = "SPEC", num_args = 0..=1, default_missing_value = "true",
        help_heading = "What to build")]
    provenance: Option<String>,
    /// List what the image consists of: a boolean, or generator=IMAGE
    #[arg(long, value_name = "SPEC", num_args = 0..=1, default_missing_value = "true",
        help_heading = "What to build")]
    sbom: Option<String>,
    /// Statement about the image: type=provenance|sbom[,KEY=VALUE…]
    #[arg(long, value_name = "SPEC", help_heading = "What to build")]
    attest: Vec<String>,
}

impl AttestArgs {
    /// The statements that are wanted; of those of one type the first counts, as in buildx.
    pub(in crate::cli::build) fn resolve(&self) -> Result<Vec<AttestSpec>, CliError> {
        let mut specs = Vec::new();
        for value in &self.attest {
            specs.push(AttestSpec::parse(value).map_err(CliError::usage)?);
        }
        let short = [
            ("--provenance", AttestKind::Provenance, &self.provenance),
            ("--sbom", AttestKind::Sbom, &self.sbom),
        ];
        for (flag, kind, value) in short {
            let Some(value) = value.as_deref() else {
                continue;
            };
            if let Some(long) = attest::from_short_flag(&kind, value) {
                specs.push(AttestSpec::parse_as(flag, &long).map_err(|error| {
                    let error = CliError::usage(error);
                    match value.contains('=') {
                        true => error,
                        false => error.hint(format!("without a value, write {flag}=true")),
                    }
                })?);
            }
        }
        let mut first: Vec<AttestSpec> = Vec::new();
        for spec in specs {
            spec.check().map_err(CliError::usage)?;
            if first.iter().all(|other| other.kind != spec.kind) {
                first.push(spec);
            }
        }
        first.retain(|spec| !spec.disabled);
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        attest: AttestArgs,
        context: Option<String>,
    }

    fn resolve(line: &str) -> Result<String, String> {
        let words = ["build"].into_iter().chain(line.split_whitespace());
        let specs = Line::try_parse_from(words).unwrap().attest.resolve();
        let specs = specs.map_err(|error| error.render())?;
        let texts: Vec<String> = specs.iter().map(ToString::to_string).collect();
        Ok(texts.join(" "))
    }

    #[test]
    fn nothing_is_stated_unless_asked_for() {
        assert_eq!(resolve("."), Ok(String::new()));
        assert_eq!(resolve("--provenance=false --sbom 0 ."), Ok(String::new()));
        assert_eq!(resolve("--provenance= ."), Ok(String::new()));
    }

    #[test]
    fn short_flags_take_a_boolean_or_keys_and_the_long_one_goes_first() {
        let check = |line: &str, expect: &str| assert_eq!(resolve(line).unwrap(), expect, "{line}");
        check("--provenance true .", "type=provenance");
        check(". --sbom", "type=sbom");
        check(
            "--provenance=mode=min --sbom=generator=r/s",
            "type=provenance,mode=min type=sbom,generator=r/s",
        );
        check(
            "--provenance=mode=min --attest type=provenance,mode=max --attest type=provenance",
            "type=provenance,mode=max",
        );
        check(". --attest type=sbom,disabled=true --sbom", "");
    }

    #[test]
    fn what_cannot_be_is_named_with_its_flag() {
        let check = |line: &str, expect: &str| {
            assert_eq!(
                resolve(line).unwrap_err().lines().next().unwrap(),
                expect,
                "{line}"
            );
        };
        check(
            "--sbom .",
            "ERROR: --sbom: field `.` is not of the form key=value",
        );
        check(
            "--attest type=signature",
            "ERROR: --attest: `type` is `signature`, which is not provenance or sbom",
        );
        check(
            "--provenance mode=most",
            "ERROR: --provenance: `mode` is `most`, which is not min or max",
        );
        check(
            "--provenance=level=3",
            "ERROR: --provenance: unknown key `level`, expected one of: mode, version, builder-id, \
             filename, reproducible, inline-only, complete-materials, capture-usage, disabled",
        );
    }
}
