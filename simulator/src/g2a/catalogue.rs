//! The products on sale, in id order: what plain reads see, and how the source changes.
//!
//! A catalogue is never altered: a change makes a new one, so that a page or the truth that is being sent keeps
//! one consistent state. Ids are 14 digits with gaps, so that new products appear in the middle as well and later
//! pages shift, as they do at the vendor. A removed id never comes back.

use std::collections::HashSet;

use super::product::Product;
use super::query::Filter;
use crate::seeded::Draw;

const FIRST_ID: u64 = 10_000_001_000_001;
const ID_STEP: u64 = 1_000;
/// Id slots a product of the first catalogue, of which it takes one.
const SLOTS: u64 = 4;
/// 2026-01-01 00:00:00 UTC: the first catalogue was last touched in the 400 days before.
const GENERATED_AT: i64 = 1_767_225_600;
/// Products a catalogue may hold, hidden ones included.
pub(crate) const MOST_PRODUCTS: usize = 1_000_000;

/// All products of one moment.
#[derive(Clone, Debug)]
pub(crate) struct Catalogue {
    pub(crate) seed: u64,
    products: Vec<Product>,
    /// Indexes of the products that are in stock.
    visible: Vec<usize>,
    retired: HashSet<u64>,
}

/// What to change at the source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub(crate) update: usize,
    pub(crate) insert: usize,
    pub(crate) remove: usize,
    pub(crate) seed: u64,
    /// Seconds since 1970, the update time of everything touched.
    pub(crate) at: i64,
}

/// The ids that a change touched, each list ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) inserted: Vec<u64>,
    pub(crate) updated: Vec<u64>,
    pub(crate) removed: Vec<u64>,
}

/// The rows of one page, and how many rows there are in all.
pub(crate) struct Selection<'a> {
    pub(crate) total: usize,
    pub(crate) rows: Vec<&'a Product>,
}

impl Catalogue {
    /// The first catalogue of a seed: so many products in stock, and so many that plain reads leave out.
    pub(crate) fn generate(seed: u64, in_stock: usize, out_of_stock: usize) -> Self {
        let count = in_stock + out_of_stock;
        let sold_out = Draw::keyed(&[seed, 1]).sample(count, out_of_stock);
        let sold_out: HashSet<usize> = sold_out.into_iter().collect();
        let mut products = Vec::with_capacity(count);
        for index in 0..count {
            let mut draw = Draw::keyed(&[seed, 2, index as u64]);
            let slot = index as u64 * SLOTS + draw.below(SLOTS);
            let age_s = draw.below_u32(400 * 86_400);
            let mut product = new_product(FIRST_ID + slot * ID_STEP, &mut draw, GENERATED_AT);
            product.updated_at -= i64::from(age_s);
            if sold_out.contains(&index) {
                product.qty = 0;
            }
            products.push(product);
        }
        Self::of(seed, products, HashSet::new())
    }

    fn of(seed: u64, products: Vec<Product>, retired: HashSet<u64>) -> Self {
        let in_stock = products
            .iter()
            .enumerate()
            .filter(|(_, product)| product.qty > 0);
        let visible = in_stock.map(|(index, _)| index).collect();
        Self {
            seed,
            products,
            visible,
            retired,
        }
    }

    /// Products in stock.
    pub(crate) fn visible_count(&self) -> usize {
        self.visible.len()
    }

    /// All products, hidden ones included.
    pub(crate) fn count(&self) -> usize {
        self.products.len()
    }

    /// The products in stock, in id order, from this position on.
    pub(crate) fn visible_from(&self, position: usize) -> impl Iterator<Item = &Product> {
        let visible = self.visible.get(position..).unwrap_or_default();
        visible.iter().filter_map(|index| self.products.get(*index))
    }

    /// Rows `start..start + count` of what the filter lets through.
    pub(crate) fn select(&self, filter: &Filter, start: usize, count: usize) -> Selection<'_> {
        if filter.is_plain() {
            let rows = self.visible_from(start).take(count).collect();
            return Selection {
                total: self.visible.len(),
                rows,
            };
        }
        let mut selection = Selection {
            total: 0,
            rows: Vec::new(),
        };
        for product in self
            .products
            .iter()
            .filter(|product| filter.admits(product))
        {
            if selection.total >= start && selection.rows.len() < count {
                selection.rows.push(product);
            }
            selection.total += 1;
        }
        selection
    }

    /// The catalogue after a change, and what it touched. Updates and removals strike different products in stock;
    /// the caller has checked that there are enough.
    pub(crate) fn changed(&self, change: &Change) -> (Self, Changed) {
        let mut draw = Draw::keyed(&[self.seed, 3, change.seed]);
        let struck = draw.sample(self.visible.len(), change.update + change.remove);
        let struck = struck
            .iter()
            .filter_map(|position| self.visible.get(*position).copied());
        let mut changed = Changed::default();
        let mut products = self.products.clone();
        let mut retired = self.retired.clone();
        for (turn, index) in struck.enumerate() {
            let Some(product) = products.get_mut(index) else {
                continue;
            };
            if turn < change.update {
                update(product, &mut draw, change.at);
                changed.updated.push(product.id);
            } else {
                retired.insert(product.id);
                changed.removed.push(product.id);
            }
        }
        let removed: HashSet<u64> = changed.removed.iter().copied().collect();
        let mut taken: HashSet<u64> = products.iter().map(|product| product.id).collect();
        taken.extend(&retired);
        products.retain(|product| !removed.contains(&product.id));
        // Twice as many slots as the first catalogue of this size would have: about half of the new ids lie between
        // the old ones, and a free one is found after few tries.
        let slots = 2 * SLOTS * (taken.len() + change.insert) as u64;
        while changed.inserted.len() < change.insert {
            let id = FIRST_ID + draw.below(slots) * ID_STEP;
            if taken.insert(id) {
                products.push(new_product(id, &mut draw, change.at));
                changed.inserted.push(id);
            }
        }
        products.sort_unstable_by_key(|product| product.id);
        changed.inserted.sort_unstable();
        changed.updated.sort_unstable();
        changed.removed.sort_unstable();
        (Self::of(self.seed, products, retired), changed)
    }
}

fn new_product(id: u64, draw: &mut Draw, at: i64) -> Product {
    // Most games are cheap, some are not.
    let dearest = if draw.percent(80) { 2_000 } else { 12_000 };
    Product {
        id,
        qty: 1 + draw.below_u32(900),
        price_cents: 19 + draw.below_u32(dearest),
        name_edition: 0,
        text_edition: 0,
        updated_at: at,
    }
}

/// Changes at least one field that is always served, to another value.
fn update(product: &mut Product, draw: &mut Draw, at: i64) {
    match draw.below(4) {
        0 => product.price_cents = moved(product.price_cents, draw),
        1 => product.qty = moved(product.qty, draw),
        2 => {
            product.price_cents = moved(product.price_cents, draw);
            product.qty = moved(product.qty, draw);
        }
        _ => product.name_edition += 1,
    }
    if draw.percent(20) {
        product.text_edition += 1;
    }
    product.updated_at = at;
}

/// Another positive number, within a quarter of the old one where that is possible.
fn moved(old: u32, draw: &mut Draw) -> u32 {
    let by = 1 + draw.below_u32(old / 4);
    let down = old > by && (draw.percent(50) || old > 1_000_000_000);
    if down { old - by } else { old + by }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sha2::{Digest, Sha256};

    use super::*;

    fn truth(catalogue: &Catalogue) -> BTreeMap<u64, Vec<u8>> {
        let mut rows = BTreeMap::new();
        for product in catalogue.visible_from(0) {
            let mut json = Vec::new();
            product.render(catalogue.seed, &mut json).unwrap();
            rows.insert(product.id, json);
        }
        rows
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_does_not() {
        let first = truth(&Catalogue::generate(7, 300, 20));
        assert_eq!(first.len(), 300);
        assert_eq!(first, truth(&Catalogue::generate(7, 300, 20)));
        assert_ne!(first, truth(&Catalogue::generate(8, 300, 20)));
    }

    #[test]
    fn a_seeds_bytes_stay_what_they_are_from_build_to_build() {
        let rows: Vec<u8> = truth(&Catalogue::generate(7, 300, 20))
            .into_values()
            .flatten()
            .collect();
        let digest: Vec<u8> = Sha256::digest(&rows).iter().take(8).copied().collect();
        // Changes only with the words or the shape of products, and then on purpose.
        assert_eq!(digest, [37, 56, 197, 149, 28, 224, 54, 249]);
    }

    #[test]
    fn the_report_of_a_change_is_exactly_the_difference_of_the_truths() {
        let mut catalogue = Catalogue::generate(7, 400, 30);
        for seed in 0..30 {
            let change = Change {
                update: 60,
                insert: 15,
                remove: 12,
                seed,
                at: GENERATED_AT + 9,
            };
            let before = truth(&catalogue);
            let (next, changed) = catalogue.changed(&change);
            assert_eq!(
                catalogue.changed(&change).1,
                changed,
                "a change is deterministic"
            );
            let after = truth(&next);
            let new: Vec<u64> = after
                .keys()
                .filter(|id| !before.contains_key(id))
                .copied()
                .collect();
            let gone: Vec<u64> = before
                .keys()
                .filter(|id| !after.contains_key(id))
                .copied()
                .collect();
            let differs = |id: &&u64| after.get(*id).is_some_and(|row| row != &before[*id]);
            let different: Vec<u64> = before.keys().filter(differs).copied().collect();
            assert_eq!((new.len(), gone.len(), different.len()), (15, 12, 60));
            assert_eq!(
                changed,
                Changed {
                    inserted: new,
                    updated: different,
                    removed: gone
                }
            );
            catalogue = next;
        }
        assert_eq!(catalogue.visible_count(), 400 + 30 * 3);
    }

    #[test]
    fn removed_ids_never_come_back_and_new_ones_also_fall_between_the_old() {
        let mut catalogue = Catalogue::generate(7, 50, 0);
        let last = catalogue.visible_from(49).next().unwrap().id;
        let mut gone = HashSet::new();
        let mut between = 0;
        for seed in 0..40 {
            let change = Change {
                update: 0,
                insert: 10,
                remove: 10,
                seed,
                at: GENERATED_AT,
            };
            let (next, changed) = catalogue.changed(&change);
            assert!(changed.inserted.iter().all(|id| !gone.contains(id)));
            between += changed.inserted.iter().filter(|id| **id < last).count();
            gone.extend(changed.removed);
            catalogue = next;
        }
        assert!(between > 10, "{between}");
        assert_eq!(gone.len(), 400);
    }

    #[test]
    fn a_moved_number_is_positive_and_another_one() {
        let mut draw = Draw::keyed(&[1]);
        for old in [1, 2, 3, 10, 999, 1_000_000_001, u32::MAX] {
            for _ in 0..50 {
                let new = moved(old, &mut draw);
                assert!(new != old && new > 0, "{old} -> {new}");
            }
        }
    }

    #[test]
    fn filtered_pages_hold_what_the_filter_admits_in_id_order() {
        let catalogue = Catalogue::generate(7, 100, 10);
        let filter = Filter {
            include_out_of_stock: true,
            ..Filter::default()
        };
        let all = catalogue.select(&filter, 0, 1_000);
        assert_eq!((all.total, all.rows.len()), (110, 110));
        assert!(all.rows.is_sorted_by_key(|product| product.id));
        let last_page = catalogue.select(&filter, 100, 20);
        assert_eq!((last_page.total, last_page.rows.len()), (110, 10));
        assert_eq!(last_page.rows[0].id, all.rows[100].id);
    }
}
