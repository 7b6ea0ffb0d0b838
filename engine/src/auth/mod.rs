//! Authenticators: what they add to a request. Their values are credentials: never typed, never shown.

mod jwt;
mod legacy;
mod login;
mod rotation;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use jwt::Jwt;
pub(crate) use login::{Login, Token, Tokens};
pub(crate) use rotation::Rotation;

use crate::expr::{EvalError, Place, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::request::option::{Injected, RequestOption};
use crate::request::value::{FieldError, at};

const SUPPORTED: &[&str] = &[
    "NoAuth",
    "ApiKeyAuthenticator",
    "BearerAuthenticator",
    "BasicHttpAuthenticator",
    "SelectiveAuthenticator",
    "OAuthAuthenticator",
    "SessionTokenAuthenticator",
    "LegacySessionTokenAuthenticator",
    "JwtAuthenticator",
];

/// How requests are authenticated.
#[derive(Debug, Clone)]
pub(crate) enum Authenticator {
    None,
    ApiKey {
        token: Template,
        into: KeyPlace,
    },
    Bearer {
        token: Template,
    },
    Basic {
        username: Template,
        password: Option<Template>,
    },
    /// A token is signed for each request.
    Jwt(Box<Jwt>),
    /// A token is fetched first; it is in the scope as `session_token`.
    Login(Login),
    /// The config says by name which one it is.
    Selective {
        path: Vec<String>,
        choices: Vec<(String, Authenticator)>,
        /// Where it stands in the manifest.
        place: String,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum KeyPlace {
    Header(Template),
    Option(RequestOption),
}

impl KeyPlace {
    fn put(&self, value: String, scope: &Scope<'_>, into: &mut Injected) -> Result<(), FieldError> {
        match self {
            KeyPlace::Header(name) => {
                let name = name.text(scope).map_err(|error| at(name, error))?;
                into.headers.insert(name, Value::String(value));
                Ok(())
            }
            KeyPlace::Option(option) => option.inject(Value::String(value), scope, into),
        }
    }
}

impl Authenticator {
    /// The authenticator of a requester; none if the field is missing.
    pub(crate) fn load(
        requester: &Component<'_>,
        problems: &mut Problems,
    ) -> Option<Authenticator> {
        if requester.get("authenticator").is_none() {
            return Some(Authenticator::None);
        }
        let component = requester.child("authenticator", SUPPORTED, problems)?;
        Authenticator::load_component(&component, requester, problems)
    }

    fn load_component(
        component: &Component<'_>,
        requester: &Component<'_>,
        problems: &mut Problems,
    ) -> Option<Authenticator> {
        if !matches!(
            component.kind,
            "OAuthAuthenticator"
                | "SessionTokenAuthenticator"
                | "LegacySessionTokenAuthenticator"
                | "JwtAuthenticator"
        ) {
            component.refuse(&[], &[], problems);
        }
        let required = |name: &str, problems: &mut Problems| {
            let template = component.template(name, Place::CONFIG, problems);
            if component.get(name).is_none() {
                component.missing(name, problems);
            }
            template
        };
        match component.kind {
            "ApiKeyAuthenticator" => {
                let token = required("api_token", problems);
                let option = component.child("inject_into", &["RequestOption"], problems);
                let into = match option {
                    Some(option) => RequestOption::load(&option, problems).map(KeyPlace::Option),
                    None if component.get("inject_into").is_some() => None,
                    None => required("header", problems).map(KeyPlace::Header),
                };
                Some(Authenticator::ApiKey {
                    token: token?,
                    into: into?,
                })
            }
            "BearerAuthenticator" => Some(Authenticator::Bearer {
                token: required("api_token", problems)?,
            }),
            "BasicHttpAuthenticator" => Some(Authenticator::Basic {
                username: required("username", problems)?,
                password: component.template("password", Place::CONFIG, problems),
            }),
            "SelectiveAuthenticator" => load_selective(component, requester, problems),
            "OAuthAuthenticator" => {
                let oauth = login::OAuth::load(component, problems)?;
                Some(Authenticator::Login(Login::OAuth(Box::new(oauth))))
            }
            "SessionTokenAuthenticator" => {
                let session = login::Session::load(component, problems)?;
                Some(Authenticator::Login(Login::Session(Box::new(session))))
            }
            "LegacySessionTokenAuthenticator" => {
                let legacy = legacy::Legacy::load(component, requester, problems)?;
                Some(Authenticator::Login(Login::Legacy(Box::new(legacy))))
            }
            "JwtAuthenticator" => {
                let jwt = Jwt::load(component, problems)?;
                Some(Authenticator::Jwt(Box::new(jwt)))
            }
            _ => Some(Authenticator::None),
        }
    }

    /// Adds the credential to the request and returns its texts, so that they can be redacted.
    pub(crate) fn apply(
        &self,
        scope: &Scope<'_>,
        into: &mut Injected,
    ) -> Result<Vec<String>, FieldError> {
        let credential = |template: &Template| {
            template
                .credential(scope)
                .map_err(|error| at(template, error))
        };
        match self {
            Authenticator::None => Ok(Vec::new()),
            Authenticator::ApiKey { token, into: place } => {
                let token = credential(token)?;
                place.put(token.clone(), scope, into)?;
                Ok(vec![token])
            }
            Authenticator::Bearer { token } => {
                let value = format!("Bearer {}", credential(token)?);
                into.headers
                    .insert("Authorization".to_owned(), Value::String(value.clone()));
                Ok(vec![value])
            }
            Authenticator::Basic { username, password } => {
                let password = password
                    .as_ref()
                    .map(credential)
                    .transpose()?
                    .unwrap_or_default();
                let pair = format!("{}:{password}", credential(username)?);
                let value = format!("Basic {}", STANDARD.encode(pair));
                into.headers
                    .insert("Authorization".to_owned(), Value::String(value.clone()));
                Ok(vec![value])
            }
            Authenticator::Jwt(jwt) => {
                let token = jwt.token(scope)?;
                jwt.placement().put(token.clone(), scope, into)?;
                Ok(vec![token])
            }
            Authenticator::Login(Login::Legacy(legacy)) => {
                let token = scope.session_token.unwrap_or_default().to_owned();
                let name = &legacy.header;
                let name = name.text(scope).map_err(|error| at(name, error))?;
                into.headers.insert(name, Value::String(token.clone()));
                Ok(vec![token])
            }
            Authenticator::Login(login) => {
                let token = scope.session_token.unwrap_or_default().to_owned();
                let special = match login {
                    Login::Session(session) => session.placement(),
                    _ => None,
                };
                let Some((place, form)) = special else {
                    let value = format!("Bearer {token}");
                    let header = Value::String(value.clone());
                    into.headers.insert("Authorization".to_owned(), header);
                    return Ok(vec![value]);
                };
                let value = credential(form)?;
                place.put(value.clone(), scope, into)?;
                Ok(vec![value, token])
            }
            Authenticator::Selective { .. } => self.chosen(scope)?.apply(scope, into),
        }
    }

    /// What has to be fetched before a request, if anything.
    pub(crate) fn login(&self, scope: &Scope<'_>) -> Result<Option<&Login>, FieldError> {
        Ok(match self.chosen(scope)? {
            Authenticator::Login(login) => Some(login),
            _ => None,
        })
    }

    /// The authenticator that the config chooses, or this one.
    fn chosen(&self, scope: &Scope<'_>) -> Result<&Authenticator, FieldError> {
        let Authenticator::Selective {
            path,
            choices,
            place,
        } = self
        else {
            return Ok(self);
        };
        let mut chosen = scope.config;
        for step in path {
            chosen = chosen.and_then(|value| value.get(step));
        }
        let name = chosen.map(crate::request::url::text_of).unwrap_or_default();
        match choices.iter().find(|(known, _)| *known == name) {
            Some((_, authenticator)) => authenticator.chosen(scope),
            None => Err(unknown_choice(path, choices, place, &name)),
        }
    }
}

fn unknown_choice(
    path: &[String],
    choices: &[(String, Authenticator)],
    place: &str,
    name: &str,
) -> FieldError {
    let known: Vec<&str> = choices.iter().map(|(known, _)| known.as_str()).collect();
    let message = format!(
        "the config's {} is \"{name}\", which is no authenticator; there are: {}",
        path.join("."),
        known.join(", ")
    );
    FieldError {
        path: place.to_owned(),
        source: path.join("."),
        error: EvalError::Value(message),
    }
}

fn load_selective(
    component: &Component<'_>,
    requester: &Component<'_>,
    problems: &mut Problems,
) -> Option<Authenticator> {
    let steps = component.get("authenticator_selection_path");
    let path: Option<Vec<String>> = steps.and_then(Value::as_array).and_then(|steps| {
        let text = |step: &Value| step.as_str().map(str::to_owned);
        steps.iter().map(text).collect()
    });
    if path.as_ref().is_none_or(Vec::is_empty) {
        let place = component.path_of("authenticator_selection_path");
        problems.add(place, "a list of names is needed here");
    }
    let place = component.path_of("authenticators");
    let Some(Value::Object(members)) = component.get("authenticators") else {
        problems.add(place, "a mapping of names to authenticators is needed here");
        return None;
    };
    let mut choices = Vec::with_capacity(members.len());
    for (name, member) in members {
        let place = format!("{place}/{name}");
        let choice = Component::read(member, &place, SUPPORTED, problems);
        let choice =
            choice.and_then(|choice| Authenticator::load_component(&choice, requester, problems));
        choices.push((name.clone(), choice?));
    }
    Some(Authenticator::Selective {
        path: path?,
        choices,
        place: component.path.clone(),
    })
}
