//! `XmlDecoder`: elements as members, attributes with `@`, text beside them as `#text`.
//!
//! An element that occurs several times under its parent is a list; one with neither attributes nor children is its text, or null.
//! Text is stripped, and what stands between children is put together. Names keep their prefixes. Entities that a document declares
//! itself are refused: they can grow beyond all memory.

use encoding_rs::{Encoding, UTF_8};
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

use super::Undecoded;

/// Elements within elements.
const MOST_LEVELS: usize = 512;

/// An element that is open.
#[derive(Default)]
struct Element {
    name: String,
    members: Map<String, Value>,
    text: String,
}

pub(super) fn decode(body: &[u8]) -> Result<Value, Undecoded> {
    let text = text_of(body)?;
    let mut reader = Reader::from_str(&text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    loop {
        let event = reader.read_event();
        match event.map_err(|error| broken(&error.to_string()))? {
            Event::Start(start) => {
                begin(&start, &mut open, root.is_some())?;
            }
            Event::Empty(start) => {
                begin(&start, &mut open, root.is_some())?;
                end(&mut open, &mut root);
            }
            Event::End(_) => end(&mut open, &mut root),
            Event::Text(piece) => {
                let piece = std::str::from_utf8(&piece).unwrap_or_default();
                add(&mut open, &piece.replace("\r\n", "\n").replace('\r', "\n"))?;
            }
            Event::CData(piece) => {
                let piece = std::str::from_utf8(&piece).unwrap_or_default();
                add(&mut open, &piece.replace("\r\n", "\n").replace('\r', "\n"))?;
            }
            Event::GeneralRef(reference) => {
                let name = std::str::from_utf8(&reference).unwrap_or_default();
                add(&mut open, &entity(name)?)?;
            }
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    match (root, open.last()) {
        (Some(root), None) => Ok(root),
        (_, Some(element)) => Err(broken(&format!("<{}> has no end", element.name))),
        (None, None) => Err(broken("it holds no element")),
    }
}

/// The document as text, by its byte order mark or what it says of itself.
fn text_of(body: &[u8]) -> Result<String, Undecoded> {
    let head = String::from_utf8_lossy(body.get(..body.len().min(200)).unwrap_or_default());
    let declared = head
        .trim_start_matches('\u{feff}')
        .strip_prefix("<?xml")
        .and_then(|head| head.split_once("?>"))
        .and_then(|(declaration, _)| declaration.split_once("encoding"))
        .and_then(|(_, rest)| rest.split(['"', '\'']).nth(1));
    let encoding = match declared {
        None => UTF_8,
        Some(name) => Encoding::for_label(name.as_bytes())
            .ok_or_else(|| broken(&format!("the encoding \"{name}\" is not known")))?,
    };
    let (text, _, wrong) = encoding.decode(body);
    if wrong {
        return Err(broken(&format!("it is no text in {}", encoding.name())));
    }
    Ok(text.into_owned())
}

fn begin(start: &BytesStart<'_>, open: &mut Vec<Element>, has_root: bool) -> Result<(), Undecoded> {
    if open.is_empty() && has_root {
        return Err(broken("something follows its only element"));
    }
    if open.len() >= MOST_LEVELS {
        let message =
            format!("its elements are nested more than {MOST_LEVELS} deep, which is the limit");
        return Err(broken(&message));
    }
    let mut element = Element {
        name: text(start.name().as_ref())?,
        ..Element::default()
    };
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| broken(&error.to_string()))?;
        let name = format!("@{}", text(attribute.key.as_ref())?);
        let value = attribute_value(&text(&attribute.value)?)?;
        element.members.insert(name, Value::String(value));
    }
    open.push(element);
    Ok(())
}

fn end(open: &mut Vec<Element>, root: &mut Option<Value>) {
    let Some(Element {
        name,
        mut members,
        text,
    }) = open.pop()
    else {
        return;
    };
    let text = text.trim();
    let value = match (members.is_empty(), text.is_empty()) {
        (true, true) => Value::Null,
        (true, false) => Value::String(text.to_owned()),
        (false, true) => Value::Object(members),
        (false, false) => {
            members.insert("#text".to_owned(), Value::String(text.to_owned()));
            Value::Object(members)
        }
    };
    if let Some(parent) = open.last_mut() {
        add_child(&mut parent.members, name, value);
    } else {
        let mut members = Map::new();
        members.insert(name, value);
        *root = Some(Value::Object(members));
    }
}

fn add_child(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        None => {
            members.insert(name, value);
        }
        Some(Value::Array(list)) => list.push(value),
        Some(first) => {
            let taken = first.take();
            *first = Value::Array(vec![taken, value]);
        }
    }
}

fn add(open: &mut [Element], piece: &str) -> Result<(), Undecoded> {
    match open.last_mut() {
        Some(element) => {
            element.text.push_str(piece);
            Ok(())
        }
        None if piece.trim_matches(['\u{feff}', ' ', '\t', '\n']).is_empty() => Ok(()),
        None => Err(broken("text stands outside of its only element")),
    }
}

/// What a reference stands for, without its `&` and `;`.
fn entity(name: &str) -> Result<String, Undecoded> {
    if let Some(known) = resolve_xml_entity(name) {
        return Ok(known.to_owned());
    }
    let number = name
        .strip_prefix('#')
        .and_then(|digits| match digits.strip_prefix('x') {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => digits.parse().ok(),
        });
    let character = number
        .and_then(char::from_u32)
        .filter(|found| *found != '\0');
    character
        .map(String::from)
        .ok_or_else(|| broken(&format!("the entity \"&{name};\" is not known")))
}

fn attribute_value(raw: &str) -> Result<String, Undecoded> {
    let spaced = raw.replace("\r\n", " ").replace(['\r', '\n', '\t'], " ");
    let mut value = String::with_capacity(spaced.len());
    let mut rest = spaced.as_str();
    while let Some((before, after)) = rest.split_once('&') {
        let Some((name, after)) = after.split_once(';') else {
            return Err(broken("an \"&\" in it is no reference"));
        };
        value.push_str(before);
        value.push_str(&entity(name)?);
        rest = after;
    }
    value.push_str(rest);
    Ok(value)
}

fn text(bytes: &[u8]) -> Result<String, Undecoded> {
    let text = std::str::from_utf8(bytes).map_err(|_| broken("a name in it is no text"))?;
    Ok(text.to_owned())
}

fn broken(reason: &str) -> Undecoded {
    Undecoded::Broken(format!("the answer is no readable XML: {reason}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Decoder, Undecoded};

    fn decoded(xml: &str) -> Result<Value, Undecoded> {
        Decoder::Xml.decode(xml.as_bytes(), 1_000_000)
    }

    #[test]
    fn elements_become_members_as_in_the_reference() {
        let cases = [
            ("<a/>", json!({"a": null})),
            ("<a>x</a>", json!({"a": "x"})),
            ("<a b=\"1\">x</a>", json!({"a": {"@b": "1", "#text": "x"}})),
            (
                "<a>\n<b>1</b>t1 <b>2</b> t2<c/></a>",
                json!({"a": {"b": ["1", "2"], "c": null, "#text": "t1  t2"}}),
            ),
            (
                "<?xml version=\"1.0\"?><!-- c --><a xmlns=\"u\" xmlns:n=\"v\"><n:b n:x=\"1\"> &lt;&#65; <![CDATA[ <raw> ]]> \
                 </n:b></a>",
                json!({"a": {"@xmlns": "u", "@xmlns:n": "v", "n:b": {"@n:x": "1", "#text": "<A  <raw>"}}}),
            ),
            ("<!DOCTYPE a><a>1</a>\n", json!({"a": "1"})),
            ("<a b=\" 1\n2 &amp; 3\"/>", json!({"a": {"@b": " 1 2 & 3"}})),
            (
                "<a><b> </b><b>x</b><b y=\"1\"/></a>",
                json!({"a": {"b": [null, "x", {"@y": "1"}]}}),
            ),
            ("<a><?pi x?>t</a>", json!({"a": "t"})),
            ("<a>1\r\n2</a>", json!({"a": "1\n2"})),
            (
                "<a><b>1</b><c/><b>2</b></a>",
                json!({"a": {"b": ["1", "2"], "c": null}}),
            ),
            ("<a b=\"\"></a>", json!({"a": {"@b": ""}})),
        ];
        for (xml, expected) in cases {
            assert_eq!(decoded(xml).unwrap(), expected, "{xml}");
        }
        let latin = b"<?xml version='1.0' encoding='iso-8859-1'?><a>\xe4</a>";
        assert_eq!(Decoder::Xml.decode(latin, 100).unwrap(), json!({"a": "ä"}));
    }

    #[test]
    fn what_is_no_document_is_a_failure() {
        let deep = format!("{}{}", "<a>".repeat(600), "</a>".repeat(600));
        let entities = "<!DOCTYPE a [<!ENTITY e \"x\">]><a>&e;</a>";
        for xml in [
            "",
            "<a>",
            "<a></a><b/>",
            "<a></b>",
            "t<a/>",
            "<a>&nope;</a>",
            "<a b=1/>",
            entities,
            &deep,
        ] {
            assert!(matches!(decoded(xml), Err(Undecoded::Broken(_))), "{xml}");
        }
    }
}
