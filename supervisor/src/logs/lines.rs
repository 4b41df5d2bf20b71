//! Splitting a stream of bytes into lines of bounded length.

/// Longest line; what is longer is split, and every part but the last ends with [`CONTINUES`].
pub(crate) const MAX_LINE_BYTES: usize = 16 * 1024;
/// Marks a split line.
pub(crate) const CONTINUES: &str = " [muster: the line continues]";

/// Keeps the unfinished line between reads.
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    partial: Vec<u8>,
}

impl LineSplitter {
    /// Goes on with an unfinished line.
    pub(crate) fn with(partial: Vec<u8>) -> Self {
        Self { partial }
    }

    /// The unfinished line, as it is.
    pub(crate) fn into_partial(self) -> Vec<u8> {
        self.partial
    }

    /// Takes bytes and gives every line they finish.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut line: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.take(&bytes[..end], &mut line);
            let whole = std::mem::take(&mut self.partial);
            line(text(whole.strip_suffix(b"\r").unwrap_or(&whole)));
            bytes = &bytes[end + 1..];
        }
        self.take(bytes, &mut line);
    }

    /// The stream has ended: gives what is left.
    pub(crate) fn finish(&mut self, mut line: impl FnMut(String)) {
        if !self.partial.is_empty() {
            line(text(&std::mem::take(&mut self.partial)));
        }
    }

    fn take(&mut self, mut bytes: &[u8], line: &mut impl FnMut(String)) {
        while self.partial.len() + bytes.len() > MAX_LINE_BYTES {
            let (head, tail) = bytes.split_at(MAX_LINE_BYTES - self.partial.len());
            self.partial.extend_from_slice(head);
            let mut part = text(&self.partial);
            part.push_str(CONTINUES);
            line(part);
            self.partial.clear();
            bytes = tail;
        }
        self.partial.extend_from_slice(bytes);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines = vec![];
        for chunk in chunks {
            splitter.feed(chunk, |line| lines.push(line));
        }
        splitter.finish(|line| lines.push(line));
        lines
    }

    #[test]
    fn lines_are_put_together_across_reads() {
        assert_eq!(split(&[b"a", b"b\nc\r\n", b"\n", b"tail"]), ["ab", "c", "", "tail"]);
    }

    #[test]
    fn a_huge_line_is_split_with_a_marker_and_loses_nothing() {
        let chunk = vec![b'x'; 10_000];
        let lines = split(&vec![chunk.as_slice(); 100]);
        assert!(lines.iter().all(|line| line.len() <= MAX_LINE_BYTES + CONTINUES.len()));
        let content: usize = lines.iter().map(|line| line.trim_end_matches(CONTINUES).len()).sum();
        assert_eq!(content, 1_000_000);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(split(&[b"\xff\xfe\n"]), ["\u{fffd}\u{fffd}"]);
    }
}
