//! Bounded newline framing: a peer that never sends a newline cannot fill our memory.

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt};

/// Longest request line; a spec with a large environment is a few KiB.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// Longest reply line; a list of some thousand instances fits well.
pub const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;

/// Why a line could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FramingError {
    /// The line is longer than the cap.
    #[error("a line is longer than {cap} bytes")]
    TooLong {
        /// The cap.
        cap: usize,
    },
    /// The connection ended within a line.
    #[error("the connection ended within a line")]
    Truncated,
    /// The message could not be written as JSON.
    #[error("the message cannot be written as json")]
    Encode(#[source] serde_json::Error),
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[source] std::io::Error),
}

/// Reads lines of at most `cap` bytes. Cancel-safe: a partly read line is kept for the next call.
#[derive(Debug)]
pub struct LineReader<R> {
    inner: R,
    partial: Vec<u8>,
    cap: usize,
}

impl<R: AsyncBufRead + Unpin> LineReader<R> {
    /// Reads from `inner`.
    pub fn new(inner: R, cap: usize) -> Self {
        Self { inner, partial: Vec::new(), cap }
    }

    /// What is read from.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// The next line without its end, or `None` at the end of the stream.
    pub async fn next_line(&mut self) -> Result<Option<Vec<u8>>, FramingError> {
        loop {
            let available = self.inner.fill_buf().await.map_err(FramingError::Io)?;
            if available.is_empty() {
                return if self.partial.is_empty() { Ok(None) } else { Err(FramingError::Truncated) };
            }
            let (taken, complete) = match available.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end, true),
                None => (available.len(), false),
            };
            if self.partial.len() + taken > self.cap {
                return Err(FramingError::TooLong { cap: self.cap });
            }
            self.partial.extend_from_slice(&available[..taken]);
            self.inner.consume(taken + usize::from(complete));
            if complete {
                return Ok(Some(std::mem::take(&mut self.partial)));
            }
        }
    }
}

/// Writes one message as one line.
pub async fn write_message<W, M>(writer: &mut W, message: &M) -> Result<(), FramingError>
where
    W: AsyncWrite + Unpin,
    M: Serialize,
{
    let mut line = serde_json::to_vec(message).map_err(FramingError::Encode)?;
    line.push(b'\n');
    writer.write_all(&line).await.map_err(FramingError::Io)?;
    writer.flush().await.map_err(FramingError::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_arrive_whole_whatever_the_chunks() {
        let input: &[u8] = b"one\n\nthree\n";
        let mut lines = LineReader::new(tokio::io::BufReader::with_capacity(2, input), 16);
        assert_eq!(lines.next_line().await.unwrap().unwrap(), b"one");
        assert_eq!(lines.next_line().await.unwrap().unwrap(), b"");
        assert_eq!(lines.next_line().await.unwrap().unwrap(), b"three");
        assert!(lines.next_line().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let input = vec![b'x'; 100];
        let mut lines = LineReader::new(tokio::io::BufReader::with_capacity(8, input.as_slice()), 32);
        assert!(matches!(lines.next_line().await, Err(FramingError::TooLong { cap: 32 })));
    }

    #[tokio::test]
    async fn a_cut_line_is_an_error() {
        let input: &[u8] = b"half";
        let mut lines = LineReader::new(input, 32);
        assert!(matches!(lines.next_line().await, Err(FramingError::Truncated)));
    }
}
