//! Which variables look like secrets. Wrongly taking one for a secret costs a command; the other way round it ends up in
//! a file that people commit.

/// Parts of names.
const NAMES: [&str; 10] =
    ["KEY", "SECRET", "TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "DSN", "CREDENTIAL", "PRIVATE", "COOKIE"];
/// Parts between underscores.
const SEGMENTS: [&str; 4] = ["PASS", "PWD", "AUTH", "SALT"];
/// Beginnings of values that only secrets have.
const VALUES: [&str; 10] = [
    "-----BEGIN ",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "ghp_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "AKIA",
    "eyJhbGciOi",
];

/// Whether a variable looks like a secret, by its name or by its value.
pub fn looks_secret(name: &str, value: &str) -> bool {
    // The working directory, in spite of its name.
    if value.is_empty() || matches!(value, "true" | "false" | "null") || matches!(name, "PWD" | "OLDPWD") {
        return false;
    }
    let upper = name.to_ascii_uppercase();
    NAMES.iter().any(|part| upper.contains(part))
        || upper.split(['_', '-', '.']).any(|segment| SEGMENTS.contains(&segment))
        || VALUES.iter().any(|beginning| value.starts_with(beginning))
        || has_credentials(value)
}

/// `scheme://user:password@host`, and parameters that are credentials.
fn has_credentials(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A password may hold a slash that nobody encoded.
    let credentials =
        authority.contains('@') || rest.split_once('@').is_some_and(|(before, _)| before.contains(':'));
    let query = rest.to_ascii_lowercase();
    credentials
        || ["password=", "token=", "apikey=", "api_key=", "secret="].iter().any(|key| query.contains(key))
}

/// Whether an argument of a command line looks as if it held a secret.
pub(crate) fn argument_looks_secret(argument: &str) -> bool {
    match argument.trim_start_matches('-').split_once('=') {
        Some((name, value)) if argument.starts_with('-') => looks_secret(name, value),
        _ => has_credentials(argument) || VALUES.iter().any(|beginning| argument.starts_with(beginning)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_name_and_by_value() {
        for (name, value) in [
            ("STRIPE_KEY", "x"),
            ("apiKey", "x"),
            ("SESSION_SECRET", "x"),
            ("GITHUB_TOKEN", "x"),
            ("DB_PASSWORD", "123"),
            ("DB_PASS", "x"),
            ("DB_PWD", "x"),
            ("SENTRY_DSN", "https://abc@sentry.example/1"),
            ("DATABASE_URL", "postgres://shop:hunter2@db/shop"),
            ("REDIS", "redis://:hunter2@cache:6379"),
            ("AMQP", "amqp://u:p/w@mq"),
            ("HOOK", "https://hooks.example/x?token=abc"),
            ("CERT", "-----BEGIN RSA PRIVATE KEY-----"),
        ] {
            assert!(looks_secret(name, value), "{name}");
        }
        for (name, value) in [
            ("NODE_ENV", "production"),
            ("PORT", "3000"),
            ("API_URL", "https://api.example/v1"),
            ("REDIS_URL", "redis://cache:6379"),
            ("FEATURE_TOKEN_LOGIN", "true"),
            ("EMPTY_KEY", ""),
            ("PASSENGER_COUNT", "4"),
            ("PWD", "/srv/shop"),
        ] {
            assert!(!looks_secret(name, value), "{name}");
        }
        assert!(argument_looks_secret("--token=abc") && argument_looks_secret("postgres://a:b@c/d"));
        assert!(!argument_looks_secret("--queue=mail") && !argument_looks_secret("KEY"));
    }
}
