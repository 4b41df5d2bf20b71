//! Where values stand: from a JSON pointer to file, line and column.

use crate::problem::Problem;
use std::collections::HashMap;

/// A place in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// The places of one value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    /// The key that it stands under; its own place within a list.
    pub(crate) key: Place,
    /// The value itself.
    pub(crate) value: Place,
}

/// Which of the two places a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Key,
    Value,
}

/// The places of all values of all files.
#[derive(Debug, Default)]
pub(crate) struct Places {
    files: Vec<String>,
    spots: HashMap<String, Spot>,
}

impl Places {
    pub(crate) fn new(files: Vec<String>) -> Self {
        Self { files, spots: HashMap::new() }
    }

    pub(crate) fn file(&self, place: Place) -> &str {
        self.files.get(place.file).map_or("", String::as_str)
    }

    pub(crate) fn insert(&mut self, pointer: String, spot: Spot) {
        self.spots.insert(pointer, spot);
    }

    /// A problem at a value that was read; at the nearest thing around it when it is not there itself.
    pub(crate) fn problem(
        &self,
        pointer: &str,
        at: At,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Problem {
        let mut nearest = pointer;
        let spot = loop {
            match self.spots.get(nearest) {
                Some(spot) => break Some(*spot),
                None => match nearest.rsplit_once('/') {
                    Some((above, _)) => nearest = above,
                    None => break None,
                },
            }
        };
        // What is said of a missing child is said of the thing that lacks it, which people find by its name.
        let at = if nearest == pointer { at } else { At::Key };
        let place = spot.map(|spot| if at == At::Key { spot.key } else { spot.value });
        Problem {
            file: place.map_or_else(String::new, |place| self.file(place).to_owned()),
            line: place.map_or(0, |place| place.line),
            column: place.map_or(0, |place| place.column),
            path: dotted(pointer),
            message: message.into(),
            hint,
        }
    }
}

/// Adds a key to a JSON pointer.
pub(crate) fn child(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// The parts of a JSON pointer.
pub(crate) fn segments(pointer: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    // The part before the first slash is empty.
    pointer
        .strip_prefix('/')
        .into_iter()
        .flat_map(|parts| parts.split('/'))
        .map(|part| part.replace("~1", "/").replace("~0", "~"))
}

/// A pointer of these parts.
pub(crate) fn pointer(parts: &[&str]) -> String {
    parts.iter().fold(String::new(), |pointer, part| child(&pointer, part))
}

/// A JSON pointer as people write a field: `applications.web.args[0]`.
fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for part in segments(pointer) {
        if !path.is_empty() && !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&part);
        }
    }
    path
}
