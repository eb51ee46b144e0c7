//! SSH's binary encoding (RFC 4251, section 5): [`Reader`], and what writes the same.
//!
//! Lengths are never believed: what is shorter than it says reads as `None`.

/// Reads one field after the other.
#[derive(Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Reads this many bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads a byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// Reads a number of four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    /// Reads bytes that their number goes before.
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// Reads a number of any size that is not negative, as bytes without leading zeros.
    pub fn mpint(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            return None;
        }
        Some(without_zeros(bytes))
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }
}

/// Writes bytes and their number before them.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    // Nothing of 4 GiB is ever written here; it would be cut rather than lie about its length.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend(length.to_be_bytes());
    out.extend(&bytes[..length as usize]);
}

/// Writes a number that is not negative.
pub fn put_mpint(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = without_zeros(bytes);
    match bytes.first() {
        // The first bit is the sign.
        Some(first) if first & 0x80 != 0 => put_string(out, &[&[0], bytes].concat()),
        _ => put_string(out, bytes),
    }
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        put_string(&mut out, b"ab");
        put_mpint(&mut out, &[0, 0, 0x80, 1]);
        put_mpint(&mut out, &[0]);
        assert_eq!(out[..6], [0, 0, 0, 2, b'a', b'b']);
        assert_eq!(out[6..13], [0, 0, 0, 3, 0, 0x80, 1]);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.string(), Some(&b"ab"[..]));
        assert_eq!(reader.mpint(), Some(&[0x80, 1][..]));
        assert_eq!(reader.mpint(), Some(&[][..]));
        assert!(reader.rest().is_empty());
    }

    #[test]
    fn what_is_too_short_is_nothing() {
        let check = |bytes: &[u8]| assert_eq!(Reader::new(bytes).string(), None, "{bytes:?}");
        check(&[]);
        check(&[0, 0, 1]);
        check(&[0, 0, 0, 2, 1]);
        check(&[0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(Reader::new(&[0, 0, 0, 1, 0x80]).mpint(), None);
    }
}
