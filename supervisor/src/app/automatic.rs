//! What happens to an application without anybody asking: restarts at times and when files change, and a look at the
//! memory of its processes.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use croner::Cron;
use muster_planning::supervision::replacement::View;
use muster_planning::supervision::{Event, RestartCause, State};
use muster_supervisor_protocol::AppSpec;

use super::member::Role;
use super::{Alarm, App};
use crate::cron;
use crate::process::stats;
use crate::watch::{FileNews, FileWatch, Seen};

/// How often memory is looked at.
const MEMORY_LOOK_MS: u64 = 30_000;
/// The variable by which users of pm2 change that.
const MEMORY_LOOK_VARIABLE: &str = "PM2_WORKER_INTERVAL";
/// Clocks are set, machines sleep: the time of day is looked at this often at least.
const CLOCK_LOOK_MS: u64 = 60_000;

/// What was arranged for the spec in force.
#[derive(Debug, Default)]
pub(super) struct Automatic {
    spec: Option<Arc<AppSpec>>,
    cron: Option<Cron>,
    pub(super) next_cron: Option<DateTime<Utc>>,
    files: Option<FileWatch>,
    pub(super) watching: bool,
    pub(super) watch_failure: Option<String>,
    /// Instances that are being restarted because a file changed; until they are up again, changes are not news.
    restarting: BTreeSet<u64>,
    changed: Option<String>,
}

impl App {
    /// Arranges what the spec in force asks for, when it is another one than before.
    pub(super) fn follow_spec(&mut self) {
        let same = match (&self.automatic.spec, &self.spec) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (None, None) => true,
            _ => false,
        };
        if same {
            return;
        }
        let before = std::mem::replace(&mut self.automatic.spec, self.spec.clone());
        let Some(spec) = self.spec.clone() else { return };
        let before = before.as_deref();
        if before.and_then(|spec| spec.cron_restart.as_ref()) != spec.cron_restart.as_ref() {
            // One that cannot be read was refused before it came here.
            self.automatic.cron = spec.cron_restart.as_deref().and_then(|pattern| cron::parse(pattern).ok());
            // A time that was missed while no supervisor was there is still due.
            let missed = self.automatic.next_cron.take().filter(|_| before.is_none());
            self.automatic.next_cron =
                missed.or_else(|| cron::next(self.automatic.cron.as_ref()?, Utc::now()));
            self.wait_for_cron();
        }
        if before.and_then(|spec| spec.max_memory_restart_bytes) != spec.max_memory_restart_bytes {
            self.alarms.retain(|_, alarm| *alarm != Alarm::Memory);
            if spec.max_memory_restart_bytes.is_some() {
                self.set_alarm(look_ms(&spec), Alarm::Memory);
            }
        }
        let place = |spec: &AppSpec| (spec.watch.clone(), spec.cwd.clone());
        if before.map(place) != Some(place(&spec)) {
            self.next_id += 1;
            let news = self.file_news_sender.clone();
            self.automatic.files = FileWatch::start(&spec, self.next_id, news);
            self.automatic.watching = false;
            self.automatic.watch_failure = None;
            self.alarms.retain(|_, alarm| *alarm != Alarm::Files);
        }
    }

    fn wait_for_cron(&mut self) {
        self.alarms.retain(|_, alarm| *alarm != Alarm::Cron);
        if let Some(at) = self.automatic.next_cron {
            let wait_ms = u64::try_from((at - Utc::now()).num_milliseconds()).unwrap_or(0);
            self.set_alarm(wait_ms.min(CLOCK_LOOK_MS), Alarm::Cron);
        }
    }

    pub(super) fn cron_due(&mut self) {
        let now = Utc::now();
        // What is just being replaced or stopped is fresh enough, or shall not run.
        if self.automatic.next_cron.is_some_and(|at| at <= now) && self.operation.is_none() {
            self.restart_for(&RestartCause::Cron);
        }
        // Also when it was not due: the clock may have been set back since its time was found.
        self.automatic.next_cron = self.automatic.cron.as_ref().and_then(|cron| cron::next(cron, now));
        self.wait_for_cron();
    }

    fn restart_for(&mut self, cause: &RestartCause) -> BTreeSet<u64> {
        let members: BTreeSet<u64> = self.meant(&[]).into_iter().collect();
        for id in &members {
            self.feed(*id, Event::Restart { cause: cause.clone() });
        }
        members
    }

    pub(super) fn look_at_memory(&mut self) {
        let Some(spec) = self.spec.clone().filter(|spec| spec.max_memory_restart_bytes.is_some()) else {
            return;
        };
        let ready: Vec<_> = self
            .members
            .values()
            .filter(|member| member.role == Role::Current && member.view() == View::Ready)
            .filter_map(|member| Some((member.id, member.process.as_ref()?)))
            .map(|(id, process)| (id, process.launch, process.pid))
            .collect();
        for (id, launch, pid) in ready {
            // One at a time; the next one is found at the next look.
            if self.operation.is_some() {
                break;
            }
            self.feed(id, Event::MemorySeen { launch, resident_bytes: stats::resident_bytes(pid) });
        }
        self.set_alarm(look_ms(&spec), Alarm::Memory);
    }

    pub(super) fn hear_of_files(&mut self, news: FileNews) {
        if self.automatic.files.as_ref().map(FileWatch::number) != Some(news.number) {
            return;
        }
        match news.what {
            Seen::Watching => self.automatic.watching = true,
            Seen::Failed(reason) => {
                tracing::error!(app = self.name, reason, "files cannot be watched; the application runs");
                self.automatic.watch_failure = Some(reason);
            }
            Seen::Changed(path) => {
                if self.operation.is_some() || self.restart_pending() {
                    return;
                }
                self.automatic.changed = Some(path);
                let delay_ms = self.spec.as_ref().and_then(|spec| Some(spec.watch.as_ref()?.delay_ms));
                match delay_ms {
                    None | Some(0) => self.files_changed(),
                    Some(delay_ms) => {
                        self.alarms.retain(|_, alarm| *alarm != Alarm::Files);
                        self.set_alarm(delay_ms, Alarm::Files);
                    }
                }
            }
        }
    }

    fn restart_pending(&mut self) -> bool {
        let members = &self.members;
        self.automatic.restarting.retain(|id| {
            members.get(id).is_some_and(|member| {
                matches!(member.machine.state, State::Starting { .. } | State::Stopping { .. })
            })
        });
        !self.automatic.restarting.is_empty()
    }

    pub(super) fn files_changed(&mut self) {
        if let Some(path) = self.automatic.changed.take()
            && self.operation.is_none()
        {
            self.automatic.restarting = self.restart_for(&RestartCause::FileChanged { path });
        }
    }
}

fn look_ms(spec: &AppSpec) -> u64 {
    let told = spec.pm2.as_ref().and_then(|_| std::env::var(MEMORY_LOOK_VARIABLE).ok()?.parse().ok());
    let told = told.filter(|told| *told > 0);
    told.unwrap_or(MEMORY_LOOK_MS)
}
