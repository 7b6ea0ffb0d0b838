//! `HttpRequester`: from the manifest's templates to one request, ready to send.

pub(crate) mod option;
mod permit;
pub(crate) mod send;
pub(crate) mod url;
pub(crate) mod value;

use ::url::Url;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::auth::Authenticator;
use crate::error::{Failure, ReadError};
use crate::errors::ErrorHandler;
use crate::expr::{Place, Scope, Template, Val};
use crate::incremental::DatetimeCursor;
use crate::load::component::{Component, Problems};
use crate::load::model::Source;
use crate::paginate::Paginator;
use crate::partition::Routers;
use crate::redact::Redactor;
use option::Injected;
use value::{Field, FieldError, at, load_mapping, mapping, parameter_mapping};

/// `HttpRequester`.
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    address: Address,
    method: Method,
    parameters: Vec<(Template, Field)>,
    headers: Vec<(Template, Field)>,
    body: Body,
    pub(crate) authenticator: Authenticator,
    pub(crate) error_handler: ErrorHandler,
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

#[derive(Debug, Clone)]
enum Body {
    None,
    Json(Field),
    Form(Vec<(Template, Field)>),
    Text(Template),
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
        Requester::load_field(retriever, "requester", problems)
    }

    /// The requester in a field of this name.
    pub(crate) fn load_field(
        parent: &Component<'_>,
        name: &str,
        problems: &mut Problems,
    ) -> Option<Requester> {
        if parent.get(name).is_none() {
            parent.missing(name, problems);
        }
        let component = parent.child(name, &["HttpRequester"], problems)?;
        let refused = &[
            "request_body",
            "fetch_properties_from_endpoint",
            "query_properties",
            "file_uploader",
        ];
        component.refuse(refused, &["x_error_kind"], problems);
        let path = component.template("path", Place::REQUEST, problems);
        let address = match (component.get("url"), component.get("url_base")) {
            (Some(_), _) => component
                .template("url", Place::REQUEST, problems)
                .map(|url| Address::Whole { url, path }),
            (None, Some(_)) => component
                .template("url_base", Place::REQUEST, problems)
                .map(|base| Address::Base { base, path }),
            (None, None) => {
                component.missing("url_base", problems);
                None
            }
        };
        let method = match component.text("http_method", problems) {
            None | Some("GET") => Method::GET,
            Some("POST") => Method::POST,
            Some(other) => {
                let message = format!("\"{other}\" is not allowed; allowed: GET, POST");
                problems.add(component.path_of("http_method"), message);
                Method::GET
            }
        };
        let parameters = load_mapping(&component, "request_parameters", Place::REQUEST, problems);
        let headers = load_mapping(&component, "request_headers", Place::REQUEST, problems);
        let body = load_body(&component, problems);
        let authenticator = Authenticator::load(&component, problems);
        let error_handler = ErrorHandler::load(&component, problems);
        Some(Requester {
            address: address?,
            method,
            parameters,
            headers,
            body: body?,
            authenticator: authenticator?,
            error_handler: error_handler?,
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
        let mut injected = Injected::default();
        let credentials = self.authenticator.apply(&scope, &mut injected)?;
        // Names that the platform's own request may not use twice.
        let token_address = paginator.inject(token, &scope, &mut injected)?;
        let mut sliced = Injected::default();
        if let Some((cursor, slice)) = asked.cursor.zip(scope.stream_slice) {
            cursor.inject(slice, &scope, &mut sliced)?;
        }
        if let Some((routers, slice)) = asked.routers.zip(scope.stream_slice) {
            routers.inject(slice, &scope, &mut sliced)?;
        }
        let injected = injected.and(sliced)?;
        let (mut url, origin) = self.address(&scope, base_url, token_address.as_deref())?;

        let own_parameters = parameter_mapping(&self.parameters, &scope)?;
        let parameters = merged("parameter", own_parameters, injected.parameters)?;
        self::url::add_parameters(&mut url, &parameters);

        let own_headers = mapping(&self.headers, &scope)?;
        let header_values = merged("header", own_headers, injected.headers)?;
        let mut headers = Vec::with_capacity(header_values.len() + 1);
        for (name, value) in &header_values {
            headers.push(header(name, &self::url::text_of(value))?);
        }
        let (content_type, body) = self.body(&scope, injected.body_json, injected.body_data)?;
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

    fn body(
        &self,
        scope: &Scope<'_>,
        injected_json: Map<String, Value>,
        injected_form: Map<String, Value>,
    ) -> Result<(Option<&'static str>, Option<Bytes>), BuildError> {
        const JSON: &str = "application/json";
        const FORM: &str = "application/x-www-form-urlencoded";
        let clash = || {
            BuildError::Other(
                "a body that is a text, or of another kind, cannot take the paginator's or the \
                 authenticator's members"
                    .to_owned(),
            )
        };
        let json_body = |json: &Value| {
            let bytes = serde_json::to_vec(json).map_err(|error| {
                BuildError::Other(format!("the body cannot be written: {error}"))
            })?;
            Ok((Some(JSON), Some(Bytes::from(bytes))))
        };
        match &self.body {
            Body::Text(template) => {
                if !injected_json.is_empty() || !injected_form.is_empty() {
                    return Err(clash());
                }
                let text = template.text(scope).map_err(|error| at(template, error))?;
                Ok((
                    None,
                    if text.is_empty() {
                        None
                    } else {
                        Some(Bytes::from(text))
                    },
                ))
            }
            Body::Form(members) => {
                if !injected_json.is_empty() {
                    return Err(clash());
                }
                let form = merged(
                    "form field",
                    parameter_mapping(members, scope)?,
                    injected_form,
                )?;
                if form.is_empty() {
                    return Ok((None, None));
                }
                Ok((Some(FORM), Some(Bytes::from(self::url::form(&form)))))
            }
            Body::Json(field) => {
                if !injected_form.is_empty() {
                    return Err(clash());
                }
                match field.value(scope)? {
                    None if injected_json.is_empty() => Ok((None, None)),
                    None => json_body(&Value::Object(injected_json)),
                    Some(Value::Object(own)) => {
                        let whole = merged_deep(own, injected_json)?;
                        if whole.is_empty() {
                            return Ok((None, None));
                        }
                        json_body(&Value::Object(whole))
                    }
                    Some(_) if !injected_json.is_empty() => Err(clash()),
                    Some(other) => json_body(&other),
                }
            }
            Body::None if !injected_json.is_empty() => json_body(&Value::Object(injected_json)),
            Body::None if !injected_form.is_empty() => Ok((
                Some(FORM),
                Some(Bytes::from(self::url::form(&injected_form))),
            )),
            Body::None => Ok((None, None)),
        }
    }
}

fn load_body(component: &Component<'_>, problems: &mut Problems) -> Option<Body> {
    let json = component.get("request_body_json");
    let data = component.get("request_body_data");
    match (json, data) {
        (Some(_), Some(_)) => {
            let message = "a request has one body: either request_body_json or request_body_data";
            problems.add(component.path_of("request_body_data"), message);
            None
        }
        (Some(value), None) => {
            let path = component.path_of("request_body_json");
            Field::load(value, &path, component, Place::REQUEST, problems).map(Body::Json)
        }
        (None, Some(Value::String(_))) => component
            .template("request_body_data", Place::REQUEST, problems)
            .map(Body::Text),
        (None, Some(_)) => {
            let members = load_mapping(component, "request_body_data", Place::REQUEST, problems);
            Some(Body::Form(members))
        }
        (None, None) => Some(Body::None),
    }
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
pub(crate) fn budget_scopes(source: &Source, config: &Value) -> Result<Vec<String>, ReadError> {
    let secrets = crate::config::secret_values(&source.config_schema, config);
    let redactor = Redactor::new(&secrets);
    let mut scopes = Vec::with_capacity(source.budget_scopes.len());
    for template in &source.budget_scopes {
        let Some(template) = template else {
            scopes.push(String::new());
            continue;
        };
        let value = template.value(&Scope::of_config(config));
        let value = value
            .map_err(|error| BuildError::Field(at(template, error)).into_read_error(&redactor))?;
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
    use std::fmt::Write as _;
    let mut hex = String::with_capacity(64);
    for byte in sha2::Sha256::digest(text.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
