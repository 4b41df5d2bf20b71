//! What processes tell, and what it means for their instance.

use muster_planning::supervision::Event;
use muster_supervisor_protocol::Readiness;

use super::{App, exit};
use crate::cluster::protocol::{Listening, QueryServer};
use crate::process::{Happened, Order, Origin};

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
            Happened::Axm { topic, data } => match topic.as_str() {
                "axm:monitor" => member.reported.monitor(data),
                "axm:action" => member.reported.action(data),
                "axm:reply" => self.replied(origin.member, data),
                _ => {}
            },
            Happened::Exited(exit) => {
                tracing::debug!(app = self.name, index = member.index, %exit, "a process ended");
                member.last_exit = Some(exit::report(member, exit));
                if let Some(process) = member.bury() {
                    self.shared.ledger.ended(process.pid);
                }
                self.answers_no_more(origin.member);
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
