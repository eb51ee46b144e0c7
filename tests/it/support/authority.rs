//! Certificates for tests: an [`Authority`] and what it signs.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ServerConfig, WebPkiClientVerifier};

/// Signs the certificates of one test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// Whether a server wants to see its clients' certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    Anybody,
    Asked,
    Certified,
}

impl Authority {
    /// Makes one of its own.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Signs a certificate for these names, valid until that year.
    pub(crate) fn sign(&self, names: &[&str], until: i32) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// The TLS of a server of these names that speaks one protocol.
    pub(crate) fn server(
        &self,
        names: &[&str],
        until: i32,
        clients: Clients,
        protocol: &str,
    ) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (cert, key) = self.sign(names, until);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(self.verifier(clients, provider))
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![protocol.into()];
        config
    }

    fn verifier(
        &self,
        clients: Clients,
        provider: Arc<CryptoProvider>,
    ) -> Arc<dyn ClientCertVerifier> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        match clients {
            Clients::Anybody => WebPkiClientVerifier::no_client_auth(),
            Clients::Asked => verifier.allow_unauthenticated().build().unwrap(),
            Clients::Certified => verifier.build().unwrap(),
        }
    }
}
