//! The registries as the configuration and docker's logins have them: [`open`].

use std::sync::Arc;

use crate::config::Settings;
use crate::credentials::{CredentialEnv, Credentials};
use crate::registry::{Registries, RegistrySettings};

use super::app::App;

/// Prepares access to registries, and the logins that it uses; talks to nobody yet.
pub(super) fn open(settings: &Settings, app: &App) -> (Arc<Credentials>, Arc<Registries>) {
    let env = CredentialEnv::from_vars(|name| app.env.get(name).cloned());
    let credentials = Arc::new(Credentials::new(env));
    let settings = RegistrySettings {
        hosts: settings.registries.clone(),
        ..RegistrySettings::default()
    };
    let registries = Arc::new(Registries::new(settings, Arc::clone(&credentials)));
    (credentials, registries)
}
