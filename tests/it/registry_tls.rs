//! Registries with certificates of their own, and those that speak none of it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use http::Method;
use mbuild::config::RegistryDef;
use mbuild::registry::{At, Problem, RegistryError, RegistrySettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;

use crate::support::fake_registry::{Act, FakeRegistry, Setup};
use crate::support::images::{image_ref, index, provider, with_settings};

/// A registry with TLS, and the PEM of its authority.
async fn with_tls() -> (FakeRegistry, String) {
    let (registry, authority) = with_tls_for(false).await;
    (registry, authority.pem())
}

/// The same, which wants a client certificate of that authority if `mutual`.
async fn with_tls_for(mutual: bool) -> (FakeRegistry, CertifiedIssuer<'static, KeyPair>) {
    provider();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let leaf = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let builder = rustls::ServerConfig::builder();
    let builder = match mutual {
        false => builder.with_no_client_auth(),
        true => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                .build()
                .unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let tls = builder
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let setup = Setup {
        tls: Some(Arc::new(tls)),
        ..Setup::default()
    };
    (FakeRegistry::start(setup).await, authority)
}

#[tokio::test]
async fn a_registry_of_plain_http_may_lead_to_one_with_tls() {
    let (tls, pem) = with_tls().await;
    let (plain, home) = (FakeRegistry::open().await, tempfile::tempdir().unwrap());
    let ca = home.path().join("ca.pem");
    fs::write(&ca, pem).unwrap();
    let index = index();
    tls.put_manifest("team/app", &index.media_type, &index.bytes);
    let there = format!(
        "https://{}/v2/team/app/manifests/{}",
        tls.local_name(),
        index.digest
    );
    let lead = Act::Answer(307, Some(("location", there)), "");
    plain.fault(&Method::GET, "/manifests/", usize::MAX, lead);
    let host = RegistryDef {
        http: true,
        ca: Some(ca),
        ..RegistryDef::default()
    };
    let registries = with_settings(RegistrySettings {
        hosts: BTreeMap::from([(plain.host(), host)]),
        certs_dirs: vec![],
    });
    let name = image_ref(&plain.host(), "team/app");
    let repository = registries.repository(&name).await.unwrap();
    let found = repository.get_manifest(At::Digest(index.digest)).await;
    assert_eq!(found.unwrap().unwrap(), index);
}

async fn check_with(name: &str, host: RegistryDef) -> Result<(), RegistryError> {
    let hosts = BTreeMap::from([(name.to_owned(), host)]);
    let registries = with_settings(RegistrySettings {
        hosts,
        certs_dirs: vec![],
    });
    registries
        .repository(&image_ref(name, "team/app"))
        .await?
        .check_push()
        .await
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_configured() {
    let (registry, pem) = with_tls().await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, pem).unwrap();
    let trusting = RegistryDef {
        ca: Some(ca.clone()),
        ..RegistryDef::default()
    };
    check_with(&registry.local_name(), trusting.clone())
        .await
        .unwrap();

    // The certificate is for `localhost`, not for the address.
    let error = check_with(&registry.host(), trusting).await.unwrap_err();
    assert_eq!(error.problem, Problem::Certificate);
    assert!(error.message.contains("another name"), "{error}");

    // As docker's daemon finds it.
    let host = dir.path().join(registry.local_name());
    fs::create_dir(&host).unwrap();
    fs::rename(&ca, host.join("ca.crt")).unwrap();
    let settings = RegistrySettings {
        hosts: BTreeMap::new(),
        certs_dirs: vec![dir.path().into()],
    };
    let registries = with_settings(settings);
    let image = image_ref(&registry.local_name(), "team/app");
    registries
        .repository(&image)
        .await
        .unwrap()
        .check_push()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_docker_keeps_one() {
    let (registry, authority) = with_tls_for(true).await;
    let dir = tempfile::tempdir().unwrap();
    let host = dir.path().join(registry.local_name());
    fs::create_dir(&host).unwrap();
    fs::write(host.join("ca.crt"), authority.pem()).unwrap();
    let settings = || RegistrySettings {
        hosts: BTreeMap::new(),
        certs_dirs: vec![dir.path().into()],
    };
    let image = image_ref(&registry.local_name(), "team/app");
    let without = with_settings(settings()).repository(&image).await.unwrap();
    let error = without.check_push().await.unwrap_err();
    assert_eq!(error.problem, Problem::Certificate, "{error:?}");
    assert!(error.message.contains("client certificate"), "{error}");

    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["me".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    fs::write(host.join("me.cert"), certificate.pem()).unwrap();
    fs::write(host.join("me.key"), key.serialize_pem()).unwrap();
    let with = with_settings(settings()).repository(&image).await.unwrap();
    with.check_push().await.unwrap();
    with.put_manifest(At::Tag("1"), &index()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_authority_is_an_error_naming_the_key() {
    let (registry, _pem) = with_tls().await;
    let (_, other) = with_tls().await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("other.pem");
    fs::write(&ca, other).unwrap();
    let distrusting = RegistryDef {
        ca: Some(ca),
        ..RegistryDef::default()
    };
    let error = check_with(&registry.local_name(), distrusting)
        .await
        .unwrap_err();
    assert_eq!(error.problem, Problem::Certificate);
    let advice = error.advice().unwrap();
    assert!(
        advice.contains("ca = \"FILE\"") && advice.contains("certs.d/localhost:"),
        "{advice}"
    );

    let lax = RegistryDef {
        insecure: true,
        ..RegistryDef::default()
    };
    check_with(&registry.local_name(), lax).await.unwrap();
}

#[tokio::test]
async fn plain_http_and_tls_mistaken_for_each_other_are_told() {
    let plain = FakeRegistry::open().await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let (secure, pem) = with_tls().await;
    fs::write(&ca, pem).unwrap();
    let verified = RegistryDef {
        ca: Some(ca),
        ..RegistryDef::default()
    };
    let error = check_with(&plain.host(), verified).await.unwrap_err();
    assert_eq!(error.problem, Problem::SpeaksHttp, "{error:?}");
    assert!(error.advice().unwrap().contains("http = true"));

    let http = RegistryDef {
        http: true,
        ..RegistryDef::default()
    };
    let error = check_with(&secure.local_name(), http).await.unwrap_err();
    assert!(
        matches!(error.problem, Problem::Broken | Problem::SpeaksTls),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_file_that_holds_no_certificate_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, "nothing").unwrap();
    let host = RegistryDef {
        ca: Some(ca),
        ..RegistryDef::default()
    };
    let error = check_with("localhost:1", host).await.unwrap_err();
    assert_eq!(error.problem, Problem::Settings);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("ca.pem"), "{cause}");
}
