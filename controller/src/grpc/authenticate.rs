//! Who may call what. One layer for every call, with a list of exceptions, so that a new call is protected by default.

use super::{
    status::{refused, status},
    turns::Turns,
};
use http::{Request, Response};
use muster_app::{App, AuthenticatedNode};
use muster_domain::NodeId;
use muster_identity::PeerNode;
use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tonic::{Code, Status, body::Body};
use tower::Service;

/// The one call without a certificate.
const ENROL: &str = "/muster.agent.v1.EnrolmentService/Enrol";

/// The one call with a certificate that has run out.
const RENEW: &str = "/muster.agent.v1.EnrolmentService/Renew";

/// Calls whose request is a stream: they take as long as it lasts.
const STREAMED_REQUESTS: [&str; 1] = ["/muster.agent.v1.AgentService/SendLogs"];

/// How long any other call may take to its answer (of a streamed answer: to its beginning). Far beyond what the slowest
/// takes, so what runs into it hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Calls of one node that are answered at a time; others wait. Reports and beats of a node follow each other on its row, and
/// each that waits there holds one of the few connections to the database: a node that calls without end waits for itself
/// here, and not everybody else for it there.
const CALLS_PER_NODE: usize = 4;

/// Who is at the other end of a connection; in the extensions of every request.
#[derive(Debug)]
pub(super) struct Peer {
    /// Where it calls from.
    pub(super) address: SocketAddr,
    /// The node, from the verified certificate; none without one.
    pub(super) node: Option<PeerNode>,
}

/// The caller of a request that passed: the only source of "which node" for every service.
pub(super) fn caller<T>(request: &tonic::Request<T>) -> Result<AuthenticatedNode, Status> {
    request
        .extensions()
        .get::<AuthenticatedNode>()
        .cloned()
        .ok_or_else(|| refused(Code::Internal, "internal", "the call was not authenticated"))
}

/// Lets calls through to `inner` whose caller may make them.
#[derive(Clone)]
pub(super) struct Authenticate<S> {
    inner: S,
    app: App,
    turns: Turns<NodeId>,
}

impl<S> Authenticate<S> {
    pub(super) fn new(inner: S, app: App) -> Self {
        Self { inner, app, turns: Turns::new(CALLS_PER_NODE) }
    }
}

impl<S, B> Service<Request<B>> for Authenticate<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The clone that was polled ready does the work; the fresh one waits for its turn.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let (app, turns) = (self.app.clone(), self.turns.clone());
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let streamed = STREAMED_REQUESTS.contains(&path.as_str());
            let caller = request.extensions().get::<Arc<Peer>>().and_then(|peer| peer.node.as_ref());
            let _turn = match caller.map(|node| node.node_id) {
                Some(node) if !streamed => Some(turns.take(node).await),
                _ => None,
            };
            if path != ENROL {
                match node(&app, &path, request.extensions().get::<Arc<Peer>>()).await {
                    Ok(node) => {
                        request.extensions_mut().insert(node);
                    }
                    Err(refusal) => {
                        tracing::debug!(path, reason = refusal.message(), "a call was refused");
                        return Ok(refusal.into_http());
                    }
                }
            }
            let answer = inner.call(request);
            if streamed {
                return answer.await;
            }
            tokio::time::timeout(ANSWER_TIMEOUT, answer).await.unwrap_or_else(|_| {
                tracing::error!(path, "a call of an agent took too long and was given up");
                Ok(refused(Code::DeadlineExceeded, "timeout", "the controller did not answer in time")
                    .into_http())
            })
        })
    }
}

async fn node(app: &App, path: &str, peer: Option<&Arc<Peer>>) -> Result<AuthenticatedNode, Status> {
    let Some(node) = peer.and_then(|peer| peer.node.as_ref()) else {
        return Err(refused(
            Code::Unauthenticated,
            "certificate_missing",
            "this call needs the certificate of a node, and none was presented; join first with `muster-agent join`",
        ));
    };
    let node = app.node_authenticate(node).await.map_err(status)?;
    if node.expired && path != RENEW {
        return Err(refused(
            Code::PermissionDenied,
            "certificate_expired",
            format!(
                "the certificate of node {} ran out at {}; renew it first",
                node.name, node.peer.not_after
            ),
        ));
    }
    Ok(node)
}
