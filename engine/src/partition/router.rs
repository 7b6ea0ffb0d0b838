//! `ListPartitionRouter`, `SubstreamPartitionRouter`, and lists of them, which are read as their product.

use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::Partition;
use super::grouping::Grouping;
use crate::expr::{EvalError, Place, Scope, Template, Val, json_is_true};
use crate::load::component::{Component, Problems};
use crate::load::model::Stream;
use crate::page::Record;
use crate::reader::Identity;
use crate::request::option::{Injected, RequestOption};
use crate::request::value::{FieldError, at};

const SUPPORTED: &[&str] = &[
    "ListPartitionRouter",
    "SubstreamPartitionRouter",
    "GroupingPartitionRouter",
];

/// The routers of a stream; several make a product.
#[derive(Debug, Clone)]
pub(crate) struct Routers(Vec<Router>);

#[derive(Debug, Clone)]
pub(crate) enum Router {
    List(Box<List>),
    Substream(Arc<[Parent]>),
    Grouping(Box<Grouping>),
}

impl Router {
    /// The router below a grouping one.
    pub(super) fn load_underlying(
        grouping: &Component<'_>,
        problems: &mut Problems,
    ) -> Option<Router> {
        const NAME: &str = "underlying_partition_router";
        if grouping.get(NAME).is_none() {
            grouping.missing(NAME, problems);
        }
        let kinds = &["ListPartitionRouter", "SubstreamPartitionRouter"];
        let router = Router::load(&grouping.child(NAME, kinds, problems)?, problems)?;
        if router.has_options() {
            let message = "a router whose partitions are grouped has no request_option";
            problems.add(grouping.path_of(NAME), message);
        }
        Some(router)
    }
}

/// `ListPartitionRouter`.
#[derive(Debug, Clone)]
pub(crate) struct List {
    field: Template,
    values: Values,
    option: Option<RequestOption>,
}

#[derive(Debug, Clone)]
enum Values {
    Plain(Vec<Value>),
    Template(Template),
}

/// `ParentStreamConfig`.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    pub(crate) stream: Arc<Stream>,
    /// The same for parents that are the same, whatever their children.
    pub(crate) identity: Identity,
    key: Template,
    field: Template,
    option: Option<RequestOption>,
    extra_fields: Vec<Vec<Template>>,
    /// `lazy_read_pointer`: where a record holds the first page of its partition.
    first_page: Option<Vec<Template>>,
    /// The parent is read from its state, which moves when its children are read.
    pub(crate) incremental: bool,
}

impl Routers {
    /// The field `partition_router` of a retriever, if there is one.
    pub(crate) fn load(retriever: &Component<'_>, problems: &mut Problems) -> Option<Routers> {
        let routers = retriever.children("partition_router", SUPPORTED, problems);
        if routers.is_empty() {
            return None;
        }
        let mut loaded = Vec::with_capacity(routers.len());
        for router in &routers {
            let router_loaded = Router::load(router, problems);
            let is_alone = routers.len() == 1;
            let waits = |router: &Router| {
                let is_walked = is_alone && matches!(router, Router::Substream(_));
                !is_walked && router.waits_for_jobs()
            };
            if router_loaded.as_ref().is_some_and(waits) {
                let message = "a parent with an AsyncRetriever must be a stream's only router, without groups: the place where its \
                               jobs are waited for could not be kept";
                problems.add(&router.path, message);
            }
            loaded.extend(router_loaded);
        }
        Some(Routers(loaded))
    }

    /// The only router, if there is no product to be made.
    pub(crate) fn single(&self) -> Option<&Router> {
        match self.0.as_slice() {
            [single] => Some(single),
            _ => None,
        }
    }

    /// The partition's field, if the partitions are the records of one parent.
    pub(crate) fn field_of_only_parent(&self) -> Option<&Template> {
        match self.single()? {
            Router::Substream(parents) => match parents.as_ref() {
                [parent] => Some(&parent.field),
                _ => None,
            },
            Router::List(_) | Router::Grouping(_) => None,
        }
    }

    /// Whether partitions are read in groups. Groups change with what is in them, so they have no states of their own.
    pub(crate) fn makes_groups(&self) -> bool {
        let is_grouping = |router: &Router| matches!(router, Router::Grouping(_));
        self.0.iter().any(is_grouping)
    }

    /// Whether some parent, or a parent's parent, has jobs.
    pub(crate) fn wait_for_jobs(&self) -> bool {
        self.0.iter().any(Router::waits_for_jobs)
    }

    /// Whether the parents' records may hold the first pages of their partitions. As in the reference that counts only where there is
    /// no product.
    pub(crate) fn have_first_pages(&self) -> bool {
        match self.single() {
            Some(Router::Substream(parents)) => {
                parents.iter().any(|parent| parent.first_page.is_some())
            }
            _ => false,
        }
    }

    pub(crate) fn all(&self) -> &[Router] {
        &self.0
    }

    /// Puts the partition's values into the request where the routers say so.
    pub(crate) fn inject(
        &self,
        partition: &Value,
        scope: &Scope<'_>,
        into: &mut Injected,
    ) -> Result<(), FieldError> {
        for router in &self.0 {
            match router {
                Router::List(list) => {
                    inject(list.option.as_ref(), &list.field, partition, scope, into)?;
                }
                // The language puts no options of groups into requests.
                Router::Grouping(_) => {}
                Router::Substream(parents) => {
                    for parent in parents.iter() {
                        inject(
                            parent.option.as_ref(),
                            &parent.field,
                            partition,
                            scope,
                            into,
                        )?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Router {
    fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Router> {
        component.refuse(&[], &[], problems);
        match component.kind {
            "ListPartitionRouter" => {
                List::load(component, problems).map(|list| Router::List(Box::new(list)))
            }
            "SubstreamPartitionRouter" => load_parents(component, problems).map(Router::Substream),
            _ => Grouping::load(component, problems)
                .map(|grouping| Router::Grouping(Box::new(grouping))),
        }
    }

    fn waits_for_jobs(&self) -> bool {
        match self {
            Router::List(_) => false,
            Router::Substream(parents) => {
                parents.iter().any(|parent| parent.stream.waits_for_jobs())
            }
            Router::Grouping(grouping) => grouping.underlying.waits_for_jobs(),
        }
    }

    fn has_options(&self) -> bool {
        match self {
            Router::List(list) => list.option.is_some(),
            Router::Substream(parents) => parents.iter().any(|parent| parent.option.is_some()),
            Router::Grouping(_) => false,
        }
    }
}

fn inject(
    option: Option<&RequestOption>,
    field: &Template,
    partition: &Value,
    scope: &Scope<'_>,
    into: &mut Injected,
) -> Result<(), FieldError> {
    let Some(option) = option else { return Ok(()) };
    let field = field.text(scope).map_err(|error| at(field, error))?;
    match partition.get(&field) {
        Some(value) if json_is_true(value) => option.inject(value.clone(), scope, into),
        _ => Ok(()),
    }
}

fn required(component: &Component<'_>, name: &str, problems: &mut Problems) -> Option<Template> {
    if component.get(name).is_none() {
        component.missing(name, problems);
    }
    component.template(name, Place::CONFIG, problems)
}

fn option(component: &Component<'_>, problems: &mut Problems) -> Option<RequestOption> {
    let option = component.child("request_option", &["RequestOption"], problems)?;
    RequestOption::load(&option, problems)
}

impl List {
    fn load(component: &Component<'_>, problems: &mut Problems) -> Option<List> {
        let field = required(component, "cursor_field", problems);
        let values = match component.get("values") {
            None => {
                component.missing("values", problems);
                None
            }
            // The language takes the items of a written list as texts.
            Some(Value::Array(items)) => {
                let text = |item: &Value| Value::String(crate::request::url::text_of(item));
                Some(Values::Plain(items.iter().map(text).collect()))
            }
            Some(_) => component
                .template("values", Place::CONFIG, problems)
                .map(Values::Template),
        };
        Some(List {
            field: field?,
            values: values?,
            option: option(component, problems),
        })
    }

    pub(crate) fn partitions(&self, scope: &Scope<'_>) -> Result<Vec<Partition>, FieldError> {
        let field = self
            .field
            .text(scope)
            .map_err(|error| at(&self.field, error))?;
        let values = match &self.values {
            Values::Plain(values) => values.clone(),
            Values::Template(template) => {
                let value = template
                    .evaluate(scope)
                    .map_err(|error| at(template, error))?;
                let items = value
                    .as_ref()
                    .and_then(Val::as_items)
                    .map(<[Value]>::to_vec);
                items.ok_or_else(|| {
                    let kind = value.as_ref().map_or("nothing", Val::type_name);
                    let message = format!("the values must be a list, this is {kind}");
                    at(template, EvalError::Type(message))
                })?
            }
        };
        let partition = |value: Value| {
            let mut fields = Map::new();
            fields.insert(field.clone(), value);
            Partition {
                fields,
                ..Partition::default()
            }
        };
        Ok(values.into_iter().map(partition).collect())
    }
}

fn load_parents(router: &Component<'_>, problems: &mut Problems) -> Option<Arc<[Parent]>> {
    let configs = router.children("parent_stream_configs", &["ParentStreamConfig"], problems);
    if configs.is_empty() && router.get("parent_stream_configs").is_none() {
        router.missing("parent_stream_configs", problems);
    }
    let mut parents = Vec::with_capacity(configs.len());
    for config in &configs {
        parents.push(Parent::load(config, problems)?);
    }
    Some(parents.into())
}

impl Parent {
    fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Parent> {
        component.refuse(&[], &[], problems);
        if component.get("stream").is_none() {
            component.missing("stream", problems);
        }
        let stream = component
            .child("stream", &["DeclarativeStream"], problems)
            .and_then(|stream| crate::load::stream::load(&stream, problems));
        if stream
            .as_ref()
            .is_some_and(|(_, stream)| stream.teardown.is_some())
        {
            let message = "a parent cannot have a teardown request; give it to the child";
            problems.add(component.path_of("stream"), message);
        }
        let key = required(component, "parent_key", problems);
        let field = required(component, "partition_field", problems);
        let mut extra_fields = Vec::new();
        let place = component.path_of("extra_fields");
        match component.get("extra_fields") {
            None => {}
            Some(Value::Array(paths)) => {
                for (index, path) in paths.iter().enumerate() {
                    let place = format!("{place}/{index}");
                    let Some(steps) = path.as_array() else {
                        problems.add(place, "a path, which is a list of names, is needed here");
                        continue;
                    };
                    extra_fields.push(component.steps_of(steps, &place, problems));
                }
            }
            Some(_) => problems.add(place, "a list of paths is needed here"),
        }
        let first_page = load_pointer(component, problems);
        // With its references resolved and its parameters handed down.
        let text = component.get("stream").map(Value::to_string);
        Some(Parent {
            stream: Arc::new(stream?.1),
            identity: Sha256::digest(text.unwrap_or_default()).into(),
            key: key?,
            field: field?,
            option: option(component, problems),
            extra_fields,
            first_page,
            incremental: component.boolean("incremental_dependency", problems),
        })
    }

    /// The partition that a record of the parent makes; none if the record lacks the key.
    pub(crate) fn partition(
        &self,
        record: &Record,
        of_parent: &Map<String, Value>,
        scope: &Scope<'_>,
    ) -> Result<Option<Partition>, FieldError> {
        let text = |template: &Template| template.text(scope).map_err(|error| at(template, error));
        let key = text(&self.key)?;
        let steps: Vec<&str> = key.split('/').filter(|step| !step.is_empty()).collect();
        let Some(value) = look_up(record, &steps).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        let mut fields = Map::new();
        fields.insert(text(&self.field)?, value.clone());
        let of_parent = Value::Object(of_parent.clone());
        fields.insert("parent_slice".to_owned(), of_parent);
        let mut extra = Map::new();
        for path in &self.extra_fields {
            let steps: Vec<String> = path.iter().map(text).collect::<Result<_, _>>()?;
            let names: Vec<&str> = steps.iter().map(String::as_str).collect();
            let value = look_up(record, &names).cloned().unwrap_or(Value::Null);
            extra.insert(steps.join("."), value);
        }
        let first_page = match &self.first_page {
            None => None,
            Some(pointer) => {
                let steps: Vec<String> = pointer.iter().map(text).collect::<Result<_, _>>()?;
                let names: Vec<&str> = steps.iter().map(String::as_str).collect();
                let found = look_up(record, &names).cloned();
                Some(Arc::new(found.unwrap_or_else(|| Value::Array(Vec::new()))))
            }
        };
        Ok(Some(Partition {
            fields,
            extra,
            first_page,
        }))
    }
}

/// The field `lazy_read_pointer` of a parent, if it leads anywhere.
fn load_pointer(component: &Component<'_>, problems: &mut Problems) -> Option<Vec<Template>> {
    let place = component.path_of("lazy_read_pointer");
    match component.get("lazy_read_pointer")? {
        Value::Array(steps) if steps.is_empty() => None,
        Value::Array(steps) => {
            let wild = |step: &Value| step.as_str().is_some_and(|step| step.contains('*'));
            if steps.iter().any(wild) {
                problems.add(place, "the way to the records has no \"*\" here");
                return None;
            }
            Some(component.steps_of(steps, &place, problems))
        }
        _ => {
            problems.add(place, "a path, which is a list of names, is needed here");
            None
        }
    }
}

fn look_up<'r>(record: &'r Record, steps: &[&str]) -> Option<&'r Value> {
    let (first, rest) = steps.split_first()?;
    let mut place = record.get(*first)?;
    for step in rest {
        place = match place {
            Value::Object(members) => members.get(*step)?,
            Value::Array(items) => items.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(place)
}
