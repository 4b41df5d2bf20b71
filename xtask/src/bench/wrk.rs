//! `wrk`, an HTTP load generator.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Whether connections are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Connections {
    Kept,
    /// `Connection: close`: a new one for each request.
    Closed,
}

/// What it counted.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Counts {
    pub(super) per_second: f64,
    pub(super) p99_ms: f64,
    pub(super) requests: u64,
    /// Connections that failed, answers that were cut off or did not come, statuses above 399.
    pub(super) failed: u64,
}

/// A run in the background.
pub(super) struct Load(Child);

/// Starts it; it ends by itself after this long.
pub(super) fn start(port: u16, connections: Connections, clients: u32, at_most: Duration) -> Result<Load> {
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--latency", "--timeout", "10s"]);
    command.args([
        "--connections",
        &clients.to_string(),
        "--duration",
        &format!("{}s", at_most.as_secs().max(1)),
    ]);
    if connections == Connections::Closed {
        command.args(["--header", "Connection: close"]);
    }
    command.arg(format!("http://127.0.0.1:{port}/")).stdin(Stdio::null()).stdout(Stdio::piped());
    Ok(Load(command.spawn().context("cannot start wrk")?))
}

impl Load {
    /// Ends it now and answers what it counted.
    pub(super) fn stop(self) -> Result<Counts> {
        // It may have ended by itself; then there is nothing to interrupt.
        crate::shell::Program::new("kill").args(["-INT", &self.0.id().to_string()]).outcome()?;
        self.finish()
    }

    /// Waits for its end.
    pub(super) fn finish(self) -> Result<Counts> {
        let output = self.0.wait_with_output().context("cannot wait for wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        parse(&text).with_context(|| format!("wrk ({}) printed no figures: {text}", output.status))
    }
}

fn parse(text: &str) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut complete = false;
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["99%", latency] => counts.p99_ms = milliseconds(latency)?,
            [count, "requests", "in", ..] => counts.requests = count.parse()?,
            ["Socket", "errors:", "connect", connect, "read", read, "write", write, "timeout", timeout] => {
                for part in [connect, read, write, timeout] {
                    counts.failed += part.trim_end_matches(',').parse::<u64>()?;
                }
            }
            ["Non-2xx", .., count] => counts.failed += count.parse::<u64>()?,
            ["Requests/sec:", rate] => {
                counts.per_second = rate.parse()?;
                complete = true;
            }
            _ => {}
        }
    }
    if !complete {
        bail!("the last line is missing");
    }
    Ok(counts)
}

fn milliseconds(text: &str) -> Result<f64> {
    let (digits, factor) = if let Some(digits) = text.strip_suffix("us") {
        (digits, 0.001)
    } else if let Some(digits) = text.strip_suffix("ms") {
        (digits, 1.0)
    } else if let Some(digits) = text.strip_suffix('s') {
        (digits, 1000.0)
    } else {
        bail!("{text:?} is no duration")
    };
    Ok(digits.parse::<f64>()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_summary_is_read() {
        let text = "  Thread Stats   Avg\n  Latency Distribution\n     50%    1.10ms\n     99%  420.00us\n  \
                    1234 requests in 8.00s, 200.00KB read\n  Socket errors: connect 1, read 2, write 0, timeout 3\n  \
                    Non-2xx or 3xx responses: 4\nRequests/sec:    154.25\n";
        assert_eq!(
            parse(text).unwrap(),
            Counts { per_second: 154.25, p99_ms: 0.42, requests: 1234, failed: 10 }
        );
        assert!(parse("unable to connect").is_err());
    }
}
