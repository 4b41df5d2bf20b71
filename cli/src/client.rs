//! Requests to the controller.

use std::time::Duration;

use bytes::Bytes;
use muster_api_types::{Page, Problem};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Result, chain};
use crate::trust;

/// Most answers come at once; applying a large configuration may take a while.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// An upload of a bundle: 64 MiB over a line of 1 Mbit/s, and room for one large file.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// A controller, and the right to speak to it.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

/// Names and values behind the `?`; what is absent is not sent.
pub(crate) type Query<'a> = &'a [(&'a str, Option<String>)];

impl Client {
    pub(crate) fn new(base: Url, ca_pem: Option<&str>, token: Option<String>) -> Result<Self> {
        Ok(Self { http: trust::http_client(&base, ca_pem)?, base, token })
    }

    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        let mut segments = url.path_segments_mut().expect("the URL of a controller is http or https");
        segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        drop(segments);
        url
    }

    pub(crate) fn request(&self, method: Method, path: &[&str], query: Query<'_>) -> RequestBuilder {
        let mut request = self.http.request(method, self.url(path));
        let query: Vec<_> = query.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
        if !query.is_empty() {
            request = request.query(&query);
        }
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and turns everything but success into a failure.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Failure::problem(problem),
            Err(_) => Failure::status(status.as_u16(), status.canonical_reason().unwrap_or_default()),
        })
    }

    /// Why there was no answer, and what to do about it.
    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let base = self.base.as_str().trim_end_matches('/');
        if trust::untrusted(error) {
            return Failure::failed(format!("the certificate of {base} is not trusted: {}", reasons(error))).hint(
                "sign in with `muster login URL --ca-file FILE` or `--ca-sha256 FINGERPRINT` of the fleet's root certificate",
            );
        }
        if error.is_timeout() && !error.is_connect() {
            return Failure::failed(format!("the controller at {base} did not answer in time")).transient();
        }
        Failure::failed(format!("cannot reach the controller at {base}: {}", reasons(error)))
            .hint("check that it runs, and that the address is right")
            .transient()
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T> {
        let response = self.send(request.timeout(ANSWER_TIMEOUT)).await?;
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        parse(&body)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str], query: Query<'_>) -> Result<T> {
        self.answer(self.request(Method::GET, path, query)).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T> {
        self.answer(self.request(Method::POST, path, &[]).json(body)).await
    }

    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T> {
        self.answer(self.request(Method::PUT, path, &[]).json(body)).await
    }

    /// Sends a request whose answer says nothing but that it was done.
    pub(crate) async fn done(&self, request: RequestBuilder) -> Result<()> {
        self.send(request.timeout(ANSWER_TIMEOUT)).await.map(drop)
    }

    /// Puts bytes that are not JSON of ours.
    pub(crate) async fn upload<T: DeserializeOwned>(
        &self,
        path: &[&str],
        content_type: &str,
        length_bytes: u64,
        body: impl Into<reqwest::Body>,
    ) -> Result<T> {
        let request = self
            .request(Method::PUT, path, &[])
            .header(reqwest::header::CONTENT_TYPE, content_type)
            .header(reqwest::header::CONTENT_LENGTH, length_bytes)
            .body(body)
            .timeout(UPLOAD_TIMEOUT);
        let response = self.send(request).await?;
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        parse(&body)
    }

    /// Reads every page of a list.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &[&str], query: Query<'_>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let mut query = query.to_vec();
            query.push(("cursor", cursor));
            let page: Page<T> = self.get(path, &query).await?;
            let empty = page.items.is_empty();
            items.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() || empty {
                return Ok(items);
            }
        }
    }
}

/// The reasons below "error sending request for url (…)", which says nothing that we do not say better.
fn reasons(error: &reqwest::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), chain)
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        Failure::of("the answer of the controller cannot be understood", &error)
            .hint("compare the versions with `muster version`")
    })
}
