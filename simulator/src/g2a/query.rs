//! The query of a product list: page and filters, refused as the vendor refuses them.
//!
//! Parameters the vendor does not know are ignored, as on any PHP site. Two things no vendor text tells: bad values
//! of filters are answered with BR01 here, and dates are read as UTC.

use chrono::NaiveDateTime;

use super::errors::ApiError;
use super::product::Product;

/// Which products a read wants.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    pub(crate) id: Option<u64>,
    pub(crate) min_qty: Option<u32>,
    pub(crate) price_from: Option<f64>,
    pub(crate) price_to: Option<f64>,
    pub(crate) include_out_of_stock: bool,
    pub(crate) updated_from: Option<i64>,
    pub(crate) updated_to: Option<i64>,
}

/// A parsed query.
#[derive(Debug, PartialEq)]
pub(crate) struct ListQuery {
    pub(crate) page: u64,
    pub(crate) filter: Filter,
}

impl Filter {
    /// True for a read without any filter.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn admits(&self, product: &Product) -> bool {
        let price = f64::from(product.price_cents) / 100.0;
        (product.qty > 0 || self.include_out_of_stock)
            && self.id.is_none_or(|id| product.id == id)
            && self.min_qty.is_none_or(|least| product.qty >= least)
            && self.price_from.is_none_or(|from| price >= from)
            && self.price_to.is_none_or(|to| price <= to)
            && self
                .updated_from
                .is_none_or(|from| product.updated_at >= from)
            && self.updated_to.is_none_or(|to| product.updated_at <= to)
    }
}

/// The page that a query asks for, however bad the rest of it is.
pub(crate) fn page_asked(query: &str) -> Option<u64> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let asked = pairs.filter(|(name, _)| name == "page").last();
    asked.map_or(Some(1), |(_, value)| value.parse().ok())
}

/// Reads the query; where a parameter is repeated, the last one counts.
pub(crate) fn parse(query: &str) -> Result<ListQuery, ApiError> {
    let mut page = 1;
    let mut filter = Filter::default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "page" => {
                let positive = value.parse().ok().filter(|page| *page > 0);
                page = positive.ok_or_else(|| bad(&name, "a whole number from 1"))?;
            }
            "id" => filter.id = Some(product_id(&value)?),
            "minQty" => {
                let quantity = value.parse().map_err(|_| bad(&name, "a whole number"))?;
                filter.min_qty = Some(quantity);
            }
            "minPriceFrom" => filter.price_from = Some(price(&name, &value)?),
            "minPriceTo" => filter.price_to = Some(price(&name, &value)?),
            "includeOutOfStock" => filter.include_out_of_stock = flag(&name, &value)?,
            "updatedAtFrom" => filter.updated_from = Some(time(&name, &value)?),
            "updatedAtTo" => filter.updated_to = Some(time(&name, &value)?),
            _ => {}
        }
    }
    Ok(ListQuery { page, filter })
}

fn bad(name: &str, allowed: &str) -> ApiError {
    ApiError::BadRequest(format!("Parameter {name} must be {allowed}"))
}

fn product_id(value: &str) -> Result<u64, ApiError> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    value
        .parse()
        .ok()
        .filter(|_| digits)
        .ok_or(ApiError::BadProductId)
}

fn price(name: &str, value: &str) -> Result<f64, ApiError> {
    let price = value
        .parse()
        .ok()
        .filter(|price: &f64| price.is_finite() && *price >= 0.0);
    price.ok_or_else(|| bad(name, "a price such as 9.99"))
}

fn flag(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err(bad(name, "true or false")),
    }
}

fn time(name: &str, value: &str) -> Result<i64, ApiError> {
    let parsed = NaiveDateTime::parse_from_str(value, "%Y-%m-%d %H:%M:%S");
    let time = parsed.map_err(|_| bad(name, "a time such as 2026-01-31 14:05:00"))?;
    Ok(time.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parameters_are_read_and_unknown_ones_ignored() {
        let query = "page=3&id=10000001000001&minQty=2&minPriceFrom=1.5&minPriceTo=20&includeOutOfStock=true\
                     &updatedAtFrom=2026-01-01%2000:00:00&updatedAtTo=2026-01-02+00:00:00&perPage=100";
        let filter = Filter {
            id: Some(10_000_001_000_001),
            min_qty: Some(2),
            price_from: Some(1.5),
            price_to: Some(20.0),
            include_out_of_stock: true,
            updated_from: Some(1_767_225_600),
            updated_to: Some(1_767_312_000),
        };
        assert_eq!(parse(query).unwrap(), ListQuery { page: 3, filter });
        assert!(parse("perPage=100").unwrap().filter.is_plain());
        assert_eq!(parse("").unwrap().page, 1);
    }

    #[test]
    fn bad_values_are_bad_requests_and_a_bad_id_has_its_own_code() {
        for query in [
            "page=0",
            "page=-1",
            "page=x",
            "page=",
            "minQty=1.5",
            "minPriceFrom=NaN",
            "minPriceTo=-1",
            "includeOutOfStock=maybe",
            "updatedAtFrom=2026-01-01",
            "updatedAtTo=2026-13-01 00:00:00",
        ] {
            assert!(
                matches!(parse(query), Err(ApiError::BadRequest(_))),
                "{query}"
            );
        }
        for query in ["id=", "id=abc", "id=+5", "id=99999999999999999999999"] {
            assert_eq!(parse(query), Err(ApiError::BadProductId), "{query}");
        }
    }

    #[test]
    fn filters_admit_by_stock_price_and_time() {
        let product = Product {
            id: 5,
            qty: 0,
            price_cents: 999,
            name_edition: 0,
            text_edition: 0,
            updated_at: 1_767_225_600,
        };
        let admits = |query: &str| parse(query).unwrap().filter.admits(&product);
        assert!(!admits("") && admits("includeOutOfStock=1"));
        assert!(admits(
            "includeOutOfStock=1&minPriceFrom=9.99&minPriceTo=9.99"
        ));
        assert!(!admits("includeOutOfStock=1&minPriceTo=9.98"));
        assert!(!admits("includeOutOfStock=1&minQty=1"));
        assert!(admits(
            "includeOutOfStock=1&updatedAtFrom=2026-01-01 00:00:00"
        ));
        assert!(!admits(
            "includeOutOfStock=1&updatedAtFrom=2026-01-01 00:00:01"
        ));
        assert!(!admits("includeOutOfStock=1&id=6"));
    }
}
