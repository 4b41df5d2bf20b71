//! A controller with one account per role, and a way to ask it.

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
};
use chrono::DateTime;
use http_body_util::BodyExt as _;
use muster_app::{Actor, App, Credential, ManualClock, Settings, SignedIn};
use muster_artifact::ObjectStore;
use muster_db::{Db, users::User};
use muster_domain::{UserId, user::UserRole};
use muster_identity::{FleetIdentity, Revocations};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sqlx::PgPool;
use std::{collections::BTreeMap, sync::Arc};
use tower::ServiceExt as _;
use uuid::Uuid;

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) router: Router,
    pub(crate) pool: PgPool,
    /// Where the programs for hosts would be.
    pub(crate) programs: std::path::PathBuf,
    tokens: BTreeMap<UserRole, String>,
    _folder: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }

    /// Status and code of a problem document, after checking its form.
    pub(crate) fn problem(&self) -> (u16, String) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{:?}", self.body);
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["type"], format!("/problems/{}", problem["code"].as_str().unwrap()));
        assert!(
            !problem["title"].as_str().unwrap().is_empty() && !problem["detail"].as_str().unwrap().is_empty()
        );
        (self.status.as_u16(), problem["code"].as_str().unwrap().to_owned())
    }
}

impl World {
    pub(crate) async fn new(pool: PgPool) -> Self {
        let clock = Arc::new(ManualClock::new(DateTime::from_timestamp(1_800_000_000, 0).unwrap()));
        let folder = tempfile::tempdir().unwrap();
        let now = muster_app::Clock::now(&*clock);
        let (identity, _) = FleetIdentity::open_or_create(folder.path(), now).unwrap();
        let objects = ObjectStore::open(folder.path().join("objects")).unwrap();
        let settings = Settings::new("https://muster.example:8444".into());
        let db = Db::from_pool(pool.clone());
        let app = App::new(db, clock.clone(), identity, Revocations::new([]), objects, settings);
        let mut tokens = BTreeMap::new();
        let password_hash = muster_identity::passwords::hash(PASSWORD).unwrap();
        for role in [UserRole::Viewer, UserRole::Deployer, UserRole::Operator, UserRole::Admin] {
            let user = User {
                id: UserId::from_uuid(Uuid::now_v7()),
                name: role.as_str().to_owned(),
                password_hash: password_hash.clone(),
                role,
                created_at: now,
                disabled_at: None,
            };
            muster_db::users::insert(&mut pool.acquire().await.unwrap(), &user).await.unwrap();
            let actor = Actor { user: user.id, name: user.name, role, address: None };
            let who = SignedIn { actor, credential: Credential::Session(Uuid::nil()), expires_at: None };
            let (_, secret) = app.token_create(&who, "test", None).await.unwrap();
            tokens.insert(role, secret.expose_secret().to_owned());
        }
        let programs = folder.path().join("programs");
        let install = muster_controller::install::Install::new(programs.clone());
        let router = muster_controller::http::router(app.clone(), install);
        Self { app, clock, router, pool, programs, tokens, _folder: folder }
    }

    pub(crate) fn token(&self, role: UserRole) -> &str {
        &self.tokens[&role]
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// Asks with the token of a role.
    pub(crate) async fn ask(
        &self,
        role: UserRole,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        self.send(request(method, path, Some(self.token(role)), body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(UserRole::Viewer, Method::GET, path, None).await
    }

    /// Puts fleet files in force that declare one application on one node.
    pub(crate) async fn declare(&self) {
        let content = "environments: {production: {}, staging: {}}\n\
                       nodes: {app-1: {environment: production, roles: [app_server]}}\n\
                       applications: {web: {script: server.js, port: 3000}}\n";
        let body = serde_json::json!({ "files": [{ "path": "fleet.yaml", "content": content }] });
        let answer =
            self.ask(UserRole::Operator, Method::PUT, "/api/v1/fleet-configuration", Some(body)).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    }
}

/// A request with a token and a JSON body.
pub(crate) fn request(method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    match body {
        None => request.body(Body::empty()),
        Some(body) => request
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Body::from(body.to_string())),
    }
    .unwrap()
}
