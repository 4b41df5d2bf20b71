//! Keeps secrets out of what the agent tells. Applications print what they like, also the values they were given to keep;
//! their last words are quoted in reports, in the agent's own log and on the dashboard.
//!
//! Known are the values that the assignment marks as secrets, those of variables whose names say so, and passwords in
//! addresses. What was known once stays known until the agent ends: a process may outlive the value that it was started
//! with.

use muster_domain::{
    assignment::AssignmentContent,
    resource::{DesiredState, Resource},
};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

/// Stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// Values from this length on are found inside words as well; shorter ones only where they stand alone, or every text
/// with that letter would be unreadable.
const MIN_INSIDE_BYTES: usize = 4;

/// A value that is only guessed to be secret, by the name of its variable, is one from this length on: `AUTH_MODE=on`.
const MIN_GUESSED_BYTES: usize = 6;

/// One line of a secret of several lines, such as a key file, counts from this length on.
const MIN_PART_BYTES: usize = 8;

/// A file of one line that is longer than this is no word that anybody quotes.
const MAX_WHOLE_BYTES: usize = 4096;

/// So much of a secret's beginning is redacted at the end of a line that may have been cut in it.
const MIN_CUT_BYTES: usize = 4;

/// Parts of names of variables that hold secrets.
const NAMES: [&str; 10] = [
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "TOKEN",
    "CREDENTIAL",
    "PRIVATE",
    "APIKEY",
    "DSN",
    "COOKIE",
];

/// The same, between underscores.
const SEGMENTS: [&str; 5] = ["KEY", "PASS", "PWD", "AUTH", "SALT"];

/// The secrets that are known, the longest first.
#[derive(Debug, Default)]
pub struct Redactor {
    secrets: RwLock<Vec<Secret>>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Secret(String);

impl Redactor {
    /// Learns the secrets of an assignment.
    pub fn learn(&self, content: &AssignmentContent) {
        self.learn_resources(&content.resources);
    }

    fn learn_resources(&self, resources: &[Resource]) {
        let mut found = BTreeSet::new();
        for resource in resources {
            match &resource.desired {
                DesiredState::Application(application) => {
                    let env = application.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                    of_variables(env, &application.secrets, &mut found);
                }
                // They stand in a file of root's, and its differences are shown.
                DesiredState::CronJob(job) => {
                    let env = job.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                    of_variables(env, &BTreeSet::new(), &mut found);
                }
                DesiredState::SecretFile(file) => of_content(&file.content, &mut found),
                DesiredState::File(file) if file.sensitive => of_content(&file.content, &mut found),
                _ => {}
            }
        }
        self.add(found);
    }

    /// Learns the secrets that an application was started with, which may be older than those it is meant to have.
    /// `secrets` are the names that are declared as such.
    pub fn learn_running<'a>(
        &self,
        secrets: Option<&BTreeSet<String>>,
        env: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        let mut found = BTreeSet::new();
        of_variables(env, secrets.unwrap_or(&BTreeSet::new()), &mut found);
        self.add(found);
    }

    fn add(&self, found: BTreeSet<String>) {
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        for value in found {
            if !secrets.iter().any(|known| known.0 == value) {
                secrets.push(Secret(value));
            }
        }
        // A secret that contains another must go first, or its rest would stay.
        secrets.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
    }

    /// The text without secrets.
    #[must_use]
    pub fn clean(&self, text: String) -> String {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let mut text = text;
        for Secret(secret) in secrets.iter() {
            if let Cow::Owned(cleaned) = replace(&text, secret) {
                text = cleaned;
            }
        }
        text
    }

    /// A line that may have been cut somewhere: the beginning of a secret at its end goes as well.
    #[must_use]
    pub fn clean_line(&self, line: String) -> String {
        let mut line = self.clean(line);
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        let cut = secrets
            .iter()
            .filter_map(|Secret(secret)| {
                let ends = secret.char_indices().map(|(end, _)| end).filter(|end| *end >= MIN_CUT_BYTES);
                ends.filter(|end| line.ends_with(&secret[..*end])).max()
            })
            .max();
        if let Some(cut) = cut {
            line.truncate(line.len() - cut);
            line.push_str(REDACTED);
        }
        line
    }
}

fn replace<'a>(text: &'a str, secret: &str) -> Cow<'a, str> {
    if !text.contains(secret) {
        return Cow::Borrowed(text);
    }
    if secret.len() >= MIN_INSIDE_BYTES {
        return Cow::Owned(text.replace(secret, REDACTED));
    }
    let mut cleaned = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in text.match_indices(secret) {
        let end = at + secret.len();
        let part_of_a_word = text[..at].chars().next_back().is_some_and(char::is_alphanumeric)
            || text[end..].chars().next().is_some_and(char::is_alphanumeric);
        if !part_of_a_word {
            cleaned.push_str(&text[from..at]);
            cleaned.push_str(REDACTED);
            from = end;
        }
    }
    cleaned.push_str(&text[from..]);
    Cow::Owned(cleaned)
}

fn of_variables<'a>(
    env: impl Iterator<Item = (&'a str, &'a str)>,
    declared: &BTreeSet<String>,
    found: &mut BTreeSet<String>,
) {
    for (name, value) in env {
        if declared.contains(name) || (value.len() >= MIN_GUESSED_BYTES && says_secret(name)) {
            add_forms(value, found);
        }
        if let Some(password) = password(value) {
            add_forms(password, found);
        }
    }
}

/// What is secret of the content of a file. One of a single line is a secret as a whole. Of several lines, those count that
/// hold a value: a comment, a heading or a bracket stands in other files as well.
fn of_content(content: &[u8], found: &mut BTreeSet<String>) {
    let Ok(text) = std::str::from_utf8(content) else { return };
    let text = text.trim();
    if !text.contains('\n') && text.len() <= MAX_WHOLE_BYTES {
        add_forms(text, found);
    }
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';', '[', '-'])) {
        // What follows the name of a setting is the secret, not the name.
        let value = line.split_once(['=', ':', ' ', '\t']).map_or(line, |(_, value)| value);
        let value = value.trim_matches([' ', '\t', '"', '\'', ',', ';', '=']);
        if value.len() >= MIN_PART_BYTES {
            add_forms(value, found);
        }
    }
}

fn says_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    NAMES.iter().any(|part| upper.contains(part))
        || upper.split(['_', '-', '.']).any(|segment| SEGMENTS.contains(&segment))
}

/// A line `NAME=value` without the value, where the name says that it is a secret or the value holds a password; any other
/// line as it is.
pub(crate) fn variable(line: &str) -> Cow<'_, str> {
    let Some((name, value)) = line.split_once('=') else { return Cow::Borrowed(line) };
    let plain = name.trim().chars().all(|c| c.is_ascii_alphanumeric() || "_\"'".contains(c));
    if !plain || !(says_secret(name) || password(value).is_some()) {
        return Cow::Borrowed(line);
    }
    let end = if line.ends_with('\n') { "\n" } else { "" };
    Cow::Owned(format!("{name}={REDACTED}{end}"))
}

/// The password in `scheme://user:password@host`.
fn password(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let (credentials, _) = rest.rsplit_once('@')?;
    credentials.split_once(':').map(|(_, password)| password)
}

/// The value as programs print it: as it is, line by line, in JSON, in an address.
fn add_forms(value: &str, found: &mut BTreeSet<String>) {
    let value = value.trim();
    if value.is_empty() {
        return;
    }
    found.insert(value.to_owned());
    let in_json = serde_json::to_string(value).expect("a text always encodes");
    found.insert(in_json[1..in_json.len() - 1].to_owned());
    found.insert(in_address(value));
    if value.contains('\n') {
        let lines = value.lines().map(str::trim).filter(|line| line.len() >= MIN_PART_BYTES);
        found.extend(lines.map(str::to_owned));
    }
}

/// As `encodeURIComponent` writes it.
fn in_address(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(variables: &[(&str, &str)], declared: &[&str]) -> Redactor {
        let redactor = Redactor::default();
        let mut found = BTreeSet::new();
        let declared = declared.iter().map(|name| (*name).to_owned()).collect();
        of_variables(variables.iter().copied(), &declared, &mut found);
        redactor.add(found);
        redactor
    }

    fn check(variables: &[(&str, &str)], declared: &[&str], text: &str, expected: &str) {
        assert_eq!(knows(variables, declared).clean(text.to_owned()), expected);
    }

    #[test]
    fn declared_secrets_and_those_that_their_names_betray_are_gone() {
        check(&[("STRIPE", "sk_1")], &["STRIPE"], "key=sk_1!", "key=[redacted]!");
        check(&[("DB_PASSWORD", "hunter2")], &[], "hunter2hunter2", "[redacted][redacted]");
        check(&[("LOG_LEVEL", "verbose")], &[], "verbose", "verbose");
        check(&[("MONKEY", "banana")], &[], "banana", "banana");
    }

    #[test]
    fn lines_of_variables_lose_values_that_are_secret() {
        for (line, expected) in [
            ("RESTIC_PASSWORD='former'\n", "RESTIC_PASSWORD=[redacted]\n"),
            ("\"API_TOKEN\" = x", "\"API_TOKEN\" =[redacted]"),
            ("TO=https://me:pw@example.test/x\n", "TO=[redacted]\n"),
            ("LEVEL=debug\n", "LEVEL=debug\n"),
            ("0 4 * * * root backup --keys=3\n", "0 4 * * * root backup --keys=3\n"),
            ("", ""),
        ] {
            assert_eq!(variable(line), expected);
        }
    }

    #[test]
    fn variables_of_jobs_are_known_as_those_of_applications_are() {
        let job = muster_domain::resource::CronJob {
            name: "nightly".into(),
            user: "root".into(),
            schedule: "@daily".into(),
            command: "backup".into(),
            env: vec![("RESTIC_PASSWORD".into(), "hunter2".into()), ("LEVEL".into(), "verbose".into())],
        };
        let key = muster_domain::resource::ResourceKey::new("cron_job", "nightly");
        let job = Resource::new(key, vec![], DesiredState::CronJob(job));
        let redactor = Redactor::default();
        redactor.learn_resources(&[job]);
        assert_eq!(redactor.clean("hunter2 verbose".to_owned()), "[redacted] verbose");
    }

    #[test]
    fn a_password_in_an_address_is_gone_and_the_address_stays() {
        let url = [("DATABASE_URL", "postgres://shop:p/ss@w0rd@db-1:5432/shop")];
        check(&url, &[], "cannot reach postgres://shop:p/ss@w0rd@db-1:5432/shop", {
            "cannot reach postgres://shop:[redacted]@db-1:5432/shop"
        });
        check(&url, &[], "cannot reach postgres://shop:p%2Fss%40w0rd@db-1", {
            "cannot reach postgres://shop:[redacted]@db-1"
        });
    }

    #[test]
    fn what_a_secret_file_holds_goes_and_what_its_lines_are_called_stays() {
        let redactor = Redactor::default();
        let mut found = BTreeSet::new();
        of_content(
            b"# managed by the fleet\n[client]\nuser = root\npassword = \"hunter2hunter2\"\n",
            &mut found,
        );
        of_content(b"one-word-alone\n", &mut found);
        of_content(&[0xff, 0xfe], &mut found);
        redactor.add(found);
        let text =
            "# managed by the fleet: [client] user = root password hunter2hunter2 one-word-alone".to_owned();
        assert_eq!(
            redactor.clean(text),
            "# managed by the fleet: [client] user = root password [redacted] [redacted]"
        );
    }

    #[test]
    fn a_short_secret_goes_only_where_it_stands_alone() {
        check(&[("PIN", "a1")], &["PIN"], "pin a1, pin=a1; a10 ba1", {
            "pin [redacted], pin=[redacted]; a10 ba1"
        });
        check(&[("AUTH_MODE", "on")], &[], "mode on", "mode on");
    }

    #[test]
    fn a_key_of_several_lines_goes_line_by_line_and_in_json() {
        let key = "-----BEGIN KEY-----\nAAAABBBBCCCC\nDDDDEEEEFFFF\n-----END KEY-----\n";
        let redactor = knows(&[("CERT", key)], &["CERT"]);
        assert_eq!(redactor.clean("    DDDDEEEEFFFF".into()), "    [redacted]");
        let printed = serde_json::json!({ "key": key.trim() }).to_string();
        assert_eq!(redactor.clean(printed), r#"{"key":"[redacted]"}"#);
    }

    #[test]
    fn the_longer_of_two_secrets_goes_first_and_a_cut_one_goes_too() {
        let redactor = knows(&[("A", "abcd"), ("B", "abcdefgh")], &["A", "B"]);
        assert_eq!(redactor.clean("abcdefgh abcd".into()), "[redacted] [redacted]");
        let redactor = knows(&[("B", "correct horse battery")], &["B"]);
        assert_eq!(redactor.clean_line("password: correct hor".into()), "password: [redacted]");
        assert_eq!(redactor.clean_line("this is correct".into()), "this is [redacted]");
        assert_eq!(redactor.clean_line("a cor".into()), "a cor");
    }

    #[test]
    fn what_was_known_stays_known() {
        let redactor = knows(&[("TOKEN", "first-value")], &[]);
        redactor.learn_running(None, [("TOKEN", "second-value")].into_iter());
        assert_eq!(redactor.clean("first-value second-value".into()), "[redacted] [redacted]");
    }
}
