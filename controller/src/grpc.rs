//! The listener for agents: mutual TLS, who may call what, and the services of the agent protocol.
//!
//! Holds: accepting and cutting connections ([`listener`]), the check of every call ([`authenticate`]), decoding and
//! encoding around one use case per call ([`enrolment_service`], [`agent_service`]). Whoever speaks HTTP/1.1 gets what is
//! needed for becoming a node, and nothing else ([`downloads`]).
//! Must not: name the database or a planner, or believe anything that a message says about its sender.
//! Start here: [`serve`].

mod agent_service;
mod authenticate;
mod bundle;
mod connection;
mod decode;
mod downloads;
mod enrolment_service;
mod listener;
mod status;
mod turns;

pub use listener::serve;

use agent_service::Agents;
use authenticate::Authenticate;
use enrolment_service::Enrolments;
use muster_app::App;
use muster_proto::{
    MAX_MANIFEST_BYTES, MAX_MESSAGE_BYTES,
    v1::{agent_service_server::AgentServiceServer, enrolment_service_server::EnrolmentServiceServer},
};
use tonic::service::Routes;

/// A request to enrol is a token, a request for a certificate and a few facts; anybody may send one, so it stays small.
const MAX_ENROLMENT_BYTES: usize = 64 * 1024;

/// A manifest and its frame: the longest message that is sent.
const MAX_SENT_BYTES: usize = MAX_MANIFEST_BYTES + 64 * 1024;

/// Everything that an agent can call, behind the check of who calls.
fn services(app: App) -> Authenticate<Routes> {
    let enrolments = EnrolmentServiceServer::new(Enrolments::new(app.clone()))
        .max_decoding_message_size(MAX_ENROLMENT_BYTES);
    let agents = AgentServiceServer::new(Agents::new(app.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_SENT_BYTES);
    Authenticate::new(Routes::new(enrolments).add_service(agents).prepare(), app)
}
