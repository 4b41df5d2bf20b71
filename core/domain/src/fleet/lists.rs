//! Lists that may be written as one thing: `args: --port 80`, `listen_fds: 3000`, `stop_exit_codes: 3`.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

/// A list of words, or a text that is split at blanks outside of quotes.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Words {
    /// Words, each as it is.
    List(Vec<String>),
    /// Words with blanks between them; quotes keep blanks.
    Text(String),
}

/// A list of texts, or one.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Texts {
    /// Several.
    List(Vec<String>),
    /// One.
    Text(String),
}

/// A list of exit codes, or one.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ExitCodes {
    /// Several.
    List(Vec<u8>),
    /// One.
    One(u8),
}

impl From<Words> for Vec<String> {
    fn from(words: Words) -> Self {
        match words {
            Words::List(list) => list,
            Words::Text(text) => split_words(&text),
        }
    }
}

impl From<Texts> for Vec<String> {
    fn from(texts: Texts) -> Self {
        match texts {
            Texts::List(list) => list,
            Texts::Text(text) => vec![text],
        }
    }
}

impl From<ExitCodes> for Vec<u8> {
    fn from(codes: ExitCodes) -> Self {
        match codes {
            ExitCodes::List(list) => list,
            ExitCodes::One(code) => vec![code],
        }
    }
}

pub(super) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Words::deserialize(deserializer).map(Into::into)
}

pub(super) fn some_words<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Option::<Words>::deserialize(deserializer)?.map(Into::into))
}

pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Texts::deserialize(deserializer).map(Into::into)
}

pub(super) fn some_texts<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Option::<Texts>::deserialize(deserializer)?.map(Into::into))
}

pub(super) fn exit_codes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    ExitCodes::deserialize(deserializer).map(Into::into)
}

/// Splits a text as pm2 splits `args`: at blanks outside of quotes. A word that is quoted as a whole loses its quotes, and
/// one like `--name="a b"` keeps them. What is empty is dropped.
pub fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = quoted_assignment(rest)
            .or_else(|| quoted_word(rest))
            .unwrap_or_else(|| rest.find(char::is_whitespace).unwrap_or(rest.len()));
        let (word, after) = rest.split_at(end);
        let quoted = ['"', '\''].into_iter().any(|quote| word.starts_with(quote) && word.ends_with(quote));
        let bare = match quoted {
            // Exactly one quote on each side is taken off.
            true if word.len() >= 2 => &word[1..word.len() - 1],
            true => "",
            false => word,
        };
        if !bare.trim().is_empty() {
            words.push(bare.to_owned());
        }
        rest = after.trim_start();
    }
    words
}

/// The length of `name="…"` at the beginning.
fn quoted_assignment(text: &str) -> Option<usize> {
    let name = text.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '='))?;
    let value = text[name..].strip_prefix('=')?;
    (name > 0).then_some(())?;
    Some(name + 1 + quoted_word(value)?)
}

/// The length of `"…"` or `'…'` at the beginning.
fn quoted_word(text: &str) -> Option<usize> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    text[1..].find(quote).map(|end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_split_at_blanks_outside_of_quotes() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("  --port 80\t-v ", &["--port", "80", "-v"]),
            ("--title \"two words\" end", &["--title", "two words", "end"]),
            ("--title='two words'", &["--title='two words'"]),
            ("'' \" \" x", &["x"]),
            ("\"open", &["\"open"]),
        ];
        for (text, expected) in cases {
            assert_eq!(split_words(text), expected, "{text:?}");
        }
    }
}
