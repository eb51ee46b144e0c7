//! Messages of the agent protocol (draft-miller-ssh-agent): their frames and numbers.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest message, in bytes: OpenSSH's own agent takes no larger ones.
pub(super) const LIMIT: usize = 256 << 10;

/// The answer to what cannot or may not be done.
pub(super) const FAILURE: u8 = 5;
/// Asks which keys there are.
pub(super) const REQUEST_IDENTITIES: u8 = 11;
/// Lists them.
pub(super) const IDENTITIES_ANSWER: u8 = 12;
/// Asks for a signature.
pub(super) const SIGN_REQUEST: u8 = 13;
/// Holds it.
pub(super) const SIGN_RESPONSE: u8 = 14;

/// Reads one message: its number and what follows; `None` at the end.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if from.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut length[1..]).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length == 0 || length > LIMIT {
        let problem = format!("a message of {length} bytes, where 1 to {LIMIT} are allowed");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    let mut message = vec![0; length];
    from.read_exact(&mut message).await?;
    Ok(Some(message))
}

/// The message with its length before it.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + message.len());
    crate::ssh::put_string(&mut out, message);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_read_one_by_one_to_the_end() {
        let bytes = [framed(&[11]), framed(&[13, 1, 2])].concat();
        let mut from = &bytes[..];
        assert_eq!(read(&mut from).await.unwrap(), Some(vec![11]));
        assert_eq!(read(&mut from).await.unwrap(), Some(vec![13, 1, 2]));
        assert_eq!(read(&mut from).await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_cut_or_too_large_or_empty_is_an_error() {
        async fn check(bytes: &[u8], expect: io::ErrorKind) {
            let error = read(&mut &bytes[..]).await.unwrap_err();
            assert_eq!(error.kind(), expect, "{bytes:?}");
        }
        check(&[0, 0], io::ErrorKind::UnexpectedEof).await;
        check(&[0, 0, 0, 2, 11], io::ErrorKind::UnexpectedEof).await;
        check(&[0, 0, 0, 0], io::ErrorKind::InvalidData).await;
        check(&[0, 4, 0, 1], io::ErrorKind::InvalidData).await;
        check(&[255; 5], io::ErrorKind::InvalidData).await;
    }
}
