//! Who may do what. Every operation of the OpenAPI document has a row here.

use crate::world::{World, request};
use axum::http::{Method, StatusCode, header};
use muster_domain::user::UserRole;
use serde_json::{Value, json};
use sqlx::PgPool;
use std::collections::BTreeSet;
use utoipa::openapi::path::Operation;

enum Access {
    /// Without signing in.
    Public,
    /// Signed in, with this role or a higher one.
    From(UserRole),
}

use Access::{From, Public};
use UserRole::{Deployer, Operator, Viewer};

/// Operation, who may, a body that decodes.
fn rows() -> Vec<(&'static str, Access, Option<Value>)> {
    let files = || Some(json!({ "files": [{ "path": "fleet.yaml", "content": "environments: {}" }] }));
    let digest = "0".repeat(64);
    vec![
        ("application_get", From(Viewer), None),
        ("application_list", From(Viewer), None),
        ("artifact_manifest_put", From(Deployer), Some(json!({}))),
        ("artifact_missing", From(Deployer), Some(json!({ "digests": [digest] }))),
        ("artifact_objects_put", From(Deployer), None),
        ("ca_get", Public, None),
        ("enrolment_create", From(Operator), Some(json!({ "node": "app-1", "environment": "production" }))),
        ("enrolment_list", From(Viewer), None),
        ("enrolment_withdraw", From(Operator), None),
        ("environment_list", From(Viewer), None),
        ("event_list", From(Viewer), None),
        ("fleet_configuration_apply", From(Operator), files()),
        ("fleet_configuration_diff", From(Viewer), files()),
        ("fleet_configuration_get", From(Viewer), None),
        ("fleet_configuration_schema", Public, None),
        ("fleet_configuration_version_get", From(Viewer), None),
        ("fleet_configuration_versions", From(Viewer), None),
        ("health_get", Public, None),
        ("live_subscribe", From(Viewer), None),
        ("log_read", From(Viewer), None),
        ("node_converge", From(Operator), None),
        ("node_get", From(Viewer), None),
        ("node_inspect", From(Operator), None),
        ("node_list", From(Viewer), None),
        ("node_metrics", From(Viewer), None),
        ("node_reboot", From(Operator), Some(json!({ "reason": "a new kernel" }))),
        ("node_reboot_cancel", From(Operator), None),
        ("node_remove", From(Operator), None),
        ("node_revoke", From(Operator), None),
        ("node_set_mode", From(Operator), Some(json!({ "mode": "report", "reason": "looking into it" }))),
        ("openapi_get", Public, None),
        ("overview_get", From(Viewer), None),
        ("plan_create", From(Viewer), Some(json!({}))),
        ("plan_get", From(Viewer), None),
        ("process_event_list", From(Viewer), None),
        ("process_list", From(Viewer), None),
        ("readiness_get", Public, None),
        ("release_create", From(Deployer), Some(json!({ "version": "v1", "artifact_digest": digest }))),
        ("release_get", From(Viewer), None),
        ("release_list", From(Viewer), None),
        ("resource_change_list", From(Viewer), None),
        ("resource_get", From(Viewer), None),
        ("rollout_abort", From(Deployer), None),
        ("rollout_get", From(Viewer), None),
        ("rollout_list", From(Viewer), None),
        (
            "rollout_rollback",
            From(Deployer),
            Some(json!({ "application": "web", "environment": "production" })),
        ),
        (
            "rollout_start",
            From(Deployer),
            Some(json!({ "application": "web", "environment": "production", "release": "v1" })),
        ),
        ("secret_delete", From(Operator), None),
        ("secret_list", From(Viewer), None),
        ("secret_set", From(Operator), Some(json!({ "value": "x" }))),
        ("session_create", Public, Some(json!({ "username": "viewer", "password": "wrong" }))),
        ("session_delete", From(Viewer), None),
        ("session_get", From(Viewer), None),
        ("token_create", From(Viewer), Some(json!({ "name": "ci" }))),
        ("token_list", From(Viewer), None),
        ("token_revoke", From(Viewer), None),
        ("turn_list", From(Viewer), None),
        ("turn_release", From(Operator), None),
    ]
}

fn operations() -> Vec<(Method, String, Operation)> {
    let document = muster_controller::openapi::document();
    let mut found = Vec::new();
    for (path, item) in document.paths.paths {
        let methods = [
            (Method::GET, item.get),
            (Method::PUT, item.put),
            (Method::POST, item.post),
            (Method::DELETE, item.delete),
            (Method::PATCH, item.patch),
        ];
        for (method, operation) in methods {
            found.extend(operation.map(|operation| (method, path.clone(), operation)));
        }
    }
    found
}

fn example(path: &str) -> String {
    path.replace("{name}", "app-1")
        .replace("{id}", "00000000-0000-7000-8000-000000000000")
        .replace("{version}", "1")
        .replace("{digest}", &"0".repeat(64))
}

#[test]
fn every_operation_has_a_row() {
    let documented: BTreeSet<String> =
        operations().into_iter().filter_map(|(_, _, o)| o.operation_id).collect();
    let listed: BTreeSet<String> = rows().into_iter().map(|(id, ..)| id.to_owned()).collect();
    assert_eq!(documented, listed);
}

#[sqlx::test(migrations = "../migrations")]
async fn nothing_is_done_for_who_may_not(pool: PgPool) {
    let world = World::new(pool).await;
    let rows = rows();
    for (method, path, operation) in operations() {
        let id = operation.operation_id.clone().unwrap();
        let (_, access, body) = rows.iter().find(|(row, ..)| *row == id).unwrap();
        let path = example(&path);
        let ask = |token: Option<String>| {
            let mut request = request(method.clone(), &path, token.as_deref(), body.clone());
            if id == "artifact_objects_put" {
                request.headers_mut().insert(header::CONTENT_TYPE, "application/zstd".parse().unwrap());
            }
            request
        };
        let least = match access {
            Public => {
                let security = serde_json::to_value(&operation.security).unwrap();
                assert_eq!(security, json!([{}]), "{id} is documented as public");
                continue;
            }
            From(least) => *least,
        };
        assert!(operation.security.is_none(), "{id} is documented as needing a sign-in");
        let nobody = world.send(ask(None)).await;
        assert_eq!(nobody.problem(), (401, "not_signed_in".into()), "{id} without a sign-in");
        assert!(nobody.headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"));
        let wrong = world.send(ask(Some("muster_api_nonsense".into()))).await;
        assert_eq!(wrong.problem(), (401, "token_invalid".into()), "{id} with a wrong token");
        let below = [Viewer, Deployer, Operator, UserRole::Admin].into_iter().rfind(|role| *role < least);
        if let Some(below) = below {
            let refused = world.send(ask(Some(world.token(below).to_owned()))).await;
            assert_eq!(refused.problem(), (403, "forbidden".into()), "{id} as {}", below.as_str());
        }
        if id == "live_subscribe" {
            continue; // Its answer never ends; `streams` reads it.
        }
        let allowed = world.send(ask(Some(world.token(least).to_owned()))).await;
        assert!(
            !matches!(allowed.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                && !allowed.status.is_server_error(),
            "{id} as {}: {:?}",
            least.as_str(),
            allowed.body
        );
    }
}
