//! Paginators: what the next request carries, when the stream ends, and what a position holds.

mod reset;

use serde_json::{Map, Value, json};

pub(crate) use reset::{ResetPlan, Resets};

use crate::expr::{EvalError, Place, Scope, Template, Val, Var};
use crate::load::component::{Component, Problems};
use crate::load::stream::check_decoder;
use crate::page::Position;
use crate::request::option::{Injected, RequestOption};
use crate::request::value::{FieldError, at};

/// How a stream is paged through.
#[derive(Debug, Clone)]
pub(crate) enum Paginator {
    None,
    Default(Box<DefaultPaginator>),
}

#[derive(Debug, Clone)]
pub(crate) struct DefaultPaginator {
    strategy: Strategy,
    page_size: Option<PageSize>,
    size_option: Option<RequestOption>,
    token_place: Option<TokenPlace>,
}

#[derive(Debug, Clone)]
enum Strategy {
    Page {
        start: u64,
        on_first: bool,
    },
    Offset {
        on_first: bool,
    },
    Cursor {
        value: Template,
        stop: Option<Template>,
    },
}

#[derive(Debug, Clone)]
enum PageSize {
    Fixed(u64),
    Template(Template),
}

#[derive(Debug, Clone)]
enum TokenPlace {
    Option(RequestOption),
    /// The token is the address, or the path, of the next request.
    Path,
}

/// Where a read stands between two pages.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// The only page, or a cursor stream's first one.
    First,
    Page(u64),
    Offset(u64),
    Cursor(Value),
}

/// What a page tells the paginator.
pub(crate) struct PageFacts<'a> {
    /// What the extractor found.
    pub(crate) extracted: u64,
    pub(crate) last_record: Option<&'a Value>,
    /// Records after transformations.
    pub(crate) page_size: u64,
    /// What was asked of the answer before its records were taken out.
    pub(crate) foretold: Foretold,
    /// The whole answer, if an expression [needs it](Paginator::keeps_response) beside the records.
    pub(crate) response: &'a Value,
    pub(crate) headers: &'a Value,
}

/// What an answer says of the next page before its records are taken out of it: the values of those expressions that ask nothing
/// of the records. The answer need not be copied for them.
#[derive(Debug, Default)]
pub(crate) struct Foretold {
    stop: Option<Result<bool, EvalError>>,
    cursor: Option<Result<Option<Value>, EvalError>>,
}

impl Paginator {
    /// The paginator in the field of this name; none if it is missing.
    pub(crate) fn load(
        retriever: &Component<'_>,
        field: &str,
        problems: &mut Problems,
    ) -> Option<Paginator> {
        if retriever.get(field).is_none() {
            return Some(Paginator::None);
        }
        let supported = &["DefaultPaginator", "NoPagination"];
        let component = retriever.child(field, supported, problems)?;
        component.refuse(&[], &[], problems);
        if component.kind == "NoPagination" {
            return Some(Paginator::None);
        }
        check_decoder(&component, problems);
        let strategies = &["PageIncrement", "OffsetIncrement", "CursorPagination"];
        if component.get("pagination_strategy").is_none() {
            component.missing("pagination_strategy", problems);
        }
        let strategy_component = component.child("pagination_strategy", strategies, problems);
        let size_option = component
            .child("page_size_option", &["RequestOption"], problems)
            .and_then(|option| RequestOption::load(&option, problems));
        let token_place = component
            .child(
                "page_token_option",
                &["RequestOption", "RequestPath"],
                problems,
            )
            .and_then(|place| match place.kind {
                "RequestPath" => Some(TokenPlace::Path),
                _ => RequestOption::load(&place, problems).map(TokenPlace::Option),
            });
        if let (Some(size), Some(TokenPlace::Option(token))) = (&size_option, &token_place)
            && size.meets(token)
        {
            let message = "page_size_option and page_token_option lead to the same place: give them different names";
            problems.add(component.path_of("page_size_option"), message);
        }
        let strategy_component = strategy_component?;
        strategy_component.refuse(&[], &[], problems);
        check_decoder(&strategy_component, problems);
        let page_size = load_page_size(&strategy_component, problems);
        if size_option.is_some() && page_size.is_none() {
            let message = "page_size_option needs a page_size in the pagination_strategy";
            problems.add(component.path_of("page_size_option"), message);
        }
        let on_first = strategy_component.boolean("inject_on_first_request", problems);
        let strategy = match strategy_component.kind {
            "PageIncrement" => {
                let start = strategy_component.whole_number("start_from_page", problems);
                Strategy::Page {
                    start: start.unwrap_or(0),
                    on_first,
                }
            }
            "OffsetIncrement" => Strategy::Offset { on_first },
            _ => {
                let value = strategy_component.template("cursor_value", Place::PAGINATOR, problems);
                if strategy_component.get("cursor_value").is_none() {
                    strategy_component.missing("cursor_value", problems);
                }
                let stop =
                    strategy_component.template("stop_condition", Place::PAGINATOR, problems);
                Strategy::Cursor {
                    value: value?,
                    stop,
                }
            }
        };
        Some(Paginator::Default(Box::new(DefaultPaginator {
            strategy,
            page_size,
            size_option,
            token_place,
        })))
    }

    /// Whether a single page can be asked for.
    pub(crate) fn supports_page(&self) -> bool {
        match self {
            Paginator::None => false,
            Paginator::Default(paginator) => matches!(paginator.strategy, Strategy::Page { .. }),
        }
    }

    /// Whether an expression reads both the answer and what became of its records.
    pub(crate) fn keeps_response(&self) -> bool {
        self.expressions()
            .any(|template| asks_of_records(template) && template.reads(Var::Response))
    }

    /// The expressions that lead to the next page.
    fn expressions(&self) -> impl Iterator<Item = &Template> {
        let expressions = match self {
            Paginator::None => [None, None],
            Paginator::Default(paginator) => match &paginator.strategy {
                Strategy::Cursor { value, stop } => [Some(value), stop.as_ref()],
                _ => [None, None],
            },
        };
        expressions.into_iter().flatten()
    }

    /// Evaluates what needs nothing of the records.
    pub(crate) fn foretell(
        &self,
        slice_scope: &Scope<'_>,
        response: &Value,
        headers: &Value,
    ) -> Result<Foretold, FieldError> {
        let Paginator::Default(paginator) = self else {
            return Ok(Foretold::default());
        };
        let Strategy::Cursor { value, stop } = &paginator.strategy else {
            return Ok(Foretold::default());
        };
        let scope = Scope {
            response: Some(response),
            headers: Some(headers),
            page_size: paginator.page_size(slice_scope)?,
            ..*slice_scope
        };
        let early = |template: &&Template| !asks_of_records(template);
        let stop = stop.as_ref().filter(early);
        Ok(Foretold {
            stop: stop.map(|stop| stop.condition(&scope)),
            cursor: Some(value).filter(early).map(|value| cursor(value, &scope)),
        })
    }

    /// Whether an expression reads the answer.
    pub(crate) fn reads_response(&self) -> bool {
        self.expressions()
            .any(|template| template.reads(Var::Response))
    }

    /// Whether the next page depends on the last record.
    pub(crate) fn reads_last_record(&self) -> bool {
        self.expressions()
            .any(|template| template.reads(Var::LastRecord))
    }

    pub(crate) fn first(&self) -> Token {
        match self {
            Paginator::None => Token::First,
            Paginator::Default(paginator) => match &paginator.strategy {
                Strategy::Page { start, .. } => Token::Page(*start),
                Strategy::Offset { .. } => Token::Offset(0),
                Strategy::Cursor { .. } => Token::First,
            },
        }
    }

    /// Whether a stored position holds a token, beside what it holds of a slice.
    pub(crate) fn has_token(position: &Position) -> bool {
        ["page", "offset", "cursor"]
            .iter()
            .any(|name| position.0.get(name).is_some())
    }

    /// The token of a stored position; `Err` if it is not one of this paginator.
    pub(crate) fn token_of(&self, position: &Position) -> Result<Token, String> {
        let member = |name: &str| position.0.get(name);
        let wanted = match self {
            Paginator::None => "no position at all: the stream has one page".to_owned(),
            Paginator::Default(paginator) => match &paginator.strategy {
                Strategy::Page { .. } => match member("page").and_then(Value::as_u64) {
                    Some(page) => return Ok(Token::Page(page)),
                    None => "{\"page\": <number>}".to_owned(),
                },
                Strategy::Offset { .. } => match member("offset").and_then(Value::as_u64) {
                    Some(offset) => return Ok(Token::Offset(offset)),
                    None => "{\"offset\": <number>}".to_owned(),
                },
                Strategy::Cursor { .. } => match member("cursor") {
                    Some(cursor) if !cursor.is_null() => return Ok(Token::Cursor(cursor.clone())),
                    _ => "{\"cursor\": <token>}".to_owned(),
                },
            },
        };
        Err(format!(
            "the stored position does not fit the stream's paginator; it takes {wanted}"
        ))
    }

    /// The value that the request carries as its token; `None` on a first request without one.
    pub(crate) fn request_token(&self, token: &Token) -> Option<Value> {
        let Paginator::Default(paginator) = self else {
            return None;
        };
        match (token, &paginator.strategy) {
            (Token::Page(page), Strategy::Page { start, on_first }) => {
                (page != start || *on_first).then(|| Value::from(*page))
            }
            (Token::Offset(offset), Strategy::Offset { on_first }) => {
                (*offset != 0 || *on_first).then(|| Value::from(*offset))
            }
            (Token::Cursor(cursor), _) => Some(cursor.clone()),
            _ => None,
        }
    }

    /// Puts page size and token into the request. Returns the token if it is the request's address.
    pub(crate) fn inject(
        &self,
        token: Option<&Value>,
        scope: &Scope<'_>,
        into: &mut Injected,
    ) -> Result<Option<String>, FieldError> {
        let Paginator::Default(paginator) = self else {
            return Ok(None);
        };
        let address = match (token, &paginator.token_place) {
            (Some(token), Some(TokenPlace::Option(option))) => {
                option.inject(token.clone(), scope, into)?;
                None
            }
            (Some(token), Some(TokenPlace::Path)) => Some(crate::request::url::text_of(token)),
            _ => None,
        };
        if let Some(option) = &paginator.size_option
            && let Some(size) = paginator.page_size(scope)?
        {
            option.inject(Value::from(size), scope, into)?;
        }
        Ok(address)
    }

    /// The token after a page; `None` when the stream is complete.
    pub(crate) fn next(
        &self,
        token: &Token,
        slice_scope: &Scope<'_>,
        facts: PageFacts<'_>,
    ) -> Result<Option<Token>, FieldError> {
        let Paginator::Default(paginator) = self else {
            return Ok(None);
        };
        let size = paginator.page_size(slice_scope)?;
        let short = facts.extracted == 0 || size.is_some_and(|size| facts.extracted < size);
        match (&paginator.strategy, token) {
            (Strategy::Page { .. }, Token::Page(page)) => {
                Ok((!short).then(|| Token::Page(page.saturating_add(1))))
            }
            (Strategy::Offset { .. }, Token::Offset(offset)) => {
                Ok((!short).then(|| Token::Offset(offset.saturating_add(facts.extracted))))
            }
            (Strategy::Cursor { value, stop }, _) => {
                let scope = Scope {
                    response: Some(facts.response),
                    headers: Some(facts.headers),
                    last_record: facts.last_record,
                    last_page_size: Some(facts.page_size),
                    page_size: size,
                    ..*slice_scope
                };
                let Foretold {
                    stop: early_stop,
                    cursor: early_cursor,
                } = facts.foretold;
                if let Some(stop) = stop
                    && early_stop
                        .unwrap_or_else(|| stop.condition(&scope))
                        .map_err(|error| at(stop, error))?
                {
                    return Ok(None);
                }
                let cursor = early_cursor.unwrap_or_else(|| cursor(value, &scope));
                let cursor = cursor.map_err(|error| at(value, error))?;
                Ok(cursor.map(Token::Cursor))
            }
            _ => Ok(None),
        }
    }
}

/// Whether an expression depends on what became of the page's records.
fn asks_of_records(template: &Template) -> bool {
    template.reads(Var::LastRecord) || template.reads(Var::LastPageSize)
}

/// The token of the next page, if there is one.
fn cursor(value: &Template, scope: &Scope<'_>) -> Result<Option<Value>, EvalError> {
    let cursor = value.value(scope)?;
    Ok(cursor.filter(Val::is_true).map(Val::into_json))
}

impl DefaultPaginator {
    fn page_size(&self, scope: &Scope<'_>) -> Result<Option<u64>, FieldError> {
        match &self.page_size {
            None => Ok(None),
            Some(PageSize::Fixed(size)) => Ok(Some(*size)),
            Some(PageSize::Template(template)) => {
                let value = template
                    .evaluate(scope)
                    .map_err(|error| at(template, error))?;
                let size = value
                    .as_ref()
                    .and_then(Val::as_json)
                    .and_then(Value::as_u64);
                size.filter(|size| *size > 0).map(Some).ok_or_else(|| {
                    let message = "the page size must be a whole number above 0".to_owned();
                    at(template, crate::expr::EvalError::Value(message))
                })
            }
        }
    }
}

impl Token {
    /// The position to store; `None` for the beginning of a stream without page numbers.
    pub(crate) fn position(&self) -> Option<Position> {
        let value = match self {
            Token::First => return None,
            Token::Page(page) => json!({ "page": page }),
            Token::Offset(offset) => json!({ "offset": offset }),
            Token::Cursor(cursor) => {
                let mut members = Map::new();
                members.insert("cursor".to_owned(), cursor.clone());
                Value::Object(members)
            }
        };
        Some(Position(value))
    }
}

fn load_page_size(component: &Component<'_>, problems: &mut Problems) -> Option<PageSize> {
    match component.get("page_size")? {
        Value::Number(number) => match number.as_u64() {
            Some(size) if size > 0 => Some(PageSize::Fixed(size)),
            _ => {
                let message = "the page size must be a whole number above 0";
                problems.add(component.path_of("page_size"), message);
                None
            }
        },
        Value::String(_) => component
            .template("page_size", Place::CONFIG, problems)
            .map(PageSize::Template),
        _ => {
            problems.add(
                component.path_of("page_size"),
                "a whole number above 0 is needed here",
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paginator(yaml: &str) -> Paginator {
        let value: Value = serde_saphyr::from_str(yaml).unwrap();
        let retriever = json!({ "type": "SimpleRetriever", "paginator": value });
        let mut problems = Problems::default();
        let component =
            Component::read(&retriever, "", &["SimpleRetriever"], &mut problems).unwrap();
        let paginator = Paginator::load(&component, "paginator", &mut problems);
        assert_eq!(problems.0, Vec::new());
        paginator.unwrap()
    }

    fn after(
        paginator: &Paginator,
        token: &Token,
        extracted: u64,
        response: &Value,
    ) -> Option<Token> {
        let facts = PageFacts {
            extracted,
            last_record: None,
            page_size: extracted,
            foretold: Foretold::default(),
            response,
            headers: &Value::Null,
        };
        let config = json!({"size": 3});
        let scope = Scope::of_config(&config);
        let whole = PageFacts { ..facts };
        let late = paginator.next(token, &scope, whole).unwrap();
        // The same is found before the records are taken out, unless an expression asks of them.
        let facts = PageFacts {
            foretold: paginator.foretell(&scope, response, &Value::Null).unwrap(),
            response: if paginator.keeps_response() {
                response
            } else {
                &Value::Null
            },
            extracted,
            last_record: None,
            page_size: extracted,
            headers: &Value::Null,
        };
        assert_eq!(paginator.next(token, &scope, facts).unwrap(), late);
        late
    }

    #[test]
    fn pages_end_with_a_short_one() {
        let paginator = paginator(
            "{type: DefaultPaginator, pagination_strategy: {type: PageIncrement, \
             start_from_page: 1, page_size: \"{{ config['size'] }}\"}}",
        );
        assert_eq!(paginator.first(), Token::Page(1));
        assert_eq!(paginator.request_token(&Token::Page(1)), None);
        assert_eq!(paginator.request_token(&Token::Page(2)), Some(json!(2)));
        assert_eq!(
            after(&paginator, &Token::Page(1), 3, &Value::Null),
            Some(Token::Page(2))
        );
        assert_eq!(after(&paginator, &Token::Page(2), 2, &Value::Null), None);
        let position = Position(json!({"page": 7}));
        assert_eq!(paginator.token_of(&position), Ok(Token::Page(7)));
        assert!(paginator.token_of(&Position(json!({"offset": 7}))).is_err());
    }

    #[test]
    fn offsets_grow_by_what_came() {
        let paginator = paginator(
            "{type: DefaultPaginator, pagination_strategy: {type: OffsetIncrement, \
             inject_on_first_request: true}}",
        );
        assert_eq!(paginator.request_token(&Token::Offset(0)), Some(json!(0)));
        assert_eq!(
            after(&paginator, &Token::Offset(5), 2, &Value::Null),
            Some(Token::Offset(7))
        );
        assert_eq!(after(&paginator, &Token::Offset(5), 0, &Value::Null), None);
    }

    #[test]
    fn a_cursor_ends_when_it_is_false_or_stopped() {
        let paginator = paginator(
            "{type: DefaultPaginator, pagination_strategy: {type: CursorPagination, \
             cursor_value: \"{{ response.get('next') }}\", \
             stop_condition: \"{{ response.get('done') }}\"}}",
        );
        let next = |response: Value| after(&paginator, &Token::First, 1, &response);
        assert_eq!(
            next(json!({"next": "007"})),
            Some(Token::Cursor(json!("007")))
        );
        assert_eq!(next(json!({"next": "12"})), Some(Token::Cursor(json!(12))));
        assert_eq!(next(json!({"next": ""})), None);
        assert_eq!(next(json!({})), None);
        assert_eq!(next(json!({"next": "x", "done": true})), None);
    }
}
