//! Messages of Node's internal cluster protocol, as measured on Node.js 18 to 24.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a worker sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Incoming {
    /// The cluster module of the worker is up.
    Online { seq: u64 },
    /// It wants a listening socket.
    QueryServer(QueryServer),
    /// A server of it listens.
    Listening(Listening),
    /// A server of it closed; `key` is the one we gave it.
    Close { key: String },
    /// It is about to disconnect by its own decision.
    ExitedAfterDisconnect { seq: u64 },
    /// The handle we sent arrived.
    HandleAck,
    /// The handle we sent was lost; send it again.
    HandleNack,
    /// It sent us a handle, which we have no use for.
    Handle,
    /// Our hook: every connection has ended.
    Drained,
    /// The application's `process.send('ready')`.
    Ready,
    /// What pm2's libraries report: `axm:monitor`, `axm:action`, `axm:reply`.
    Axm { topic: String, data: Value },
    /// A message of the application that means nothing to us.
    Other,
}

/// `listen()` in a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueryServer {
    #[serde(default)]
    pub(crate) index: u64,
    /// `None` = any address.
    #[serde(default)]
    pub(crate) address: Option<String>,
    /// -1 for a unix socket.
    #[serde(default)]
    pub(crate) port: Option<i64>,
    #[serde(default)]
    pub(crate) address_type: Option<Value>,
    #[serde(default)]
    pub(crate) fd: Option<i64>,
    #[serde(default)]
    pub(crate) flags: Option<u64>,
    #[serde(default)]
    pub(crate) seq: u64,
    /// What the servers of all workers shall share; for TLS the ticket keys, so that any worker resumes a session.
    #[serde(default)]
    pub(crate) data: Value,
}

/// What kind of socket a worker wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressType {
    Tcp4,
    Tcp6,
    Unix,
    Udp4,
    Udp6,
}

impl QueryServer {
    pub(crate) fn kind(&self) -> Option<AddressType> {
        match self.address_type.as_ref()? {
            Value::Number(number) => match number.as_i64()? {
                4 => Some(AddressType::Tcp4),
                6 => Some(AddressType::Tcp6),
                -1 => Some(AddressType::Unix),
                _ => None,
            },
            Value::String(name) => match name.as_str() {
                "udp4" => Some(AddressType::Udp4),
                "udp6" => Some(AddressType::Udp6),
                _ => None,
            },
            _ => None,
        }
    }

    /// Workers of one application that ask for the same key share one socket.
    pub(crate) fn key(&self) -> String {
        format!(
            "{}:{}:{}:{}:{}",
            self.address.as_deref().unwrap_or("null"),
            self.port.unwrap_or(-1),
            self.address_type.as_ref().unwrap_or(&Value::Null),
            self.fd.map_or_else(|| "undefined".to_owned(), |fd| fd.to_string()),
            self.index
        )
    }
}

/// A server of a worker listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listening {
    #[serde(default)]
    pub(crate) address: Option<String>,
    #[serde(default)]
    pub(crate) port: Option<i64>,
}

/// Reads one line. `None` when it is no JSON (an application cannot send that; a broken worker can).
pub(crate) fn parse(line: &[u8]) -> Option<Incoming> {
    let mut message: Value = serde_json::from_slice(line).ok()?;
    let Some(cmd) = message.get("cmd").and_then(Value::as_str) else {
        if message.as_str() == Some("ready") {
            return Some(Incoming::Ready);
        }
        let topic = message.get("type").and_then(Value::as_str).filter(|topic| topic.starts_with("axm:"));
        let Some(topic) = topic.map(str::to_owned) else { return Some(Incoming::Other) };
        let data = message.get_mut("data").map(Value::take).unwrap_or_default();
        return Some(Incoming::Axm { topic, data });
    };
    let seq = message.get("seq").and_then(Value::as_u64).unwrap_or(0);
    Some(match cmd {
        "NODE_HANDLE_ACK" => Incoming::HandleAck,
        "NODE_HANDLE_NACK" => Incoming::HandleNack,
        "NODE_HANDLE" => Incoming::Handle,
        "NODE_MUSTER_DRAINED" => Incoming::Drained,
        "NODE_CLUSTER" => match message.get("act").and_then(Value::as_str) {
            Some("online") => Incoming::Online { seq },
            Some("exitedAfterDisconnect") => Incoming::ExitedAfterDisconnect { seq },
            Some("close") => Incoming::Close {
                key: message.get("key").and_then(Value::as_str).unwrap_or_default().to_owned(),
            },
            Some("queryServer") => match serde_json::from_value(message) {
                Ok(query) => Incoming::QueryServer(query),
                Err(_) => Incoming::Other,
            },
            Some("listening") => match serde_json::from_value(message) {
                Ok(listening) => Incoming::Listening(listening),
                Err(_) => Incoming::Other,
            },
            _ => Incoming::Other,
        },
        _ => Incoming::Other,
    })
}

/// Plain acknowledgement of a message that waits for one.
pub(crate) fn ack(seq: u64) -> Value {
    json!({"cmd": "NODE_CLUSTER", "ack": seq})
}

/// The answer to `queryServer` when there is no socket; the application sees the errno.
pub(crate) fn refuse(query: &QueryServer, errno: i32) -> Value {
    // The data goes back as it came: a TLS server reads it before it looks at the errno.
    json!({
        "cmd": "NODE_CLUSTER",
        "errno": -errno.abs(),
        "key": query.key(),
        "ack": query.seq,
        "data": query.data,
    })
}

/// The answer to `queryServer` that travels with the socket. `data` is that of the first worker which asked for it.
pub(crate) fn grant(query: &QueryServer, kind: AddressType, data: &Value) -> Value {
    let handle_type = match kind {
        AddressType::Tcp4 | AddressType::Tcp6 | AddressType::Unix => "net.Native",
        AddressType::Udp4 | AddressType::Udp6 => "dgram.Native",
    };
    json!({
        "cmd": "NODE_HANDLE",
        "type": handle_type,
        "msg": {"cmd": "NODE_CLUSTER", "errno": 0, "key": query.key(), "ack": query.seq, "data": data},
    })
}

/// Hands one accepted connection to the server behind `key`; travels with the connection.
pub(crate) fn new_connection(seq: u64, key: &str) -> Value {
    json!({
        "cmd": "NODE_HANDLE",
        "type": "net.Native",
        "msg": {"cmd": "NODE_CLUSTER", "act": "newconn", "key": key, "seq": seq},
    })
}

/// A handle of the worker arrived (and was dropped), so that it goes on sending.
pub(crate) fn handle_ack() -> Value {
    json!({"cmd": "NODE_HANDLE_ACK"})
}

/// Asks the worker to close its servers and its channel.
pub(crate) fn disconnect() -> Value {
    json!({"cmd": "NODE_CLUSTER", "act": "disconnect"})
}

/// Asks our hook to let the worker finish its connections.
pub(crate) fn drain(idle_after_ms: u64) -> Value {
    json!({"cmd": "NODE_MUSTER_DRAIN", "idleAfterMs": idle_after_ms})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_node_writes_it() {
        let line = br#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":3999,"addressType":4,"flags":0,"backlog":false,"seq":1}"#;
        let Some(Incoming::QueryServer(query)) = parse(line) else { panic!("no query") };
        assert_eq!(query.kind(), Some(AddressType::Tcp4));
        assert_eq!(query.key(), "null:3999:4:undefined:0");
        let line = br#"{"cmd":"NODE_CLUSTER","act":"queryServer","address":"::1","port":53,"addressType":"udp6","fd":-1,"seq":2}"#;
        let Some(Incoming::QueryServer(query)) = parse(line) else { panic!("no query") };
        assert_eq!(query.kind(), Some(AddressType::Udp6));
    }

    #[test]
    fn messages_of_the_application_are_told_apart() {
        assert_eq!(parse(br#""ready""#), Some(Incoming::Ready));
        assert_eq!(parse(br#"{"cmd":"NODE_CLUSTER","act":"from the future"}"#), Some(Incoming::Other));
        assert_eq!(parse(br#"{"cmd":42}"#), Some(Incoming::Other));
        assert_eq!(
            parse(br#"{"type":"axm:reply","data":{"return":1}}"#),
            Some(Incoming::Axm { topic: "axm:reply".into(), data: json!({"return": 1}) })
        );
        assert_eq!(parse(br#"{"type":"something else","data":1}"#), Some(Incoming::Other));
        assert_eq!(parse(br#"[1,2]"#), Some(Incoming::Other));
        assert_eq!(parse(b"{half"), None);
    }
}
