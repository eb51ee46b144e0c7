//! Gives sessions the registry client's way of getting tokens.

use std::error::Error;
use std::sync::Arc;

use crate::buildkit::session::{Token, TokenFetcher, TokenRequest};
use crate::registry::{self, Registries};

/// Fetches tokens as the registry client does.
pub struct RegistryTokens(pub Arc<Registries>);

#[async_trait::async_trait]
impl TokenFetcher for RegistryTokens {
    async fn fetch(&self, request: &TokenRequest) -> Result<Token, Box<dyn Error + Send + Sync>> {
        let request = registry::TokenRequest {
            host: request.host.clone(),
            realm: request.realm.clone(),
            service: request.service.clone(),
            scopes: request.scopes.clone(),
            client_id: request.client_id.clone(),
        };
        let token = self.0.fetch_token(&request).await?;
        Ok(Token {
            token: token.secret,
            expires_in: i64::try_from(token.life.as_secs()).ok(),
            issued_at: token.issued.map(|at| at.as_second()),
        })
    }
}
