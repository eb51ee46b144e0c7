//! Reads answers: bodies up to a limit, refusals with the wait that they ask for.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::Timestamp;
use reqwest::Response;

use super::error::{Problem, RegistryError};

/// How much of a refusal is read.
const REFUSAL_LIMIT: usize = 64 << 10;

/// Reads an answer that is a refusal into an error.
pub(super) async fn refusal(host: &str, operation: &str, answer: Response) -> RegistryError {
    let status = answer.status().as_u16();
    let retry_after = retry_after(answer.headers(), Timestamp::now());
    // The refusal counts; if its text breaks off, there is less to say.
    let text = body(host, operation, answer, REFUSAL_LIMIT)
        .await
        .unwrap_or_default();
    let mut error = RegistryError::of_status(host, operation, status, &text);
    error.retry_after = retry_after;
    error
}

/// Reads an answer's body of at most `limit` bytes.
pub(super) async fn body(
    host: &str,
    operation: &str,
    mut answer: Response,
    limit: usize,
) -> Result<Bytes, RegistryError> {
    let mut bytes = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > limit => {
                let message = format!("its answer is larger than {limit} bytes");
                return Err(RegistryError::new(
                    host,
                    operation,
                    Problem::Answer,
                    message,
                ));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes.into()),
            Err(error) => return Err(RegistryError::of_transport(host, operation, error)),
        }
    }
}

/// The wait that a refusal asks for: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_date() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let check = |text: &'static str, expect: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            assert_eq!(
                retry_after(&headers, now),
                expect.map(Duration::from_secs),
                "{text}"
            );
        };
        check("7", Some(7));
        check("Fri, 02 Jan 2026 03:04:15 GMT", Some(10));
        check("Fri, 02 Jan 2026 03:00:00 GMT", Some(0));
        check("soon", None);
        check("-1", None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
