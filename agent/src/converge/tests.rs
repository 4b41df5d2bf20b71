//! The loop over a ledger on the disk and a host in memory. Services, commands and packages are scripted here on top of that
//! host's files: what is tested is what the loop makes of them, and a kill at any of their calls is one at any call of the
//! host.

use super::*;
use crate::artifacts::{ArtifactSource, ObjectStream, SourceError};
use crate::config::StateDir;
use crate::ledger::test_fleet::Fleet;
use crate::resources::{Assessment, Look, View};
use crate::runner::fake::FakeRunner;
use futures_util::future::BoxFuture;
use muster_domain::Digest;
use muster_domain::assignment::{AssignmentContent, Generation};
use muster_domain::observed::{ChangeCause, ResourceReport};
use muster_domain::resource::{
    Command, Directory, File, OnRemoval, Package, PackageEnsure, ResourceKey, Service,
};
use muster_domain::turn::{TurnAnswer, TurnOutcome, TurnRequest};
use muster_planning::convergence::{
    Action, Activity, Enablement, Observed, ObservedService, UnitLoad, Verdict,
};
use muster_platform::{FakeHost, Ownership, WriteFile};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

mod bad_input;
mod crashes;
mod lockout;
mod modes;
mod plans;
mod removals;
mod services;
mod turns;

/// A service that refuses what holds this word.
const BROKEN: &str = "BROKEN";

fn key(kind: &str, name: &str) -> ResourceKey {
    ResourceKey::new(kind, name)
}

fn file(path: &str, text: &str) -> Resource {
    let file = File {
        path: path.into(),
        content: text.as_bytes().to_vec(),
        mode: 0o644,
        owner: None,
        group: None,
        sensitive: false,
        validate: None,
    };
    Resource::new(key("file", path), vec![], DesiredState::File(file))
}

fn folder(path: &str) -> Resource {
    let folder = Directory { path: path.into(), mode: 0o755, owner: None, group: None };
    Resource::new(key("directory", path), vec![], DesiredState::Directory(folder))
}

/// A service that reads these files.
fn service(name: &str, reload_on: &[&Resource], restart_on: &[&Resource]) -> Resource {
    let service = Service { name: format!("{name}.service"), enabled: None, running: Some(true) };
    let mut resource = Resource::new(key("service", name), vec![], DesiredState::Service(service));
    resource.reload_on = reload_on.iter().map(|watched| watched.key.clone()).collect();
    resource.restart_on = restart_on.iter().map(|watched| watched.key.clone()).collect();
    resource
}

fn package(name: &str) -> Resource {
    let package = Package { name: name.into(), ensure: PackageEnsure::Present, hold: false };
    Resource::new(key("package", name), vec![], DesiredState::Package(package))
}

fn command(name: &str, reload_on: &[&Resource]) -> Resource {
    let command = Command {
        name: name.into(),
        run: name.into(),
        unless: None,
        creates: None,
        only_on_change: true,
        user: None,
        cwd: None,
        timeout_ms: 1000,
    };
    let mut resource = Resource::new(key("command", name), vec![], DesiredState::Command(command));
    resource.reload_on = reload_on.iter().map(|watched| watched.key.clone()).collect();
    resource
}

fn removable(mut resource: Resource) -> Resource {
    resource.on_removal = OnRemoval::Remove;
    resource
}

/// Services, commands and packages on top of files. What a service has read lies below `/var/lib/read`.
#[derive(Debug, Default)]
struct Scripted {
    /// Which files a service or a command reads.
    reads: Mutex<BTreeMap<String, Vec<String>>>,
    /// Packages of each transaction.
    transactions: Mutex<Vec<Vec<String>>>,
    /// A lock that somebody else holds.
    locked: Mutex<bool>,
}

impl Scripted {
    fn reads(&self, resources: &[Resource]) {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in resources {
            let (_, name) = resource.key.as_str().split_once(':').unwrap();
            let files = resource.reload_on.iter().chain(&resource.restart_on);
            let files = files.filter_map(|key| key.as_str().strip_prefix("file:").map(str::to_owned));
            reads.insert(name.to_owned(), files.collect());
        }
    }

    /// The name in the key of a service.
    fn short(service: &Service) -> &str {
        service.name.trim_end_matches(".service")
    }

    /// What it would read now.
    fn now(&self, host: &dyn Host, name: &str) -> String {
        let files = self.reads.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let read = |path: &String| {
            let content = host.read(Path::new(path), 1 << 20).unwrap_or_else(|_| b"nothing".to_vec());
            format!("{path}={}\n", String::from_utf8(content).unwrap())
        };
        files.unwrap_or_default().iter().map(read).collect()
    }

    fn put(host: &dyn Host, folder: &str, name: &str, content: &str) -> Result<(), String> {
        let path = format!("/var/lib/{folder}-{name}");
        let ownership = Ownership::default();
        let file = WriteFile { path: Path::new(&path), content: content.as_bytes(), mode: 0o644, ownership };
        host.write(&file).map_err(|error| error.to_string())
    }

    fn get(host: &dyn Host, folder: &str, name: &str) -> Option<String> {
        let path = format!("/var/lib/{folder}-{name}");
        Some(String::from_utf8(host.read(Path::new(&path), 1 << 20).ok()?).unwrap())
    }

    fn read_again(&self, host: &dyn Host, name: &str, restart: bool) -> Result<Option<String>, String> {
        let now = self.now(host, name);
        if !now.contains(BROKEN) {
            Self::put(host, "read", name, &now)?;
            if now.contains("DIES") {
                // A moment after everybody took it for started.
                Self::put(host, "unit", name, "missing")?;
            }
            return Ok(None);
        }
        if restart {
            Self::put(host, "read", name, "down")?;
        }
        Err(format!("{name} does not understand its configuration"))
    }
}

impl Kinds for Scripted {
    fn assess(&self, host: &dyn Host, view: View<'_>, resource: &Resource, effort: Effort) -> Assessment {
        let found = |found: Option<String>, verdict: Verdict| Assessment {
            observed: Observed::Nodejs { versions: found.into_iter().collect() },
            verdict,
        };
        let change = |action, reason: &str| Verdict::Change { actions: vec![action], reason: reason.into() };
        match &resource.desired {
            DesiredState::Service(service) => {
                let read = Self::get(host, "read", Self::short(service));
                let unit = Self::get(host, "unit", Self::short(service));
                let verdict = match read.as_deref() {
                    _ if unit.as_deref() == Some("missing") => {
                        Verdict::Impossible { reason: "there is no unit".into() }
                    }
                    _ if unit.as_deref() == Some("starting") => {
                        Verdict::Waiting { reason: "is starting".into() }
                    }
                    None | Some("down") => change(Action::Restart, "does not run"),
                    Some(_) => Verdict::InPlace,
                };
                if unit.as_deref() == Some("rigid") {
                    // One that cannot read its configuration again.
                    let observed = Observed::Service(ObservedService {
                        loaded: UnitLoad::Loaded,
                        enablement: Enablement::Enabled,
                        activity: Activity::Active,
                        ends_by_itself: false,
                        reloads: false,
                    });
                    return Assessment { observed, verdict };
                }
                found(read, verdict)
            }
            DesiredState::Command(_) => found(None, change(Action::RunCommand, "")),
            DesiredState::Package(package) => {
                let there = Self::get(host, "package", &package.name);
                let locked = *self.locked.lock().unwrap_or_else(PoisonError::into_inner);
                let verdict = match &there {
                    Some(_) => Verdict::InPlace,
                    None if locked => Verdict::Waiting { reason: "dpkg is locked by apt-get".into() },
                    None => change(Action::WriteFile, "is not installed"),
                };
                found(there, verdict)
            }
            _ => Builtin.assess(host, view, resource, effort),
        }
    }

    fn apply(
        &self,
        look: Look<'_>,
        desired: &DesiredState,
        action: Action,
    ) -> Result<Option<String>, String> {
        match desired {
            DesiredState::Service(service) => {
                self.read_again(look.host, Self::short(service), action == Action::Restart)
            }
            DesiredState::Command(command) => {
                let now = self.now(look.host, &command.name);
                Self::put(look.host, "ran", &command.name, &now).map(|()| None)
            }
            _ => Builtin.apply(look, desired, action),
        }
    }

    fn diff(&self, look: Look<'_>, desired: &DesiredState, observed: &Observed) -> Option<String> {
        Builtin.diff(look, desired, observed)
    }

    fn remove(&self, look: Look<'_>, desired: &DesiredState) -> Result<Option<String>, String> {
        match desired {
            DesiredState::Package(package) => {
                let path = format!("/var/lib/package-{}", package.name);
                look.host.remove(Path::new(&path)).map_err(|error| error.to_string())?;
                Ok(Some("was removed".into()))
            }
            _ => Builtin.remove(look, desired),
        }
    }

    fn install_packages(
        &self,
        look: Look<'_>,
        wanted: &[&Package],
    ) -> BTreeMap<String, Result<Option<String>, String>> {
        let names = wanted.iter().map(|package| package.name.clone()).collect();
        self.transactions.lock().unwrap_or_else(PoisonError::into_inner).push(names);
        let install = |package: &&Package| {
            let done = match package.name.as_str() {
                "no-such-package" => Err("there is no such package".to_owned()),
                name => Self::put(look.host, "package", name, "installed").map(|()| None),
            };
            (package.name.clone(), done)
        };
        wanted.iter().map(install).collect()
    }
}

/// Gives out turns as a test wants, and remembers what was asked.
#[derive(Debug, Default)]
struct Counter {
    answer: Mutex<Option<Result<TurnAnswer, String>>>,
    /// Another answer for what is new.
    for_new: Mutex<Option<Result<TurnAnswer, String>>>,
    requests: Mutex<Vec<TurnRequest>>,
    releases: Mutex<Vec<TurnOutcome>>,
}

impl Counter {
    fn answer(&self, answer: Result<TurnAnswer, String>) {
        *self.answer.lock().unwrap() = Some(answer);
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|request| request.reason.clone()).collect()
    }

    fn releases(&self) -> Vec<TurnOutcome> {
        self.releases.lock().unwrap().clone()
    }
}

impl Turns for Counter {
    fn request(&self, request: TurnRequest) -> BoxFuture<'_, Result<TurnAnswer, String>> {
        let for_new = self.for_new.lock().unwrap().clone();
        let for_new = for_new.filter(|_| request.cause == ChangeCause::Intentional);
        self.requests.lock().unwrap().push(request);
        let answer = for_new.or_else(|| self.answer.lock().unwrap().clone());
        let answer = answer.unwrap_or(Ok(TurnAnswer::Granted { lease_ms: 600_000 }));
        Box::pin(async move { answer })
    }

    fn release(&self, _: Generation, outcome: TurnOutcome) -> BoxFuture<'_, Result<(), String>> {
        let gone = matches!(*self.answer.lock().unwrap(), Some(Err(_)));
        if !gone {
            self.releases.lock().unwrap().push(outcome);
        }
        Box::pin(async move { if gone { Err("gone".to_owned()) } else { Ok(()) } })
    }
}

/// No releases here.
struct NoArtifacts;

impl ArtifactSource for NoArtifacts {
    fn manifest(&self, _: Digest) -> BoxFuture<'_, Result<Vec<u8>, SourceError>> {
        Box::pin(async { Err(SourceError::NotConnected) })
    }

    fn objects(&self, _: Digest, _: Vec<Digest>) -> BoxFuture<'_, Result<ObjectStream, SourceError>> {
        Box::pin(async { Err(SourceError::NotConnected) })
    }
}

/// A node whose agent may be killed and started again.
struct Bench {
    fleet: Fleet,
    dir: tempfile::TempDir,
    host: Arc<FakeHost>,
    kinds: Arc<Scripted>,
    turns: Arc<Counter>,
    ledger: Arc<Ledger>,
    converger: Option<Converger>,
    generation: u64,
    /// The way to the controller, where what is risky is put to the test.
    reach: Option<Arc<dyn crate::safe_apply::Reach>>,
    /// How wrong the clock of the node is.
    clock_ahead_s: Arc<std::sync::atomic::AtomicI64>,
}

impl Bench {
    fn new() -> Self {
        let (fleet, dir) = (Fleet::new(), tempfile::tempdir().unwrap());
        let (ledger, _) = fleet.open(&dir.path().join("ledger"));
        let mut bench = Self {
            fleet,
            dir,
            host: Arc::new(FakeHost::default()),
            kinds: Arc::default(),
            turns: Arc::default(),
            ledger: Arc::new(ledger),
            converger: None,
            generation: 0,
            reach: None,
            clock_ahead_s: Arc::default(),
        };
        bench.host.tamper("/etc/unmanaged", "of somebody else");
        bench.start();
        bench
    }

    /// Puts changes to the test, where a test wants that: the program that the timer would run does not matter.
    fn safe(&self) -> Option<SafeApply> {
        let reach = self.reach.clone()?;
        let (state, clock) = (StateDir::new(self.dir.path().join("state")), crate::config::Clock::system());
        std::fs::create_dir_all(state.root()).unwrap();
        let safe = SafeApply::new(self.host.clone(), state, reach, clock);
        Some(safe.with_window(Duration::from_millis(300)).with_program("/usr/bin/muster-agent".into()))
    }

    /// A fresh agent over whatever is on the disk and on the host.
    fn start(&mut self) {
        self.converger = None;
        let (ledger, oddities) = self.fleet.open(&self.dir.path().join("ledger"));
        assert_eq!(oddities, []);
        self.ledger = Arc::new(ledger);
        let mut config = AgentConfig::new(self.dir.path().join("state"));
        let ahead_s = self.clock_ahead_s.clone();
        config.clock = crate::config::Clock::new(move || {
            chrono::Utc::now()
                + chrono::TimeDelta::seconds(ahead_s.load(std::sync::atomic::Ordering::Relaxed))
        });
        let releases = Releases::new(&config, Arc::new(NoArtifacts), self.host.clone());
        let parts = Parts {
            nudges: Arc::new(Nudges::new(config.intervals.poll)),
            config,
            host: self.host.clone(),
            runner: Arc::new(FakeRunner::new()),
            releases,
            ledger: self.ledger.clone(),
            turns: self.turns.clone(),
            certificates: None,
            safe: self.safe(),
        };
        self.converger = Some(Converger::with_kinds(parts, self.kinds.clone()));
    }

    /// The controller assigns something else.
    fn assign(&mut self, resources: &[Resource]) {
        self.generation += 1;
        self.kinds.reads(resources);
        let content = AssignmentContent { resources: resources.to_vec() };
        let signed = self.fleet.sign(self.generation, &content);
        let offered = self.ledger.offer(&signed).unwrap();
        assert!(matches!(offered, crate::ledger::Offered::Accepted(_)), "{offered:?}");
    }

    /// One run, and what was reported of it.
    async fn run(&mut self) -> BTreeMap<String, ResourceReport> {
        self.run_asked(false).await
    }

    async fn run_asked(&mut self, asked: bool) -> BTreeMap<String, ResourceReport> {
        let converger = self.converger.as_mut().unwrap();
        converger.converge(asked).await;
        let reports = converger.told.last().unwrap().resources.iter().cloned();
        reports.map(|report| (report.key.to_string(), report)).collect()
    }

    async fn assign_and_run(&mut self, resources: &[Resource]) -> BTreeMap<String, ResourceReport> {
        self.assign(resources);
        self.run().await
    }

    /// Whether everything is as it should be, and another run finds nothing to do.
    async fn settled(&mut self) -> BTreeMap<String, ResourceReport> {
        let last = self.run().await;
        let writes = self.host.writes();
        let again = self.run().await;
        assert_eq!(self.host.writes(), writes, "a run that had nothing to do changed something");
        assert!(self.ledger.recollect().pending.is_empty(), "{:?}", self.ledger.recollect().pending);
        assert_eq!(last.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>());
        again
    }

    fn content(&self, path: &str) -> Option<String> {
        self.host.files().remove(Path::new(path)).map(|content| String::from_utf8(content).unwrap())
    }

    /// What a service read last.
    fn read_by(&self, service: &str) -> String {
        self.content(&format!("/var/lib/read-{service}")).unwrap()
    }

    /// The kinds of the events that are queued.
    fn events(&self) -> Vec<String> {
        use muster_proto::v1::report::Report;
        let queued = self.ledger.reports.batch(1000, usize::MAX);
        queued
            .into_iter()
            .filter_map(|report| match report.report? {
                Report::Event(event) => Some(format!("{}: {}", event.kind, event.message)),
                _ => None,
            })
            .collect()
    }
}

fn converged(report: &ResourceReport) -> bool {
    report.status == ResourceStatus::Converged
}
