//! Tokens that a platform gives for a login: fetched when one is needed, kept for as long as they are good, shared by the streams of a
//! read.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::settings::ReadSettings;
use super::{StreamReader, failure_of};
use crate::auth::{Login, Rotation, Token};
use crate::decode::Decoder;
use crate::error::ReadError;
use crate::expr::Scope;
use crate::request::permit::refusal;
use crate::request::{BuildError, Requester};

impl StreamReader {
    /// The token for the next request, fetched if there is none that is good. `refused` is one that the platform has refused.
    pub(super) async fn session(
        &mut self,
        requester: &Requester,
        refused: Option<&str>,
    ) -> Result<Option<String>, ReadError> {
        let anew = refused.is_some();
        let asked_at = Some(self.sender.now(&self.settings));
        let scope = Scope::of_read(&self.settings.config, self.settings.now);
        let login = requester.authenticator.login(&scope);
        let login =
            login.map_err(|error| BuildError::Field(error).into_read_error(&self.redactor))?;
        if let Some((login, rotation)) = login.and_then(|login| Some((login, login.rotation()?))) {
            let token = self.rotated(login, rotation, refused).await?;
            return Ok(Some(token));
        }
        let Some(login) = login else {
            return Ok(None);
        };
        let Self {
            settings,
            sender,
            redactor,
            tokens,
            ..
        } = self;
        let scope = Scope {
            asked_at,
            ..Scope::of_read(&settings.config, settings.now)
        };
        let given = login
            .given(&scope)
            .map_err(|error| error.into_read_error(redactor))?;
        if let Some(given) = given.filter(|_| !anew) {
            return Ok(Some(given));
        }
        let built = login
            .build(&scope, settings.base_url.as_deref())
            .map_err(|error| error.into_read_error(redactor))?;
        let key = (built.url.to_string(), built.body.clone());
        let tokens = Arc::clone(tokens);
        // Held while it is fetched, so that several streams do not all fetch one.
        let mut tokens = tokens.lock().await;
        let is_good = |token: &&Token| token.expires.is_none_or(|at| at > Instant::now());
        if let Some(token) = tokens.get(&key).filter(is_good).filter(|_| !anew) {
            return Ok(Some(token.text.clone()));
        }
        let received = sender
            .send(&built, login.handler(), &Decoder::Json, settings)
            .await?
            .of_no_page()?;
        let token = login
            .read(&received.body, &scope)
            .map_err(|error| error.into_read_error(redactor))?;
        redactor.add(&token.text);
        sender.redactor.add(&token.text);
        let text = token.text.clone();
        tokens.insert(key, token);
        Ok(Some(text))
    }

    /// A token whose refresh replaces the refresh token: the config's own as long as it is good; a new one only once the host has
    /// stored it.
    async fn rotated(
        &mut self,
        login: &Login,
        rotation: &Rotation,
        refused: Option<&str>,
    ) -> Result<String, ReadError> {
        let key = (rotation.place.clone(), None);
        let tokens = Arc::clone(&self.tokens);
        let mut tokens = tokens.lock().await;
        let is_new = |token: &str| refused != Some(token);
        let known = tokens.get(&key).cloned();
        if let Some(token) = &known {
            // It may be another reader of this read that refreshed it.
            self.accept(token)?;
            let is_alive = token.expires.is_none_or(|at| at > Instant::now());
            if is_alive && is_new(&token.text) {
                return Ok(token.text.clone());
            }
        }
        // The config that a reader began with may be older than what the read has had since.
        let of_config = self.token_of_config(rotation, &is_new);
        if let Some(token) = of_config.filter(|_| known.is_none()) {
            tokens.insert(key, token.clone());
            return Ok(token.text);
        }
        let host = Arc::clone(&self.settings.host);
        if let Some(stored) = host.begin_refresh().await.map_err(refusal)? {
            rotation.take_over(&mut self.settings.config, &stored);
        }
        if let Some(token) = self.token_of_config(rotation, &is_new) {
            // Somebody else has refreshed it meanwhile.
            host.end_refresh(None).await.map_err(unkept)?;
            self.accept(&token)?;
            tokens.insert(key, token.clone());
            return Ok(token.text);
        }
        let token = match self.refresh(login).await {
            Ok(token) => token,
            Err(error) => {
                host.end_refresh(None).await.map_err(unkept)?;
                return Err(error);
            }
        };
        host.end_refresh(token.refreshed.as_deref())
            .await
            .map_err(unkept)?;
        self.accept(&token)?;
        tokens.insert(key, token.clone());
        Ok(token.text)
    }

    fn token_of_config(&self, rotation: &Rotation, is_new: &dyn Fn(&str) -> bool) -> Option<Token> {
        let now = self.sender.now(&self.settings);
        let stored = rotation.stored(&self.settings.config, now);
        let (text, left) = stored.filter(|(token, _)| is_new(token))?;
        Some(Token {
            text,
            expires: Instant::now().checked_add(left),
            refreshed: None,
        })
    }

    /// Fetches a new token. Once the request is on its way it is not cut off: its answer is the only place where the next refresh token is.
    async fn refresh(&mut self, login: &Login) -> Result<Token, ReadError> {
        let settings = ReadSettings {
            cancel: CancellationToken::new(),
            ..self.settings.clone()
        };
        let scope = Scope {
            asked_at: Some(self.sender.now(&settings)),
            ..Scope::of_read(&settings.config, settings.now)
        };
        let built = login
            .build(&scope, settings.base_url.as_deref())
            .map_err(|error| error.into_read_error(&self.redactor))?;
        let received = self
            .sender
            .send(&built, login.handler(), &Decoder::Json, &settings)
            .await?
            .of_no_page()?;
        let scope = Scope {
            asked_at: Some(self.sender.now(&settings)),
            ..scope
        };
        login
            .read(&received.body, &scope)
            .map_err(|error| error.into_read_error(&self.redactor))
    }

    /// Goes on with a token: expressions see it in the config, and nobody sees it in a message.
    fn accept(&mut self, token: &Token) -> Result<(), ReadError> {
        self.redactor.add(&token.text);
        self.sender.redactor.add(&token.text);
        let Some(refreshed) = &token.refreshed else {
            return Ok(());
        };
        for secret in refreshed.tokens() {
            self.redactor.add(secret);
            self.sender.redactor.add(secret);
        }
        refreshed
            .apply(&mut self.settings.config)
            .map_err(|message| ReadError::NeedsPerson {
                failure: failure_of(format!(
                    "the new token has no place in the config: {message}"
                )),
            })
    }
}

/// Tokens that could not be stored are not used.
fn unkept(reason: String) -> ReadError {
    ReadError::Transient {
        retry_after: None,
        failure: failure_of(reason),
    }
}

/// Whether a failure may be the fault of a token that has died before its time.
pub(super) fn wants_new_token(error: &ReadError) -> bool {
    match error {
        ReadError::NeedsToken { .. } => true,
        ReadError::NeedsPerson { failure } => failure.http_status == Some(401),
        _ => false,
    }
}
