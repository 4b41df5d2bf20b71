//! Small pieces of the texts that people read.

/// Longer things are cut.
const SHOW_AT_MOST: usize = 60;

/// A text in backticks, printable and cut.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOW_AT_MOST)
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    if text.chars().nth(SHOW_AT_MOST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The candidate that was probably meant.
pub(crate) fn closest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > 64 {
        return None;
    }
    let folded = fold(given);
    candidates
        .into_iter()
        .map(|candidate| {
            // Spelled alike but for case and underscores: the one that looks more like what was given.
            let spelling = strsim::damerau_levenshtein(given, candidate);
            (strsim::damerau_levenshtein(&folded, &fold(candidate)), spelling, candidate)
        })
        .filter(|(distance, _, candidate)| *distance <= (candidate.len().max(given.len()) / 3).clamp(1, 4))
        .min()
        .map(|(_, _, candidate)| candidate)
}

fn fold(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// `1 variable`, `3 variables`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `5s`, `90s`, `2m`, `1500ms`: a duration as people write it.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0 => "0 ms".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{} h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{} min", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{} s", ms / 1_000),
        _ => format!("{ms} ms"),
    }
}

/// `300 MiB`: pm2's sizes are powers of 1024.
pub(crate) fn size(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;
    match bytes {
        _ if bytes >= GIB && bytes.is_multiple_of(GIB) => format!("{} GiB", bytes / GIB),
        _ if bytes >= MIB && bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        _ => format!("{bytes} bytes"),
    }
}
