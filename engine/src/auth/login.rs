//! Authenticators that fetch a token first: `OAuthAuthenticator`, `SessionTokenAuthenticator` and its forerunner.
//!
//! A token is fetched when it is needed, kept until it expires, and shared by all streams of a read, parents included. One that
//! the platform refuses is fetched anew, once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::KeyPlace;
use super::jwt::Jwt;
use super::legacy::Legacy;
use super::rotation::Rotation;
use crate::errors::ErrorHandler;
use crate::expr::{Place, Scope, Template};
use crate::host::Refreshed;
use crate::load::component::{Component, Problems};
use crate::paginate::Paginator;
use crate::request::value::{Field, at, load_mapping, mapping};
use crate::request::{Asked, BuildError, Built, Methods, Requester, url};
use crate::time::{Format, Span};

/// How long a token lives if nobody says so.
const LANGUAGE_LIFETIME: Duration = Duration::from_hours(1);
const ASSERTION_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A token that was fetched.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// `None`: for as long as the read goes on.
    pub(crate) expires: Option<Instant>,
    /// What has become of the config with it.
    pub(crate) refreshed: Option<Arc<Refreshed>>,
}

/// The tokens of a read, by the request that fetches them.
pub(crate) type Tokens = Arc<Mutex<HashMap<(String, Option<Bytes>), Token>>>;

/// What fetches a token.
#[derive(Debug, Clone)]
pub(crate) enum Login {
    OAuth(Box<OAuth>),
    Session(Box<Session>),
    Legacy(Box<Legacy>),
}

/// `OAuthAuthenticator`.
#[derive(Debug, Clone)]
pub(crate) struct OAuth {
    /// `None`: the token in the config is all there is.
    endpoint: Option<Template>,
    client_id: (Template, Option<Template>),
    client_secret: (Template, Option<Template>),
    refresh_token: (Template, Option<Template>),
    grant_type: (Template, Template),
    access_token_name: Template,
    expires_in_name: Template,
    scopes: Vec<Value>,
    body: Vec<(Template, Field)>,
    headers: Vec<(Template, Field)>,
    in_query: bool,
    /// A token that the config has already, and until when it is good.
    given: Option<Template>,
    given_until: Option<Template>,
    expiry_format: Option<Format>,
    /// `refresh_token_updater`.
    rotation: Option<Rotation>,
    /// `profile_assertion`, if it is used: a signed token in place of id, secret and refresh token.
    assertion: Option<Jwt>,
    handler: ErrorHandler,
}

/// `SessionTokenAuthenticator`.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    requester: Box<Requester>,
    path: Vec<String>,
    lifetime: Option<Duration>,
    /// Where the token goes, and in which form; `None` is a bearer header.
    into: Option<(KeyPlace, Template)>,
}

fn named(
    component: &Component<'_>,
    name: &str,
    default: &str,
    problems: &mut Problems,
) -> Option<Template> {
    let default = Value::String(default.to_owned());
    let value = component.get(name).unwrap_or(&default);
    component.template_of(value, &component.path_of(name), Place::CONFIG, problems)
}

impl OAuth {
    pub(super) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<OAuth> {
        component.refuse(&[], &[], problems);
        let uses_assertion = component.boolean("use_profile_assertion", problems);
        let assertion = component
            .child("profile_assertion", &["JwtAuthenticator"], problems)
            .filter(|_| uses_assertion)
            .and_then(|assertion| Jwt::load(&assertion, problems));
        if uses_assertion && component.get("profile_assertion").is_none() {
            component.missing("profile_assertion", problems);
        }
        let optional =
            |name: &str, problems: &mut Problems| component.template(name, Place::CONFIG, problems);
        let pair = |name: &str, problems: &mut Problems| {
            let key = named(component, &format!("{name}_name"), name, problems)?;
            Some((key, optional(name, problems)))
        };
        let expiry_format = match component.text("token_expiry_date_format", problems) {
            None => None,
            Some(source) => match Format::compile(source) {
                Ok(format) => Some(format),
                Err(message) => {
                    problems.add(component.path_of("token_expiry_date_format"), message);
                    None
                }
            },
        };
        let scopes = component.get("scopes").and_then(Value::as_array);
        let oauth = OAuth {
            endpoint: optional("token_refresh_endpoint", problems),
            client_id: pair("client_id", problems)?,
            client_secret: pair("client_secret", problems)?,
            refresh_token: pair("refresh_token", problems)?,
            grant_type: (
                named(component, "grant_type_name", "grant_type", problems)?,
                if uses_assertion {
                    let grant = Value::String(ASSERTION_GRANT.to_owned());
                    let place = component.path_of("grant_type");
                    component.template_of(&grant, &place, Place::CONFIG, problems)?
                } else {
                    named(component, "grant_type", "refresh_token", problems)?
                },
            ),
            access_token_name: named(component, "access_token_name", "access_token", problems)?,
            expires_in_name: named(component, "expires_in_name", "expires_in", problems)?,
            scopes: scopes.cloned().unwrap_or_default(),
            body: load_mapping(component, "refresh_request_body", Place::CONFIG, problems),
            headers: load_mapping(
                component,
                "refresh_request_headers",
                Place::CONFIG,
                problems,
            ),
            in_query: component.boolean("send_refresh_request_as_query_params", problems),
            given: optional("access_token_value", problems),
            given_until: optional("token_expiry_date", problems),
            expiry_format,
            rotation: Rotation::load(component, problems),
            assertion,
            handler: ErrorHandler::of_credentials(),
        };
        if uses_assertion {
            if oauth.endpoint.is_none() {
                component.missing("token_refresh_endpoint", problems);
            }
        } else if oauth.rotation.is_some() {
            // Id and secret may be in the config's "credentials", the refresh token is.
            if oauth.endpoint.is_none() {
                component.missing("token_refresh_endpoint", problems);
            }
        } else if oauth.endpoint.is_some() {
            let needed = [
                ("client_id", &oauth.client_id.1),
                ("client_secret", &oauth.client_secret.1),
            ];
            for (name, value) in needed {
                if value.is_none() {
                    component.missing(name, problems);
                }
            }
            let by_refresh = oauth.grant_type.1.constant() == Some("refresh_token");
            if by_refresh && oauth.refresh_token.1.is_none() {
                component.missing("refresh_token", problems);
            }
        } else if oauth.given.is_none() {
            component.missing("token_refresh_endpoint", problems);
        }
        Some(oauth)
    }

    /// The token that the config has, if it is good.
    fn given(&self, scope: &Scope<'_>) -> Result<Option<String>, BuildError> {
        let Some(template) = &self.given else {
            return Ok(None);
        };
        let token = template
            .credential(scope)
            .map_err(|error| at(template, error))?;
        if token.is_empty() {
            return Ok(None);
        }
        if self.endpoint.is_none() {
            return Ok(Some(token));
        }
        let Some(until) = &self.given_until else {
            return Ok(None);
        };
        let until = until.text(scope).map_err(|error| at(until, error))?;
        let is_good = moment_of(&until)
            .zip(scope.asked_at.or(scope.now))
            .is_some_and(|(until, now)| until > now);
        Ok(is_good.then_some(token))
    }

    fn build(&self, scope: &Scope<'_>, base_url: Option<&str>) -> Result<Built, BuildError> {
        let text = |template: &Template| template.text(scope).map_err(|error| at(template, error));
        let credential = |template: &Option<Template>| match template {
            None => Ok(String::new()),
            Some(template) => template
                .credential(scope)
                .map_err(|error| at(template, error)),
        };
        let endpoint = self.endpoint.as_ref().map(text).transpose()?;
        let own = url::parse(&endpoint.unwrap_or_default()).map_err(BuildError::Other)?;
        let origin = own.origin().ascii_serialization();
        let mut target = match base_url {
            None => own,
            Some(stand_in) => url::replace_origin(&own, stand_in).map_err(BuildError::Other)?,
        };
        let header_values = mapping(&self.headers, scope)?;
        let mut form = Map::new();
        let mut credentials = Vec::new();
        let mut put = |form: &mut Map<String, Value>, name: String, value: String| {
            credentials.push(value.clone());
            form.insert(name, Value::String(value));
        };
        form.insert(
            text(&self.grant_type.0)?,
            Value::String(text(&self.grant_type.1)?),
        );
        if let Some(assertion) = &self.assertion {
            put(&mut form, "assertion".to_owned(), assertion.token(scope)?);
        } else {
            if !header_values.contains_key("Authorization") {
                let (id, secret) = (
                    self.client(self.client_id.1.as_ref(), "client_id", scope)?,
                    self.client(self.client_secret.1.as_ref(), "client_secret", scope)?,
                );
                form.insert(text(&self.client_id.0)?, Value::String(id));
                put(&mut form, text(&self.client_secret.0)?, secret);
            }
            if let Some(rotation) = &self.rotation {
                let config = scope.config.unwrap_or(&Value::Null);
                let token = rotation.refresh_token(config);
                put(&mut form, rotation.refresh_token_name.clone(), token);
            } else if self.refresh_token.1.is_some() {
                let token = credential(&self.refresh_token.1)?;
                put(&mut form, text(&self.refresh_token.0)?, token);
            }
            if !self.scopes.is_empty() {
                form.insert("scopes".to_owned(), Value::Array(self.scopes.clone()));
            }
            for (name, value) in mapping(&self.body, scope)? {
                form.entry(name).or_insert(value);
            }
        }
        let mut headers = Vec::new();
        for (name, value) in &header_values {
            let value = url::text_of(value);
            headers.push(crate::request::header(name, &value)?);
            credentials.push(value);
        }
        let body = if self.in_query && self.assertion.is_none() {
            url::add_parameters(&mut target, &form);
            None
        } else {
            if !headers.iter().any(|(name, _)| name == CONTENT_TYPE) {
                let value = HeaderValue::from_static("application/x-www-form-urlencoded");
                headers.push((CONTENT_TYPE, value));
            }
            Some(Bytes::from(url::form(&form)))
        };
        Ok(Built {
            method: Method::POST,
            url: target,
            headers,
            body,
            credentials,
            origin,
            read_timeout: None,
            fetches_token: true,
        })
    }

    /// The client's id or secret. With a `refresh_token_updater` those of the config's "credentials" go first.
    fn client(
        &self,
        template: Option<&Template>,
        name: &str,
        scope: &Scope<'_>,
    ) -> Result<String, BuildError> {
        if self.rotation.is_some()
            && let Some(own) = scope
                .config
                .and_then(|config| config.get("credentials")?.get(name))
        {
            return Ok(url::text_of(own));
        }
        match template {
            None => Ok(String::new()),
            Some(template) => Ok(template
                .credential(scope)
                .map_err(|error| at(template, error))?),
        }
    }

    fn read(&self, answer: &Value, scope: &Scope<'_>) -> Result<Token, BuildError> {
        let text = |template: &Template| template.text(scope).map_err(|error| at(template, error));
        let name = text(&self.access_token_name)?;
        let Some(token) = find(answer, &name).and_then(Value::as_str) else {
            let message = format!("the answer to the token request holds no \"{name}\"");
            return Err(BuildError::Other(message));
        };
        let now = scope.asked_at.or(scope.now);
        let expires_in = find(answer, &text(&self.expires_in_name)?);
        let by_format = || {
            let until = self.expiry_format.as_ref()?.read(expires_in?)?;
            (until.to_utc() - now?).to_std().ok()
        };
        let by_seconds = || {
            let seconds = match expires_in? {
                Value::String(text) => text.trim().parse().ok(),
                other => other.as_f64(),
            }?;
            Duration::try_from_secs_f64(seconds).ok()
        };
        let lifetime = by_format().or_else(by_seconds).unwrap_or(LANGUAGE_LIFETIME);
        let refreshed = self.rotation.as_ref().zip(now).map(|(rotation, now)| {
            let config = scope.config.unwrap_or(&Value::Null);
            let next = find(answer, &rotation.refresh_token_name).and_then(Value::as_str);
            let lifetime = TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
            Arc::new(rotation.refreshed(config, token, next, lifetime, now))
        });
        Ok(Token {
            text: token.to_owned(),
            expires: Instant::now().checked_add(lifetime),
            refreshed,
        })
    }
}

/// A moment that a config or an answer names: seconds since 1970, or a date.
pub(super) fn moment_of(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    match text.parse::<i64>() {
        Ok(seconds) => DateTime::from_timestamp(seconds, 0),
        Err(_) => crate::time::iso::read(text).map(|moment| moment.to_utc()),
    }
}

/// The first member of this name, however deep it is.
fn find<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members
            .get(name)
            .or_else(|| members.values().find_map(|member| find(member, name))),
        Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        _ => None,
    }
}

impl Session {
    pub(super) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Session> {
        component.refuse(&[], &[], problems);
        crate::load::stream::check_decoder(component, problems);
        let requester = Requester::load_field(
            component,
            "login_requester",
            Place::REQUEST,
            Methods::Usual,
            problems,
        );
        let steps = component
            .get("session_token_path")
            .and_then(Value::as_array);
        let path: Option<Vec<String>> = steps.and_then(|steps| {
            let text = |step: &Value| step.as_str().map(str::to_owned);
            steps.iter().map(text).collect()
        });
        if path.as_ref().is_none_or(Vec::is_empty) {
            let place = component.path_of("session_token_path");
            problems.add(place, "a list of names is needed here");
        }
        let lifetime = match component.text("expiration_duration", problems) {
            None => None,
            Some(text) => {
                let span = Span::parse(text).and_then(Span::fixed_length);
                if span.is_none() {
                    let place = component.path_of("expiration_duration");
                    problems.add(place, crate::time::SPAN_NEEDED);
                }
                span
            }
        };
        let kinds = &[
            "ApiKey",
            "ApiKeyAuthenticator",
            "Bearer",
            "BearerAuthenticator",
        ];
        if component.get("request_authentication").is_none() {
            component.missing("request_authentication", problems);
        }
        let request = component.child("request_authentication", kinds, problems)?;
        let into = if request.kind.starts_with("ApiKey") {
            let default = Value::String("{{ session_token }}".to_owned());
            let value = request.get("api_token").unwrap_or(&default);
            let place = request.path_of("api_token");
            let form = request.template_of(value, &place, Place::SESSION, problems);
            let option = request.child("inject_into", &["RequestOption"], problems)?;
            let option = crate::request::option::RequestOption::load(&option, problems);
            Some((KeyPlace::Option(option?), form?))
        } else {
            None
        };
        Some(Session {
            requester: Box::new(requester?),
            path: path?,
            lifetime,
            into,
        })
    }

    /// The place and form of the token, if it is no bearer header.
    pub(super) fn placement(&self) -> Option<(&KeyPlace, &Template)> {
        self.into.as_ref().map(|(place, form)| (place, form))
    }

    fn read(&self, answer: &Value) -> Result<Token, BuildError> {
        let mut place = Some(answer);
        for step in &self.path {
            place = place.and_then(|value| value.get(step));
        }
        let token =
            place.filter(|token| !token.is_null() && !token.is_object() && !token.is_array());
        let Some(token) = token else {
            let message = format!("the answer to the login holds no {}", self.path.join("."));
            return Err(BuildError::Other(message));
        };
        Ok(Token {
            text: url::text_of(token),
            expires: self
                .lifetime
                .and_then(|lifetime| Instant::now().checked_add(lifetime)),
            refreshed: None,
        })
    }
}

impl Login {
    /// A token that needs no request.
    pub(crate) fn given(&self, scope: &Scope<'_>) -> Result<Option<String>, BuildError> {
        match self {
            Login::OAuth(oauth) => oauth.given(scope),
            Login::Session(_) => Ok(None),
            Login::Legacy(legacy) => legacy.given(scope),
        }
    }

    /// The refresh token that each refresh replaces, if it is one.
    pub(crate) fn rotation(&self) -> Option<&Rotation> {
        match self {
            Login::OAuth(oauth) => oauth.rotation.as_ref(),
            Login::Session(_) | Login::Legacy(_) => None,
        }
    }

    /// The request that fetches a token.
    pub(crate) fn build(
        &self,
        scope: &Scope<'_>,
        base_url: Option<&str>,
    ) -> Result<Built, BuildError> {
        match self {
            Login::OAuth(oauth) => oauth.build(scope, base_url),
            Login::Legacy(legacy) => legacy.build(scope, base_url),
            Login::Session(session) => {
                let built = session.requester.build(&Asked {
                    scope,
                    base_url,
                    paginator: &Paginator::None,
                    token: None,
                    cursor: None,
                    routers: None,
                })?;
                Ok(Built {
                    fetches_token: true,
                    ..built
                })
            }
        }
    }

    pub(crate) fn handler(&self) -> &ErrorHandler {
        match self {
            Login::OAuth(oauth) => &oauth.handler,
            Login::Legacy(legacy) => &legacy.handler,
            Login::Session(session) => &session.requester.error_handler,
        }
    }

    /// The token of an answer.
    pub(crate) fn read(&self, answer: &Value, scope: &Scope<'_>) -> Result<Token, BuildError> {
        match self {
            Login::OAuth(oauth) => oauth.read(answer, scope),
            Login::Legacy(legacy) => legacy.read(answer, scope),
            Login::Session(session) => session.read(answer),
        }
    }
}
