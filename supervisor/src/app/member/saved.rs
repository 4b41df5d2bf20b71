//! An instance as the next supervisor has to know it.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use muster_planning::supervision::{Instance, State};
use muster_supervisor_protocol::{AppSpec, LastExit};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{Member, Role};
use crate::app::Shared;
use crate::app::places::Numbers;
use crate::app::reported::Reported;
use crate::process::{self, Happened, Origin, Owner, Process, ProcessRest, SavedProcess, tree};
use crate::readiness::Probe;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SavedMember {
    pub(crate) id: u64,
    pub(crate) index: u32,
    role: Role,
    /// Which of the specs of the application.
    pub(crate) spec: usize,
    machine: Instance,
    pub(crate) process: Option<SavedProcess>,
    retire: bool,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    last_exit: Option<LastExit>,
    last_stderr: Option<Vec<String>>,
    keys: BTreeSet<String>,
    hints: Vec<String>,
    online: bool,
    reported: Reported,
    pid_file: Option<PathBuf>,
    hooked: bool,
    drains: bool,
    disconnects: bool,
    probe: Option<(Probe, Option<String>)>,
}

/// What has become of a process meanwhile.
#[derive(Debug)]
pub(crate) enum Meanwhile {
    /// To be found out: the supervisor before was killed.
    Unknown,
    /// It was handed over.
    HandedOver(Box<ProcessRest>),
    /// Its end was seen, and is still to be told.
    Ended,
}

impl Member {
    pub(crate) fn save(&self, spec: usize) -> SavedMember {
        SavedMember {
            id: self.id,
            index: self.index,
            role: self.role,
            spec,
            machine: self.machine.clone(),
            process: self.process.as_ref().map(Process::save),
            retire: self.retire,
            created_at: self.created_at,
            started_at: self.started_at,
            last_exit: self.last_exit.clone(),
            last_stderr: self.last_stderr.clone(),
            keys: self.keys.clone(),
            hints: self.hints.clone(),
            online: self.online,
            reported: self.reported.clone(),
            pid_file: self.pid_file.clone(),
            hooked: self.hooked,
            drains: self.policy.drains,
            disconnects: self.policy.disconnects,
            probe: self.probe.as_ref().map(|running| (running.probe.clone(), running.key.clone())),
        }
    }

    pub(crate) fn resume(
        saved: SavedMember,
        spec: Arc<AppSpec>,
        numbers: Numbers,
        meanwhile: Meanwhile,
        shared: &Shared,
        news: &mpsc::Sender<(Origin, Happened)>,
        sockets: impl Fn(&str) -> Option<Arc<OwnedFd>>,
    ) -> Self {
        let mut member = Self::new(saved.id, saved.index, saved.role, spec, numbers);
        member.machine = saved.machine;
        member.retire = saved.retire;
        member.created_at = saved.created_at;
        member.started_at = saved.started_at;
        member.last_exit = saved.last_exit;
        member.last_stderr = saved.last_stderr;
        member.keys = saved.keys;
        member.hints = saved.hints;
        member.online = saved.online;
        member.reported = saved.reported;
        member.pid_file = saved.pid_file;
        member.hooked = saved.hooked;
        member.policy.drains = saved.drains;
        member.policy.disconnects = saved.disconnects;
        let Some(process) = saved.process else { return member };
        let rest = match meanwhile {
            Meanwhile::Unknown => None,
            Meanwhile::HandedOver(rest) => Some(*rest),
            Meanwhile::Ended => {
                member.process = Some(Process::gone(&process));
                return member;
            }
        };
        let output = member.output(shared);
        let origin = Origin { member: member.id, launch: process.launch };
        let owner = Owner {
            spec: &member.spec,
            output: &output,
            origin,
            happened: news.clone(),
            keeper: &shared.keeper,
        };
        member.process = Some(process::attach(owner, &process, rest, sockets));
        if tree::runs(process.pid, process.start_ticks) {
            shared.ledger.started(process.pid);
        }
        if let (Some((probe, key)), State::Starting { .. }) = (saved.probe, &member.machine.state) {
            member.start_probe(probe, key, news);
        }
        member
    }
}
