//! A client of pm2's own daemon: calls over `rpc.sock`, in the framing of axon (amp messages of JSON).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::Failure;

/// pm2 stops processes within their kill timeout; a daemon that takes longer for anything is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// A list of hundreds of processes with their environments has a few megabytes.
const ANSWER_BYTES_AT_MOST: u32 = 64 * 1024 * 1024;

/// A connection to a daemon.
#[derive(Debug)]
pub(super) struct Rpc {
    stream: UnixStream,
    calls: u64,
    answers: BTreeMap<u64, Vec<u8>>,
    /// Process id of the daemon.
    pub(super) daemon: u32,
    /// Whom it runs as.
    pub(super) uid: u32,
    socket: PathBuf,
}

impl Rpc {
    /// Connects to the daemon of a folder; `None` when none runs there.
    pub(super) async fn connect(pm2_home: &Path) -> Option<Self> {
        let socket = pm2_home.join("rpc.sock");
        let stream = UnixStream::connect(&socket).await.ok()?;
        let peer = stream.peer_cred().ok()?;
        let (daemon, uid) = (u32::try_from(peer.pid()?).ok()?, peer.uid());
        Some(Self { stream, calls: 0, answers: BTreeMap::new(), daemon, uid, socket })
    }

    /// The records of its processes, as `pm2 jlist` prints them.
    pub(super) async fn list(&mut self) -> Result<Vec<Value>, Failure> {
        match self.call("getMonitorData", json!({})).await? {
            Value::Array(records) => Ok(records),
            other => Err(self.failed("getMonitorData", &format!("it answered {other}"))),
        }
    }

    /// Calls a method and waits for its answer.
    pub(super) async fn call(&mut self, method: &str, argument: Value) -> Result<Value, Failure> {
        let number = self.send(method, argument).await?;
        self.receive(method, number).await
    }

    /// Calls a method with each of these arguments at once.
    pub(super) async fn call_each(&mut self, method: &str, arguments: &[u32]) -> Result<(), Failure> {
        let sent = self.send_each(method, arguments).await?;
        self.receive_each(method, &sent).await
    }

    /// Sends calls without waiting: a daemon that is held finds them when it goes on.
    pub(super) async fn send_each(&mut self, method: &str, arguments: &[u32]) -> Result<Vec<u64>, Failure> {
        let mut sent = Vec::new();
        for argument in arguments {
            sent.push(self.send(method, json!(argument)).await?);
        }
        Ok(sent)
    }

    /// Waits for the answers to these calls.
    pub(super) async fn receive_each(&mut self, method: &str, sent: &[u64]) -> Result<(), Failure> {
        for number in sent {
            self.receive(method, *number).await?;
        }
        Ok(())
    }

    async fn send(&mut self, method: &str, argument: Value) -> Result<u64, Failure> {
        self.calls += 1;
        let call = json!({"type": "call", "method": method, "args": [argument]});
        let message = encode(&[format!("j:{call}"), format!("s:adopt:{}", self.calls)]);
        let sent = self.stream.write_all(&message).await;
        sent.map_err(|error| self.failed(method, &error.to_string()))?;
        Ok(self.calls)
    }

    /// The answer to a call; answers to other calls are kept.
    async fn receive(&mut self, method: &str, number: u64) -> Result<Value, Failure> {
        let body = loop {
            if let Some(body) = self.answers.remove(&number) {
                break body;
            }
            let parts = match tokio::time::timeout(PATIENCE, read(&mut self.stream)).await {
                Ok(Ok(parts)) => parts,
                Ok(Err(error)) => return Err(self.failed(method, &error.to_string())),
                Err(_) => return Err(self.failed(method, "it does not answer")),
            };
            let Ok([body, id]) = <[Vec<u8>; 2]>::try_from(parts) else { continue };
            let id = id.strip_prefix(b"s:adopt:").and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
            if let Some(id) = id {
                self.answers.insert(id, body);
            }
        };
        let body = body.strip_prefix(b"j:").unwrap_or(&body);
        let answer: Value =
            serde_json::from_slice(body).map_err(|error| self.failed(method, &error.to_string()))?;
        if let Some(error) = answer.get("error") {
            let said = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
            return Err(self.failed(method, &said));
        }
        // What a callback got: the error is told apart already.
        Ok(answer.get("args").and_then(|args| args.get(0)).cloned().unwrap_or_default())
    }

    fn failed(&self, method: &str, why: &str) -> Failure {
        Failure::new(format!("pm2's daemon at {} failed at {method}: {why}", self.socket.display()))
    }
}

/// An amp message: version 1 and the number of parts, then each with its length.
fn encode(parts: &[String]) -> Vec<u8> {
    let count = u8::try_from(parts.len()).expect("calls have two parts");
    let mut message = vec![1 << 4 | count];
    for part in parts {
        let length = u32::try_from(part.len()).expect("a call has a few bytes");
        message.extend(length.to_be_bytes());
        message.extend(part.as_bytes());
    }
    message
}

async fn read(stream: &mut UnixStream) -> std::io::Result<Vec<Vec<u8>>> {
    let count = stream.read_u8().await? & 0xf;
    let mut parts = Vec::new();
    for _ in 0..count {
        let length = stream.read_u32().await?;
        if length > ANSWER_BYTES_AT_MOST {
            return Err(std::io::Error::other(format!("an answer of {length} bytes is none of pm2's")));
        }
        let mut part = vec![0; length as usize];
        stream.read_exact(&mut part).await?;
        parts.push(part);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn calls_and_answers_have_the_framing_of_axon() {
        let dir = tempfile::tempdir().unwrap();
        let listener = tokio::net::UnixListener::bind(dir.path().join("rpc.sock")).unwrap();
        let daemon = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            for answer in [r#"j:{"args":[[{"pid":1}]]}"#, r#"j:{"error":"no such process","stack":"x"}"#] {
                let parts = read(&mut stream).await.unwrap();
                let [call, id] = <[Vec<u8>; 2]>::try_from(parts).unwrap();
                asked.push(String::from_utf8(call).unwrap());
                let stale = encode(&["j:{}".to_owned(), "s:adopt:0".to_owned()]);
                stream.write_all(&stale).await.unwrap();
                let id = String::from_utf8(id).unwrap();
                stream.write_all(&encode(&[answer.to_owned(), id])).await.unwrap();
            }
            asked
        });
        let mut rpc = Rpc::connect(dir.path()).await.unwrap();
        assert_eq!(rpc.daemon, std::process::id());
        assert_eq!(rpc.list().await.unwrap(), [json!({"pid": 1})]);
        let refused = rpc.call("deleteProcessId", json!(7)).await.unwrap_err();
        assert!(refused.message.ends_with("failed at deleteProcessId: no such process"), "{refused}");
        let asked = daemon.await.unwrap();
        assert_eq!(asked[1], r#"j:{"args":[7],"method":"deleteProcessId","type":"call"}"#);
        assert!(Rpc::connect(Path::new("/nonexistent")).await.is_none());
    }
}
