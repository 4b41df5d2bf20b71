use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, IF_MODIFIED_SINCE, LAST_MODIFIED, RANGE};

use super::*;

struct Fixture {
    _dir: tempfile::TempDir,
    app: axum::Router,
}

fn site(change: impl FnOnce(&mut Settings)) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let site = dir.path().join("site");
    std::fs::create_dir_all(site.join("docs/deep")).unwrap();
    std::fs::write(dir.path().join("secret"), "s").unwrap();
    std::os::unix::fs::symlink("../secret", site.join("out")).unwrap();
    for (name, text) in [
        ("index.html", "home"),
        ("404.html", "nothing here"),
        ("app.js", "0123456789"),
        ("LICENSE", "free"),
        ("docs/index.html", "docs"),
        ("docs/deep/note.txt", "note"),
        (".env", "PASSWORD=x"),
        ("weird.zzz", "?"),
    ] {
        std::fs::write(site.join(name), text).unwrap();
    }
    let env = BTreeMap::from([("PM2_SERVE_PATH".to_owned(), site.to_string_lossy().into_owned())]);
    let mut settings = Settings::of(&env, Path::new("/")).unwrap();
    change(&mut settings);
    let root = Root::open(&settings.path).unwrap();
    let app = axum::Router::new().fallback(answer).with_state(Arc::new(Site { root, settings }));
    Fixture { _dir: dir, app }
}

impl Fixture {
    async fn send(
        &self,
        request: axum::http::request::Builder,
    ) -> (StatusCode, axum::http::HeaderMap, String) {
        let response = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.send(Request::builder().uri(path)).await;
        (status.as_u16(), body)
    }
}

#[tokio::test]
async fn files_are_served_with_their_type() {
    let site = site(|_| {});
    for (path, body, kind) in [
        ("/", "home", "text/html; charset=utf-8"),
        ("/app.js?v=1", "0123456789", "text/javascript; charset=utf-8"),
        ("/LICENSE", "free", "text/plain; charset=utf-8"),
        ("/docs/", "docs", "text/html; charset=utf-8"),
        ("/weird.zzz", "?", "application/octet-stream"),
        ("/docs/deep/note%2Etxt", "note", "text/plain; charset=utf-8"),
    ] {
        let (status, headers, got) = site.send(Request::builder().uri(path)).await;
        assert_eq!((status, got.as_str()), (StatusCode::OK, body), "{path}");
        assert_eq!(headers[CONTENT_TYPE], kind, "{path}");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }
}

#[tokio::test]
async fn nothing_outside_and_nothing_hidden_is_served() {
    let site = site(|settings| settings.spa = true);
    for path in ["/../secret", "/%2e%2e/secret", "/docs/..%2f..%2fsecret", "/out"] {
        assert_eq!(site.get(path).await.0, 403, "{path}");
    }
    let (_, body) = site.get("/.env").await;
    assert!(!body.contains("PASSWORD"), "{body}");
}

#[tokio::test]
async fn what_is_missing_is_answered_by_the_page_for_it() {
    let site = site(|_| {});
    assert_eq!(site.get("/none").await, (404, "nothing here".into()));
    assert_eq!(site.get("/docs/deep/").await, (404, "nothing here".into()));
    assert_eq!(site.get("/.env").await, (404, "nothing here".into()));
    let (status, headers, _) = site.send(Request::builder().uri("/docs?x=1")).await;
    assert_eq!(
        (status, &headers[LOCATION]),
        (StatusCode::MOVED_PERMANENTLY, &HeaderValue::from_static("/docs/?x=1"))
    );
    // Two slashes in front would send the browser to another host.
    let (_, headers, _) = site.send(Request::builder().uri("//docs")).await;
    assert_eq!(headers[LOCATION], "/docs/");
}

#[tokio::test]
async fn a_single_page_application_gets_its_assets_and_its_routes() {
    let site = site(|settings| settings.spa = true);
    assert_eq!(site.get("/users/42").await, (200, "home".into()));
    assert_eq!(site.get("/users/app.js").await, (200, "0123456789".into()));
}

#[tokio::test]
async fn folders_are_listed_when_asked_for() {
    let site = site(|settings| settings.listing = true);
    let (status, body) = site.get("/docs/deep/").await;
    assert_eq!(status, 200);
    assert!(body.contains("Index of /docs/deep/") && body.contains(r#"href="note.txt""#), "{body}");
    assert_eq!(site.get("/docs/").await, (200, "docs".into()));
}

#[tokio::test]
async fn ranges_conditions_and_head_are_answered() {
    let site = site(|_| {});
    let (status, headers, body) =
        site.send(Request::builder().uri("/app.js").header(RANGE, "bytes=2-4")).await;
    assert_eq!((status, body.as_str()), (StatusCode::PARTIAL_CONTENT, "234"));
    assert_eq!(headers[CONTENT_RANGE], "bytes 2-4/10");
    let (status, headers, body) = site.send(Request::builder().uri("/app.js").method("HEAD")).await;
    assert_eq!(
        (status, body.as_str(), &headers[CONTENT_LENGTH]),
        (StatusCode::OK, "", &HeaderValue::from(10))
    );
    let modified = headers[LAST_MODIFIED].clone();
    let (status, _, _) =
        site.send(Request::builder().uri("/app.js").header(IF_MODIFIED_SINCE, modified)).await;
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    let (status, _, _) = site.send(Request::builder().uri("/app.js").header(RANGE, "bytes=90-")).await;
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    let (status, headers, _) = site.send(Request::builder().uri("/app.js").method("POST")).await;
    assert_eq!(
        (status, &headers[ALLOW]),
        (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("GET, HEAD"))
    );
}

#[tokio::test]
async fn only_the_right_credentials_open() {
    let site = site(|settings| {
        settings.basic_auth = Some(BasicAuth { username: "ada".into(), password: "l:ove".into() });
    });
    let engine = base64::engine::general_purpose::STANDARD;
    for (credentials, expected) in
        [("ada:l:ove", StatusCode::OK), ("ada:l", StatusCode::UNAUTHORIZED), ("", StatusCode::UNAUTHORIZED)]
    {
        let value = format!("Basic {}", engine.encode(credentials));
        let (status, _, _) = site.send(Request::builder().uri("/").header(AUTHORIZATION, value)).await;
        assert_eq!(status, expected, "{credentials}");
    }
    let (status, headers, _) = site.send(Request::builder().uri("/")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(headers.contains_key(WWW_AUTHENTICATE));
}
