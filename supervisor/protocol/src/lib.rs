//! What the agent (or a person's command) and the supervisor say to each other: newline-delimited JSON over a
//! unix socket that only its owner may open.
//!
//! Holds the message types, the bounded line framing and a small async client. Must not hold decisions, process
//! handling or anything else of the supervisor. Start with [`Request`] and [`Reply`]; callers want [`Client`].
//!
//! A connection carries one request after another. Each request is answered by zero or more intermediate lines
//! ([`Reply::Progress`], [`Reply::LogLine`], [`Reply::Event`]) and exactly one final reply. `Logs` with `follow` and
//! `Watch` have no final reply: they last until the client hangs up. Unknown fields are ignored in both directions,
//! because agent and supervisor are upgraded at different times.

mod client;
mod framing;
mod message;
mod spec;
mod status;

pub use client::{Client, ClientError, EventStream, LogStream};
pub use framing::{FramingError, LineReader, MAX_REPLY_BYTES, MAX_REQUEST_BYTES, write_message};
pub use message::{
    Applied, ApplyOutcome, ErrorCode, LogsRequest, MAX_ADOPTED_SOCKETS, Pong, Progress, Reply, Request,
    Target, TriggerAnswer,
};
pub use spec::{
    AppSpec, ExecMode, InvalidListenAddress, Limits, ListenAddress, LogFile, LogFormat, LogRotation,
    LogSettings, Pm2Origin, Readiness, RedactedEnv, SpecProblem, Watch,
};
pub use status::{
    AppStatus, DesiredRun, InstanceState, InstanceStatus, LastExit, LogLine, LogStreamName, ProcessEvent,
    ProcessEventKind,
};
