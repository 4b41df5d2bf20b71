//! Accounts, sessions, tokens and the audit log.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use muster_db::{
    audit::{self, AuditEntry},
    sessions::{self, NewSession},
    tokens::{self, NewToken},
    users::{self, User},
};
use muster_domain::{TokenId, UserId, user::UserRole};
use sqlx::PgPool;
use uuid::Uuid;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn user(name: &str, role: UserRole) -> User {
    User {
        id: UserId::from_uuid(Uuid::now_v7()),
        name: name.to_owned(),
        password_hash: "$argon2id$x".to_owned(),
        role,
        created_at: now(),
        disabled_at: None,
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn accounts_are_found_by_name_and_names_are_unique(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    assert_eq!(users::count(conn).await.unwrap(), 0);
    let amara = user("amara", UserRole::Operator);
    assert!(users::insert(conn, &amara).await.unwrap());
    assert!(!users::insert(conn, &user("amara", UserRole::Admin)).await.unwrap());
    assert_eq!(users::count(conn).await.unwrap(), 1);
    let found = users::by_name(conn, "amara").await.unwrap().unwrap();
    assert_eq!((found.id, found.role), (amara.id, UserRole::Operator));
    assert!(users::by_name(conn, "nobody").await.unwrap().is_none());
    assert!(users::set_password_hash(conn, amara.id, "$argon2id$x", "$argon2id$y").await.unwrap());
    assert!(
        !users::set_password_hash(conn, amara.id, "$argon2id$x", "$argon2id$z").await.unwrap(),
        "it was changed since"
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn sessions_live_until_they_are_ended_or_forgotten(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let amara = user("amara", UserRole::Admin);
    users::insert(conn, &amara).await.unwrap();
    let ids = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    for (id, hours) in ids.into_iter().zip([1, 100, 100]) {
        let new = NewSession {
            id,
            user: amara.id,
            secret_hash: &[7; 32],
            created_at: now(),
            expires_at: now() + TimeDelta::hours(hours),
        };
        sessions::insert(conn, &new).await.unwrap();
    }
    let found = sessions::get(conn, ids[0]).await.unwrap().unwrap();
    assert_eq!((found.username.as_str(), found.secret_hash), ("amara", vec![7; 32]));
    assert_eq!((found.last_seen_at, found.user_disabled), (now(), false));
    let later = now() + TimeDelta::hours(2);
    sessions::touch(conn, ids[1], later).await.unwrap();
    sessions::touch(conn, ids[1], now()).await.unwrap();
    assert_eq!(
        sessions::get(conn, ids[1]).await.unwrap().unwrap().last_seen_at,
        later,
        "use never goes back"
    );
    // The first has ended, the third was not used.
    assert_eq!(sessions::delete_ended(conn, later, later - TimeDelta::hours(1)).await.unwrap(), 2);
    assert!(sessions::delete(conn, ids[1]).await.unwrap());
    assert!(!sessions::delete(conn, ids[1]).await.unwrap());
    assert!(sessions::get(conn, ids[1]).await.unwrap().is_none());
}

#[sqlx::test(migrations = "../../migrations")]
async fn tokens_are_listed_by_owner_and_withdrawn_once(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let (amara, bo) = (user("amara", UserRole::Admin), user("bo", UserRole::Viewer));
    let mut ids = Vec::new();
    for (owner, name) in [(&amara, "laptop"), (&bo, "ci")] {
        users::insert(conn, owner).await.unwrap();
        let id = TokenId::from_uuid(Uuid::now_v7());
        let new =
            NewToken { id, user: owner.id, name, secret_hash: &[1; 32], created_at: now(), expires_at: None };
        tokens::insert(conn, &new).await.unwrap();
        ids.push(id);
    }
    let names = |list: Vec<tokens::TokenRecord>| list.into_iter().map(|t| t.name).collect::<Vec<_>>();
    assert_eq!(names(tokens::list(conn, None, 10).await.unwrap()), ["ci", "laptop"]);
    assert_eq!(names(tokens::list(conn, Some(bo.id), 10).await.unwrap()), ["ci"]);
    tokens::touch(conn, ids[1], now()).await.unwrap();
    assert!(tokens::revoke(conn, ids[1], now()).await.unwrap());
    assert!(!tokens::revoke(conn, ids[1], now()).await.unwrap());
    let found = tokens::credential(conn, ids[1]).await.unwrap().unwrap();
    assert_eq!((found.role, found.secret_hash.len()), (UserRole::Viewer, 32));
    assert_eq!((found.token.last_used_at, found.token.revoked_at), (Some(now()), Some(now())));
    assert!(tokens::credential(conn, TokenId::from_uuid(Uuid::nil())).await.unwrap().is_none());
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_audit_log_keeps_what_it_is_given(pool: PgPool) {
    let conn = &mut *pool.acquire().await.unwrap();
    let detail = serde_json::json!({ "address": "192.0.2.1" });
    let entry =
        AuditEntry { at: now(), actor: "amara", action: "session_create", subject: "user amara", detail };
    audit::append(conn, &entry).await.unwrap();
    let kept: (String, serde_json::Value) =
        sqlx::query_as("SELECT action, detail FROM audit_log").fetch_one(conn).await.unwrap();
    assert_eq!((kept.0.as_str(), &kept.1), ("session_create", &entry.detail));
}
