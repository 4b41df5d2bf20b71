//! The dashboard's files, and what every answer carries.

use crate::world::{World, request};
use axum::http::{Method, StatusCode, header};
use sqlx::PgPool;

#[sqlx::test(migrations = "../migrations")]
async fn pages_begin_at_the_first_and_missing_files_are_missing(pool: PgPool) {
    let world = World::new(pool).await;
    let get = |path: &str| request(Method::GET, path, None, None);
    let first = world.send(get("/")).await;
    assert_eq!(
        (first.status, first.headers[header::CACHE_CONTROL].to_str().unwrap()),
        (StatusCode::OK, "no-cache")
    );
    assert!(first.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    let page = world.send(get("/nodes/app-1")).await;
    assert_eq!(page.body, first.body, "a page that the dashboard routes itself");
    assert_eq!(world.send(get("/assets/nothing")).await.problem(), (404, "not_found".into()));
    assert_eq!(world.send(get("/nothing.js")).await.problem(), (404, "not_found".into()));
    assert_eq!(world.send(get("/../Cargo.toml")).await.problem(), (404, "not_found".into()));
    let posted = world.send(request(Method::POST, "/", None, None)).await;
    assert_eq!(posted.problem(), (405, "method_not_allowed".into()));

    let mut again = get("/");
    again.headers_mut().insert(header::IF_NONE_MATCH, first.headers[header::ETAG].clone());
    let again = world.send(again).await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
}

#[sqlx::test(migrations = "../migrations")]
async fn every_answer_is_hardened(pool: PgPool) {
    let world = World::new(pool).await;
    for path in ["/", "/api/v1/nodes", "/api/nothing", "/healthz"] {
        let answer = world.send(request(Method::GET, path, None, None)).await;
        let csp = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(csp.contains("default-src 'none'") && csp.contains("script-src 'self';"), "{path}: {csp}");
        assert!(csp.contains("frame-ancestors 'none'"));
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(answer.headers.contains_key("x-request-id"), "{path}");
        if path.starts_with("/api") {
            assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        }
    }
    let root = world.send(request(Method::GET, "/api/v1/ca.pem", None, None)).await;
    let pem = String::from_utf8(root.body.to_vec()).unwrap();
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----\n") && pem.ends_with("-----END CERTIFICATE-----\n"));
    let mut zipped = request(Method::GET, "/api/v1/openapi.json", None, None);
    zipped.headers_mut().insert(header::ACCEPT_ENCODING, "gzip".parse().unwrap());
    assert_eq!(world.send(zipped).await.headers[header::CONTENT_ENCODING], "gzip");
}
