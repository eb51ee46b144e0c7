//! The attributes of what is asked of the frontend beside a build: statements about the image,
//! and the question that stands in a build's place.

use crate::request::BuildRequest;

use super::Frontend;

/// The attribute with what the frontend must be able to do.
const CAPS: &str = "frontend.caps";
/// Answers questions. A frontend that cannot may pass it to the one that the Dockerfile names.
const SUBREQUESTS: &str = "moby.buildkit.frontend.subrequests+forward";

/// Sets them.
pub(super) fn set(request: &BuildRequest, frontend: &mut Frontend) {
    let attrs = &mut frontend.attrs;
    let Some(call) = &request.call else {
        let statements = request.attestations.iter();
        attrs.extend(statements.filter_map(|statement| statement.frontend_attr()));
        return;
    };
    attrs.insert("requestid".to_owned(), call.request_id());
    attrs
        .entry(CAPS.to_owned())
        .and_modify(|caps| *caps = format!("{caps},{SUBREQUESTS}"))
        .or_insert_with(|| SUBREQUESTS.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{AttestSpec, BuildContext, CallSpec, Dockerfile};

    fn attrs(call: Option<&str>, caps: Option<&str>) -> Vec<String> {
        let dockerfile = Dockerfile::InContext("Dockerfile".to_owned());
        let request = BuildRequest {
            call: call.and_then(|call| CallSpec::parse(call).unwrap()),
            attestations: vec![AttestSpec::parse("type=provenance,mode=max").unwrap()],
            ..BuildRequest::new(BuildContext::Empty, dockerfile)
        };
        let caps = caps.map(|caps| (CAPS.to_owned(), caps.to_owned()));
        let mut frontend = Frontend {
            name: "dockerfile.v0",
            attrs: caps.into_iter().collect(),
        };
        set(&request, &mut frontend);
        let pairs = frontend.attrs.into_iter();
        pairs.map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn statements_go_with_a_build() {
        assert_eq!(attrs(None, None), ["attest:provenance=mode=max"]);
    }

    #[test]
    fn a_question_takes_the_place_of_everything() {
        let caps = format!("frontend.caps={SUBREQUESTS}");
        let expect = [caps.as_str(), "requestid=frontend.lint"];
        assert_eq!(attrs(Some("check"), None), expect);
        let got = attrs(Some("outline"), Some("x+forward"));
        assert_eq!(got[0], format!("frontend.caps=x+forward,{SUBREQUESTS}"));
    }
}
