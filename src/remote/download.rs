//! Downloads one small file, such as a Dockerfile: [`download`].

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long the whole download may take.
const LIMIT: Duration = Duration::from_secs(60);
/// What we call ourselves.
const USER_AGENT: &str = concat!("mbuild/", env!("CARGO_PKG_VERSION"));

/// Why a file was not downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The text is no address.
    #[error("this is no URL")]
    Url,
    /// No client could be made, which certificates can be the reason of.
    #[error("cannot prepare the connection")]
    Client(#[source] reqwest::Error),
    /// The server was not reached, or broke off.
    #[error("the server cannot be reached, or broke off")]
    Transport(#[source] reqwest::Error),
    /// The server refused.
    #[error("the server answered {0}")]
    Status(StatusCode),
    /// The file has more than the bytes that are allowed.
    #[error("it has more than {0} bytes")]
    TooLarge(usize),
}

/// Downloads a file of at most `most` bytes, through the environment's proxies.
///
/// # Errors
///
/// When the whole file did not come, or it is too large. Messages do not hold the address, which
/// may hold a password.
pub async fn download(url: &str, most: usize) -> Result<Vec<u8>, DownloadError> {
    let url = Url::parse(url).map_err(|_| DownloadError::Url)?;
    let client = client(&url).map_err(DownloadError::Client)?;
    let failed = |error: reqwest::Error| DownloadError::Transport(error.without_url());
    let mut answer = client.get(url).send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(DownloadError::Status(answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > most {
            return Err(DownloadError::TooLarge(most));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn client(url: &Url) -> Result<Client, reqwest::Error> {
    let basis = || {
        let builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_LIMIT)
            .timeout(LIMIT);
        // As in Go's programs, the environment's proxies are not for loopback addresses.
        match is_loopback(url.host_str().unwrap_or_default()) {
            true => builder.no_proxy(),
            false => builder,
        }
    };
    match basis().build() {
        // A machine without any authorities can still speak plain HTTP.
        Err(_) if url.scheme() == "http" => basis().tls_certs_only([]).build(),
        client => client,
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}
