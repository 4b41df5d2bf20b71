//! Answers without an end: one JSON document on each line.

use futures_util::TryStreamExt;
use reqwest::Response;
use serde::de::DeserializeOwned;
use tokio_stream::StreamExt;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::io::StreamReader;

use crate::failure::{Failure, Result, chain};

/// A line of an application's log is cut by the supervisor long before this.
const MAX_LINE_BYTES: usize = 4 * 1024 * 1024;

/// Calls `each` for every document until the answer ends. An error of the transport is transient.
pub(crate) async fn for_each_line<T: DeserializeOwned>(
    response: Response,
    mut each: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let reader = StreamReader::new(response.bytes_stream().map_err(std::io::Error::other));
    let mut lines = FramedRead::new(reader, LinesCodec::new_with_max_length(MAX_LINE_BYTES));
    while let Some(line) = lines.next().await {
        let line = line.map_err(|error| match error {
            LinesCodecError::Io(error) => {
                Failure::failed(format!("the connection to the controller broke: {}", chain(&error)))
                    .transient()
            }
            LinesCodecError::MaxLineLengthExceeded => {
                Failure::failed("the controller sent a line without an end")
            }
        })?;
        if line.is_empty() {
            continue;
        }
        each(serde_json::from_str(&line).map_err(|error| {
            Failure::of("the answer of the controller cannot be understood", &error)
                .hint("compare the versions with `muster version`")
        })?)?;
    }
    Ok(())
}
