//! `LegacySessionTokenAuthenticator`: a session token of the config, or one that user name and password give.
//!
//! The config's token is used as it is until the platform refuses it; the reference asks the platform before each request whether it
//! is still good.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::login::Token;
use crate::errors::ErrorHandler;
use crate::expr::{Place, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::request::value::at;
use crate::request::{BuildError, Built, url};

/// `LegacySessionTokenAuthenticator`.
#[derive(Debug, Clone)]
pub(crate) struct Legacy {
    /// The address that the requester's path is joined to: the language has no other for the login.
    api_url: Template,
    login_url: Template,
    username: Template,
    password: Option<Template>,
    /// The header that carries the token.
    pub(super) header: Template,
    session_token: Option<Template>,
    /// The member of the login's answer that holds the token.
    response_key: Template,
    pub(super) handler: ErrorHandler,
}

impl Legacy {
    pub(super) fn load(
        component: &Component<'_>,
        requester: &Component<'_>,
        problems: &mut Problems,
    ) -> Option<Legacy> {
        component.refuse(&[], &[], problems);
        let required = |name: &str, problems: &mut Problems| {
            if component.get(name).is_none() {
                component.missing(name, problems);
            }
            component.template(name, Place::CONFIG, problems)
        };
        // A requester without either is refused as such.
        let base = ["url", "url_base"];
        let base = base.iter().find(|name| requester.get(name).is_some());
        let api_url = base.and_then(|name| requester.template(name, Place::CONFIG, problems));
        let login_url = required("login_url", problems);
        let header = required("header", problems);
        let response_key = required("session_token_response_key", problems);
        let username = component.template("username", Place::CONFIG, problems);
        let session_token = component.template("session_token", Place::CONFIG, problems);
        if username.is_none() && session_token.is_none() {
            component.missing("username", problems);
        }
        let nobody = Value::String(String::new());
        let place = component.path_of("username");
        let username = match username {
            Some(username) => Some(username),
            None => component.template_of(&nobody, &place, Place::CONFIG, problems),
        };
        Some(Legacy {
            api_url: api_url?,
            login_url: login_url?,
            username: username?,
            password: component.template("password", Place::CONFIG, problems),
            header: header?,
            session_token,
            response_key: response_key?,
            handler: ErrorHandler::of_credentials(),
        })
    }

    /// The config's own token.
    pub(super) fn given(&self, scope: &Scope<'_>) -> Result<Option<String>, BuildError> {
        let token = credential(self.session_token.as_ref(), scope)?;
        Ok((!token.is_empty()).then_some(token))
    }

    pub(super) fn build(
        &self,
        scope: &Scope<'_>,
        base_url: Option<&str>,
    ) -> Result<Built, BuildError> {
        let text = |template: &Template| template.text(scope).map_err(|error| at(template, error));
        let (username, password) = (
            credential(Some(&self.username), scope)?,
            credential(self.password.as_ref(), scope)?,
        );
        if username.is_empty() || password.is_empty() {
            let message = "the session token is no longer good, and the config has no user name and \
                           password to log in with";
            return Err(BuildError::Other(message.to_owned()));
        }
        let address = format!("{}{}", text(&self.api_url)?, text(&self.login_url)?);
        let own = url::parse(&address).map_err(BuildError::Other)?;
        let origin = own.origin().ascii_serialization();
        let target = match base_url {
            None => own,
            Some(stand_in) => url::replace_origin(&own, stand_in).map_err(BuildError::Other)?,
        };
        let body = json!({"username": username, "password": password}).to_string();
        let json = HeaderValue::from_static("application/json");
        Ok(Built {
            method: Method::POST,
            url: target,
            headers: vec![(CONTENT_TYPE, json)],
            body: Some(Bytes::from(body)),
            credentials: vec![password],
            origin,
            read_timeout: None,
            fetches_token: true,
        })
    }

    pub(super) fn read(&self, answer: &Value, scope: &Scope<'_>) -> Result<Token, BuildError> {
        let key = &self.response_key;
        let name = key.text(scope).map_err(|error| at(key, error))?;
        let token = answer.get(&name).filter(|token| !token.is_null());
        let Some(token) = token else {
            let message = format!("the answer to the login holds no \"{name}\"");
            return Err(BuildError::Other(message));
        };
        Ok(Token {
            text: url::text_of(token),
            expires: None,
            refreshed: None,
        })
    }
}

/// Empty for a field that is left out, and for an expression that gives None.
fn credential(template: Option<&Template>, scope: &Scope<'_>) -> Result<String, BuildError> {
    let Some(template) = template else {
        return Ok(String::new());
    };
    let value = template.value(scope).map_err(|error| at(template, error))?;
    if value.is_none_or(|value| value.as_json().is_some_and(Value::is_null)) {
        return Ok(String::new());
    }
    Ok(template
        .credential(scope)
        .map_err(|error| at(template, error))?)
}
