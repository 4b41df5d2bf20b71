//! Differences of contents for a person: unified for text, sizes and digests for the rest, bounded in length and time.

use similar::{ChangeTag, TextDiff};
use std::fmt::Write as _;
use std::time::Duration;

/// The longest difference.
pub(super) const MAX_BYTES: usize = 32 * 1024;

/// Contents that are compared line by line; of longer ones nobody reads the difference.
pub(super) const MAX_COMPARED_BYTES: u64 = 1024 * 1024;

/// After this a coarser difference is as good as a finer one.
const MAX_TIME: Duration = Duration::from_millis(200);

/// Lines around a change.
const CONTEXT: usize = 3;

/// The difference between what is at a path and what is wanted there; `None` for what is not there.
pub(super) fn contents(path: &str, found: Option<&[u8]>, wanted: &[u8]) -> String {
    let text = |bytes: &[u8]| {
        let short = bytes.len() as u64 <= MAX_COMPARED_BYTES && !bytes.contains(&0);
        if short { String::from_utf8(bytes.to_vec()).ok() } else { None }
    };
    let (Some(old), Some(new)) = (text(found.unwrap_or_default()), text(wanted)) else {
        let found = found.map_or_else(|| "nothing".to_owned(), summary);
        return format!("content: {found} -> {}\n", summary(wanted));
    };
    let old_name = if found.is_some() { path } else { "/dev/null" };
    unified(old_name, path, &old, &new)
}

/// A unified difference of two texts.
pub(super) fn unified(old_name: &str, new_name: &str, old: &str, new: &str) -> String {
    let diff = TextDiff::configure().timeout(MAX_TIME).diff_lines(old, new);
    let mut text = format!("--- {old_name}\n+++ {new_name}\n");
    'hunks: for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        push(&mut text, &format!("{}\n", hunk.header()));
        for change in hunk.iter_changes() {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let line = change.value();
            let end = if line.ends_with('\n') { "" } else { "\n\\ No newline at end of file\n" };
            if !push(&mut text, &format!("{sign}{line}{end}")) {
                break 'hunks;
            }
        }
    }
    text
}

/// Whether it still fits; what does not is told once.
fn push(text: &mut String, line: &str) -> bool {
    const CUT: &str = "(cut: the difference is longer than 32 KiB)\n";
    if text.len() + line.len() + CUT.len() > MAX_BYTES {
        if !text.ends_with(CUT) {
            text.push_str(CUT);
        }
        return false;
    }
    text.push_str(line);
    true
}

fn summary(bytes: &[u8]) -> String {
    let mut text = format!("{} bytes", bytes.len());
    write!(text, ", BLAKE3 {}", &blake3::hash(bytes).to_hex()[..12]).expect("a string takes all");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_line_by_line_with_what_is_around() {
        let old: String = (1..=10).map(|n| format!("line {n}\n")).collect();
        let new = old.replace("line 5\n", "line five\n");
        assert_eq!(
            contents("/etc/x", Some(old.as_bytes()), new.as_bytes()),
            "--- /etc/x\n+++ /etc/x\n@@ -2,7 +2,7 @@\n line 2\n line 3\n line 4\n-line 5\n+line five\n line 6\n line 7\n line 8\n"
        );
        assert_eq!(
            contents("/etc/x", None, b"a\nb"),
            "--- /dev/null\n+++ /etc/x\n@@ -0,0 +1,2 @@\n+a\n+b\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn what_is_no_text_is_told_by_size_and_digest() {
        let shown = contents("/etc/x", Some(b"a\0b"), b"text");
        assert!(shown.starts_with("content: 3 bytes, BLAKE3 ") && shown.contains(" -> 4 bytes"), "{shown}");
        let long = vec![b'x'; 2 * 1024 * 1024];
        assert!(contents("/etc/x", Some(b"y"), &long).starts_with("content: 1 bytes"));
    }

    #[test]
    fn a_difference_is_bounded_and_says_so() {
        let old: String = (0..20_000).map(|n| format!("old {n}\n")).collect();
        let shown = contents("/etc/x", Some(old.as_bytes()), b"new\n");
        assert!(shown.len() <= MAX_BYTES && shown.ends_with("longer than 32 KiB)\n"), "{}", shown.len());
        let one_line = "x".repeat(100_000);
        assert!(contents("/etc/x", None, one_line.as_bytes()).len() <= MAX_BYTES);
    }
}
