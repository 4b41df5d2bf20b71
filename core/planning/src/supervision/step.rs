//! The one total function of an instance's life.

use super::event::{Context, Effect, Event, Refused, Report, RestartCause, Step};
use super::{AfterStop, Exit, Instance, LaunchId, Policy, State, StopCause, StopStep, TimerId};

/// Decides what an event means. Stale events (of an earlier process or timer) change nothing.
pub fn step(ctx: &Context<'_>, instance: &Instance, event: Event) -> Result<Step, Refused> {
    let mut next = Builder { ctx, instance: instance.clone(), effects: Vec::new() };
    match &instance.state {
        State::Stopped { .. } | State::CrashLooping { .. } => next.while_down(event),
        State::BackingOff { timer, .. } => next.while_backing_off(*timer, event),
        State::Starting { launch, started_ms, timeout_ms, timer } => {
            next.while_starting(*launch, *started_ms, *timeout_ms, *timer, event)?;
        }
        State::Ready { launch, started_ms } => next.while_ready(*launch, *started_ms, event)?,
        State::Stopping { launch, started_ms, step, timer, then } => {
            next.while_stopping(
                Ending { launch: *launch, started_ms: *started_ms, step: *step, then: then.clone() },
                *timer,
                event,
            );
        }
    }
    Ok(Step { instance: next.instance, effects: next.effects })
}

/// The parts of `Stopping` that live on from step to step.
struct Ending {
    launch: LaunchId,
    started_ms: u64,
    step: StopStep,
    then: AfterStop,
}

struct Builder<'a> {
    ctx: &'a Context<'a>,
    instance: Instance,
    effects: Vec<Effect>,
}

impl Builder<'_> {
    fn while_down(&mut self, event: Event) {
        match event {
            Event::Start => {
                self.instance.history.forgive();
                self.spawn();
            }
            Event::Restart { cause } => {
                if self.hears(&cause) {
                    self.announce(cause);
                    self.instance.history.forgive();
                    self.spawn();
                }
            }
            Event::Stop => {
                if !matches!(self.instance.state, State::Stopped { cause: StopCause::Requested }) {
                    self.instance.history.forgive();
                    self.enter_stopped(StopCause::Requested, "stopped on request".to_owned());
                }
            }
            Event::Reset => self.instance.history.reset(),
            Event::SpawnFailed { .. }
            | Event::BecameReady { .. }
            | Event::Drained { .. }
            | Event::ChannelLost { .. }
            | Event::Exited { .. }
            | Event::MemorySeen { .. }
            | Event::TimerFired { .. } => {}
        }
    }

    fn while_backing_off(&mut self, timer: TimerId, event: Event) {
        match event {
            Event::Start => {
                self.instance.history.forgive();
                self.spawn();
            }
            Event::Restart { cause } => {
                self.announce(cause);
                self.instance.history.forgive();
                self.spawn();
            }
            Event::Reset => self.instance.history.reset(),
            Event::Stop => {
                self.instance.history.forgive();
                self.enter_stopped(StopCause::Requested, "stopped on request".to_owned());
            }
            Event::TimerFired { timer: fired } if fired == timer => {
                self.instance.history.restarted();
                self.report(Report::Restarting, "the wait is over".to_owned());
                self.spawn();
            }
            Event::TimerFired { .. }
            | Event::SpawnFailed { .. }
            | Event::BecameReady { .. }
            | Event::Drained { .. }
            | Event::ChannelLost { .. }
            | Event::MemorySeen { .. }
            | Event::Exited { .. } => {}
        }
    }

    fn while_starting(
        &mut self,
        launch: LaunchId,
        started_ms: u64,
        timeout_ms: u64,
        timer: TimerId,
        event: Event,
    ) -> Result<(), Refused> {
        match event {
            Event::Start => return Err(self.refused("start")),
            Event::Stop => self.begin_stop(launch, started_ms, AfterStop::Stay, "on request".to_owned()),
            Event::Restart { cause } => self.restart(launch, started_ms, cause),
            Event::Reset => self.instance.history.reset(),
            Event::SpawnFailed { launch: of, reason } if of == launch => {
                self.after_failure(started_ms, reason, true, None);
            }
            Event::BecameReady { launch: of } if of == launch => {
                self.instance.history.became_ready();
                self.instance.state = State::Ready { launch, started_ms };
                let after_ms = self.ctx.now_ms.saturating_sub(started_ms);
                self.report(Report::Ready, format!("ready after {after_ms} ms"));
            }
            Event::Exited { launch: of, exit } if of == launch => {
                let reason = format!("{exit} after {} ms, before it was ready", self.uptime_ms(started_ms));
                self.after_failure(started_ms, reason, true, Some(exit));
            }
            Event::ChannelLost { launch: of } if of == launch => {
                self.begin_stop(
                    launch,
                    started_ms,
                    AfterStop::Fail { reason: CHANNEL_LOST.to_owned() },
                    CHANNEL_LOST.to_owned(),
                );
            }
            Event::TimerFired { timer: fired } if fired == timer => {
                self.instance.history.timed_out();
                let reason = format!("was not ready within {timeout_ms} ms");
                self.begin_stop(launch, started_ms, AfterStop::Fail { reason: reason.clone() }, reason);
            }
            Event::SpawnFailed { .. }
            | Event::BecameReady { .. }
            | Event::Drained { .. }
            | Event::ChannelLost { .. }
            | Event::Exited { .. }
            | Event::MemorySeen { .. }
            | Event::TimerFired { .. } => {}
        }
        Ok(())
    }

    fn while_ready(&mut self, launch: LaunchId, started_ms: u64, event: Event) -> Result<(), Refused> {
        match event {
            Event::Start => return Err(self.refused("start")),
            Event::Stop => self.begin_stop(launch, started_ms, AfterStop::Stay, "on request".to_owned()),
            Event::Restart { cause } => self.restart(launch, started_ms, cause),
            Event::Reset => self.instance.history.reset(),
            Event::Exited { launch: of, exit } if of == launch => {
                let uptime_ms = self.uptime_ms(started_ms);
                let unstable = uptime_ms < self.ctx.policy.min_uptime_ms;
                self.after_failure(started_ms, format!("{exit} after {uptime_ms} ms"), unstable, Some(exit));
            }
            // A launcher may fail after its process already counted as ready for being alive.
            Event::SpawnFailed { launch: of, reason } if of == launch => {
                self.after_failure(started_ms, reason, true, None);
            }
            Event::ChannelLost { launch: of } if of == launch => {
                self.begin_stop(
                    launch,
                    started_ms,
                    AfterStop::Fail { reason: CHANNEL_LOST.to_owned() },
                    CHANNEL_LOST.to_owned(),
                );
            }
            Event::MemorySeen { launch: of, resident_bytes } if of == launch => {
                if let Some(limit) = self.ctx.policy.max_memory_bytes.filter(|limit| resident_bytes > *limit)
                {
                    let reason = format!(
                        "resident memory {} is above max_memory_restart {}",
                        megabytes(resident_bytes),
                        megabytes(limit)
                    );
                    self.report(Report::MemoryRestart, reason);
                    self.effects.push(Effect::Replace { launch });
                }
            }
            Event::SpawnFailed { .. }
            | Event::BecameReady { .. }
            | Event::Drained { .. }
            | Event::ChannelLost { .. }
            | Event::Exited { .. }
            | Event::MemorySeen { .. }
            | Event::TimerFired { .. } => {}
        }
        Ok(())
    }

    fn while_stopping(&mut self, mut ending: Ending, timer: TimerId, event: Event) {
        let launch = ending.launch;
        match event {
            // Once it has ended.
            Event::Start => self.afterwards(AfterStop::StartAgain),
            Event::Restart { cause } => {
                if self.hears(&cause) {
                    self.announce(cause);
                    self.afterwards(AfterStop::StartAgain);
                }
            }
            Event::Stop => self.afterwards(AfterStop::Stay),
            Event::Reset => self.instance.history.reset(),
            Event::Drained { launch: of } if of == launch && ending.step == StopStep::Draining => {
                self.after_drain(ending);
            }
            Event::Exited { launch: of, exit } if of == launch => {
                let told = exit.to_string();
                self.after_end(ending, &told);
            }
            // Its launcher failed while it was to end: nothing of it is left either.
            Event::SpawnFailed { launch: of, reason } if of == launch => self.after_end(ending, &reason),
            Event::TimerFired { timer: fired } if fired == timer => match ending.step {
                StopStep::Draining => self.after_drain(ending),
                StopStep::Disconnected => self.ask(ending),
                StopStep::Asked | StopStep::Killed => {
                    ending.step = StopStep::Killed;
                    self.effects.push(Effect::Kill { launch });
                    self.enter_stopping(ending, Policy::KILL_RETRY_MS);
                }
            },
            Event::SpawnFailed { .. }
            | Event::BecameReady { .. }
            | Event::Drained { .. }
            | Event::ChannelLost { .. }
            | Event::Exited { .. }
            | Event::MemorySeen { .. }
            | Event::TimerFired { .. } => {}
        }
    }

    /// What was stopped on purpose is only started on request.
    fn hears(&self, cause: &RestartCause) -> bool {
        match cause {
            RestartCause::Requested => true,
            RestartCause::Cron | RestartCause::FileChanged { .. } => !matches!(
                self.instance.state,
                State::Stopped { cause: StopCause::Requested | StopCause::NeverStarted }
                    | State::Stopping { then: AfterStop::Stay, .. }
            ),
        }
    }

    fn announce(&mut self, cause: RestartCause) {
        match cause {
            RestartCause::Requested => {}
            RestartCause::Cron => self.report(Report::CronRestart, "cron_restart is due".to_owned()),
            RestartCause::FileChanged { path } => {
                self.report(Report::WatchRestart, format!("{path} changed"));
            }
        }
    }

    fn restart(&mut self, launch: LaunchId, started_ms: u64, cause: RestartCause) {
        self.announce(cause);
        self.begin_stop(launch, started_ms, AfterStop::StartAgain, "to be started again".to_owned());
    }

    fn afterwards(&mut self, next: AfterStop) {
        if let State::Stopping { then, .. } = &mut self.instance.state {
            *then = next;
        }
    }

    fn spawn(&mut self) {
        let launch = LaunchId(self.id());
        let timer = TimerId(self.id());
        let timeout_ms = self.instance.history.ready_timeout_ms(self.ctx.policy);
        self.instance.state = State::Starting { launch, started_ms: self.ctx.now_ms, timeout_ms, timer };
        self.effects.push(Effect::Spawn { launch });
        self.effects.push(Effect::ArmTimer { timer, after_ms: timeout_ms });
        self.report(Report::Started, "started".to_owned());
    }

    fn begin_stop(&mut self, launch: LaunchId, started_ms: u64, then: AfterStop, reason: String) {
        self.report(Report::Stopping, reason);
        let ending = Ending { launch, started_ms, step: StopStep::Draining, then };
        if self.ctx.policy.drains {
            self.effects.push(Effect::Drain { launch });
            self.enter_stopping(ending, self.ctx.policy.kill_timeout_ms);
        } else {
            self.after_drain(ending);
        }
    }

    fn after_drain(&mut self, mut ending: Ending) {
        if self.ctx.policy.disconnects {
            ending.step = StopStep::Disconnected;
            self.effects.push(Effect::Disconnect { launch: ending.launch });
            self.enter_stopping(ending, Policy::DISCONNECT_GRACE_MS);
        } else {
            self.ask(ending);
        }
    }

    fn ask(&mut self, mut ending: Ending) {
        ending.step = StopStep::Asked;
        self.effects.push(Effect::Ask { launch: ending.launch });
        self.enter_stopping(ending, self.ctx.policy.kill_timeout_ms);
    }

    fn enter_stopping(&mut self, ending: Ending, deadline_ms: u64) {
        let timer = TimerId(self.id());
        let Ending { launch, started_ms, step, then } = ending;
        self.instance.state = State::Stopping { launch, started_ms, step, timer, then };
        self.effects.push(Effect::ArmTimer { timer, after_ms: deadline_ms });
    }

    /// What was to end has ended.
    fn after_end(&mut self, ending: Ending, told: &str) {
        match ending.then {
            AfterStop::Stay => {
                self.report(Report::Exited, told.to_owned());
                self.instance.history.forgive();
                self.enter_stopped(StopCause::Requested, "stopped on request".to_owned());
            }
            AfterStop::StartAgain => {
                self.report(Report::Exited, told.to_owned());
                self.instance.history.forgive();
                self.instance.history.restarted();
                self.report(Report::Restarting, "restarted on request".to_owned());
                self.spawn();
            }
            AfterStop::Fail { reason } => self.after_failure(ending.started_ms, reason, true, None),
        }
    }

    /// A process is gone that should not be: restart, wait, or give up.
    fn after_failure(&mut self, started_ms: u64, reason: String, unstable: bool, exit: Option<Exit>) {
        self.report(Report::Exited, reason.clone());
        let policy = self.ctx.policy;
        if let Some(exit) = exit
            && exit.comparable_code().is_some_and(|code| policy.stop_exit_codes.contains(&code))
        {
            self.enter_stopped(
                StopCause::Ended { reason },
                "its exit code means it must not be restarted".to_owned(),
            );
            return;
        }
        if !policy.autorestart {
            self.enter_stopped(StopCause::Ended { reason }, "automatic restart is off".to_owned());
            return;
        }
        let uptime_ms = self.uptime_ms(started_ms);
        if self.instance.history.record_exit(policy, self.ctx.now_ms, uptime_ms, unstable) {
            let count = self.instance.history.unstable_restarts();
            self.report(Report::CrashLooping, format!("{reason}; {count} unstable exits in a row, given up"));
            self.instance.state = State::CrashLooping { reason };
            return;
        }
        let delay_ms = self.instance.history.next_delay_ms(policy);
        if delay_ms == 0 {
            self.instance.history.restarted();
            self.report(Report::Restarting, reason);
            self.spawn();
        } else {
            let timer = TimerId(self.id());
            self.effects.push(Effect::ArmTimer { timer, after_ms: delay_ms });
            self.report(Report::BackingOff, format!("{reason}; next start in {delay_ms} ms"));
            self.instance.state = State::BackingOff { timer, reason };
        }
    }

    fn enter_stopped(&mut self, cause: StopCause, reason: String) {
        self.report(Report::Stopped, reason);
        self.instance.state = State::Stopped { cause };
    }

    fn uptime_ms(&self, started_ms: u64) -> u64 {
        self.ctx.now_ms.saturating_sub(started_ms)
    }

    fn report(&mut self, report: Report, reason: String) {
        self.effects.push(Effect::Report { report, reason });
    }

    fn id(&mut self) -> u64 {
        let id = self.instance.next_id;
        self.instance.next_id += 1;
        id
    }

    fn refused(&self, request: &'static str) -> Refused {
        Refused { state: self.instance.state.kind(), request }
    }
}

const CHANNEL_LOST: &str = "closed its cluster channel, so it cannot serve any longer";

fn megabytes(bytes: u64) -> String {
    const MB: u64 = 1024 * 1024;
    if bytes >= MB { format!("{} MB", bytes / MB) } else { format!("{} KB", bytes / 1024) }
}
