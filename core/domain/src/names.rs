//! Names that people choose. They travel through file paths, environment variables, certificates and URLs, so the grammar
//! is the strictest of them: a DNS label.

use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

/// A name that does not fit its grammar. The text says what would fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name {given:?} is not valid: {rule}")]
pub struct InvalidName {
    /// What was being named.
    pub kind: &'static str,
    /// What was given, cut to a printable length.
    pub given: String,
    /// The grammar, in words.
    pub rule: &'static str,
}

const LABEL_RULE: &str =
    "use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit";
const VERSION_RULE: &str = "use 1 to 64 letters, digits and . _ + -, beginning with a letter or digit";

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

fn check_label(kind: &'static str, text: &str) -> Result<(), InvalidName> {
    let bytes = text.as_bytes();
    let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ok = (1..=63).contains(&bytes.len())
        && edge(bytes[0])
        && edge(bytes[bytes.len() - 1])
        && bytes.iter().all(|&b| edge(b) || b == b'-');
    if ok { Ok(()) } else { Err(InvalidName { kind, given: shorten(text), rule: LABEL_RULE }) }
}

fn check_version(kind: &'static str, text: &str) -> Result<(), InvalidName> {
    let bytes = text.as_bytes();
    let ok = (1..=64).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|&b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-'));
    if ok { Ok(()) } else { Err(InvalidName { kind, given: shorten(text), rule: VERSION_RULE }) }
}

macro_rules! name_type {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $check:ident, $pattern:literal);+ $(;)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses a name; the error says what the grammar is.
            pub fn parse(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                $check($kind, &text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::parse(text)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    )+};
}

name_type! {
    /// The name of a node, unique in the fleet; also the common name of its certificate.
    NodeName, "node", check_label, "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
    /// The name of an environment: `staging`, `production`.
    EnvironmentName, "environment", check_label, "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
    /// The name of an application.
    ApplicationName, "application", check_label, "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
    /// The version of a release, unique within its application; chosen by people or derived from git.
    ReleaseVersion, "release", check_version, "^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$";
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_follow_the_label_grammar() {
        for good in ["a", "app-1", "0", "a--b", &"x".repeat(63)] {
            assert!(NodeName::parse(good).is_ok(), "{good} should be accepted");
        }
        for bad in ["", "-a", "a-", "App", "a_b", "a.b", "ä", "../x", &"x".repeat(64)] {
            assert!(NodeName::parse(bad).is_err(), "{bad} should be refused");
        }
    }

    #[test]
    fn versions_allow_what_git_describe_prints() {
        for good in ["1", "v1.2.3", "1.0.0-rc.1+build.5", "v1.2-14-g2414721"] {
            assert!(ReleaseVersion::parse(good).is_ok(), "{good} should be accepted");
        }
        for bad in ["", ".", "..", "-x", "a/b", "a b"] {
            assert!(ReleaseVersion::parse(bad).is_err(), "{bad} should be refused");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*") {
            prop_assert_eq!(NodeName::parse(text.clone()).is_ok(), ApplicationName::parse(text.clone()).is_ok());
            if let Ok(version) = ReleaseVersion::parse(text.clone()) {
                prop_assert_eq!(version.as_str(), text);
            }
        }
    }
}
