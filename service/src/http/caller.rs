//! Who is calling.

use super::App;
use crate::board::User;
use axum::extract::FromRequestParts;
use http::{header, request::Parts};
use std::convert::Infallible;

/// Whoever sent a request.
#[derive(Debug, Clone)]
pub struct Caller {
    user: Option<User>,
    agent: String,
}

impl Caller {
    /// The user of a good token.
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// Who counts as one viewer.
    pub fn viewer(&self) -> String {
        match &self.user {
            Some(user) => format!("user:{}", user.id()),
            None => self.agent.clone(),
        }
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let agent = parts.headers.get(header::USER_AGENT);
        let agent = agent.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Ok(Self {
            user: User::from_request_parts(parts, app).await.ok(),
            agent: agent.unwrap_or_default(),
        })
    }
}
