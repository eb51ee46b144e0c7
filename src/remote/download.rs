//! Downloads files from the web: a small one, such as a Dockerfile, with [`download`], one of any
//! size with [`download_to`].

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url};
use tokio::time::timeout;

/// How long a connection may take to come about.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long the server may be silent.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// How long the download of a small file may take.
const SMALL_LIMIT: Duration = Duration::from_secs(60);
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
    /// A small file took too long.
    #[error("it did not come within {} s", SMALL_LIMIT.as_secs())]
    Late,
    /// The disk did not take it.
    #[error("it cannot be written")]
    Write(#[source] io::Error),
}

/// Downloads a file of at most `most` bytes, through the environment's proxies.
///
/// # Errors
///
/// When the whole file did not come in time, or it is too large. Messages do not hold the
/// address, which may hold a password.
pub async fn download(url: &str, most: usize) -> Result<Vec<u8>, DownloadError> {
    let fetch = async {
        let mut answer = get(url).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(transport)? {
            if bytes.len() + chunk.len() > most {
                return Err(DownloadError::TooLarge(most));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    timeout(SMALL_LIMIT, fetch)
        .await
        .unwrap_or(Err(DownloadError::Late))
}

/// Downloads a file of any size, as long as it keeps coming.
///
/// # Errors
///
/// As [`download`]'s, and when it cannot be written.
pub async fn download_to(url: &str, into: &mut impl Write) -> Result<(), DownloadError> {
    let mut answer = get(url).await?;
    while let Some(chunk) = answer.chunk().await.map_err(transport)? {
        into.write_all(&chunk).map_err(DownloadError::Write)?;
    }
    into.flush().map_err(DownloadError::Write)
}

async fn get(url: &str) -> Result<Response, DownloadError> {
    let url = Url::parse(url).map_err(|_| DownloadError::Url)?;
    let client = client(&url).map_err(DownloadError::Client)?;
    let answer = client.get(url).send().await.map_err(transport)?;
    match answer.status().is_success() {
        true => Ok(answer),
        false => Err(DownloadError::Status(answer.status())),
    }
}

fn transport(error: reqwest::Error) -> DownloadError {
    DownloadError::Transport(error.without_url())
}

fn client(url: &Url) -> Result<Client, reqwest::Error> {
    let basis = || {
        let builder = Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_LIMIT)
            .read_timeout(SILENCE_LIMIT);
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
