//! Signing in: sessions of people, API tokens of programs, and what proves either.

mod attempts;

use crate::{Actor, App, AppError, Permission, shorten};
use attempts::Attempts;
use chrono::{DateTime, TimeDelta, Utc};
use muster_db::{Conn, audit::AuditEntry, sessions::NewSession, tokens::NewToken, users::User};
use muster_domain::{TokenId, UserId, user::UserRole};
use muster_identity::{ApiToken, SecretHash, SessionToken, passwords};
use secrecy::{ExposeSecret, SecretString};
use std::{net::IpAddr, time::Duration};
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use muster_db::tokens::TokenRecord;

/// A session ends after so long without a request.
const SESSION_IDLE: TimeDelta = TimeDelta::hours(12);
/// A session ends after so long, used or not.
const SESSION_LIFE: TimeDelta = TimeDelta::days(7);
/// The last use of a session or a token is written down at most this often.
const TOUCH_EVERY: TimeDelta = TimeDelta::minutes(1);
/// Passwords that are hashed at a time: 19 MiB of memory each, and a processor for tens of milliseconds.
const HASHES_AT_ONCE: usize = 2;
/// A sign-in waits so long for its turn.
const HASH_TURN: Duration = Duration::from_secs(10);
/// The longest life of an API token that has an end.
const TOKEN_LIFE_AT_MOST_S: u64 = 10 * 366 * 86_400;
/// Tokens in one list; nobody keeps more.
const TOKENS_LISTED: i64 = 500;

/// What signing in needs to remember.
pub(crate) struct SignIns {
    attempts: Attempts,
    hashing: Semaphore,
}

impl Default for SignIns {
    fn default() -> Self {
        Self { attempts: Attempts::default(), hashing: Semaphore::new(HASHES_AT_ONCE) }
    }
}

/// What somebody signed in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// A browser's session.
    Session(Uuid),
    /// An API token.
    Token(TokenId),
}

/// Somebody who proved who they are.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who, for use cases.
    pub actor: Actor,
    /// With what.
    pub credential: Credential,
    /// When it ends; absent for a token without an end.
    pub expires_at: Option<DateTime<Utc>>,
}

impl App {
    /// Signs in with a password. Gives the session and the value of its cookie.
    pub async fn session_create(
        &self,
        username: &str,
        password: SecretString,
        address: Option<IpAddr>,
    ) -> Result<(SignedIn, SecretString), AppError> {
        let now = self.now();
        if let Some(retry_after_s) = self.sign_ins().attempts.wait_s(username, address, now) {
            return Err(AppError::TooManyRequests {
                detail: "too many sign-ins have failed for this account or from this address".to_owned(),
                retry_after_s,
            });
        }
        let user = {
            let mut conn = self.db().conn().await?;
            muster_db::users::by_name(&mut conn, username).await?
        };
        let user = user.filter(|user| user.disabled_at.is_none());
        let Some((user, rehash)) = self.password_check(user, password).await? else {
            self.sign_ins().attempts.failed(username, address, self.now());
            tracing::warn!(?address, "sign-in refused");
            return Err(AppError::Unauthenticated {
                code: "sign_in_failed",
                detail: "the user name or the password is wrong".to_owned(),
            });
        };
        self.sign_ins().attempts.succeeded(username, address);
        let token = SessionToken::generate(Uuid::now_v7());
        let hash = token.secret.hash();
        let expires_at = now + SESSION_LIFE;
        let mut tx = self.db().begin().await?;
        let session = NewSession {
            id: token.id,
            user: user.id,
            secret_hash: hash.as_bytes(),
            created_at: now,
            expires_at,
        };
        muster_db::sessions::insert(&mut tx, &session).await?;
        if let Some(rehash) = rehash {
            muster_db::users::set_password_hash(&mut tx, user.id, &user.password_hash, &rehash).await?;
        }
        let detail = serde_json::json!({ "address": address });
        self.audit(&mut tx, &user.name, "session_create", format!("user {}", user.name), detail).await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        let signed_in = SignedIn {
            actor: Actor { user: user.id, name: user.name, role: user.role, address },
            credential: Credential::Session(token.id),
            expires_at: Some(expires_at),
        };
        Ok((signed_in, SecretString::from(token.reveal().to_string())))
    }

    /// Whether the password is this user's, taking as long when there is no such user. Gives a new hash when the stored
    /// one was made with weaker parameters.
    async fn password_check(
        &self,
        user: Option<User>,
        password: SecretString,
    ) -> Result<Option<(User, Option<String>)>, AppError> {
        let hashing = self.sign_ins().hashing.acquire();
        let permit =
            tokio::time::timeout(HASH_TURN, hashing).await.map_err(|_| AppError::TooManyRequests {
                detail: "too many people sign in at this moment".to_owned(),
                retry_after_s: 5,
            })?;
        let checked = tokio::task::spawn_blocking(move || {
            let password = password.expose_secret();
            let Some(user) = user else {
                passwords::verify_nothing(password);
                return Ok(None);
            };
            if !passwords::verify(password, &user.password_hash)? {
                return Ok(None);
            }
            let rehash =
                if passwords::outdated(&user.password_hash) { passwords::hash(password).ok() } else { None };
            Ok::<_, passwords::PasswordError>(Some((user, rehash)))
        })
        .await;
        drop(permit);
        checked
            .map_err(|e| AppError::internal("the password could not be checked", e))?
            .map_err(|e| AppError::internal("the password could not be checked", e))
    }

    /// Who a session cookie belongs to.
    pub async fn session_authenticate(
        &self,
        cookie: &str,
        address: Option<IpAddr>,
    ) -> Result<SignedIn, AppError> {
        let now = self.now();
        let ended = || AppError::Unauthenticated {
            code: "session_ended",
            detail: "the session has ended; sign in again".to_owned(),
        };
        let token = SessionToken::parse(cookie).map_err(|_| ended())?;
        let mut conn = self.db().conn().await?;
        let record = muster_db::sessions::get(&mut conn, token.id).await?.ok_or_else(ended)?;
        let known =
            SecretHash::from_slice(&record.secret_hash).is_some_and(|hash| hash.matches(&token.secret));
        let idle = now - record.last_seen_at >= SESSION_IDLE;
        if !known || record.user_disabled || idle || now >= record.expires_at {
            return Err(ended());
        }
        if now - record.last_seen_at >= TOUCH_EVERY {
            muster_db::sessions::touch(&mut conn, record.id, now).await?;
        }
        Ok(SignedIn {
            actor: Actor { user: record.user, name: record.username, role: record.role, address },
            credential: Credential::Session(record.id),
            expires_at: Some(record.expires_at),
        })
    }

    /// Signs out. For an API token there is nothing to end: it is withdrawn with `token_revoke`.
    pub async fn session_delete(&self, who: &SignedIn) -> Result<(), AppError> {
        let Credential::Session(id) = who.credential else {
            return Err(AppError::conflict(
                "not_a_session",
                "this request came with an API token, not with a session",
            )
            .with_hint("an API token is withdrawn with `DELETE /api/v1/tokens/{id}`"));
        };
        let mut tx = self.db().begin().await?;
        muster_db::sessions::delete(&mut tx, id).await?;
        let name = &who.actor.name;
        self.audit(&mut tx, name, "session_delete", format!("user {name}"), serde_json::json!({})).await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        Ok(())
    }

    /// Whether a sign-in still holds: for answers that last, such as live messages.
    pub async fn credential_holds(&self, who: &SignedIn) -> Result<bool, AppError> {
        let now = self.now();
        if who.expires_at.is_some_and(|end| now >= end) {
            return Ok(false);
        }
        let mut conn = self.db().conn().await?;
        Ok(match who.credential {
            // A page that is open is in use.
            Credential::Session(id) => match muster_db::sessions::get(&mut conn, id).await? {
                Some(record) if !record.user_disabled => {
                    muster_db::sessions::touch(&mut conn, id, now).await?;
                    true
                }
                _ => false,
            },
            Credential::Token(id) => muster_db::tokens::credential(&mut conn, id)
                .await?
                .is_some_and(|found| found.token.revoked_at.is_none() && !found.user_disabled),
        })
    }

    /// Who an API token belongs to.
    pub async fn token_authenticate(
        &self,
        bearer: &str,
        address: Option<IpAddr>,
    ) -> Result<SignedIn, AppError> {
        let now = self.now();
        let refused = |code, detail: &str| AppError::Unauthenticated { code, detail: detail.to_owned() };
        let presented = ApiToken::parse(bearer).map_err(|e| refused("token_invalid", &e.to_string()))?;
        let mut conn = self.db().conn().await?;
        let unknown = || refused("token_invalid", "this API token is not known here");
        let found = muster_db::tokens::credential(&mut conn, presented.id).await?.ok_or_else(unknown)?;
        if !SecretHash::from_slice(&found.secret_hash).is_some_and(|hash| hash.matches(&presented.secret)) {
            return Err(unknown());
        }
        let token = found.token;
        if token.revoked_at.is_some() {
            return Err(refused("token_revoked", "this API token was withdrawn"));
        }
        if token.expires_at.is_some_and(|end| now >= end) {
            return Err(refused(
                "token_expired",
                "this API token has ended; make another with `muster login`",
            ));
        }
        if found.user_disabled {
            return Err(refused("account_closed", "the account of this API token is closed"));
        }
        if token.last_used_at.is_none_or(|last| now - last >= TOUCH_EVERY) {
            muster_db::tokens::touch(&mut conn, token.id, now).await?;
        }
        Ok(SignedIn {
            actor: Actor { user: token.user, name: token.username, role: found.role, address },
            credential: Credential::Token(token.id),
            expires_at: token.expires_at,
        })
    }

    /// The tokens of the caller; of everybody for those who may see them.
    pub async fn token_list(&self, actor: &Actor) -> Result<Vec<TokenRecord>, AppError> {
        let everybody = actor.require(Permission::TokenManageAll).is_ok();
        let mut conn = self.db().conn().await?;
        let user = if everybody { None } else { Some(actor.user) };
        Ok(muster_db::tokens::list(&mut conn, user, TOKENS_LISTED).await?)
    }

    /// Makes an API token with the rights of the caller. A token that ends cannot make one that outlives it.
    pub async fn token_create(
        &self,
        who: &SignedIn,
        name: &str,
        ttl_s: Option<u64>,
    ) -> Result<(TokenRecord, SecretString), AppError> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(AppError::invalid(
                "invalid_name",
                format!("the token name {:?} is not valid", shorten(name)),
            )
            .with_hint("say what the token is for in 1 to 100 characters: `ci`, `laptop of Amara`"));
        }
        if ttl_s.is_some_and(|s| !(60..=TOKEN_LIFE_AT_MOST_S).contains(&s)) {
            return Err(AppError::invalid("invalid_value", "`ttl_s` is out of range")
                .with_hint("use 60 or more seconds, or leave it out for a token without an end"));
        }
        let now = self.now();
        let asked = ttl_s.and_then(|s| TimeDelta::try_seconds(i64::try_from(s).ok()?)).map(|life| now + life);
        let limit = match who.credential {
            Credential::Token(_) => who.expires_at,
            Credential::Session(_) => None,
        };
        let expires_at = [asked, limit].into_iter().flatten().min();
        let token = ApiToken::generate(TokenId::from_uuid(Uuid::now_v7()));
        let hash = token.secret.hash();
        let new = NewToken {
            id: token.id,
            user: who.actor.user,
            name,
            secret_hash: hash.as_bytes(),
            created_at: now,
            expires_at,
        };
        let mut tx = self.db().begin().await?;
        muster_db::tokens::insert(&mut tx, &new).await?;
        let detail = serde_json::json!({ "name": name, "expires_at": expires_at });
        self.audit(&mut tx, &who.actor.name, "token_create", format!("token {}", token.id), detail).await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        let record = TokenRecord {
            id: token.id,
            user: who.actor.user,
            username: who.actor.name.clone(),
            name: name.to_owned(),
            created_at: now,
            expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        Ok((record, SecretString::from(token.reveal().to_string())))
    }

    /// Withdraws an API token: one's own, or anybody's for those who may.
    pub async fn token_revoke(&self, actor: &Actor, id: TokenId) -> Result<(), AppError> {
        let missing = || AppError::not_found("token", id).with_hint("`GET /api/v1/tokens` lists them");
        let mut tx = self.db().begin().await?;
        let found = muster_db::tokens::credential(&mut tx, id).await?.ok_or_else(missing)?;
        if found.token.user != actor.user && actor.require(Permission::TokenManageAll).is_err() {
            // The ids of other people's tokens are none of the caller's business.
            return Err(missing());
        }
        if muster_db::tokens::revoke(&mut tx, id, self.now()).await? {
            let detail = serde_json::json!({ "name": found.token.name, "user": found.token.username });
            self.audit(&mut tx, &actor.name, "token_revoke", format!("token {id}"), detail).await?;
        }
        tx.commit().await.map_err(muster_db::DbError::from)?;
        Ok(())
    }

    /// Makes the first account, an administrator. False: there are accounts already, and nothing was done.
    pub async fn user_create_first(&self, name: &str, password: SecretString) -> Result<bool, AppError> {
        let mut tx = self.db().begin().await?;
        if muster_db::users::count(&mut tx).await? > 0 {
            return Ok(false);
        }
        let password_hash = tokio::task::spawn_blocking(move || passwords::hash(password.expose_secret()))
            .await
            .map_err(|e| AppError::internal("the password could not be hashed", e))?
            .map_err(|e| AppError::invalid("invalid_password", e))?;
        let user = User {
            id: UserId::from_uuid(Uuid::now_v7()),
            name: name.to_owned(),
            password_hash,
            role: UserRole::Admin,
            created_at: self.now(),
            disabled_at: None,
        };
        let created = muster_db::users::insert(&mut tx, &user).await?;
        let subject = format!("user {name}");
        self.audit(
            &mut tx,
            crate::events::CONTROLLER,
            "user_create",
            subject,
            serde_json::json!({ "role": "admin" }),
        )
        .await?;
        tx.commit().await.map_err(muster_db::DbError::from)?;
        Ok(created)
    }

    /// Whether the database answers.
    pub async fn readiness_check(&self) -> Result<(), AppError> {
        let mut conn = self.db().conn().await?;
        muster_db::users::count(&mut conn).await?;
        Ok(())
    }

    /// Forgets sessions that have ended. Gives back how many.
    pub async fn sessions_forget(&self) -> Result<u64, AppError> {
        let now = self.now();
        let mut conn = self.db().conn().await?;
        Ok(muster_db::sessions::delete_ended(&mut conn, now, now - SESSION_IDLE).await?)
    }

    /// Writes an entry of the audit log, in the transaction of what it tells.
    pub(crate) async fn audit(
        &self,
        conn: &mut Conn,
        actor: &str,
        action: &str,
        subject: String,
        detail: serde_json::Value,
    ) -> Result<(), AppError> {
        let entry = AuditEntry { at: self.now(), actor, action, subject: &subject, detail };
        Ok(muster_db::audit::append(conn, &entry).await?)
    }
}
