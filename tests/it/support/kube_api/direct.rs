//! The port of a pod's daemon, reached without the API server.

use std::sync::{Arc, Weak};

use tokio::net::TcpListener;

use super::cluster::Pod;
use super::metered::{Metered, Traffic};

/// Takes connections for a pod, as long as it is there.
pub(super) async fn serve(listener: TcpListener, pod: Weak<Pod>, traffic: Arc<Traffic>) {
    while let Ok((stream, _)) = listener.accept().await {
        let Some(pod) = pod.upgrade() else { return };
        let traffic = Arc::clone(&traffic);
        tokio::spawn(async move {
            let control = pod.control();
            let work = async {
                let acceptor = pod.tls.as_ref().unwrap();
                let Ok(mut near) = acceptor.accept(stream).await else {
                    return;
                };
                let Ok(far) = pod.socket().await else { return };
                let mut far = Metered::new(far, &traffic, None, &control);
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            };
            control.govern(work).await;
        });
    }
}
