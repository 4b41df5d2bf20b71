//! What processes tell, and what it means for their instance.

use chrono::Utc;
use muster_planning::supervision::{Event, Exit, signal_name};
use muster_supervisor_protocol::{LastExit, ProcessEventKind, Readiness};

use super::App;
use crate::cluster::protocol::{Listening, QueryServer};
use crate::process::{Happened, Order, Origin};

/// What ends a process for want of memory.
const SIGKILL: i32 = 9;

impl App {
    pub(super) fn hear(&mut self, origin: Origin, happened: Happened) {
        let Some(member) = self.members.get_mut(&origin.member) else { return };
        if member.process.as_ref().is_none_or(|process| process.launch != origin.launch) {
            return;
        }
        let launch = origin.launch;
        match happened {
            Happened::Online => member.came_online(),
            Happened::Query(query) => self.answer(origin.member, query),
            Happened::Listening(listening) => {
                if self.listening(origin.member, &listening) {
                    self.feed(origin.member, Event::BecameReady { launch });
                }
            }
            Happened::Closed { key } => self.closed(origin.member, &key),
            Happened::Ready => {
                if member.spec.readiness == Readiness::ReadyMessage {
                    self.feed(origin.member, Event::BecameReady { launch });
                }
            }
            Happened::ProbeSucceeded => self.feed(origin.member, Event::BecameReady { launch }),
            Happened::Noticed { hint } => {
                member.hint(&hint);
            }
            Happened::Drained => self.feed(origin.member, Event::Drained { launch }),
            Happened::ChannelLost => self.feed(origin.member, Event::ChannelLost { launch }),
            Happened::ChildOutOfMemory { reason } => {
                member.hint(&reason);
                let (index, release) = (member.index, member.spec.release.clone());
                self.publish(Some(index), release, ProcessEventKind::OutOfMemory, reason);
            }
            Happened::NotStarted { reason } => {
                member.stop_probe();
                if let Some(process) = &member.process {
                    self.shared.ledger.ended(process.pid);
                }
                member.last_stderr = member.process.take().map(|process| process.stderr_tail.lines());
                self.feed(origin.member, Event::SpawnFailed { launch, reason });
            }
            Happened::Exited(exit) => {
                tracing::debug!(app = self.name, index = member.index, %exit, "a process ended");
                member.stop_probe();
                if let Some(process) = &member.process {
                    self.shared.ledger.ended(process.pid);
                }
                let ran_ms = member.running_for().as_millis();
                let (code, signal) = match exit {
                    Exit::Code(code) => (Some(code), None),
                    Exit::Signal(signal) => (None, Some(signal)),
                    Exit::OutOfMemory(_) => (None, Some(SIGKILL)),
                    Exit::Unknown { .. } => (None, None),
                };
                let reason = match exit {
                    Exit::Code(_)
                    | Exit::Signal(_)
                    | Exit::OutOfMemory(_)
                    | Exit::Unknown { watched: true } => {
                        format!("{exit} after {ran_ms} ms")
                    }
                    Exit::Unknown { watched: false } => exit.to_string(),
                };
                let signal = signal
                    .map(|signal| signal_name(signal).map_or_else(|| signal.to_string(), str::to_owned));
                member.last_exit = Some(LastExit {
                    code,
                    signal,
                    reason,
                    at: Utc::now(),
                    out_of_memory: matches!(exit, Exit::OutOfMemory(_)),
                    uptime_ms: u64::try_from(ran_ms).unwrap_or(u64::MAX),
                    last_stderr: Vec::new(),
                });
                // The stderr of the process that ended is wanted when its failure is told.
                member.last_stderr = member.process.take().map(|process| process.stderr_tail.lines());
                self.feed(origin.member, Event::Exited { launch, exit });
            }
        }
    }

    fn answer(&mut self, id: u64, query: QueryServer) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let user = match crate::process::users::resolve(&member.spec) {
            Ok(user) => user,
            Err(reason) => {
                member.hint(&reason);
                member.order(Order::Refuse { errno: rustix::io::Errno::ACCESS.raw_os_error(), query });
                return;
            }
        };
        let keeper = Some((&self.shared.keeper, self.name.as_str()));
        match (self.sockets.get(&query, user.as_ref(), keeper), query.kind()) {
            (Ok((socket, data)), Some(kind)) => {
                member.keys.insert(query.key());
                member.order(Order::Grant { kind, socket, data, query });
            }
            (Ok(_), None) => {
                member.order(Order::Refuse { errno: rustix::io::Errno::INVAL.raw_os_error(), query })
            }
            (Err(refusal), _) => {
                // An application that asks again and again must not fill the disk with our log.
                if member.hint(&refusal.message)
                    && let Some(hint) = member.hints.last()
                {
                    tracing::warn!(app = self.name, index = member.index, "{hint}");
                }
                member.order(Order::Refuse { errno: refusal.errno, query });
            }
        }
    }

    /// True when that makes it ready.
    fn listening(&mut self, id: u64, listening: &Listening) -> bool {
        let Some(member) = self.members.get_mut(&id) else { return false };
        let port = listening.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
        let key = member.keys.iter().find(|key| port.is_some() && self.sockets.port(key) == port).cloned();
        let place = match (port, &listening.address) {
            (Some(port), _) => format!("port {port}"),
            (None, address) => address.clone().unwrap_or_default(),
        };
        member.hint(&format!("it listened on {place}"));
        member.listens(port, key, &self.news_sender)
    }

    /// A server was closed by a process that goes on: its socket is let go unless another instance uses it.
    fn closed(&mut self, id: u64, key: &str) {
        let Some(member) = self.members.get_mut(&id) else { return };
        if matches!(member.view(), muster_planning::supervision::replacement::View::Stopping) {
            return;
        }
        member.keys.remove(key);
        let members = &self.members;
        self.sockets.retain(|held| held != key || members.values().any(|member| member.keys.contains(held)));
    }
}
