//! What pages are dressed with: a style sheet, a script and an icon, part of the binary.
//!
//! Pages name them with a hash of their content, so that a browser may keep them for a year and still never mixes two
//! releases. Asked without the hash, they are checked by `ETag` each time.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use crate::error::{ApiError, ApiResult};

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
    hash: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    [
        (
            "app.css",
            "text/css; charset=utf-8",
            include_str!("../../assets/app.css"),
        ),
        (
            "app.js",
            "text/javascript; charset=utf-8",
            include_str!("../../assets/app.js"),
        ),
        (
            "icon.svg",
            "image/svg+xml",
            include_str!("../../assets/icon.svg"),
        ),
    ]
    .map(|(name, content_type, content)| Asset {
        name,
        content_type,
        content,
        hash: fingerprint(content),
    })
    .into()
});

fn fingerprint(content: &str) -> String {
    let digest = Sha256::digest(content);
    let head = digest.iter().take(8);
    head.map(|byte| format!("{byte:02x}")).collect()
}

/// The address of an asset, with the hash of its content.
pub(super) fn address(name: &str) -> String {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let hash = found.map_or("", |asset| asset.hash.as_str());
    format!("/assets/{name}?v={hash}")
}

/// Answers an asset.
pub(super) async fn show(
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| {
        ApiError::NotFound("there is nothing at this address; see /docs".to_owned())
    })?;
    let etag = format!("\"{}\"", asset.hash);
    let named_by_hash = uri.query() == Some(format!("v={}", asset.hash).as_str());
    let keep = if named_by_hash {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == etag));
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.content_type)], asset.content).into_response()
    };
    let kept = response.headers_mut();
    kept.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        kept.insert(header::ETAG, etag);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_stays_small() {
        let script = ASSETS.iter().find(|asset| asset.name == "app.js").unwrap();
        assert!(
            script.content.len() < 4096,
            "{} bytes",
            script.content.len()
        );
    }
}
