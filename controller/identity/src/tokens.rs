//! Bearer secrets: join tokens of hosts, API tokens and sessions of people.
//!
//! All have one shape: an id to look the row up by, and a secret that is compared with a stored hash. The secret carries
//! 256 bits of our own randomness, so a plain SHA-256 is the right hash: nobody can guess the preimage, and a slow
//! password hash would only burden every request. The comparison takes the same time wherever the first difference is.

use crate::random;
use muster_domain::{EnrolmentId, TokenId};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

/// 43 letters and digits carry 256 bits.
const SECRET_LEN: usize = 43;

const JOIN_PREFIX: &str = "muster_join_";
const API_PREFIX: &str = "muster_api_";
const SESSION_PREFIX: &str = "muster_session_";

/// A text that is not a token of the wanted kind. Says why without repeating the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not {kind}: {reason}")]
pub struct InvalidToken {
    /// What was expected.
    pub kind: &'static str,
    /// What is wrong.
    pub reason: &'static str,
}

/// A random secret in the clear. Exists where it was made and where it was presented, never in the database.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Draws one.
    #[must_use]
    pub fn generate() -> Self {
        Self(Zeroizing::new(random::alphanumeric(SECRET_LEN)))
    }

    /// Reads one that was presented.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        if text.len() == SECRET_LEN && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(InvalidToken { kind: "a secret", reason: "a secret is 43 letters and digits" })
        }
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The secret itself, to hand it to its owner once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The stored half of a [`Secret`].
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Reads a column. None when it is not 32 bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// For a column.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `secret` is the one that this was made from. Constant time.
    #[must_use]
    pub fn matches(&self, secret: &Secret) -> bool {
        self.0.ct_eq(&secret.hash().0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// `muster_join_<id>_<secret>_<sha256 of the root certificate>`: what a person pastes on a new host. The fingerprint lets
/// the host check the controller before it sends the secret anywhere.
#[derive(Debug, Clone)]
pub struct JoinToken {
    /// The invitation.
    pub id: EnrolmentId,
    /// Its secret.
    pub secret: Secret,
    /// SHA-256 of the root certificate's DER.
    pub root_sha256: [u8; 32],
}

impl JoinToken {
    /// A fresh token for an invitation.
    #[must_use]
    pub fn generate(id: EnrolmentId, root_sha256: [u8; 32]) -> Self {
        Self { id, secret: Secret::generate(), root_sha256 }
    }

    /// Reads a pasted token.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let kind = "a join token";
        let parts = split::<3>(kind, JOIN_PREFIX, text)?;
        let mut root_sha256 = [0; 32];
        hex::decode_to_slice(parts[2], &mut root_sha256).map_err(|_| InvalidToken {
            kind,
            reason: "it does not end with the 64 digits of the fleet's fingerprint; was it cut?",
        })?;
        Ok(Self {
            id: EnrolmentId::from_uuid(id(kind, parts[0])?),
            secret: secret(kind, parts[1])?,
            root_sha256,
        })
    }

    /// The text to paste. Shown once.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        let head = assemble(JOIN_PREFIX, self.id.as_uuid(), &self.secret);
        Zeroizing::new(format!("{}_{}", *head, hex::encode(self.root_sha256)))
    }

    /// The id as it stands in the token and in the enrolment request.
    #[must_use]
    pub fn id_text(id: EnrolmentId) -> String {
        id.as_uuid().simple().to_string()
    }
}

/// `muster_api_<id>_<secret>`: what a program presents.
#[derive(Debug, Clone)]
pub struct ApiToken {
    /// The row.
    pub id: TokenId,
    /// Its secret.
    pub secret: Secret,
}

impl ApiToken {
    /// A fresh token.
    #[must_use]
    pub fn generate(id: TokenId) -> Self {
        Self { id, secret: Secret::generate() }
    }

    /// Reads a presented token.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let kind = "an API token";
        let parts = split::<2>(kind, API_PREFIX, text)?;
        Ok(Self { id: TokenId::from_uuid(id(kind, parts[0])?), secret: secret(kind, parts[1])? })
    }

    /// The text to hand over. Shown once.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        assemble(API_PREFIX, self.id.as_uuid(), &self.secret)
    }
}

/// `muster_session_<id>_<secret>`: the value of a browser's session cookie.
#[derive(Debug, Clone)]
pub struct SessionToken {
    /// The row.
    pub id: Uuid,
    /// Its secret.
    pub secret: Secret,
}

impl SessionToken {
    /// A fresh session.
    #[must_use]
    pub fn generate(id: Uuid) -> Self {
        Self { id, secret: Secret::generate() }
    }

    /// Reads a cookie.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let kind = "a session";
        let parts = split::<2>(kind, SESSION_PREFIX, text)?;
        Ok(Self { id: id(kind, parts[0])?, secret: secret(kind, parts[1])? })
    }

    /// The value of the cookie.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        assemble(SESSION_PREFIX, self.id, &self.secret)
    }
}

fn assemble(prefix: &str, id: Uuid, secret: &Secret) -> Zeroizing<String> {
    Zeroizing::new(format!("{prefix}{}_{}", id.simple(), secret.reveal()))
}

fn split<'a, const N: usize>(
    kind: &'static str,
    prefix: &'static str,
    text: &'a str,
) -> Result<[&'a str; N], InvalidToken> {
    let rest = text
        .trim()
        .strip_prefix(prefix)
        .ok_or(InvalidToken { kind, reason: "it begins with another word; paste the whole token" })?;
    let parts: Vec<&str> = rest.splitn(N + 1, '_').collect();
    parts.try_into().map_err(|_| InvalidToken { kind, reason: "a part is missing; paste the whole token" })
}

fn id(kind: &'static str, text: &str) -> Result<Uuid, InvalidToken> {
    Uuid::try_parse(text).map_err(|_| InvalidToken { kind, reason: "its id cannot be read" })
}

fn secret(kind: &'static str, text: &str) -> Result<Secret, InvalidToken> {
    Secret::parse(text).map_err(|e| InvalidToken { kind, reason: e.reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join() -> JoinToken {
        JoinToken::generate(EnrolmentId::from_uuid(Uuid::now_v7()), [0xab; 32])
    }

    #[test]
    fn tokens_round_trip() {
        let token = join();
        let back = JoinToken::parse(&format!("  {}\n", *token.reveal())).unwrap();
        assert_eq!((back.id, back.root_sha256), (token.id, token.root_sha256));
        assert!(token.secret.hash().matches(&back.secret));

        let api = ApiToken::generate(TokenId::from_uuid(Uuid::now_v7()));
        let back = ApiToken::parse(&api.reveal()).unwrap();
        assert!(back.id == api.id && api.secret.hash().matches(&back.secret));

        let session = SessionToken::generate(Uuid::now_v7());
        let back = SessionToken::parse(&session.reveal()).unwrap();
        assert!(back.id == session.id && session.secret.hash().matches(&back.secret));
    }

    #[test]
    fn another_secret_does_not_match() {
        let hash = Secret::generate().hash();
        assert!(!hash.matches(&Secret::generate()));
        assert!(SecretHash::from_slice(&[0; 31]).is_none());
        assert!(SecretHash::from_slice(hash.as_bytes()).is_some());
    }

    #[test]
    fn what_is_not_a_token_is_refused_without_repeating_it() {
        let whole = join().reveal().to_string();
        let cut = &whole[..whole.len() - 1];
        let longer = format!("{whole}_x");
        let api = ApiToken::generate(TokenId::from_uuid(Uuid::now_v7())).reveal().to_string();
        for bad in
            ["", "muster_join_", "hunter2", cut, &longer, &api, &whole.replace('_', "-"), "muster_join_ä_ö_ü"]
        {
            let error = JoinToken::parse(bad).unwrap_err();
            assert!(bad.len() < 8 || !error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let token = join();
        let shown = format!("{token:?} {:?}", token.secret.hash());
        assert!(!shown.contains(token.secret.reveal()), "{shown}");
        assert!(!shown.contains(&hex::encode(token.secret.hash().as_bytes())), "{shown}");
    }
}
