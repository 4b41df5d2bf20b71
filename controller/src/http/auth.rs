//! Who asks: an API token in `Authorization`, or the session cookie of a browser.

use crate::http::{Encrypted, Http, error::ApiError};
use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
};
use muster_app::{Actor, SignedIn};
use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

/// The cookie of a session.
pub(crate) const SESSION_COOKIE: &str = "muster_session";
/// A foreign page cannot send this header, so its presence shows that the dashboard asks.
pub(crate) const CSRF_HEADER: &str = "x-muster-csrf";

/// The caller. A handler that takes it cannot be reached without signing in.
pub(crate) struct Caller(pub(crate) SignedIn);

impl Caller {
    /// Who, for use cases.
    pub(crate) fn actor(&self) -> &Actor {
        &self.0.actor
    }
}

impl FromRequestParts<Http> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, http: &Http) -> Result<Self, ApiError> {
        let address = Client::of(parts).address;
        let signed_in = if let Some(header) = parts.headers.get(header::AUTHORIZATION) {
            let token = header.to_str().ok().and_then(bearer).ok_or_else(|| {
                ApiError::new(
                    StatusCode::UNAUTHORIZED,
                    "authorization_invalid",
                    "the Authorization header is not understood",
                )
                .with_hint("send `Authorization: Bearer muster_api_...`")
            })?;
            http.app().token_authenticate(token, address).await?
        } else if let Some(value) = cookie(&parts.headers) {
            csrf_require(&parts.method, &parts.headers)?;
            http.app().session_authenticate(value, address).await?
        } else {
            return Err(ApiError::new(StatusCode::UNAUTHORIZED, "not_signed_in", "this needs a sign-in")
                .with_hint("send an API token (`Authorization: Bearer ...`), or sign in with `muster login` or on the dashboard"));
        };
        tracing::Span::current().record("user", signed_in.actor.name.as_str());
        Ok(Self(signed_in))
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == SESSION_COOKIE)
        .map(|(_, value)| value)
}

/// A cookie travels with every request, whoever made the page that sends it: what changes something has to prove that
/// it comes from the dashboard.
fn csrf_require(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let foreign = headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
    if headers.get(CSRF_HEADER).is_some_and(|value| value == "1") && !foreign {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "csrf",
        "a session may change something only from the dashboard",
    )
    .with_hint("send the header `X-Muster-CSRF: 1`, or use an API token"))
}

/// Where a request comes from, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    /// Its address. Behind a reverse proxy on this machine, what the proxy says of it.
    pub(crate) address: Option<IpAddr>,
    /// Its connection is encrypted, on our own listener or at the reverse proxy.
    pub(crate) encrypted: bool,
}

impl Client {
    fn of(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let encrypted = parts.extensions.get::<Encrypted>().is_some_and(|encrypted| encrypted.0);
        if encrypted || !peer.is_some_and(|ip| ip.to_canonical().is_loopback()) {
            return Self { address: peer, encrypted };
        }
        // The last entry is the proxy's own; those before it can be made up by the client.
        let forwarded = parts.headers.get_all("x-forwarded-for").iter().next_back();
        let claimed = forwarded.and_then(|v| v.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        let encrypted = parts.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        Self { address: claimed.or(peer), encrypted }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

/// The header that keeps a session in the browser; without a value, the one that ends it.
pub(crate) fn set_cookie(client: Client, value: Option<(&str, i64)>) -> HeaderValue {
    let secure = if client.encrypted { "; Secure" } else { "" };
    let (value, max_age_s) = value.unwrap_or(("", 0));
    let text =
        format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}");
    HeaderValue::from_str(&text).expect("a session is letters, digits and underscores")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        assert_eq!(cookie(&headers), None);
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; x_muster_session=no"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=d; muster_session=yes=1; e"));
        assert_eq!(cookie(&headers), Some("yes=1"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
    }

    #[test]
    fn only_the_dashboard_may_change_something_with_a_cookie() {
        let with = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            csrf_require(&Method::POST, &headers).is_ok()
        };
        assert!(with(&[(CSRF_HEADER, "1")]));
        assert!(with(&[(CSRF_HEADER, "1"), ("sec-fetch-site", "same-origin")]));
        assert!(!with(&[]));
        assert!(!with(&[(CSRF_HEADER, "0")]));
        assert!(!with(&[(CSRF_HEADER, "1"), ("sec-fetch-site", "cross-site")]));
        assert!(csrf_require(&Method::GET, &HeaderMap::new()).is_ok());
    }
}
