//! One product: the few numbers that can change, and the JSON that is derived from them.
//!
//! Everything else of a product (title, texts, requirements) follows from the seed and the id at the moment it is
//! asked for. Keeping 16,000 rendered products would cost some 20 MB; rendering a page of 20 costs less than
//! sending it.

use serde::Serialize;

use super::words;
use crate::seeded::Draw;

/// The parts of a product that changes at the source touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) id: u64,
    /// Pieces on sale; 0 is left out of plain reads.
    pub(crate) qty: u32,
    pub(crate) price_cents: u32,
    /// How often it was renamed.
    pub(crate) name_edition: u32,
    /// How often its description was rewritten.
    pub(crate) text_edition: u32,
    /// Seconds since 1970; never served, only filtered by.
    pub(crate) updated_at: i64,
}

/// A field that may be absent, or present without a value.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
enum Maybe<T> {
    Missing,
    Null,
    Is(T),
}

impl<T> Maybe<T> {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// Missing in `missing` of 100 products, null in `null` of 100.
    fn drawn(draw: &mut Draw, missing: u64, null: u64, value: T) -> Self {
        match draw.below(100) {
            roll if roll < missing => Self::Missing,
            roll if roll < missing + null => Self::Null,
            _ => Self::Is(value),
        }
    }
}

/// A product as the API serves it; the order of fields is the vendor's.
#[derive(Serialize)]
struct ProductJson {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    slug: String,
    qty: u32,
    #[serde(rename = "minPrice")]
    min_price: f64,
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    retail_min_price: Maybe<f64>,
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    thumbnail: Maybe<String>,
    #[serde(rename = "smallImage")]
    small_image: String,
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    description: Maybe<String>,
    region: &'static str,
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    developer: Maybe<&'static str>,
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    publisher: Maybe<&'static str>,
    platform: &'static str,
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    restrictions: Maybe<Restrictions>,
    requirements: Requirements,
    videos: Vec<Video>,
    categories: Vec<Category>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the vendor's names")]
struct Restrictions {
    pegi_violence: bool,
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    pegi_profanity: Maybe<bool>,
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    pegi_online: Maybe<bool>,
}

#[derive(Serialize)]
struct Requirements {
    minimal: Machine,
    recommended: Machine,
}

/// System requirements; all missing gives the `{}` that the vendor serves for unknown ones.
#[derive(Serialize)]
struct Machine {
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    reqprocessor: Maybe<&'static str>,
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    reqgraphics: Maybe<&'static str>,
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    reqmemory: Maybe<String>,
    #[serde(skip_serializing_if = "Maybe::is_missing")]
    reqsystem: Maybe<&'static str>,
}

#[derive(Serialize)]
struct Video {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
}

#[derive(Serialize)]
struct Category {
    id: String,
    name: &'static str,
}

impl Product {
    /// Appends the product's JSON, the same bytes wherever it is served.
    pub(crate) fn render(&self, seed: u64, out: &mut Vec<u8>) -> serde_json::Result<()> {
        serde_json::to_writer(out, &self.json(seed))
    }

    fn json(&self, seed: u64) -> ProductJson {
        let mut draw = Draw::keyed(&[seed, self.id]);
        let region = draw.pick(&words::REGIONS);
        let platform = draw.pick(&words::PLATFORMS);
        let mut name = format!("{} {platform} Key {region}", title(&mut draw));
        if self.name_edition > 0 {
            name = format!("{name} [v{}]", self.name_edition + 1);
        }
        let studio = draw.pick(&words::STUDIOS);
        let image = format!("https://images.example.com/g2a/{:016x}", draw.next());
        let price = f64::from(self.price_cents) / 100.0;
        let retail_cents = self.price_cents.saturating_add(draw.below_u32(1_500));
        ProductJson {
            id: self.id.to_string(),
            slug: slug(&name, self.id),
            kind: if draw.percent(92) { "egoods" } else { "egift" },
            qty: self.qty,
            min_price: price,
            retail_min_price: Maybe::drawn(&mut draw, 4, 8, f64::from(retail_cents) / 100.0),
            thumbnail: Maybe::drawn(&mut draw, 2, 5, format!("{image}/thumb.jpg")),
            small_image: if draw.percent(3) {
                String::new()
            } else {
                format!("{image}/small.jpg")
            },
            description: self.description(seed, &mut draw),
            region,
            developer: Maybe::drawn(&mut draw, 5, 10, studio),
            publisher: if draw.percent(8) {
                Maybe::Is("")
            } else {
                let publisher = draw.pick(&words::STUDIOS);
                Maybe::drawn(&mut draw, 5, 10, publisher)
            },
            platform,
            restrictions: restrictions(&mut draw),
            requirements: Requirements {
                minimal: machine(&mut draw, 4),
                recommended: machine(&mut draw, 16),
            },
            videos: videos(&mut draw),
            categories: categories(&mut draw),
            name,
        }
    }

    fn description(&self, seed: u64, draw: &mut Draw) -> Maybe<String> {
        let present = Maybe::drawn(draw, 3, 7, ());
        if self.text_edition == 0 && !matches!(present, Maybe::Is(())) {
            return if present.is_missing() {
                Maybe::Missing
            } else {
                Maybe::Null
            };
        }
        let mut draw = Draw::keyed(&[seed, self.id, u64::from(self.text_edition)]);
        // One in fifty is long, as vendors' texts are.
        let sentences = if draw.percent(2) {
            60
        } else {
            1 + draw.below(5)
        };
        let mut text = String::new();
        for _ in 0..sentences {
            text.push_str(draw.pick(&words::SENTENCES));
        }
        if self.text_edition > 0 {
            text.push_str("<p>Text revision ");
            text.push_str(&self.text_edition.to_string());
            text.push_str("</p>");
        }
        Maybe::Is(text)
    }
}

fn title(draw: &mut Draw) -> String {
    if draw.percent(8) {
        return draw.pick(&words::UNUSUAL).to_owned();
    }
    let first = draw.pick(&words::FIRST);
    let second = draw.pick(&words::SECOND);
    format!("{first} {second}{}", draw.pick(&words::ENDING))
}

fn slug(name: &str, id: u64) -> String {
    let mut slug = String::from("/");
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.ends_with(['-', '/']) {
            slug.push('-');
        }
    }
    if !slug.ends_with(['-', '/']) {
        slug.push('-');
    }
    format!("{slug}i{id}")
}

fn restrictions(draw: &mut Draw) -> Maybe<Restrictions> {
    let (violence, profanity, online) = (draw.percent(40), draw.percent(20), draw.percent(30));
    let restrictions = Restrictions {
        pegi_violence: violence,
        pegi_profanity: Maybe::drawn(draw, 50, 0, profanity),
        pegi_online: Maybe::drawn(draw, 50, 10, online),
    };
    Maybe::drawn(draw, 3, 3, restrictions)
}

fn machine(draw: &mut Draw, gigabytes: u64) -> Machine {
    if draw.percent(25) {
        return Machine {
            reqprocessor: Maybe::Missing,
            reqgraphics: Maybe::Missing,
            reqmemory: Maybe::Missing,
            reqsystem: Maybe::Missing,
        };
    }
    let processor = draw.pick(&words::PROCESSORS);
    let graphics = draw.pick(&words::GRAPHICS);
    let memory = format!("{} GB RAM", gigabytes + draw.below(5));
    let system = draw.pick(&words::SYSTEMS);
    Machine {
        reqprocessor: Maybe::drawn(draw, 5, 5, processor),
        reqgraphics: Maybe::drawn(draw, 5, 5, graphics),
        reqmemory: Maybe::drawn(draw, 5, 5, memory),
        reqsystem: Maybe::drawn(draw, 5, 5, system),
    }
}

fn videos(draw: &mut Draw) -> Vec<Video> {
    let count = draw.below(3);
    (0..count)
        .map(|_| Video {
            kind: "YOUTUBE",
            url: format!(
                "https://video.example.com/watch?v={:011x}",
                draw.next() >> 20
            ),
        })
        .collect()
}

fn categories(draw: &mut Draw) -> Vec<Category> {
    let count = draw.index(4);
    let chosen = draw.sample(words::GENRES.len(), count);
    let known = chosen
        .into_iter()
        .filter_map(|index| words::GENRES.get(index));
    known
        .map(|(id, name)| Category {
            id: id.to_string(),
            name,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn product(id: u64, price_cents: u32) -> Product {
        Product {
            id,
            qty: 5,
            price_cents,
            name_edition: 0,
            text_edition: 0,
            updated_at: 0,
        }
    }

    fn text(product: &Product) -> String {
        let mut out = Vec::new();
        product.render(1, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn prices_are_json_numbers_with_one_or_two_decimals() {
        for (cents, shown) in [
            (2_525, "25.25"),
            (2_790, "27.9"),
            (2_500, "25.0"),
            (1, "0.01"),
        ] {
            let json = text(&product(10_000_068_865_001, cents));
            assert!(json.contains(&format!("\"minPrice\":{shown},")), "{json}");
        }
        for cents in 1..20_000 {
            let shown = serde_json::to_string(&(f64::from(cents) / 100.0)).unwrap();
            let decimals = shown.split_once('.').unwrap().1.len();
            assert!((1..=2).contains(&decimals), "{shown}");
        }
    }

    #[test]
    fn products_vary_as_the_vendors_do() {
        let mut present: BTreeSet<String> = BTreeSet::new();
        let mut absent: BTreeSet<String> = BTreeSet::new();
        let mut null: BTreeSet<String> = BTreeSet::new();
        let fields = [
            "id",
            "name",
            "type",
            "slug",
            "qty",
            "minPrice",
            "retail_min_price",
            "thumbnail",
            "smallImage",
            "description",
            "region",
            "developer",
            "publisher",
            "platform",
            "restrictions",
            "requirements",
            "videos",
            "categories",
        ];
        let mut not_ascii = 0;
        for id in 0..500 {
            let json = text(&product(10_000_000_000_000 + id, 999));
            not_ascii += usize::from(!json.is_ascii());
            let parsed: Value = serde_json::from_str(&json).unwrap();
            for field in fields {
                match parsed.get(field) {
                    None => absent.insert(field.to_owned()),
                    Some(Value::Null) => null.insert(field.to_owned()),
                    Some(_) => present.insert(field.to_owned()),
                };
            }
        }
        assert_eq!(present.len(), fields.len());
        for field in [
            "retail_min_price",
            "description",
            "developer",
            "publisher",
            "restrictions",
        ] {
            assert!(
                absent.contains(field) && null.contains(field),
                "{field} never varies"
            );
        }
        assert!(not_ascii > 50, "{not_ascii}");
    }
}
