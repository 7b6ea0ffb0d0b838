//! Bodies of requests: `request_body` with its four types, and its two older forms.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::value::{Field, at, load_mapping, parameters};
use super::{BuildError, merged, merged_deep, url};
use crate::expr::{Place, Scope, Template, Val};
use crate::load::component::{Component, Problems};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
/// The forms in which a body may be given.
const FIELDS: &[&str] = &["request_body", "request_body_json", "request_body_data"];
const KINDS: &[&str] = &[
    "RequestBodyJsonObject",
    "RequestBodyGraphQL",
    "RequestBodyUrlEncodedForm",
    "RequestBodyPlainText",
];

/// The body of a requester.
#[derive(Debug, Clone)]
pub(super) enum Body {
    None,
    Json(Field),
    Form(Vec<(Template, Field)>),
    Text(Template),
}

/// The type of a body, and its bytes; both missing if there is none.
type Written = (Option<&'static str>, Option<Bytes>);

impl Body {
    pub(super) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Body> {
        let given: Vec<&str> = FIELDS
            .iter()
            .copied()
            .filter(|name| component.get(name).is_some())
            .collect();
        match given.as_slice() {
            [] => Some(Body::None),
            ["request_body"] => {
                let body = component.child("request_body", KINDS, problems)?;
                body.refuse(&[], &[], problems);
                Body::load_typed(&body, problems)
            }
            ["request_body_json"] => Body::load_json(component, "request_body_json", problems),
            ["request_body_data"] => Body::load_data(component, "request_body_data", problems),
            [first, second, ..] => {
                let message = format!("a request has one body: either {first} or {second}");
                problems.add(component.path_of(second), message);
                None
            }
            [_] => None,
        }
    }

    fn load_typed(body: &Component<'_>, problems: &mut Problems) -> Option<Body> {
        let value = body.get("value");
        if value.is_none() {
            body.missing("value", problems);
        }
        let takes_text = body.kind == "RequestBodyPlainText";
        if takes_text != matches!(value?, Value::String(_)) {
            let needed = if takes_text { "a text" } else { "a mapping" };
            problems.add(body.path_of("value"), format!("{needed} is needed here"));
            return None;
        }
        if body.kind == "RequestBodyGraphQL"
            && value?.get("query").is_none_or(|query| !query.is_string())
        {
            let place = format!("{}/query", body.path_of("value"));
            problems.add(place, "the text of a query is needed here");
            return None;
        }
        if body.kind == "RequestBodyUrlEncodedForm" || takes_text {
            Body::load_data(body, "value", problems)
        } else {
            Body::load_json(body, "value", problems)
        }
    }

    fn load_json(component: &Component<'_>, name: &str, problems: &mut Problems) -> Option<Body> {
        let path = component.path_of(name);
        let value = component.get(name)?;
        Field::load(value, &path, component, Place::REQUEST, problems).map(Body::Json)
    }

    fn load_data(component: &Component<'_>, name: &str, problems: &mut Problems) -> Option<Body> {
        if matches!(component.get(name)?, Value::String(_)) {
            let text = component.template(name, Place::REQUEST, problems);
            return text.map(Body::Text);
        }
        let members = load_mapping(component, name, Place::REQUEST, problems);
        Some(Body::Form(members))
    }

    /// Writes the body, with what the paginator, the slices and the authenticator put into it.
    pub(super) fn write(
        &self,
        scope: &Scope<'_>,
        injected_json: Map<String, Value>,
        injected_form: Map<String, Value>,
    ) -> Result<Written, BuildError> {
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
        match self {
            Body::Text(template) => {
                if !injected_json.is_empty() || !injected_form.is_empty() {
                    return Err(clash());
                }
                let value = template.value(scope).map_err(|error| at(template, error))?;
                match value {
                    None => Ok((None, None)),
                    // A text that reads as a mapping is a form in the language, even one of JSON.
                    Some(Val::Json(value)) if value.is_object() => {
                        let form = value.as_object().map(url::form).unwrap_or_default();
                        Ok((Some(FORM), Some(Bytes::from(form))))
                    }
                    Some(value) => match value.as_str() {
                        Some(text) => Ok((None, Some(Bytes::from(text.to_owned())))),
                        None => {
                            let text = template
                                .render(scope)
                                .map_err(|error| at(template, error))?;
                            Ok((None, Some(Bytes::from(text))))
                        }
                    },
                }
            }
            Body::Form(members) => {
                if !injected_json.is_empty() {
                    return Err(clash());
                }
                let form = merged("form field", parameters(members, scope)?, injected_form)?;
                if form.is_empty() {
                    return Ok((None, None));
                }
                Ok((Some(FORM), Some(Bytes::from(url::form(&form)))))
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
            Body::None if !injected_form.is_empty() => {
                Ok((Some(FORM), Some(Bytes::from(url::form(&injected_form)))))
            }
            Body::None => Ok((None, None)),
        }
    }
}
