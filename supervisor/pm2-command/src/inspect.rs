//! Prints values as `util.inspect(value, false, null, false)` of Node.js does: lines of 80 columns, the three innermost
//! levels on one line where they fit in 72, arrays of more than six entries in columns.

use crate::js::{Js, number_text};

/// Node's `breakLength`.
const WIDTH: usize = 80;
/// Node's `compact`: so many inner levels may share a line.
const COMPACT: usize = 3;
const MOST_ENTRIES: usize = 100;
const MOST_CHARACTERS: usize = 10_000;
/// Shorter texts are never split at line ends.
const SHORT_TEXT: usize = 16;
/// A comma and a blank.
const SEPARATOR: usize = 2;

/// As Node.js prints it.
pub(crate) fn inspect(value: &Js) -> String {
    Inspector { indentation: 0, last_depth: 0 }.value(value, 0)
}

/// What Node.js keeps in its context.
struct Inspector {
    indentation: usize,
    /// Depth of the list or map that was formatted last, which is what decides about sharing a line.
    last_depth: usize,
}

impl Inspector {
    fn value(&mut self, value: &Js, depth: usize) -> String {
        match value {
            Js::Null => "null".to_owned(),
            Js::Bool(value) => value.to_string(),
            Js::Number(number) if *number == 0.0 && number.is_sign_negative() => "-0".to_owned(),
            Js::Number(number) => number_text(*number),
            Js::Text(text) => self.text(text),
            Js::List(items) if items.is_empty() => "[]".to_owned(),
            Js::Map(entries) if entries.is_empty() => "{}".to_owned(),
            Js::List(items) => {
                self.last_depth = depth;
                let mut output: Vec<String> =
                    items.iter().take(MOST_ENTRIES).map(|item| self.nested(item, depth)).collect();
                if let Some(more @ 1..) = items.len().checked_sub(MOST_ENTRIES) {
                    output.push(format!("... {more} more item{}", if more > 1 { "s" } else { "" }));
                }
                let entries = output.len();
                if entries > 6 {
                    output = self.columns(output, items);
                }
                self.joined(&output, entries == output.len(), ('[', ']'), depth)
            }
            Js::Map(entries) => {
                self.last_depth = depth;
                let output: Vec<String> = entries
                    .iter()
                    .map(|(name, value)| format!("{}: {}", key(name), self.nested(value, depth)))
                    .collect();
                self.joined(&output, true, ('{', '}'), depth)
            }
        }
    }

    fn nested(&mut self, value: &Js, depth: usize) -> String {
        self.indentation += 2;
        let text = self.value(value, depth + 1);
        self.indentation -= 2;
        text
    }

    fn joined(&self, output: &[String], ungrouped: bool, braces: (char, char), depth: usize) -> String {
        if ungrouped && self.last_depth.saturating_sub(depth) < COMPACT {
            let start = output.len() + self.indentation + 1 + 10;
            let total: usize = output.iter().map(|entry| length(entry)).sum::<usize>() + output.len() + start;
            if total <= WIDTH && !output.iter().any(|entry| entry.contains('\n')) {
                return format!("{} {} {}", braces.0, output.join(", "), braces.1);
            }
        }
        let line = format!("\n{}", " ".repeat(self.indentation));
        format!("{}{line}  {}{line}{}", braces.0, output.join(&format!(",{line}  ")), braces.1)
    }

    /// Entries of an array side by side, in as many columns as make it about square.
    fn columns(&self, output: Vec<String>, items: &[Js]) -> Vec<String> {
        let counted = output.len() - usize::from(output.len() > MOST_ENTRIES);
        let lengths: Vec<usize> = output.iter().take(counted).map(|entry| length(entry)).collect();
        let total: usize = lengths.iter().map(|length| length + SEPARATOR).sum();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let widest = longest + SEPARATOR;
        #[expect(clippy::cast_precision_loss, reason = "at most some thousands")]
        let (total_f, widest_f, entries_f, counted_f) =
            (total as f64, widest as f64, output.len() as f64, counted as f64);
        if widest * 3 + self.indentation >= WIDTH || !(total_f / widest_f > 5.0 || longest <= 6) {
            return output;
        }
        let bias = (widest_f - total_f / entries_f).sqrt();
        let biased = (widest_f - 3.0 - bias).max(1.0);
        let biased = if biased.is_nan() { 1.0 } else { biased };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let square = ((2.5 * biased * counted_f).sqrt() / biased).round() as usize;
        let columns = square.min((WIDTH - self.indentation) / widest).min(COMPACT * 4).min(15);
        if columns <= 1 {
            return output;
        }
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let longest = lengths.iter().skip(column).step_by(columns).copied().max().unwrap_or(0);
                longest + SEPARATOR
            })
            .collect();
        let to_the_right = output.len() <= items.len()
            && items[..output.len()].iter().all(|item| matches!(item, Js::Number(_)));
        let mut lines = Vec::new();
        for row in (0..counted).step_by(columns) {
            let end = (row + columns).min(counted);
            let mut line = String::new();
            for place in row..end {
                let last = place + 1 == end;
                let width = widths[place - row];
                let entry = if last { output[place].clone() } else { format!("{}, ", output[place]) };
                let padding = match (to_the_right, last) {
                    (true, true) => (width - SEPARATOR).saturating_sub(length(&entry)),
                    (false, true) => 0,
                    (_, false) => width.saturating_sub(length(&entry)),
                };
                let padding = " ".repeat(padding);
                line.push_str(&if to_the_right { padding + &entry } else { entry + &padding });
            }
            lines.push(line);
        }
        lines.extend(output.into_iter().skip(counted));
        lines
    }

    fn text(&self, text: &str) -> String {
        let size = length(text);
        let (text, trailer) = match size.checked_sub(MOST_CHARACTERS) {
            Some(more @ 1..) => {
                let units: Vec<u16> = text.encode_utf16().take(MOST_CHARACTERS).collect();
                let trailer = format!("... {more} more character{}", if more > 1 { "s" } else { "" });
                (String::from_utf16_lossy(&units), trailer)
            }
            _ => (text.to_owned(), String::new()),
        };
        let size = length(&text);
        if size > SHORT_TEXT && size + self.indentation + 4 > WIDTH {
            let lines: Vec<String> = text.split_inclusive('\n').map(quoted).collect();
            return lines.join(&format!(" +\n{}", " ".repeat(self.indentation + 2))) + &trailer;
        }
        quoted(&text) + &trailer
    }
}

/// The length that JavaScript sees.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn key(name: &str) -> String {
    let mut characters = name.chars();
    let plain = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    match name {
        "__proto__" => "['__proto__']".to_owned(),
        _ if plain => name.to_owned(),
        _ => quoted(name),
    }
}

/// In the quotes that need the fewest backslashes, as Node.js chooses them.
fn quoted(text: &str) -> String {
    let quote = match () {
        () if !text.contains('\'') => '\'',
        () if !text.contains('"') => '"',
        () if !text.contains('`') && !text.contains("${") => '`',
        () => '\'',
    };
    let mut shown = String::with_capacity(text.len() + 2);
    shown.push(quote);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            '\u{8}' => shown.push_str("\\b"),
            '\u{c}' => shown.push_str("\\f"),
            '\\' => shown.push_str("\\\\"),
            c if c == quote => {
                shown.push('\\');
                shown.push(c);
            }
            c if c < ' ' || ('\u{7f}'..='\u{9f}').contains(&c) => {
                shown.push_str(&format!("\\x{:02X}", u32::from(c)));
            }
            c => shown.push(c),
        }
    }
    shown.push(quote);
    shown
}
