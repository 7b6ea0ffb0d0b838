//! The state of a partitioned stream with a cursor: a value for each partition, and one for all of them, from which partitions
//! start that have none.
//!
//! The common value is the newest that a read has seen, and moves only when the whole read is done; new partitions start before
//! it by the time that this read took, since what changed meanwhile may have been missed in those that were read first.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::incremental::DatetimeCursor;
use crate::time::Moment;

/// More partitions than this are read by the common value alone.
const MOST_PARTITIONS: usize = 10_000;

/// What a read has to say about its beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StateInput<'a> {
    /// The state of the stream, in any of the language's forms.
    pub(crate) state: Option<&'a Value>,
    /// What an earlier attempt has noted down in its position.
    pub(crate) position: Option<&'a Value>,
    /// The stream may have had a state of an older kind, which knows ids as texts.
    pub(crate) ids_were_texts: bool,
    pub(crate) now: DateTime<Utc>,
}

/// States of partitions, while they are read.
#[derive(Debug, Clone)]
pub(crate) struct PartitionStates {
    field: String,
    /// By the partition's key: the partition, and its state.
    states: Map<String, Value>,
    use_global: bool,
    global: Option<Value>,
    lookback: TimeDelta,
    parents: Option<Value>,
    /// Whether the partitions come from parents, also from those without states.
    has_parents: bool,
    /// The newest value of this read.
    latest: Option<Moment>,
    /// When the first attempt of this read began.
    began: DateTime<Utc>,
    now: DateTime<Utc>,
    clock: Instant,
    closed_since: usize,
    ids_were_texts: bool,
}

impl PartitionStates {
    /// Reads a stored state; `Err` says what is wrong with it.
    pub(crate) fn new(
        cursor: &DatetimeCursor,
        field: String,
        input: StateInput<'_>,
    ) -> Result<PartitionStates, String> {
        let mut states = PartitionStates {
            field,
            states: Map::new(),
            use_global: cursor.uses_global_state,
            global: None,
            lookback: TimeDelta::zero(),
            parents: None,
            has_parents: false,
            latest: None,
            began: input.now,
            now: input.now,
            clock: Instant::now(),
            closed_since: 0,
            ids_were_texts: input.ids_were_texts,
        };
        let stored = input.state.and_then(Value::as_object);
        if let Some(stored) = stored.filter(|stored| !stored.is_empty()) {
            states.read(stored);
        }
        if let Some(global) = &states.global {
            let value = global.get(&states.field).unwrap_or(&Value::Null);
            let moment = cursor.moment_of(value);
            let wrong = || format!("the stored state {value} is no datetime of this stream");
            states.latest = Some(moment.ok_or_else(wrong)?);
        }
        if let Some(position) = input.position {
            let moment = |name: &str| {
                let text = position.get(name).and_then(Value::as_str)?;
                Moment::parse_from_rfc3339(text).ok()
            };
            states.latest = states.latest.max(moment("latest"));
            states.began = moment("began").map_or(states.began, |began| began.to_utc());
        }
        Ok(states)
    }

    fn read(&mut self, stored: &Map<String, Value>) {
        let is_plain = !stored.contains_key("states") && !stored.contains_key("state");
        let global = if is_plain {
            stored
                .get(&self.field)
                .map(|value| json!({ self.field.as_str(): value }))
        } else {
            stored.get("state").cloned()
        };
        self.global = global.filter(|global| global.get(&self.field).is_some_and(|v| !v.is_null()));
        if stored.get("use_global_cursor") == Some(&Value::Bool(true)) {
            self.use_global = true;
        }
        let seconds = stored.get("lookback_window").and_then(Value::as_f64);
        let seconds = seconds.filter(|seconds| (0.0..1e9).contains(seconds));
        #[expect(clippy::cast_possible_truncation, reason = "bounded just above")]
        let seconds = seconds.unwrap_or(0.0) as i64;
        self.lookback = TimeDelta::seconds(seconds);
        self.parents = stored.get("parent_state").cloned();
        for entry in stored
            .get("states")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(Value::Object(partition)) = entry.get("partition") {
                self.states
                    .insert(super::Partition::key(partition), entry.clone());
            }
        }
    }

    /// The state from which a partition starts; `None`: from the cursor's start.
    pub(crate) fn of_partition(
        &self,
        key: &str,
        fields: &Map<String, Value>,
        cursor: &DatetimeCursor,
    ) -> Option<Value> {
        let older = || self.states.get(&self.older_key(fields)?);
        let own = self.states.get(key).or_else(older);
        let own = own.and_then(|entry| entry.get("cursor"));
        if let Some(own) = own.filter(|_| !self.use_global) {
            return Some(own.clone());
        }
        let global = self.global.as_ref()?;
        let moment = cursor.moment_of(global.get(&self.field)?)?;
        let start = moment.checked_sub_signed(self.lookback).unwrap_or(moment);
        Some(json!({ self.field.as_str(): cursor.written(start) }))
    }

    /// The key that a partition has in a state of an older kind, if it is another one.
    fn older_key(&self, fields: &Map<String, Value>) -> Option<String> {
        let parent = fields.get("parent_slice")?.as_object()?;
        if !self.ids_were_texts || fields.len() != 2 || !parent.is_empty() {
            return None;
        }
        let mut older = fields.clone();
        let number = older.values_mut().find(|value| value.is_number())?;
        *number = Value::String(number.to_string());
        Some(super::Partition::key(&older))
    }

    /// Takes note of a partition that is closed.
    pub(crate) fn close(
        &mut self,
        key: &str,
        fields: &Map<String, Value>,
        state: Option<Value>,
        latest: Moment,
    ) {
        self.latest = self.latest.max(Some(latest));
        let Some(state) = state else { return };
        if let Some(older) = self.older_key(fields) {
            self.states.shift_remove(&older);
        }
        let known = self.states.contains_key(key);
        if !known && self.states.len() >= MOST_PARTITIONS {
            self.use_global = true;
        }
        if self.use_global {
            self.states.clear();
        } else {
            let entry = json!({ "partition": fields, "cursor": state });
            self.states.insert(key.to_owned(), entry);
        }
        self.closed_since += 1;
    }

    /// The parents' states, once their children have been read.
    pub(crate) fn set_parents(&mut self, parents: Map<String, Value>) {
        self.has_parents = true;
        if !parents.is_empty() {
            self.parents = Some(Value::Object(parents));
        }
    }

    /// The state of a parent, from which it is read.
    pub(crate) fn parents(&self) -> Option<&Value> {
        self.parents.as_ref()
    }

    /// The state between two partitions, now and then: it grows with the number of partitions, and a read that is broken off
    /// goes on from its position anyhow.
    pub(crate) fn interim(&mut self) -> Option<Value> {
        if self.use_global || self.closed_since <= self.states.len() / 50 {
            return None;
        }
        self.closed_since = 0;
        Some(self.state())
    }

    /// The state after the whole read.
    pub(crate) fn closing(&mut self, cursor: &DatetimeCursor) -> Value {
        if let Some(latest) = self.latest {
            self.global = Some(json!({ self.field.as_str(): cursor.written(latest) }));
            let earlier = (self.now - self.began).to_std().unwrap_or(Duration::ZERO);
            let took = earlier + self.clock.elapsed();
            let seconds = took.as_secs() + u64::from(took.subsec_nanos() > 0);
            self.lookback = TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 1_000));
        }
        if self.has_parents {
            self.parents.get_or_insert_with(|| json!({}));
        }
        self.state()
    }

    fn state(&self) -> Value {
        let mut state = Map::new();
        state.insert("use_global_cursor".to_owned(), Value::Bool(self.use_global));
        if !self.use_global {
            let states = self.states.values().cloned().collect();
            state.insert("states".to_owned(), Value::Array(states));
        }
        if let Some(global) = &self.global {
            state.insert("state".to_owned(), global.clone());
        }
        let seconds = self.lookback.num_seconds();
        state.insert("lookback_window".to_owned(), Value::from(seconds));
        if let Some(parents) = &self.parents {
            state.insert("parent_state".to_owned(), parents.clone());
        }
        Value::Object(state)
    }

    /// What a position has to hold, so that the common value covers all attempts of a read. `seen` is the newest value of the
    /// partition that is being read.
    pub(crate) fn position(&self, seen: Option<Moment>) -> Value {
        let mut position = Map::new();
        position.insert("began".to_owned(), Value::String(self.began.to_rfc3339()));
        if let Some(latest) = self.latest.max(seen) {
            position.insert("latest".to_owned(), Value::String(latest.to_rfc3339()));
        }
        Value::Object(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::component::{Component, Problems};

    fn cursor() -> DatetimeCursor {
        let stream = json!({"type": "DeclarativeStream", "incremental_sync": {
            "type": "DatetimeBasedCursor", "cursor_field": "at", "datetime_format": "%Y-%m-%d", "start_datetime": "2024-01-01",
        }});
        let mut problems = Problems::default();
        let component =
            Component::read(&stream, "", &["DeclarativeStream"], &mut problems).unwrap();
        let cursor = DatetimeCursor::load(&component, &mut problems);
        assert!(problems.0.is_empty(), "{:?}", problems.0);
        cursor.unwrap()
    }

    fn states(cursor: &DatetimeCursor, state: Option<&Value>) -> PartitionStates {
        let input = StateInput {
            state,
            position: None,
            ids_were_texts: false,
            now: DateTime::UNIX_EPOCH,
        };
        PartitionStates::new(cursor, "at".to_owned(), input).unwrap()
    }

    fn close(states: &mut PartitionStates, cursor: &DatetimeCursor, number: usize, at: &str) {
        let mut fields = Map::new();
        fields.insert("id".to_owned(), json!(number));
        let latest = cursor.moment_of(&json!(at)).unwrap();
        let key = super::super::Partition::key(&fields);
        states.close(&key, &fields, Some(json!({ "at": at })), latest);
    }

    #[test]
    fn so_many_partitions_have_states_of_their_own_and_with_one_more_all_have_one() {
        let cursor = cursor();
        let mut states = states(&cursor, None);
        for number in 0..MOST_PARTITIONS {
            close(&mut states, &cursor, number, "2024-01-10");
        }
        let state = states.closing(&cursor);
        assert_eq!(state["use_global_cursor"], json!(false));
        assert_eq!(state["states"].as_array().unwrap().len(), MOST_PARTITIONS);
        // One of them again is not one more.
        close(&mut states, &cursor, 5, "2024-01-12");
        assert_eq!(states.closing(&cursor)["use_global_cursor"], json!(false));

        close(&mut states, &cursor, MOST_PARTITIONS, "2024-01-11");
        let state = states.closing(&cursor);
        assert_eq!(state["use_global_cursor"], json!(true));
        assert_eq!(state.get("states"), None);
        assert_eq!(state["state"], json!({"at": "2024-01-12"}));
        // From then on each partition starts from the common state, minus what the read took.
        let mut next = self::states(&cursor, Some(&state));
        assert!(
            next.of_partition("{\"id\":3}", &Map::new(), &cursor)
                .is_some()
        );
        close(&mut next, &cursor, 1, "2024-01-15");
        let state = next.closing(&cursor);
        assert_eq!(state["use_global_cursor"], json!(true));
        assert_eq!(state["state"], json!({"at": "2024-01-15"}));
    }
}
