//! Authenticators: what they add to a request. Their values are credentials: never typed, never shown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::expr::{Place, Scope, Template};
use crate::load::component::{Component, Problems};
use crate::request::option::{Injected, RequestOption};
use crate::request::value::{FieldError, at};

const SUPPORTED: &[&str] = &[
    "NoAuth",
    "ApiKeyAuthenticator",
    "BearerAuthenticator",
    "BasicHttpAuthenticator",
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
}

#[derive(Debug, Clone)]
pub(crate) enum KeyPlace {
    Header(Template),
    Option(RequestOption),
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
        component.refuse(&[], &[], problems);
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
                match place {
                    KeyPlace::Header(name) => {
                        let name = name.text(scope).map_err(|error| at(name, error))?;
                        into.headers.insert(name, Value::String(token.clone()));
                    }
                    KeyPlace::Option(option) => {
                        option.inject(Value::String(token.clone()), scope, into)?;
                    }
                }
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
        }
    }
}
