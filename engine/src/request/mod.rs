//! `HttpRequester`: from the manifest's templates to one request, ready to send.

mod body;
mod headers;
mod judge;
pub(crate) mod option;
pub(crate) mod permit;
pub(crate) mod received;
mod redirect;
pub(crate) mod send;
pub(crate) mod stream;
pub(crate) mod url;
pub(crate) mod value;

use std::time::Duration;

use ::url::Url;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::auth::Authenticator;
use crate::error::{Failure, ReadError};
use crate::errors::ErrorHandler;
use crate::expr::{Place, Scope, Template, Val, hex};
use crate::incremental::DatetimeCursor;
use crate::load::component::{Component, Problems};
use crate::load::model::Source;
use crate::paginate::Paginator;
use crate::partition::Routers;
use crate::redact::Redactor;
use body::Body;
use option::Injected;
use value::{FieldError, Mapped, at};

/// `HttpRequester`.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    address: Address,
    method: Method,
    parameters: Mapped,
    headers: Mapped,
    body: Body,
    pub(crate) authenticator: Authenticator,
    pub(crate) error_handler: ErrorHandler,
    /// `read_timeout_in_seconds`.
    read_timeout: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Address {
    Whole {
        url: Template,
        path: Option<Template>,
    },
    Base {
        base: Template,
        path: Option<Template>,
    },
}

/// Which HTTP methods a requester may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Methods {
    /// Those of the language.
    Usual,
    /// Also those that change or delete something: where a request ends what another one began.
    Any,
}

/// One request, before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Option<Bytes>,
    /// Texts of the credentials in it.
    pub(crate) credentials: Vec<String>,
    /// The manifest's own scheme and host, for budget matchers.
    pub(crate) origin: String,
    /// The longest silence, if the manifest states one.
    pub(crate) read_timeout: Option<Duration>,
    /// The answer is to hold a token, so nothing of its body may be shown: nobody knows yet what would have to be taken out.
    pub(crate) fetches_token: bool,
}

/// What a request is built from besides its requester.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// Config and slice.
    pub(crate) scope: &'a Scope<'a>,
    pub(crate) base_url: Option<&'a str>,
    pub(crate) paginator: &'a Paginator,
    pub(crate) token: Option<&'a Value>,
    /// Whose ends of the slice go into the request.
    pub(crate) cursor: Option<&'a DatetimeCursor>,
    /// Whose values of the partition go into the request.
    pub(crate) routers: Option<&'a Routers>,
}

/// Why a request could not be built.
#[derive(Debug)]
pub(crate) enum BuildError {
    Field(FieldError),
    Other(String),
}

impl From<FieldError> for BuildError {
    fn from(error: FieldError) -> BuildError {
        BuildError::Field(error)
    }
}

impl BuildError {
    pub(crate) fn into_read_error(self, redactor: &Redactor) -> ReadError {
        let message = match self {
            BuildError::Field(FieldError {
                path,
                source,
                error,
            }) => {
                format!("the expression at {path} (\"{source}\") has no value: {error}")
            }
            BuildError::Other(message) => message,
        };
        let failure = Failure {
            message: redactor.text(&message),
            ..Failure::default()
        };
        ReadError::Permanent {
            failure: Box::new(failure),
        }
    }
}

impl Requester {
    pub(crate) fn load(retriever: &Component<'_>, problems: &mut Problems) -> Option<Requester> {
        Requester::load_field(
            retriever,
            "requester",
            Place::REQUEST,
            Methods::Usual,
            problems,
        )
    }

    /// The requester in a field of this name, whose expressions see what there is at this place.
    pub(crate) fn load_field(
        parent: &Component<'_>,
        name: &str,
        place: Place,
        methods: Methods,
        problems: &mut Problems,
    ) -> Option<Requester> {
        if parent.get(name).is_none() {
            parent.missing(name, problems);
        }
        let component = parent.child(name, &["HttpRequester"], problems)?;
        let refused = &[
            "fetch_properties_from_endpoint",
            "query_properties",
            "file_uploader",
        ];
        component.refuse(refused, &["x_error_kind"], problems);
        let path = component.template("path", place, problems);
        let address = match (component.get("url"), component.get("url_base")) {
            (Some(_), _) => component
                .template("url", place, problems)
                .map(|url| Address::Whole { url, path }),
            (None, Some(_)) => component
                .template("url_base", place, problems)
                .map(|base| Address::Base { base, path }),
            (None, None) => {
                component.missing("url_base", problems);
                None
            }
        };
        let method = load_method(&component, methods, problems);
        let parameters = Mapped::load(&component, "request_parameters", place, problems);
        let headers = Mapped::load(&component, "request_headers", place, problems);
        let body = Body::load(&component, place, problems);
        let read_timeout = load_read_timeout(&component, problems);
        let authenticator = Authenticator::load(&component, problems);
        let error_handler = ErrorHandler::load(&component, problems);
        Some(Requester {
            address: address?,
            method,
            parameters: parameters?,
            headers: headers?,
            body: body?,
            authenticator: authenticator?,
            error_handler: error_handler?,
            read_timeout,
        })
    }

    /// Builds the request for a page.
    pub(crate) fn build(&self, asked: &Asked<'_>) -> Result<Built, BuildError> {
        let Asked {
            base_url,
            paginator,
            token,
            ..
        } = *asked;
        let token_variable = token.map(|token| {
            let mut members = Map::new();
            members.insert("next_page_token".to_owned(), token.clone());
            Value::Object(members)
        });
        let scope = Scope {
            next_page_token: token_variable.as_ref(),
            ..*asked.scope
        };
        // Names that one request may not use twice.
        let mut authenticated = Injected::default();
        let credentials = self.authenticator.apply(&scope, &mut authenticated)?;
        let mut paged = Injected::default();
        let token_address = paginator.inject(token, &scope, &mut paged)?;
        let mut sliced = Injected::default();
        if let Some((routers, slice)) = asked.routers.zip(scope.stream_slice) {
            routers.inject(slice, &scope, &mut sliced)?;
        }
        if let Some((cursor, slice)) = asked.cursor.zip(scope.stream_slice) {
            cursor.inject(slice, &scope, &mut sliced)?;
        }
        let key_headers = authenticated.headers.clone();
        let injected = authenticated.and(paged)?.and(sliced)?;
        let (mut url, origin) = self.address(&scope, base_url, token_address.as_deref())?;

        let own_parameters = self.parameters.values(&scope, value::parameters)?;
        let parameters = merged("parameter", own_parameters, injected.parameters)?;
        if let Some((name, _)) = parameters.iter().find(|(_, value)| value.is_object()) {
            let message = format!("the value of the parameter \"{name}\" is a mapping");
            return Err(BuildError::Other(message));
        }
        self::url::add_parameters(&mut url, &parameters);

        let own_headers = self.headers.values(&scope, value::headers)?;
        let header_values = merged("header", own_headers, injected.headers)?;
        let mut headers: Vec<(HeaderName, HeaderValue)> =
            Vec::with_capacity(header_values.len() + 1);
        // Names that differ in their case only are one name: the last one counts, and the authenticator's above all.
        for (name, value) in header_values.iter().chain(&key_headers) {
            let (name, value) = header(name, &self::url::text_of(value))?;
            match headers.iter_mut().find(|(held, _)| *held == name) {
                Some((_, held)) => *held = value,
                None => headers.push((name, value)),
            }
        }
        let (content_type, body) =
            self.body
                .write(&scope, injected.body_json, injected.body_data)?;
        if let Some(content_type) = content_type {
            let stated = headers
                .iter()
                .any(|(name, _)| name == reqwest::header::CONTENT_TYPE);
            if !stated {
                let value = HeaderValue::from_static(content_type);
                headers.push((reqwest::header::CONTENT_TYPE, value));
            }
        }
        let method = self.method.clone();
        Ok(Built {
            method,
            url,
            headers,
            body,
            credentials,
            origin,
            read_timeout: self.read_timeout,
            fetches_token: false,
        })
    }

    fn address(
        &self,
        scope: &Scope<'_>,
        base_url: Option<&str>,
        token_address: Option<&str>,
    ) -> Result<(Url, String), BuildError> {
        let text = |template: &Template| template.text(scope).map_err(|error| at(template, error));
        let other = BuildError::Other;
        let (base, path) = match &self.address {
            Address::Whole { url, path } => (text(url)?, path),
            Address::Base { base, path } => (text(base)?, path),
        };
        let own_path = path.as_ref().map(text).transpose()?.unwrap_or_default();
        let own = self::url::join(&base, &own_path).map_err(other)?;
        let origin = own.origin().ascii_serialization();
        let configured = match (&self.address, base_url) {
            (_, None) => own,
            (Address::Base { .. }, Some(stand_in)) => {
                self::url::join(stand_in, &own_path).map_err(other)?
            }
            (Address::Whole { .. }, Some(stand_in)) => {
                self::url::replace_origin(&own, stand_in).map_err(other)?
            }
        };
        let Some(token_address) = token_address else {
            return Ok((configured, origin));
        };
        let next = if token_address.contains("://") {
            self::url::parse(token_address).map_err(other)?
        } else {
            let start = match &self.address {
                Address::Base { .. } => base_url.unwrap_or(&base),
                Address::Whole { .. } => configured.as_str(),
            };
            self::url::follow(start, token_address).map_err(other)?
        };
        // Credentials go with this request: they are for the configured host only.
        if !self::url::same_origin(&next, &configured) {
            return Err(BuildError::Other(format!(
                "the platform's address of the next page leads to another host ({}); only {} is \
                 followed",
                next.origin().ascii_serialization(),
                configured.origin().ascii_serialization()
            )));
        }
        Ok((next, origin))
    }
}

fn load_read_timeout(component: &Component<'_>, problems: &mut Problems) -> Option<Duration> {
    let name = "read_timeout_in_seconds";
    let seconds = component.get(name)?.as_f64();
    let found = seconds
        .filter(|seconds| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    if found.is_none() {
        let message = "a number of seconds above 0 is needed here";
        problems.add(component.path_of(name), message);
    }
    found
}

fn load_method(component: &Component<'_>, methods: Methods, problems: &mut Problems) -> Method {
    let allowed: &[Method] = match methods {
        Methods::Usual => &[Method::GET, Method::POST],
        Methods::Any => &[
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ],
    };
    let Some(name) = component.text("http_method", problems) else {
        return Method::GET;
    };
    let found = allowed.iter().find(|method| method.as_str() == name);
    found.cloned().unwrap_or_else(|| {
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let message = format!("\"{name}\" is not allowed; allowed: {}", names.join(", "));
        problems.add(component.path_of("http_method"), message);
        Method::GET
    })
}

impl Injected {
    /// Both together; the same name twice is a mistake of the manifest.
    fn and(self, other: Injected) -> Result<Injected, BuildError> {
        Ok(Injected {
            parameters: merged("parameter", self.parameters, other.parameters)?,
            headers: merged("header", self.headers, other.headers)?,
            body_data: merged("form field", self.body_data, other.body_data)?,
            body_json: merged_deep(self.body_json, other.body_json)?,
        })
    }
}

fn merged(
    what: &str,
    mut own: Map<String, Value>,
    injected: Map<String, Value>,
) -> Result<Map<String, Value>, BuildError> {
    for (name, value) in injected {
        if own.contains_key(&name) {
            return Err(BuildError::Other(format!(
                "the {what} \"{name}\" is set twice: by the request itself, its paginator, its slices or its \
                 authenticator"
            )));
        }
        own.insert(name, value);
    }
    Ok(own)
}

/// JSON bodies merge member by member; the same value twice is no clash.
fn merged_deep(
    mut own: Map<String, Value>,
    injected: Map<String, Value>,
) -> Result<Map<String, Value>, BuildError> {
    for (name, value) in injected {
        let merged = match (own.shift_remove(&name), value) {
            (None, value) => value,
            (Some(Value::Object(left)), Value::Object(right)) => {
                Value::Object(merged_deep(left, right)?)
            }
            (Some(left), right) if left == right => left,
            _ => {
                return Err(BuildError::Other(format!(
                    "the body's member \"{name}\" is set twice, with different values"
                )));
            }
        };
        own.insert(name, merged);
    }
    Ok(own)
}

pub(crate) fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), BuildError> {
    let parsed_name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| BuildError::Other(format!("\"{name}\" is no name of a header")))?;
    let mut parsed_value = HeaderValue::from_str(value).map_err(|_| {
        let message =
            format!("the value of the header \"{name}\" holds characters that are not allowed");
        BuildError::Other(message)
    })?;
    parsed_value.set_sensitive(true);
    Ok((parsed_name, parsed_value))
}

/// The account part of each budget's key.
pub(crate) fn budget_scopes(
    source: &Source,
    config: &Value,
    redactor: &Redactor,
) -> Result<Vec<String>, ReadError> {
    let mut scopes = Vec::with_capacity(source.budget_scopes.len());
    for template in &source.budget_scopes {
        let Some(template) = template else {
            scopes.push(String::new());
            continue;
        };
        let value = template.value(&Scope::of_config(config));
        let value = value
            .map_err(|error| BuildError::Field(at(template, error)).into_read_error(redactor))?;
        let text = value
            .map(|value: Val<'_>| value.to_text().into_owned())
            .unwrap_or_default();
        scopes.push(if redactor.holds_secret(&text) {
            sha256(&text)
        } else {
            text
        });
    }
    Ok(scopes)
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod options_golden;
