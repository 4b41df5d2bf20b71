//! Passwords of people: argon2id, kept as PHC strings.
//!
//! Hashing takes tens of milliseconds of a processor on purpose: call it where blocking is allowed.

use crate::random;
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// OWASP's second choice for argon2id (19 MiB, two passes, one lane). The first (46 MiB, one pass) is as hard to attack,
/// but twenty sign-ins at once would take a gigabyte of a small controller.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The shortest password that a person may choose (NIST SP 800-63B asks for 8, and for 15 without a second factor).
pub const MIN_PASSWORD_CHARS: usize = 12;

/// The longest that is hashed: enough for any pass phrase, too little to keep a processor busy.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Without letters and digits that look alike (0 o, 1 l i).
const READABLE: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// A password that may not be used, or a hash that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error("the password is too short: use {MIN_PASSWORD_CHARS} characters or more")]
    TooShort,
    /// Too long.
    #[error("the password is too long: use {MAX_PASSWORD_BYTES} bytes or fewer")]
    TooLong,
    /// The stored hash is not one.
    #[error("the stored password hash cannot be read")]
    Unreadable,
    /// The hash function failed; not enough memory, most likely.
    #[error("the password could not be hashed: {0}")]
    Failed(String),
}

fn hasher() -> Argon2<'static> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are within the limits of argon2");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hashes a password that a person chose, after checking its length.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return Err(PasswordError::TooShort);
    }
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(PasswordError::TooLong);
    }
    hasher()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|e| PasswordError::Failed(e.to_string()))
}

/// Whether a password belongs to a stored hash. A password that is too long does not.
pub fn verify(password: &str, stored: &str) -> Result<bool, PasswordError> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Ok(false);
    }
    let stored = PasswordHash::new(stored).map_err(|_| PasswordError::Unreadable)?;
    match hasher().verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(e) => Err(PasswordError::Failed(e.to_string())),
    }
}

/// Takes as long as [`verify`] and answers nothing: for a sign-in under a name that does not exist, so that the time of
/// the answer does not tell which names do.
pub fn verify_nothing(password: &str) {
    static DECOY: OnceLock<String> = OnceLock::new();
    let decoy = DECOY.get_or_init(|| hash(&generate()).unwrap_or_default());
    // Whatever it says: nobody has this password.
    drop(verify(password, decoy));
}

/// Whether a stored hash was made with other parameters than today's; hash again at the next sign-in.
#[must_use]
pub fn outdated(stored: &str) -> bool {
    PasswordHash::new(stored).map_or(true, |hash| {
        hash.algorithm.as_str() != "argon2id"
            || Params::try_from(&hash).map_or(true, |p| {
                p.m_cost() < MEMORY_KIB || (p.m_cost() == MEMORY_KIB && p.t_cost() < PASSES)
            })
    })
}

/// A password to print once: four groups of five, 99 bits.
#[must_use]
pub fn generate() -> Zeroizing<String> {
    Zeroizing::new((0..4).map(|_| random::text(READABLE, 5)).collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_recognised_and_another_is_not() {
        let stored = hash("correct horse battery").unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert_eq!(verify("correct horse battery", &stored), Ok(true));
        assert_eq!(verify("correct horse batterz", &stored), Ok(false));
        assert_eq!(verify("", &stored), Ok(false));
        assert_ne!(stored, hash("correct horse battery").unwrap());
        assert!(!outdated(&stored));
    }

    #[test]
    fn lengths_are_bounded_both_ways() {
        assert_eq!(hash("short"), Err(PasswordError::TooShort));
        assert_eq!(hash(&"x".repeat(1025)), Err(PasswordError::TooLong));
        let stored = hash(&"ä".repeat(12)).unwrap();
        assert_eq!(verify(&"x".repeat(10_000_000), &stored), Ok(false));
    }

    #[test]
    fn garbage_and_weak_hashes_are_noticed() {
        assert_eq!(verify("whatever it is", "not a hash"), Err(PasswordError::Unreadable));
        assert!(outdated("not a hash"));
        assert!(outdated(
            "$argon2id$v=19$m=4096,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$WwQ7ktV8xGBa2wJv3Ql5Cn6nRKzhYk3yJz0WzVJX1cA"
        ));
    }

    #[test]
    fn generated_passwords_are_acceptable_and_differ() {
        let (one, two) = (generate(), generate());
        assert_ne!(*one, *two);
        assert_eq!(one.len(), 23);
        assert_eq!(verify(&one, &hash(&one).unwrap()), Ok(true));
        verify_nothing(&two);
    }
}
