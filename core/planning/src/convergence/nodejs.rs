//! Versions of Node.js, in npm's grammar.

use super::{Action, Verdict};
use muster_domain::resource::Nodejs;
use nodejs_semver::{Range, Version};
use std::fmt;

/// A range of versions: `22`, `22.x`, `>=20.19 <23`, `^20 || ^22`, `*`.
#[derive(Debug, Clone)]
pub struct NodeRange {
    text: String,
    range: Range,
}

/// A text that is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not a range of versions; write it as npm does, for example 22, ^20.19 or >=20 <23")]
pub struct InvalidRange {
    given: String,
}

impl NodeRange {
    /// The longest text that is looked at.
    pub const MAX_BYTES: usize = 256;

    /// Reads a range. No text at all means any version, as in npm.
    pub fn parse(text: &str) -> Result<Self, InvalidRange> {
        let invalid = || InvalidRange { given: text.chars().take(80).collect() };
        let trimmed = text.trim();
        if trimmed.len() > Self::MAX_BYTES || trimmed.chars().any(char::is_control) {
            return Err(invalid());
        }
        let range =
            if trimmed.is_empty() { Range::any() } else { Range::parse(trimmed).map_err(|_| invalid())? };
        Ok(Self { text: text.to_owned(), range })
    }

    /// Whether a version lies in the range. What is no version does not.
    pub fn satisfied_by(&self, version: &str) -> bool {
        Version::parse(version).is_ok_and(|version| self.range.satisfies(&version))
    }
}

impl fmt::Display for NodeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The newest of these versions that lies in the range; among equals the first.
pub fn newest_satisfying<'a>(
    range: &NodeRange,
    versions: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let mut newest: Option<(Version, &str)> = None;
    for text in versions {
        let Ok(version) = Version::parse(text) else { continue };
        if range.range.satisfies(&version) && newest.as_ref().is_none_or(|(known, _)| version > *known) {
            newest = Some((version, text));
        }
    }
    newest.map(|(_, text)| text)
}

pub(super) fn verdict(wanted: &Nodejs, versions: &[String]) -> Verdict {
    let Nodejs { range, mirror: _ } = wanted;
    let range = match NodeRange::parse(range) {
        Ok(range) => range,
        Err(error) => return Verdict::Impossible { reason: error.to_string() },
    };
    if newest_satisfying(&range, versions.iter().map(String::as_str)).is_some() {
        return Verdict::InPlace;
    }
    let installed = match versions {
        [] => "none is installed".to_owned(),
        some => format!("installed: {}", some.join(", ")),
    };
    Verdict::Change {
        actions: vec![Action::InstallNodejs],
        reason: format!("no Node.js satisfies {range} ({installed})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_mean_what_npm_means() {
        for (range, inside, outside) in [
            ("22", "22.11.0", "23.0.0"),
            ("22.x", "22.0.0", "21.9.9"),
            (">=20.19 <23", "22.99.0", "20.18.9"),
            ("^20", "20.0.0", "21.0.0"),
            ("~20.1", "20.1.9", "20.2.0"),
            ("20.20.2", "20.20.2", "20.20.3"),
            ("^18.17 || >=20", "21.0.0", "19.0.0"),
            ("20 - 21", "21.9.0", "22.0.0"),
            ("v20", "20.1.0", "21.1.0"),
        ] {
            let range = NodeRange::parse(range).unwrap();
            assert!(range.satisfied_by(inside), "{inside} should satisfy {range}");
            assert!(!range.satisfied_by(outside), "{outside} should not satisfy {range}");
        }
        for any in ["*", "", " "] {
            assert!(NodeRange::parse(any).unwrap().satisfied_by("22.0.0"), "{any:?}");
        }
        for bad in ["latest", ">=", "22; rm", &"1".repeat(300), "2\n2"] {
            assert!(NodeRange::parse(bad).is_err(), "{bad:?} should be refused");
        }
    }

    #[test]
    fn versions_before_a_release_do_not_count() {
        assert!(!NodeRange::parse(">=20").unwrap().satisfied_by("23.0.0-nightly"));
    }

    #[test]
    fn the_newest_is_found_by_number_not_by_text() {
        let range = NodeRange::parse(">=9").unwrap();
        assert_eq!(newest_satisfying(&range, ["9.9.9", "22.2.0", "22.11.0", "junk"]), Some("22.11.0"));
        assert_eq!(newest_satisfying(&range, ["8.0.0"]), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,80}", version in ".{0,20}") {
            if let Ok(range) = NodeRange::parse(&text) {
                range.satisfied_by(&version);
            }
        }
    }
}
