//! The routes, and what stands before them.

use crate::http::{assets, error::ApiError, guard, limits, probes, v1};
use crate::install::Install;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{Method, StatusCode, Uri, header},
    middleware,
    response::{IntoResponse as _, Response},
};
use muster_app::App;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, NotForContentType, Predicate as _},
    },
    timeout::RequestBodyTimeoutLayer,
};
use utoipa_axum::router::OpenApiRouter;

/// Put into the extensions of every request by the listener: the connection is TLS up to this process. Absent or false:
/// plain, from a reverse proxy or from this machine alone.
#[derive(Debug, Clone, Copy)]
pub struct Encrypted(pub bool);

/// What every handler has. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http {
    inner: Arc<Inner>,
}

struct Inner {
    app: App,
    install: Install,
    requests: Semaphore,
    uploads: Semaphore,
    streams: Arc<Semaphore>,
}

impl Http {
    pub(crate) fn app(&self) -> &App {
        &self.inner.app
    }

    pub(crate) fn install(&self) -> &Install {
        &self.inner.install
    }

    pub(crate) fn requests(&self) -> &Semaphore {
        &self.inner.requests
    }

    pub(crate) fn uploads(&self) -> &Semaphore {
        &self.inner.uploads
    }

    pub(crate) fn streams(&self) -> &Arc<Semaphore> {
        &self.inner.streams
    }
}

/// Every operation of the API, documented. `ordinary` and `uploads` stand apart, because they are bounded in other ways.
pub(crate) fn api() -> (OpenApiRouter<Http>, OpenApiRouter<Http>) {
    (v1::ordinary().merge(probes::routes()), v1::uploads())
}

/// The service for people: REST, the dashboard, probes. `install` is what invitations offer to hosts.
pub fn router(app: App, install: Install) -> Router {
    let http = Http {
        inner: Arc::new(Inner {
            app,
            install,
            requests: Semaphore::new(limits::REQUESTS_AT_ONCE),
            uploads: Semaphore::new(limits::UPLOADS_AT_ONCE),
            streams: Arc::new(Semaphore::new(limits::STREAMS_AT_ONCE)),
        }),
    };
    let (ordinary, uploads) = api();
    let ordinary = ordinary
        .split_for_parts()
        .0
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES))
        .layer(middleware::from_fn_with_state(http.clone(), guard::bound));
    let uploads = uploads
        .split_for_parts()
        .0
        .layer(RequestBodyTimeoutLayer::new(limits::UPLOAD_SILENCE))
        .layer(middleware::from_fn_with_state(http.clone(), guard::bound_upload));
    // Streams must arrive as they are written; a compressor would hold lines back.
    let compressible = DefaultPredicate::new().and(NotForContentType::const_new("application/x-ndjson"));
    ordinary
        .merge(uploads)
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(assets::serve)
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(CompressionLayer::new().compress_when(compressible))
        .layer(middleware::from_fn(guard::observe))
        .with_state(http)
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let mut response = ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} is not an operation of {}", uri.path()),
    )
    .with_hint("the OpenAPI document at /api/v1/openapi.json lists the operations")
    .into_response();
    // The router fills in the methods that there are.
    response.headers_mut().remove(header::ALLOW);
    response
}
