//! Cutting a stream of bytes between lines. Memory is bounded, whatever the length of a line.

use std::borrow::Cow;

use memchr::{memchr, memrchr};

/// Longest line that is held back until its end comes, and longest that is shown in one piece. What is longer is shown
/// in pieces, of which every one but the last ends with [`CONTINUES`]; raw files hold it as it came.
pub(crate) const MAX_LINE_BYTES: usize = 16 * 1024;
/// Marks a line that goes on elsewhere.
pub(crate) const CONTINUES: &str = " [muster: the line continues]";

/// Keeps the unfinished line between reads.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    partial: Vec<u8>,
    /// The beginning of the unfinished line was given away already.
    mid_line: bool,
}

/// Whole lines, except that the first may have begun and the last may end elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) bytes: Vec<u8>,
    pub(crate) begins_mid_line: bool,
}

impl LineSplitter {
    /// Goes on with an unfinished line.
    pub(crate) fn with(partial: Vec<u8>, mid_line: bool) -> Self {
        Self { partial, mid_line }
    }

    /// The unfinished line, and whether its beginning was given away.
    pub(crate) fn into_rest(self) -> (Vec<u8>, bool) {
        (self.partial, self.mid_line)
    }

    /// Takes what was read and gives what can be stored.
    pub(crate) fn feed(&mut self, read: &[u8]) -> Option<Cut> {
        let (whole, rest) = match memrchr(b'\n', read) {
            Some(end) => read.split_at(end + 1),
            None => (&[][..], read),
        };
        let too_long =
            if whole.is_empty() { self.partial.len() + rest.len() } else { rest.len() } > MAX_LINE_BYTES;
        if whole.is_empty() && !too_long {
            self.partial.extend_from_slice(rest);
            return None;
        }
        let begins_mid_line = std::mem::replace(&mut self.mid_line, too_long);
        let (given, kept) = if too_long { (read, &[][..]) } else { (whole, rest) };
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.reserve_exact(given.len());
        bytes.extend_from_slice(given);
        self.partial.extend_from_slice(kept);
        Some(Cut { bytes, begins_mid_line })
    }

    /// The stream has ended: gives what is left, with the end of line it did not get.
    pub(crate) fn finish(&mut self) -> Option<Cut> {
        let mut bytes = std::mem::take(&mut self.partial);
        let begins_mid_line = std::mem::take(&mut self.mid_line);
        if bytes.is_empty() && !begins_mid_line {
            return None;
        }
        bytes.push(b'\n');
        Some(Cut { bytes, begins_mid_line })
    }
}

/// Every line of a chunk without its end, in pieces of at most [`MAX_LINE_BYTES`], with whether it continues.
pub(crate) fn pieces(mut bytes: &[u8], begins_mid_line: bool) -> impl Iterator<Item = (&[u8], bool)> {
    // A long line whose end was cut off exactly: its last piece was shown already.
    if begins_mid_line && bytes.first() == Some(&b'\n') {
        bytes = &bytes[1..];
    }
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let near = &bytes[..bytes.len().min(MAX_LINE_BYTES + 1)];
        match memchr(b'\n', near) {
            Some(end) => {
                let line = &bytes[..end];
                bytes = &bytes[end + 1..];
                Some((line.strip_suffix(b"\r").unwrap_or(line), false))
            }
            None => {
                let (piece, rest) = bytes.split_at(bytes.len().min(MAX_LINE_BYTES));
                bytes = rest;
                Some((piece, true))
            }
        }
    })
}

/// A piece as it is shown.
pub(crate) fn text(piece: &[u8], continues: bool) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(piece);
    if continues { Cow::Owned(format!("{text}{CONTINUES}")) } else { text }
}

/// Ends of lines in a chunk.
pub(crate) fn count(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut cuts: Vec<Cut> = chunks.iter().filter_map(|chunk| splitter.feed(chunk)).collect();
        cuts.extend(splitter.finish());
        cuts.iter()
            .flat_map(|cut| pieces(&cut.bytes, cut.begins_mid_line))
            .map(|(piece, continues)| text(piece, continues).into_owned())
            .collect()
    }

    #[test]
    fn lines_are_put_together_across_reads() {
        assert_eq!(shown(&[b"a", b"b\nc\r\n", b"\n", b"tail"]), ["ab", "c", "", "tail"]);
    }

    #[test]
    fn a_huge_line_is_shown_in_pieces_with_a_marker_and_loses_nothing() {
        let chunk = vec![b'x'; 10_000];
        let lines = shown(&vec![chunk.as_slice(); 100]);
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE_BYTES + CONTINUES.len()));
        let content: usize = lines.iter().map(|line| line.trim_end_matches(CONTINUES).len()).sum();
        assert_eq!(content, 1_000_000);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(shown(&[b"\xff\xfe\n"]), ["\u{fffd}\u{fffd}"]);
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_cuts_are_between_lines(
            chunks in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(b'\n')], 0..200),
                    (1_usize..40_000).prop_map(|length| vec![b'y'; length]),
                ],
                0..20,
            )
        ) {
            let mut splitter = LineSplitter::default();
            let mut out = Vec::new();
            let mut mid_line = false;
            let whole = chunks.concat();
            for chunk in &chunks {
                let Some(cut) = splitter.feed(chunk) else { continue };
                prop_assert_eq!(cut.begins_mid_line, mid_line);
                prop_assert!(!cut.bytes.is_empty());
                mid_line = cut.bytes.last() != Some(&b'\n');
                prop_assert!(splitter.partial.len() <= MAX_LINE_BYTES);
                out.extend(cut.bytes);
            }
            // Handing over in between changes nothing.
            let (partial, mid) = splitter.into_rest();
            let mut splitter = LineSplitter::with(partial, mid);
            out.extend(splitter.finish().map(|cut| cut.bytes).unwrap_or_default());
            let mut expected = whole;
            if expected.last().is_some_and(|last| *last != b'\n') {
                expected.push(b'\n');
            }
            prop_assert_eq!(out, expected);
        }
    }
}
