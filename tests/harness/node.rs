//! A node of a test: a real agent with its state on disk, a fake host, and application processes that are fake, or run by
//! a real supervisor.

use crate::supervisor::{self, RealSupervisor};
use muster_agent::{
    Agent, AgentConfig, StateDir,
    join::{JoinError, JoinRequest, JoinToken, join},
    link::dial::ControllerAddress,
    runner::{ApplicationRunner, fake::FakeRunner},
};
use muster_domain::node::HostFacts;
use muster_platform::{FakeHost, Host as _};
use muster_supervisor_protocol::AppSpec;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// More than any test writes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// A node.
pub struct TestNode {
    /// Its name.
    pub name: String,
    /// Its host.
    pub host: Arc<FakeHost>,
    /// Its application processes, unless a supervisor runs them.
    pub runner: Arc<FakeRunner>,
    config: AgentConfig,
    agent: Option<JoinHandle<()>>,
    supervisor: Option<RealSupervisor>,
    // Last: whatever runs has ended when it goes.
    _state: TempDir,
}

impl TestNode {
    /// Lets a host join. Its agent does not run yet.
    pub async fn join(name: &str, token: &str, controller: SocketAddr) -> Result<Self, JoinError> {
        let state = tempfile::tempdir().expect("a temporary folder");
        let mut config = AgentConfig::new(state.path());
        config.intervals.reconnect_min = Duration::from_millis(20);
        config.intervals.reconnect_max = Duration::from_millis(200);
        config.intervals.poll = Duration::from_millis(500);
        config.intervals.heartbeat = Duration::from_millis(300);
        config.intervals.retry_min = Duration::from_millis(200);
        let request = JoinRequest {
            token: JoinToken::parse(token)?,
            controller: ControllerAddress::parse(&format!("https://{controller}"))?,
            rootless: false,
            force: false,
            facts: HostFacts { hostname: name.to_owned(), ..HostFacts::default() },
        };
        join(&config, request).await?;
        Ok(Self {
            name: name.to_owned(),
            host: Arc::new(FakeHost::new(name)),
            runner: Arc::new(FakeRunner::new()),
            config,
            agent: None,
            supervisor: None,
            _state: state,
        })
    }

    /// Has the applications run by a supervisor of its own, on the Node.js of this machine. Before the agent starts.
    pub async fn supervise(&mut self) {
        assert!(self.agent.is_none(), "the agent runs");
        self.host.set_runtimes(vec![supervisor::installed_node()]);
        self.supervisor = Some(RealSupervisor::start(self.config.state_dir.clone()).await);
    }

    /// What the supervisor knows: the applications as it runs them.
    pub async fn supervised(&self) -> Vec<AppSpec> {
        let supervisor = self.supervisor.as_ref().expect("a supervisor runs the applications");
        supervisor.runner.specs().await.expect("the supervisor answers")
    }

    /// Starts the agent.
    pub fn agent_start(&mut self) {
        assert!(self.agent.is_none(), "the agent runs");
        let runner: Arc<dyn ApplicationRunner> = match &self.supervisor {
            Some(supervisor) => supervisor.runner.clone(),
            None => self.runner.clone(),
        };
        let agent = Agent::new(self.config.clone(), self.host.clone(), runner).expect("an agent that starts");
        self.agent = Some(tokio::spawn(agent.run(std::future::pending())));
    }

    /// Ends the agent in the middle of whatever it does.
    pub async fn agent_kill(&mut self) {
        let agent = self.agent.take().expect("the agent runs");
        agent.abort();
        // Cancelled, which is what was asked for.
        drop(agent.await);
    }

    /// Where its agent keeps its state.
    pub fn state_dir(&self) -> &StateDir {
        &self.config.state_dir
    }

    /// The text of a file of the host.
    pub fn file(&self, path: &str) -> Option<String> {
        let bytes = self.host.read(Path::new(path), MAX_FILE_BYTES).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        if let Some(agent) = &self.agent {
            agent.abort();
        }
    }
}
