//! The manifest's `api_budget` as data for the host: windows, and which requests they concern.
//!
//! The engine never counts calls. As in the language's reference, the first policy with a matching
//! matcher governs a request; a policy without matchers governs every request. Additional policies
//! (`x_additional`) never govern: each that matches concerns the request besides.

use std::time::Duration;

use crate::signals::Signals;

/// One policy of the manifest's `api_budget`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetPolicy {
    /// `x_name`, otherwise `policy-<index>`. Unique within the connector.
    pub name: String,
    /// All of them must hold.
    pub windows: Vec<BudgetWindow>,
    /// `x_additional`: it concerns requests besides the policy that governs them.
    pub is_additional: bool,
    /// `x_manual_reserve`: so many percent of each window are kept for runs that a person started; 0 to 90, 0 if not given.
    pub manual_reserve: u8,
    /// The template of the account part of its key (`x_scope`), as written in the manifest.
    pub scope: Option<String>,
    /// The requests that it concerns; empty means all.
    pub matchers: Vec<RequestMatcher>,
    /// Header (lower case) with the moment of the next reset, in seconds since 1970 or from now.
    pub reset_header: Option<String>,
    /// Header (lower case) with the number of calls left.
    pub remaining_header: Option<String>,
    /// Statuses that say that the limit is reached; 429 unless the manifest says otherwise.
    pub limit_statuses: Vec<u16>,
}

/// At most `limit` points within a window of this kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetWindow {
    /// Points: calls of weight 1. At least 1.
    pub limit: u64,
    /// How the window moves.
    pub kind: WindowKind,
}

/// How a window moves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// `MovingWindowCallRatePolicy` and `x_bucket`: any window of that length, wherever it begins.
    Rolling(Duration),
    /// `FixedWindowCallRatePolicy`: the platform resets a counter; its headers say when.
    Fixed(Duration),
    /// `x_calendar`: the platform resets a counter at midnight of this zone (IANA name).
    Day(String),
    /// `x_calendar`: the platform resets a counter at the beginning of a month in this zone (IANA name).
    Month(String),
    /// `x_concurrent`: requests that wait for their answers.
    Concurrent,
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
    pub(crate) is_additional: bool,
    pub(crate) matchers: Vec<CompiledMatcher>,
    pub(crate) limit_statuses: Vec<u16>,
    pub(crate) signals: Signals,
}

pub(crate) struct CompiledMatcher {
    pub(crate) matcher: RequestMatcher,
    pub(crate) path: Option<regex::Regex>,
}

/// That a policy concerns a request.
#[derive(Clone, Copy)]
pub(crate) struct Concern<'p> {
    /// The policy's place among all of the manifest.
    pub(crate) index: usize,
    pub(crate) policy: &'p CompiledPolicy,
    /// The points that the request counts for.
    pub(crate) weight: u32,
}

/// The policies that concern a request: the first that matches and is not additional, then every
/// additional one that matches.
pub(crate) fn concerning<'p>(
    policies: &'p [CompiledPolicy],
    request: &MatchedRequest<'_>,
) -> Vec<Concern<'p>> {
    let matching = |additional: bool| {
        policies
            .iter()
            .enumerate()
            .filter(move |(_, policy)| policy.is_additional == additional)
            .filter_map(|(index, policy)| {
                policy.weight_of(request).map(|weight| Concern {
                    index,
                    policy,
                    weight,
                })
            })
    };
    matching(false).take(1).chain(matching(true)).collect()
}

impl CompiledPolicy {
    /// The points that a request counts for, if the policy concerns it.
    fn weight_of(&self, request: &MatchedRequest<'_>) -> Option<u32> {
        if self.matchers.is_empty() {
            return Some(1);
        }
        let found = self
            .matchers
            .iter()
            .find(|matcher| matcher.matches(request))?;
        Some(found.matcher.weight)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(
        name: &str,
        is_additional: bool,
        method: Option<&str>,
        weight: u32,
    ) -> CompiledPolicy {
        let matcher = method.map(|method| CompiledMatcher {
            matcher: RequestMatcher {
                method: Some(method.to_owned()),
                weight,
                ..RequestMatcher::default()
            },
            path: None,
        });
        CompiledPolicy {
            name: name.to_owned(),
            is_additional,
            matchers: matcher.into_iter().collect(),
            limit_statuses: vec![429],
            signals: Signals::Rules(Vec::new()),
        }
    }

    #[test]
    fn one_policy_governs_and_every_matching_additional_one_concerns() {
        let policies = [
            policy("app", true, None, 1),
            policy("reads", false, Some("GET"), 2),
            policy("all", false, None, 1),
            policy("writes", true, Some("POST"), 5),
        ];
        let concerns = |method: &str| -> Vec<(usize, String, u32)> {
            let request = MatchedRequest {
                method,
                origin: "https://h",
                path: "/",
                query: &[],
                headers: &[],
            };
            concerning(&policies, &request)
                .into_iter()
                .map(|concern| (concern.index, concern.policy.name.clone(), concern.weight))
                .collect()
        };
        let expected = |list: &[(usize, &str, u32)]| -> Vec<(usize, String, u32)> {
            list.iter()
                .map(|(index, name, weight)| (*index, (*name).to_owned(), *weight))
                .collect()
        };
        assert_eq!(concerns("GET"), expected(&[(1, "reads", 2), (0, "app", 1)]));
        assert_eq!(
            concerns("POST"),
            expected(&[(2, "all", 1), (0, "app", 1), (3, "writes", 5)])
        );
    }
}
