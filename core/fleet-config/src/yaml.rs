//! YAML text to a tree that knows the place of every value. Stricter than YAML: one document, no anchors, no tags, bounded
//! depth, because a configuration that people review must not hide what it says.

use crate::{place::Place, problem::Problem, words::quoted};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

/// Far deeper than any field of a fleet configuration.
const DEPTH_AT_MOST: usize = 24;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) yaml: Yaml,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Yaml {
    /// Text as it is written; `plain` when it stands without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    /// In the order of the file, repeated keys included.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a map.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// Something that is being read.
enum Open {
    Sequence(Place, Vec<Node>),
    Mapping(Place, Vec<(Key, Node)>, Option<Key>),
}

/// Reads one file. `Ok(None)`: there is nothing in it.
pub(crate) fn read(index: usize, file: &str, bytes: &[u8]) -> Result<Option<Node>, Problem> {
    let text = text_of(file, bytes)?;
    let place = |marker: Marker| Place {
        file: index,
        line: u32::try_from(marker.line()).unwrap_or(u32::MAX),
        column: u32::try_from(marker.col()).unwrap_or(u32::MAX).saturating_add(1),
    };
    let refuse = |marker: Marker, message: String, hint: &str| {
        let Place { line, column, .. } = place(marker);
        Problem { line, column, ..Problem::of_file(file, message, hint) }
    };
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| syntax(file, text, *error.marker(), error.info()))?;
        let at = span.start;
        let done = match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return Err(refuse(
                        at,
                        "a second document begins here".to_owned(),
                        "write one document per file, without `---` in between",
                    ));
                }
                continue;
            }
            Event::Alias(_) => {
                return Err(refuse(
                    at,
                    "aliases (`*name`) are not supported".to_owned(),
                    "write the value out; what applications share goes into `env` of an environment",
                ));
            }
            Event::Scalar(_, _, anchor, _)
            | Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
                if anchor > 0 =>
            {
                return Err(refuse(
                    at,
                    "anchors (`&name`) are not supported".to_owned(),
                    "write the value out; what applications share goes into `env` of an environment",
                ));
            }
            Event::Scalar(_, _, _, Some(tag))
            | Event::SequenceStart(_, Some(tag))
            | Event::MappingStart(_, Some(tag)) => {
                let tag = match tag.is_yaml_core_schema() {
                    true => format!("!!{}", tag.suffix),
                    false => tag.to_string(),
                };
                return Err(refuse(
                    at,
                    format!("tags ({}) are not supported", quoted(&tag)),
                    "put text that looks like a number in quotes; leave the tag out",
                ));
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH_AT_MOST => {
                return Err(refuse(
                    at,
                    format!("more than {DEPTH_AT_MOST} levels deep"),
                    "a fleet file needs fewer than ten",
                ));
            }
            Event::SequenceStart(..) => {
                check_key(&open, at, &refuse)?;
                open.push(Open::Sequence(place(at), Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                check_key(&open, at, &refuse)?;
                open.push(Open::Mapping(place(at), Vec::new(), None));
                continue;
            }
            Event::Scalar(text, style, ..) => Node {
                place: place(at),
                yaml: Yaml::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain },
            },
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::Sequence(place, items)) => Node { place, yaml: Yaml::Sequence(items) },
                Some(Open::Mapping(place, entries, _)) => Node { place, yaml: Yaml::Mapping(entries) },
                None => continue,
            },
        };
        match open.last_mut() {
            None => root = Some(done),
            Some(Open::Sequence(_, items)) => items.push(done),
            Some(Open::Mapping(_, entries, pending)) => match (pending.take(), done) {
                (Some(key), value) => entries.push((key, value)),
                (None, Node { place, yaml: Yaml::Scalar { text, .. } }) => {
                    *pending = Some(Key { text, place })
                }
                (None, Node { .. }) => {
                    return Err(refuse(at, "a key must be a single word".to_owned(), "write `key: value`"));
                }
            },
        }
    }
    Ok(root)
}

/// A map or a list where a key is wanted: YAML allows it, and a stray brace or dash makes one.
fn check_key(
    open: &[Open],
    at: Marker,
    refuse: &impl Fn(Marker, String, &str) -> Problem,
) -> Result<(), Problem> {
    match open.last() {
        Some(Open::Mapping(_, _, None)) => {
            Err(refuse(at, "a key must be a single word".to_owned(), "write `key: value`"))
        }
        _ => Ok(()),
    }
}

/// The text of a file, or the first thing in it that is not text.
fn text_of<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    let at = |offset: usize, message: String| {
        let before = &bytes[..offset];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        Problem {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            ..Problem::of_file(file, message, "a fleet file is YAML in UTF-8")
        }
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| at(error.valid_up_to(), "this is not text in UTF-8".to_owned()))?;
    if let Some((offset, c)) =
        text.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(at(
            offset,
            format!("this is not text: it holds the control character U+{:04X}", u32::from(c)),
        ));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// A syntax error, in words that say what to do where the parser's do not.
fn syntax(file: &str, text: &str, marker: Marker, info: &str) -> Problem {
    let line = marker.line().max(1);
    let mut tabs =
        text.lines().enumerate().skip(line.saturating_sub(2)).take(2).filter_map(|(index, content)| {
            let blank = &content[..content.len() - content.trim_start().len()];
            blank.find('\t').map(|column| (index + 1, column + 1))
        });
    let (line, column, message, hint) = match tabs.next() {
        // The parser's own guard against brackets in brackets.
        _ if info.contains("recursion limit") => (
            line,
            marker.col() + 1,
            format!("more than {DEPTH_AT_MOST} levels deep"),
            "a fleet file needs fewer than ten",
        ),
        Some((line, column)) => (
            line,
            column,
            "a tab stands in the indentation".to_owned(),
            "indent with spaces; YAML does not allow tabs",
        ),
        None => (
            line,
            marker.col() + 1,
            format!("this is not valid YAML: {info}"),
            "check the indentation, the colons and the quotes of this line and the one before it",
        ),
    };
    Problem {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
        ..Problem::of_file(file, message, hint)
    }
}
