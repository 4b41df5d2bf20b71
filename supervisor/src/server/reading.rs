//! Clients that read what applications wrote, and those that tidy up files.

use chrono::Utc;
use muster_supervisor_protocol::{ErrorCode, LogLine, LogStreamName, LogsRequest, Reply};
use regex_lite::RegexBuilder;

use super::connection::{Client, Door, Gone};
use crate::logs::{Selection, past};

/// Lines of each application from before: as many as fit in memory without hurting anybody.
const MAX_PAST_LINES: u32 = 100_000;
/// What a pattern may need when compiled.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

impl Door {
    pub(super) async fn logs(&self, client: &mut Client, request: LogsRequest) -> Result<(), Gone> {
        let follow = request.follow;
        let selection = match selection(request) {
            Ok(selection) => selection,
            Err(message) => {
                return client.send(&Reply::Error { code: ErrorCode::BadRequest, message }).await;
            }
        };
        let (lines, mut cursor) = past(&self.shared.logs, &self.shared.writer, &selection).await;
        for line in lines {
            client.send(&Reply::LogLine(line)).await?;
        }
        if !follow {
            return client.send(&Reply::Done).await;
        }
        loop {
            let (missed, chunks) = tokio::select! {
                news = cursor.next(|app| selection.wants_app(app)) => news,
                () = client.hung_up() => return Err(Gone),
            };
            for missed in missed {
                let line = format!("[muster: {} lines were skipped, the reader was too slow]", missed.lines);
                let app = missed.app.to_string();
                let note = LogLine { at: Utc::now(), app, instance: 0, stream: LogStreamName::Err, line };
                client.send(&Reply::LogLine(note)).await?;
            }
            for chunk in chunks {
                for line in selection.of(&chunk) {
                    client.send(&Reply::LogLine(line)).await?;
                }
            }
        }
    }

    pub(super) async fn reopen_logs(&self, client: &mut Client) -> Result<(), Gone> {
        self.shared.writer.reopen().await;
        client.send(&Reply::Done).await
    }

    pub(super) async fn flush_logs(&self, client: &mut Client, app: Option<String>) -> Result<(), Gone> {
        let app = app.as_deref();
        self.shared.logs.flush(app);
        self.shared.writer.truncate(self.shared.logs.destinations(app)).await;
        client.send(&Reply::Done).await
    }
}

fn selection(request: LogsRequest) -> Result<Selection, String> {
    let LogsRequest { apps, instances, stream, matching, since, lines, follow: _ } = request;
    let compile = |pattern: String| {
        let compiled = RegexBuilder::new(&pattern).size_limit(MAX_PATTERN_BYTES).build();
        compiled.map_err(|error| format!("{pattern:?} is not a regular expression: {error}"))
    };
    let lines = usize::try_from(lines.min(MAX_PAST_LINES)).unwrap_or(usize::MAX);
    Ok(Selection { apps, instances, stream, matching: matching.map(compile).transpose()?, since, lines })
}
