//! Tokens that a platform gives for a login: fetched when one is needed, kept for as long as they are good, shared by the streams of a
//! read.

use std::sync::Arc;
use std::time::Instant;

use super::StreamReader;
use crate::auth::Token;
use crate::decode::Decoder;
use crate::error::ReadError;
use crate::expr::Scope;
use crate::request::{BuildError, Requester};

impl StreamReader {
    /// The token for the next request, fetched if there is none that is good; `anew` says that the platform has refused it.
    pub(super) async fn session(
        &mut self,
        requester: &Requester,
        anew: bool,
    ) -> Result<Option<String>, ReadError> {
        let Self {
            settings,
            sender,
            redactor,
            tokens,
            ..
        } = self;
        let scope = Scope::of_read(&settings.config, settings.now);
        let login = requester.authenticator.login(&scope);
        let login = login.map_err(|error| BuildError::Field(error).into_read_error(redactor))?;
        let Some(login) = login else {
            return Ok(None);
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
            .await?;
        let token = login
            .read(&received.body, &scope)
            .map_err(|error| error.into_read_error(redactor))?;
        redactor.add(&token.text);
        sender.redactor.add(&token.text);
        let text = token.text.clone();
        tokens.insert(key, token);
        Ok(Some(text))
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
