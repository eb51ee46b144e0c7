//! Loading an image: `POST /images/load` with the archive as its body.
//!
//! The engine answers with a stream of JSON lines, success or not: an `error` in one of them is
//! how it fails.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::Request;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use serde::Deserialize;
use tokio::io::AsyncSeekExt;
use tokio_util::io::ReaderStream;

use super::{Engine, EngineError};
use crate::buildkit::io::Liveness;

/// How long nothing may come or go: an engine that unpacks a large layer says nothing meanwhile.
const IDLE_LIMIT: Duration = Duration::from_secs(600);
/// How often that is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How much is read of the archive at once, in bytes.
const PIECE: usize = 256 << 10;
/// The longest line of an answer, in bytes; none has more than a few hundred.
const LINE_LIMIT: usize = 1 << 20;
/// What the line says that names a loaded image.
const LOADED: [&str; 2] = ["Loaded image: ", "Loaded image ID: "];

/// What an engine says that it has loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Names, or the id of an image without a name.
    pub images: Vec<String>,
}

/// One line of the answer.
#[derive(Debug, Default, Deserialize)]
struct Line {
    #[serde(default)]
    stream: String,
    #[serde(default)]
    error: String,
}

impl Engine {
    /// Loads the image in an archive.
    ///
    /// # Errors
    ///
    /// When the engine cannot be reached, refuses the image, or is silent for ten minutes.
    pub async fn load(&self, archive: &File) -> Result<Loaded, EngineError> {
        let (body, length) = content(archive).await.map_err(EngineError::Read)?;
        let liveness = Liveness::new();
        let alive = liveness.clone();
        let body = body.map(move |piece| {
            alive.touch();
            piece.map(Frame::data)
        });
        let body: Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send + Sync>> =
            Box::pin(body);
        let request = Request::post("/images/load?quiet=1")
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/x-tar")
            .header(CONTENT_LENGTH, length)
            .body(StreamBody::new(body))
            .map_err(|error| self.odd(error))?;
        let answer = self.exchange(request, |response| {
            self.read_lines(response.into_body(), liveness.clone())
        });
        tokio::select! {
            answer = answer => answer,
            () = silence(&liveness) => Err(EngineError::Silent {
                engine: self.name.clone(),
                seconds: IDLE_LIMIT.as_secs(),
            }),
        }
    }

    async fn read_lines(
        &self,
        mut body: Incoming,
        liveness: Liveness,
    ) -> Result<Loaded, EngineError> {
        let mut loaded = Loaded::default();
        let mut rest = BytesMut::new();
        while let Some(frame) = body.frame().await {
            liveness.touch();
            let frame = frame.map_err(|error| self.odd(error))?;
            if let Ok(data) = frame.into_data() {
                rest.extend_from_slice(&data);
            }
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end);
                rest.advance(1);
                self.take_line(&line, &mut loaded)?;
            }
            if rest.len() > LINE_LIMIT {
                return Err(self.odd("an endless line"));
            }
        }
        self.take_line(&rest, &mut loaded)?;
        Ok(loaded)
    }

    fn take_line(&self, line: &[u8], loaded: &mut Loaded) -> Result<(), EngineError> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let line: Line = serde_json::from_slice(line).map_err(|error| self.odd(error))?;
        if !line.error.is_empty() {
            return Err(self.refused(line.error.trim()));
        }
        let named = |text: &str| {
            LOADED
                .iter()
                .find_map(|start| text.strip_prefix(start).map(str::trim).map(str::to_owned))
        };
        loaded.images.extend(line.stream.lines().filter_map(named));
        Ok(())
    }
}

/// The archive from its beginning, and its length.
async fn content(archive: &File) -> io::Result<(ReaderStream<tokio::fs::File>, u64)> {
    let file = archive.try_clone()?;
    let length = file.metadata()?.len();
    let mut file = tokio::fs::File::from_std(file);
    file.rewind().await?;
    Ok((ReaderStream::with_capacity(file, PIECE), length))
}

/// Ends when nothing has moved for too long.
async fn silence(liveness: &Liveness) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        if liveness.idle() >= IDLE_LIMIT {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buildkit::endpoint::Endpoint;

    fn read(lines: &[&str]) -> Result<Vec<String>, String> {
        let engine = Engine::new(&Endpoint::DockerUnix("/e.sock".into()), None).unwrap();
        let mut loaded = Loaded::default();
        for line in lines {
            engine
                .take_line(line.as_bytes(), &mut loaded)
                .map_err(|error| error.to_string())?;
        }
        Ok(loaded.images)
    }

    #[test]
    fn names_are_read_and_progress_is_passed_over() {
        let lines = [
            r#"{"status":"Loading layer","progressDetail":{"current":1}}"#,
            "",
            r#"{"stream":"Loaded image: app:1\n"}"#,
            r#"{"stream":"Loaded image ID: sha256:1\n"}"#,
        ];
        assert_eq!(read(&lines).unwrap(), ["app:1", "sha256:1"]);
    }

    #[test]
    fn an_error_among_the_lines_is_the_answer() {
        let lines = [
            r#"{"stream":"Loaded image: app:1\n"}"#,
            r#"{"errorDetail":{"message":"no space"},"error":"no space"}"#,
        ];
        let error = read(&lines).unwrap_err();
        assert_eq!(
            error,
            "the Docker engine at docker+unix:///e.sock answers: no space"
        );
        assert!(read(&["<html>"]).unwrap_err().contains("does not answer"));
    }
}
