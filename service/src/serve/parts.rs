//! The parts of a running service, made from its settings.

use super::ServeError;
use crate::{
    auth::{
        Authenticator, Keys,
        denied::Denied,
        development::{self, SigningKey},
        jwks::KeyCache,
        verifier::Verifier,
    },
    board::{Board, Clock, SystemClock, ViewerHash},
    comments::{Comments, Pace},
    config::{Config, Tokens},
    deactivation::{Cognito, Deactivations},
    http::{App, AppParts, likes::AnonymousLikes, reads::Reads},
    media::{self, Media},
    shutdown::Readiness,
    store::{self, Store, Views, Waiting},
};
use secrecy::ExposeSecret;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long views in the queue are waited for when the process ends.
const FLUSH_TIME: Duration = Duration::from_secs(10);

/// What goes on beside the requests.
pub(super) struct Background {
    views: JoinHandle<()>,
    waiting: Waiting,
    deletions: JoinHandle<()>,
    upkeep: JoinHandle<()>,
}

impl Background {
    /// How many views wait to be counted.
    pub(super) fn views_waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    /// Waits for what must not be lost.
    pub(super) async fn end(self) {
        self.upkeep.abort();
        let stored = async {
            while self.waiting.count() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(FLUSH_TIME, stored).await.is_err() {
            tracing::warn!(views = self.waiting.count(), "some views were not counted");
        }
        self.views.abort();
        let _ = self.deletions.await;
    }
}

/// What handlers work with; with the development issuer a token to try; and what runs beside them
/// until `stop`.
pub(super) async fn assemble(
    config: &Config,
    store: &Arc<dyn Store>,
    readiness: &Readiness,
    stop: &CancellationToken,
) -> Result<(App, Option<String>, Background), ServeError> {
    let clock = Arc::new(SystemClock);
    let (authenticator, token) =
        authenticator(&config.tokens, Denied::listed_in(Arc::clone(store)))?;
    let media = Media::open(config.media.clone(), Arc::clone(store), clock.clone())?;
    let (views, writer) = Views::new(Arc::clone(store));
    let viewers = ViewerHash::new(config.secret_key.expose_secret());
    let background = Background {
        waiting: writer.waiting(),
        views: tokio::spawn(writer.run()),
        deletions: tokio::spawn(
            media
                .clone()
                .delete_objects(media::Pace::default(), stop.clone()),
        ),
        upkeep: tokio::spawn(store::keep_up(Arc::clone(store), clock.clone())),
    };
    let board = Board::new(Arc::clone(store), clock, viewers, views);
    let app = AppParts {
        reads: Reads::new(board.clone()),
        board,
        anonymous_likes: AnonymousLikes(config.anonymous_likes),
        authenticator,
        comments: comments(config, store, stop)?,
        deactivations: deactivations(config, store, stop).await,
        pages: config.pages,
        readiness: readiness.clone(),
        media,
    };
    Ok((app.into(), token, background))
}

/// Who recognises users; with the development issuer also a token to try.
fn authenticator(
    tokens: &Tokens,
    denied: Denied,
) -> Result<(Authenticator, Option<String>), ServeError> {
    let clock = Arc::new(SystemClock);
    match tokens {
        Tokens::Cognito {
            issuer,
            client_id,
            jwks_url,
            ..
        } => {
            let cache = Arc::new(KeyCache::new(jwks_url.clone())?);
            tokio::spawn(Arc::clone(&cache).keep_fresh());
            let verifier = Verifier::new(issuer, client_id);
            Ok((
                Authenticator::new(verifier, Keys::Cached(cache), clock, denied),
                None,
            ))
        }
        Tokens::Development { key_file } => {
            let key = SigningKey::load_or_generate(key_file, "development")?;
            let token = key.development_token(clock.now().as_second())?;
            let verifier = Verifier::new(development::ISSUER, development::CLIENT_ID);
            let keys = Keys::Fixed(Arc::new(key.key_set()));
            Ok((
                Authenticator::new(verifier, keys, clock, denied),
                Some(token),
            ))
        }
    }
}

/// Who refreshes comment counts, until `stop`.
fn comments(
    config: &Config,
    store: &Arc<dyn Store>,
    stop: &CancellationToken,
) -> Result<Comments, ServeError> {
    let store = Arc::clone(store);
    match &config.comment_service {
        None => Ok(Comments::unconfigured(store)),
        Some(url) => {
            Comments::start(store, url.clone(), Pace::default(), stop).map_err(ServeError::Comments)
        }
    }
}

/// Who deactivates accounts and, until `stop`, finishes what Cognito did not do at once.
async fn deactivations(
    config: &Config,
    store: &Arc<dyn Store>,
    stop: &CancellationToken,
) -> Deactivations {
    let cognito = match &config.tokens {
        Tokens::Cognito {
            region, pool_id, ..
        } => Some(Cognito::new(region, pool_id).await),
        Tokens::Development { .. } => None,
    };
    let clock = Arc::new(SystemClock);
    let deactivations = Deactivations::new(Arc::clone(store), clock, config.deactivation, cognito);
    let finishing = deactivations.clone().keep_finishing();
    tokio::spawn(stop.clone().run_until_cancelled_owned(finishing));
    deactivations
}
