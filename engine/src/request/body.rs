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
    pub(super) fn load(
        component: &Component<'_>,
        place: Place,
        problems: &mut Problems,
    ) -> Option<Body> {
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
                Body::load_typed(&body, place, problems)
            }
            ["request_body_json"] => {
                Body::load_json(component, "request_body_json", place, problems)
            }
            ["request_body_data"] => {
                Body::load_data(component, "request_body_data", place, problems)
            }
            [first, second, ..] => {
                let message = format!("a request has one body: either {first} or {second}");
                problems.add(component.path_of(second), message);
                None
            }
            [_] => None,
        }
    }

    fn load_typed(body: &Component<'_>, place: Place, problems: &mut Problems) -> Option<Body> {
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
            Body::load_data(body, "value", place, problems)
        } else {
            Body::load_json(body, "value", place, problems)
        }
    }

    fn load_json(
        component: &Component<'_>,
        name: &str,
        place: Place,
        problems: &mut Problems,
    ) -> Option<Body> {
        let path = component.path_of(name);
        let value = component.get(name)?;
        Field::load(value, &path, component, place, problems).map(Body::Json)
    }

    fn load_data(
        component: &Component<'_>,
        name: &str,
        place: Place,
        problems: &mut Problems,
    ) -> Option<Body> {
        if matches!(component.get(name)?, Value::String(_)) {
            let text = component.template(name, place, problems);
            return text.map(Body::Text);
        }
        let members = load_mapping(component, name, place, problems);
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
        let form_body = |form: &Map<String, Value>| {
            let bytes = Bytes::from(url::form(form));
            (!form.is_empty()).then_some((Some(FORM), Some(bytes)))
        };
        if !injected_json.is_empty() && !injected_form.is_empty() {
            return Err(clash());
        }
        let injected = if injected_json.is_empty() {
            form_body(&injected_form)
        } else {
            Some(json_body(&Value::Object(injected_json.clone()))?)
        };
        match self {
            Body::Text(template) => {
                let value = template.value(scope).map_err(|error| at(template, error))?;
                match value {
                    None => Ok(injected.unwrap_or_default()),
                    // A text that reads as a mapping is a form in the language, even one of JSON.
                    Some(Val::Json(value)) if value.is_object() && injected_json.is_empty() => {
                        let own = value.as_object().cloned().unwrap_or_default();
                        let form = merged("form field", own, injected_form)?;
                        Ok((Some(FORM), Some(Bytes::from(url::form(&form)))))
                    }
                    Some(_) if injected.is_some() => Err(clash()),
                    Some(value) => {
                        let text = if let Some(text) = value.as_str() {
                            text.to_owned()
                        } else {
                            template
                                .render(scope)
                                .map_err(|error| at(template, error))?
                        };
                        Ok((None, Some(Bytes::from(text))))
                    }
                }
            }
            Body::Form(members) => {
                let own = parameters(members, scope)?;
                if !injected_json.is_empty() && !own.is_empty() {
                    return Err(clash());
                }
                if own.is_empty() {
                    return Ok(injected.unwrap_or_default());
                }
                let form = merged("form field", own, injected_form)?;
                Ok(form_body(&form).unwrap_or_default())
            }
            Body::Json(field) => match field.value(scope)? {
                None => Ok(injected.unwrap_or_default()),
                Some(Value::Object(own)) if own.is_empty() => Ok(injected.unwrap_or_default()),
                Some(Value::Object(own)) if injected_form.is_empty() => {
                    json_body(&Value::Object(merged_deep(own, injected_json)?))
                }
                Some(_) if injected.is_some() => Err(clash()),
                Some(other) => json_body(&other),
            },
            Body::None => Ok(injected.unwrap_or_default()),
        }
    }
}
