//! `JsonItemsDecoder`: the items of one list within a JSON document, without the document.
//!
//! The path is that of the reference's parser: names parted by dots, `item` for each element of a list. Only one item at a time is
//! held.

use std::fmt;
use std::io::{BufRead, BufReader};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::meter::{Meter, Metered, Syntax};
use super::text::Encoding;
use super::{Sink, Undecoded, json_error};
use crate::load::component::{Component, Problems};

/// How the elements of a list are called in a path.
const ELEMENT: &str = "item";

/// `JsonItemsDecoder`.
#[derive(Debug, Clone)]
pub(crate) struct Items {
    path: Vec<String>,
    encoding: Encoding,
}

impl Items {
    pub(super) fn load(component: &Component<'_>, problems: &mut Problems) -> Option<Items> {
        let encoding = Encoding::load(component, problems);
        let path = component.text("items_path", problems).unwrap_or_default();
        if path.is_empty() {
            component.missing("items_path", problems);
            return None;
        }
        let mut path: Vec<String> = path.split('.').map(str::to_owned).collect();
        path.push(ELEMENT.to_owned());
        Some(Items {
            path,
            encoding: encoding?,
        })
    }

    pub(super) fn decode(
        &self,
        bytes: impl BufRead,
        meter: &Meter,
        sink: &mut Sink<'_>,
    ) -> Result<(), Undecoded> {
        let bytes = Metered::new(self.encoding.reader(bytes), Syntax::Json, meter);
        walk(BufReader::new(bytes), &self.path, sink)
    }
}

/// The elements of a document that is a list, or the document itself.
pub(super) fn decode_top_level(bytes: impl BufRead, sink: &mut Sink<'_>) -> Result<(), Undecoded> {
    let mut ended = None;
    let mut parser = serde_json::Deserializer::from_reader(bytes);
    let visited = TopLevel {
        sink,
        ended: &mut ended,
    }
    .deserialize(&mut parser);
    finish(visited.and_then(|()| parser.end()), ended)
}

fn walk(bytes: impl BufRead, path: &[String], sink: &mut Sink<'_>) -> Result<(), Undecoded> {
    let mut ended = None;
    let mut parser = serde_json::Deserializer::from_reader(bytes);
    let visited = Place {
        path,
        sink,
        ended: &mut ended,
    }
    .deserialize(&mut parser);
    finish(visited.and_then(|()| parser.end()), ended)
}

/// The sink's own end goes before the error by which the parser was stopped.
fn finish(parsed: serde_json::Result<()>, ended: Option<Undecoded>) -> Result<(), Undecoded> {
    match (parsed, ended) {
        (_, Some(ended)) => Err(ended),
        (Err(error), None) => Err(json_error(error)),
        (Ok(()), None) => Ok(()),
    }
}

/// A value of the document, and the rest of the way from it to the items.
struct Place<'a, 's> {
    path: &'a [String],
    sink: &'a mut Sink<'s>,
    ended: &'a mut Option<Undecoded>,
}

impl Place<'_, '_> {
    fn give<E: serde::de::Error>(&mut self, value: Value) -> Result<(), E> {
        give(self.sink, self.ended, value)
    }

    fn below<'b>(&'b mut self, rest: &'b [String]) -> Place<'b, 'b> {
        Place {
            path: rest,
            sink: &mut *self.sink,
            ended: self.ended,
        }
    }
}

fn give<E: serde::de::Error>(
    sink: &mut Sink<'_>,
    ended: &mut Option<Undecoded>,
    value: Value,
) -> Result<(), E> {
    sink(value).map_err(|end| {
        *ended = Some(end);
        E::custom("stopped")
    })
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<(), D::Error> {
        if self.path.is_empty() {
            let value = serde::Deserialize::deserialize(deserializer)?;
            return self.give(value);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match self.path.split_first() {
                Some((step, rest)) if *step == name => map.next_value_seed(self.below(rest))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        match self.path.split_first() {
            Some((step, rest)) if step == ELEMENT => {
                while list.next_element_seed(self.below(rest))?.is_some() {}
            }
            _ => while list.next_element::<IgnoredAny>()?.is_some() {},
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

struct TopLevel<'a, 's> {
    sink: &'a mut Sink<'s>,
    ended: &'a mut Option<Undecoded>,
}

impl<'de> DeserializeSeed<'de> for TopLevel<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TopLevel<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element::<Value>()? {
            give(self.sink, self.ended, value)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let whole = serde::de::value::MapAccessDeserializer::new(map);
        let value = serde::Deserialize::deserialize(whole)?;
        give(self.sink, self.ended, value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::decoder;
    use super::super::{Decoder, Meter, Undecoded};

    #[test]
    fn the_items_of_a_nested_list_are_given_one_by_one() {
        let body = br#"{"users": [0], "data": {"x": [[1]], "users": [{"id": 1.50}, 2, [3], null], "y": {"users": [9]}}, "z": "t"}"#;
        let nested = decoder("{type: JsonItemsDecoder, items_path: data.users}");
        let expected: Value = serde_json::from_str(r#"[{"id": 1.50}, 2, [3], null]"#).unwrap();
        assert_eq!(nested.decode(body, 1000).unwrap(), expected);
        let of_lists = decoder("{type: JsonItemsDecoder, items_path: data.x.item}");
        assert_eq!(of_lists.decode(body, 1000).unwrap(), json!([1]));
        let missing = decoder("{type: JsonItemsDecoder, items_path: nowhere}");
        assert_eq!(missing.decode(body, 1000).unwrap(), json!([]));
        let broken = nested.decode(&body[..body.len() - 1], 1000);
        assert!(matches!(broken, Err(Undecoded::Broken(_))), "{broken:?}");
    }

    #[test]
    fn a_top_level_list_is_given_item_by_item_until_the_sink_has_enough() {
        let mut seen = Vec::new();
        let mut sink = |value: Value| {
            seen.push(value);
            if seen.len() == 2 {
                Err(Undecoded::Stopped)
            } else {
                Ok(())
            }
        };
        let body = br#"[{"a": 1}, {"a": 12345678901234567890123}, {"a"#;
        let ended = Decoder::Json.rows(body.as_slice(), 100, &Meter::new(10_000), &mut sink);
        assert!(matches!(ended, Err(Undecoded::Stopped)));
        assert_eq!(seen[1].to_string(), r#"{"a":12345678901234567890123}"#);
        let mut single = Vec::new();
        let mut sink = |value| {
            single.push(value);
            Ok(())
        };
        Decoder::Json
            .rows(
                br#"{"a": [1.0]}"#.as_slice(),
                100,
                &Meter::new(10_000),
                &mut sink,
            )
            .unwrap();
        assert_eq!(single[0].to_string(), r#"{"a":[1.0]}"#);
    }
}
