//! The JSON object that image indexes use for a platform.
//!
//! Everything of ours writes a platform as a string; this one is only for OCI documents.

use serde::{Deserialize, Serialize};

use super::Platform;

/// The `platform` member of a descriptor in an image index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformObject {
    /// Go's name of the architecture.
    pub architecture: String,
    /// Go's name of the operating system.
    pub os: String,
    /// The version of the operating system; empty means none.
    #[serde(
        rename = "os.version",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    /// Features the operating system must have.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// The variant of the architecture; empty means none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl From<Platform> for PlatformObject {
    fn from(platform: Platform) -> Self {
        let Platform {
            os,
            architecture,
            variant,
            os_version,
            os_features,
        } = platform;
        Self {
            architecture,
            os,
            os_version,
            os_features,
            variant,
        }
    }
}

impl From<PlatformObject> for Platform {
    fn from(object: PlatformObject) -> Self {
        let PlatformObject {
            architecture,
            os,
            os_version,
            os_features,
            variant,
        } = object;
        Self {
            os,
            architecture,
            variant,
            os_version,
            os_features,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, format_all: &str) {
        let object: PlatformObject = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&object).unwrap(), json);
        let platform = Platform::from(object.clone());
        assert_eq!(platform.format_all(), format_all);
        assert_eq!(PlatformObject::from(platform), object);
    }

    #[test]
    fn leaves_out_what_is_empty() {
        check(r#"{"architecture":"arm64","os":"linux"}"#, "linux/arm64");
        check(
            r#"{"architecture":"arm","os":"linux","variant":"v7"}"#,
            "linux/arm/v7",
        );
    }

    #[test]
    fn writes_dotted_members() {
        check(
            r#"{"architecture":"amd64","os":"windows","os.version":"10.0.1","os.features":["f"]}"#,
            "windows(10.0.1+f)/amd64",
        );
    }
}
