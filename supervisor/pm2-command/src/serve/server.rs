//! The file server itself: the hidden verb `pm2-serve`, run as a managed application.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, AUTHORIZATION, CONTENT_TYPE, LOCATION,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::page;
use super::settings::{BasicAuth, Settings};
use super::site::{Found, Refused, Root, entries, path_of, relative};
use crate::Failure;

struct Site {
    root: Root,
    settings: Settings,
}

/// Serves until SIGINT or SIGTERM, then lets running requests end.
pub(crate) async fn run(env: &BTreeMap<String, String>) -> Result<(), Failure> {
    let cwd = std::env::current_dir()
        .map_err(|error| Failure::new(format!("the working directory is gone: {error}")))?;
    let settings = Settings::of(env, &cwd)?;
    let path = settings.path.display().to_string();
    let root =
        Root::open(&settings.path).map_err(|error| Failure::new(format!("cannot serve {path}: {error}")))?;
    let address = settings.address();
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|error| Failure::new(format!("cannot listen on {address}: {error}")))?;
    let bound = listener.local_addr().map_or(address, |bound: SocketAddr| bound.to_string());
    println!("Exposing {path} directory on {bound}");
    let site = Arc::new(Site { root, settings });
    let app = axum::Router::new().fallback(answer).with_state(site);
    axum::serve(listener, app)
        .with_graceful_shutdown(asked_to_end())
        .await
        .map_err(|error| Failure::new(format!("serving {path} failed: {error}")))
}

async fn asked_to_end() {
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals end the process, as they do by default.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}

async fn answer(State(site): State<Arc<Site>>, request: Request) -> Response {
    if let Some(auth) = &site.settings.basic_auth
        && !authorised(auth, request.headers().get(AUTHORIZATION))
    {
        let ask = [(WWW_AUTHENTICATE, "Basic realm=\"Authentication service\""), (CONTENT_TYPE, "text/html")];
        return (StatusCode::UNAUTHORIZED, ask, "401 Unauthorized").into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, "GET, HEAD")], "405 Method Not Allowed")
            .into_response();
    }
    let mut response = match page_for(&site, &request) {
        Ok(Page::File { file, name, status }) => file_response(request, &file, &name, status).await,
        Ok(Page::Listing(html)) => (StatusCode::OK, [(CONTENT_TYPE, HTML)], html).into_response(),
        Ok(Page::AddSlash(to)) => (StatusCode::MOVED_PERMANENTLY, [(LOCATION, to)]).into_response(),
        Err(Refused::Missing) => {
            (StatusCode::NOT_FOUND, [(CONTENT_TYPE, HTML)], "404 Not Found").into_response()
        }
        Err(Refused::Forbidden) => {
            (StatusCode::FORBIDDEN, [(CONTENT_TYPE, HTML)], "403 Forbidden").into_response()
        }
        Err(Refused::Failed(errno)) => {
            eprintln!("cannot read what was asked for: {errno}");
            let text = "Sorry, check with the site admin for error\n";
            (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, HTML)], text).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

const HTML: &str = "text/html; charset=utf-8";

enum Page {
    File { file: std::os::fd::OwnedFd, name: PathBuf, status: StatusCode },
    Listing(String),
    AddSlash(String),
}

fn page_for(site: &Site, request: &Request) -> Result<Page, Refused> {
    let Settings { spa, listing, homepage, .. } = &site.settings;
    let decoded =
        percent_decode_str(request.uri().path()).decode_utf8().map_err(|_| Refused::Missing)?.into_owned();
    let file = |name: &Path, status| match site.root.find(name)? {
        Found::File(file) => Ok(Page::File { file, name: name.to_owned(), status }),
        Found::Folder(_) => Err(Refused::Missing),
    };
    let wanted = relative(&decoded);
    let found = match &wanted {
        Ok(path) => site.root.find(path).map(|found| (path, found)),
        Err(Refused::Forbidden) => return Err(Refused::Forbidden),
        Err(_) => Err(Refused::Missing),
    };
    let answer = match found {
        Ok((path, Found::File(file))) => {
            return Ok(Page::File { file, name: path.clone(), status: StatusCode::OK });
        }
        Ok((_, Found::Folder(_))) if !decoded.ends_with('/') => {
            return Ok(Page::AddSlash(slashed(request.uri())));
        }
        Ok((path, Found::Folder(folder))) => {
            let at_root = path.as_os_str().is_empty();
            let index = if at_root && !listing { homepage.as_str() } else { "index.html" };
            match file(&path.join(index), StatusCode::OK) {
                Err(Refused::Missing) if *listing => {
                    let entries = entries(&folder).map_err(Refused::Failed)?;
                    Ok(Page::Listing(page::listing(&decoded, &entries)))
                }
                other => other,
            }
        }
        Err(refused) => Err(refused),
    };
    match answer {
        Err(Refused::Missing) if *spa && wanted.is_ok() => {
            // As pm2: a file of that name at the root (assets below a route of the application), else the home page.
            let name = wanted.as_ref().ok().and_then(|path| path.file_name()).map(PathBuf::from);
            name.and_then(|name| file(&name, StatusCode::OK).ok())
                .map_or_else(|| file(Path::new(homepage), StatusCode::OK), Ok)
        }
        Err(Refused::Missing) => file(Path::new("404.html"), StatusCode::NOT_FOUND),
        other => other,
    }
}

/// The same address with a slash, so that links of the page mean what they say; never another host.
fn slashed(uri: &Uri) -> String {
    let path = format!("/{}/", uri.path().trim_matches('/'));
    match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

/// Ranges, conditions and HEAD are answered by the well-kept file service, through the file we opened ourselves.
async fn file_response(
    request: Request,
    file: &std::os::fd::OwnedFd,
    name: &Path,
    status: StatusCode,
) -> Response {
    let service = ServeFile::new_with_mime(path_of(file), &content_type(name));
    // A page that says "not found" is no page to give parts of.
    let request = if status == StatusCode::OK {
        request
    } else {
        let mut plain = Request::new(Body::empty());
        *plain.method_mut() = request.method().clone();
        plain
    };
    match service.oneshot(request).await {
        Ok(response) => {
            let mut response = response.map(Body::new);
            if response.status() == StatusCode::OK {
                *response.status_mut() = status;
            }
            response
        }
        Err(never) => match never {},
    }
}

fn content_type(name: &Path) -> mime_guess::Mime {
    let plain = mime_guess::mime::TEXT_PLAIN_UTF_8;
    if name.extension().is_none() {
        return plain;
    }
    let guessed = mime_guess::from_path(name).first_or_octet_stream();
    if guessed.type_() == "text" && guessed.get_param("charset").is_none() {
        return format!("{guessed}; charset=utf-8").parse().unwrap_or(guessed);
    }
    guessed
}

/// Takes the same time whatever is wrong with the credentials.
fn authorised(auth: &BasicAuth, header: Option<&HeaderValue>) -> bool {
    let given = header
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, encoded)| base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok())
        .unwrap_or_default();
    let wanted = format!("{}:{}", auth.username, auth.password);
    bool::from(given.ct_eq(wanted.as_bytes()))
}

#[cfg(test)]
mod tests;
