//! SSH keys as an agent needs them: read from files, named by their public half, used to sign.
//!
//! [`PrivateKey`] is a key; [`Reader`] and the `put_` functions are SSH's binary encoding, in
//! which keys and agents' messages are written. Nothing here opens a file or a socket.

mod encoding;
mod key;

pub use encoding::{Reader, put_mpint, put_string};
pub use key::{KeyError, PrivateKey, SignError};
