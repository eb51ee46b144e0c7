//! What a daemon is told when a call fails.

use std::error::Error;

use tonic::{Code, Status};

use crate::causes::causes;

/// A status with an error and all its causes: the daemon passes on nothing but this text, so
/// it is all that the user gets to see.
pub(super) fn failure(code: Code, context: &str, error: &(dyn Error + 'static)) -> Status {
    let causes = causes(error);
    let message = match context {
        "" => causes,
        context => format!("{context}: {causes}"),
    };
    Status::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    #[test]
    fn all_causes_are_told() {
        let inner = Link {
            text: "inner",
            source: None,
        };
        let outer = Link {
            text: "outer",
            source: Some(Box::new(inner)),
        };
        assert_eq!(failure(Code::Unknown, "", &outer).message(), "outer: inner");
        assert_eq!(
            failure(Code::Unknown, "at", &outer).message(),
            "at: outer: inner"
        );
    }
}
