//! Who is calling, recognised once per request and without waiting for anything.
//!
//! A bearer token is looked at with the keys at hand. Public reads go on without a user when it is
//! bad, and when its key is not known yet; the strict extractor of [`User`] in
//! [`extract`](super::extract) uses what was found here, and waits for keys only where it must.

use super::{
    App,
    client::{self, Peer},
    extract::bearer,
};
use crate::{
    auth::{Authenticator, Recognition},
    board::{Freshness, User},
};
use axum::extract::{FromRequestParts, Request};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use ipnet::IpNet;
use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Once, OnceLock},
};

/// What is known of who sent a request. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Caller(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// None: no token.
    token: Option<Recognition>,
    /// A user whose key had to be waited for.
    late: OnceLock<User>,
    address: Option<IpAddr>,
    agent: String,
}

impl Caller {
    fn new(token: Option<Recognition>, address: Option<IpAddr>, headers: &HeaderMap) -> Self {
        let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
        let agent = String::from_utf8_lossy(agent.unwrap_or_default()).into_owned();
        Self(Arc::new(Known {
            token,
            late: OnceLock::new(),
            address,
            agent,
        }))
    }

    /// Somebody without a token at this address.
    #[cfg(test)]
    pub(super) fn from_address(address: IpAddr) -> Self {
        Self::new(None, Some(address), &HeaderMap::new())
    }

    /// The user of a good token.
    pub fn user(&self) -> Option<&User> {
        match &self.0.token {
            Some(Recognition::User(user)) => Some(user),
            _ => self.0.late.get(),
        }
    }

    /// What became of the token, if there was one.
    pub fn token(&self) -> Option<&Recognition> {
        self.0.token.as_ref()
    }

    /// How late an answer to them may be: who has a token finds what they have just written.
    pub fn freshness(&self) -> Freshness {
        match self.0.token {
            None => Freshness::MayLag,
            Some(_) => Freshness::Latest,
        }
    }

    /// Remembers a user who could not be recognised at once, for the log.
    pub(super) fn found(&self, user: &User) {
        let _ = self.0.late.set(user.clone());
    }

    /// The client's address; None if nothing tells it.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    /// A text that is the same whenever the same somebody looks: `user:<sub>`, else made of the
    /// client's address and `User-Agent`. Not for logs and not to be stored: hash it.
    pub fn viewer(&self) -> String {
        let Known { address, agent, .. } = &*self.0;
        match (self.user(), address) {
            (Some(user), _) => format!("user:{}", user.id()),
            (None, Some(address)) => format!("client:{address}\n{agent}"),
            (None, None) => format!("client:\n{agent}"),
        }
    }
}

/// Who called, for handlers that answer everybody.
impl FromRequestParts<App> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// What recognising needs.
#[derive(Debug)]
pub struct Recogniser {
    /// Knows good tokens.
    pub authenticator: Authenticator,
    /// Networks whose word on the client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Recogniser {
    fn caller(&self, request: &Request) -> Caller {
        let headers = request.headers();
        let token = bearer(headers).map(|token| self.authenticator.recognise(token));
        let peer = request.extensions().get::<Peer>();
        let address = peer.and_then(|Peer(peer)| {
            let address = client::address(peer.ip(), headers, &self.trusted_proxies);
            if address.is_none() {
                warn_once(peer.ip());
            }
            address
        });
        Caller::new(token, address, headers)
    }
}

/// Puts the [`Caller`] into the request's extensions.
pub fn recognise(recogniser: &Recogniser, mut request: Request) -> Request {
    let caller = recogniser.caller(&request);
    request.extensions_mut().insert(caller);
    request
}

fn warn_once(peer: IpAddr) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            %peer,
            "requests come through a proxy that does not tell the client's address: rate limits are \
             off for requests without a token; set TRUSTED_PROXIES to the proxy's networks if it \
             sends Forwarded or X-Forwarded-For, or let the load balancer preserve client addresses"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(token: Option<Recognition>, address: Option<&str>, agent: &str) -> Caller {
        let headers = HeaderMap::from_iter([(header::USER_AGENT, agent.parse().unwrap())]);
        let address = address.map(|address| address.parse().unwrap());
        Caller::new(token, address, &headers)
    }

    fn alice() -> Option<Recognition> {
        User::new("1", "alice").map(Recognition::User)
    }

    #[test]
    fn a_user_is_the_same_viewer_from_everywhere() {
        let (home, work) = ("203.0.113.1", "203.0.113.2");
        assert_eq!(
            caller(alice(), Some(home), "a").viewer(),
            caller(alice(), Some(work), "b").viewer()
        );
    }

    #[test]
    fn others_are_told_apart_by_address_and_browser() {
        let viewers = [
            caller(None, Some("203.0.113.1"), "a").viewer(),
            caller(None, Some("203.0.113.1"), "b").viewer(),
            caller(None, Some("203.0.113.2"), "a").viewer(),
            caller(None, None, "a").viewer(),
            caller(alice(), Some("203.0.113.1"), "a").viewer(),
        ];
        for (at, viewer) in viewers.iter().enumerate() {
            assert!(!viewers[..at].contains(viewer), "{viewer}");
        }
    }

    #[test]
    fn a_user_found_late_is_the_user() {
        let caller = caller(Some(Recognition::KeyUnknown), None, "");
        assert_eq!(caller.user(), None);
        caller.found(&User::new("1", "alice").unwrap());
        assert_eq!(caller.user().unwrap().name(), "alice");
    }
}
