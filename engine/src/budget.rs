//! The manifest's `api_budget` as data for the host: windows, and which requests they concern.
//!
//! The engine never counts calls. As in the language's reference, the first policy with a matching
//! matcher governs a request; a policy without matchers governs every request.

use std::time::Duration;

/// One policy of the manifest's `api_budget`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetPolicy {
    /// `x_name`, otherwise `policy-<index>`. Unique within the connector.
    pub name: String,
    /// How its windows move.
    pub kind: WindowKind,
    /// All of them must hold.
    pub windows: Vec<BudgetWindow>,
    /// The template of the account part of its key (`x_scope`), as written in the manifest.
    pub scope: Option<String>,
    /// The requests that it concerns; empty means all.
    pub matchers: Vec<RequestMatcher>,
    /// Header (lower case) with the moment of the next reset as seconds since 1970.
    pub reset_header: Option<String>,
    /// Header (lower case) with the number of calls left.
    pub remaining_header: Option<String>,
    /// Statuses that say that the limit is reached; 429 unless the manifest says otherwise.
    pub limit_statuses: Vec<u16>,
}

/// At most `limit` calls within `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetWindow {
    /// The number of calls; at least 1.
    pub limit: u64,
    /// The length of the window.
    pub per: Duration,
}

/// How the windows of a policy move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// `MovingWindowCallRatePolicy`: any window of that length, wherever it begins.
    Moving,
    /// `FixedWindowCallRatePolicy`: the platform resets a counter; its headers say when.
    Fixed,
}

/// Which requests a policy concerns. What is not given matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestMatcher {
    /// HTTP method, upper case.
    pub method: Option<String>,
    /// Scheme and host, such as `https://api.example.com`. Compared with the manifest's own
    /// address, also when a connection overrides it.
    pub url_base: Option<String>,
    /// A regular expression that the path must begin with.
    pub url_path_pattern: Option<String>,
    /// Query parameters that must be present with these values.
    pub params: Vec<(String, String)>,
    /// Headers that must be present with these values; names in lower case.
    pub headers: Vec<(String, String)>,
    /// How many calls a request counts for.
    pub weight: u32,
}

/// The request as matchers see it.
pub(crate) struct MatchedRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) origin: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(String, String)],
    pub(crate) headers: &'a [(String, String)],
}

/// A policy with its patterns compiled.
pub(crate) struct CompiledPolicy {
    pub(crate) name: String,
    pub(crate) matchers: Vec<CompiledMatcher>,
}

pub(crate) struct CompiledMatcher {
    pub(crate) matcher: RequestMatcher,
    pub(crate) path: Option<regex::Regex>,
}

/// The policy that governs a request, with the request's weight: the first that matches.
pub(crate) fn governing<'p>(
    policies: &'p [CompiledPolicy],
    request: &MatchedRequest<'_>,
) -> Option<(usize, &'p CompiledPolicy, u32)> {
    for (index, policy) in policies.iter().enumerate() {
        if policy.matchers.is_empty() {
            return Some((index, policy, 1));
        }
        if let Some(found) = policy
            .matchers
            .iter()
            .find(|matcher| matcher.matches(request))
        {
            return Some((index, policy, found.matcher.weight));
        }
    }
    None
}

impl CompiledMatcher {
    fn matches(&self, request: &MatchedRequest<'_>) -> bool {
        let matcher = &self.matcher;
        let method = matcher
            .method
            .as_ref()
            .is_none_or(|method| method == request.method);
        let origin = matcher.url_base.as_ref().is_none_or(|base| {
            base.trim_end_matches('/')
                .eq_ignore_ascii_case(request.origin)
        });
        let at_start = |pattern: &regex::Regex| {
            pattern
                .find(request.path)
                .is_some_and(|found| found.start() == 0)
        };
        let path = self.path.as_ref().is_none_or(at_start);
        let params = matcher
            .params
            .iter()
            .all(|wanted| request.query.contains(wanted));
        let headers = matcher
            .headers
            .iter()
            .all(|wanted| request.headers.contains(wanted));
        method && origin && path && params && headers
    }
}
