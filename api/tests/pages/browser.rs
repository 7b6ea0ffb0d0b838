//! A browser without a window: keeps cookies, follows nothing by itself.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use url::form_urlencoded;

use crate::support::{Answer, App, PASSWORD};

pub(crate) struct Browser<'a> {
    app: &'a App,
    cookies: BTreeMap<String, String>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(app: &'a App) -> Self {
        Self {
            app,
            cookies: BTreeMap::new(),
        }
    }

    /// Signed in through the form.
    pub(crate) async fn signed_in(app: &'a App, name: &str) -> Self {
        let mut browser = Self::new(app);
        let answer = browser.sign_in(name, PASSWORD, "/").await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        browser
    }

    /// Fills in the sign-in form and sends it.
    pub(crate) async fn sign_in(&mut self, name: &str, password: &str, next: &str) -> Answer {
        let form = self.get("/sign-in").await;
        let token = form_token(&form.text);
        let fields = [
            ("form_token", token.as_str()),
            ("name", name),
            ("password", password),
            ("next", next),
        ];
        self.post("/sign-in", &fields).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.send("POST", path, Some(body)).await
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    async fn send(&mut self, method: &str, path: &str, form: Option<String>) -> Answer {
        let held: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("cookie", held.join("; "))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.map_or_else(Body::empty, Body::from));
        let answer = self.app.send(request.unwrap()).await;
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            assert!(
                line.contains("HttpOnly") && line.contains("SameSite=Strict"),
                "{line}"
            );
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

/// The token of the first form of a page.
#[track_caller]
pub(crate) fn form_token(page: &str) -> String {
    let (_, after) = page
        .split_once("name=\"form_token\" value=\"")
        .unwrap_or_else(|| panic!("no form: {page}"));
    after.split('"').next().unwrap().to_owned()
}
