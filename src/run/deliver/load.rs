//! Loads an image into a Docker engine: the one that the output names, or a node of the builder.

use crate::builder::Reach;
use crate::engine::Engine;
use crate::merge::file::FileStage;
use crate::unit::ImageTo;

use super::super::Surroundings;
use super::super::error::DeliverError;
use super::step;

/// Loads what the stage holds.
pub(super) async fn load(
    around: &Surroundings,
    (output, to): (usize, &ImageTo),
    stage: FileStage,
) -> Result<(), DeliverError> {
    let engine = engine(around, output, to).ok_or(DeliverError::NoEngine)?;
    let archive = stage.complete()?;
    let loading = async { Ok(engine.load(archive.file()).await?) };
    let loaded = step(around, format!("loading into {}", engine.name()), loading).await?;
    tracing::info!(images = ?loaded.images, "loaded");
    // Removing the archive takes the disk's time.
    drop(tokio::task::spawn_blocking(move || drop(stage)).await);
    Ok(())
}

fn engine(around: &Surroundings, output: usize, to: &ImageTo) -> Option<Engine> {
    let ImageTo::Node(node) = to else {
        return around.engines.get(&output).cloned();
    };
    let mut nodes = around.builder.nodes.iter();
    match &nodes.find(|other| other.name() == node)?.spec().reach {
        Reach::Endpoint { endpoint, tls } => Engine::new(endpoint, tls.as_ref()),
        Reach::Pods(_) => None,
    }
}
