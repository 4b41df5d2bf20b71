//! One connection: hints, polls, heartbeats and reports, until it ends.

use super::inspecting::Inspections;
use super::planning::PlanRequests;
use super::{Link, LinkError};
use crate::config::jittered;
use crate::ledger::{Offered, QueuedReport};
use crate::logs::LogRequests;
use crate::reboot::{Wish, Wishes};
use crate::runner::process_reports;
use muster_domain::assignment::Generation;
use muster_proto::MAX_MESSAGE_BYTES;
use muster_proto::v1::{self, agent_service_client::AgentServiceClient, hint::Hint};
use std::time::Duration;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

/// Reports in one call.
const MAX_BATCH_REPORTS: usize = 64;
/// Their bytes, about.
const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// How long the supervisor may take to say what runs, before the sign of life goes without.
const LIST_TIMEOUT: Duration = Duration::from_secs(3);

/// The sign of life that follows news, after a moment in which more may come.
const NEWS_BEAT: Duration = Duration::from_millis(500);

/// Pause between two tries to renew while the certificate is still good.
const RENEWAL_RETRY: Duration = Duration::from_secs(60);

pub(super) struct Session<'a> {
    link: &'a mut Link,
    channel: Channel,
    client: AgentServiceClient<Channel>,
    hints: Streaming<v1::Hint>,
    logs: LogRequests,
    plans: PlanRequests,
    inspections: Inspections,
    heartbeat: Duration,
    facts_sent: bool,
    next_renewal: Instant,
}

impl<'a> Session<'a> {
    pub(super) async fn begin(link: &'a mut Link, channel: Channel) -> Result<Self, LinkError> {
        let mut client = AgentServiceClient::new(channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let timeout = link.config.intervals.call_timeout;
        let hints = within(timeout, client.watch(v1::WatchRequest {})).await?;
        link.remote.connected(channel.clone());
        link.turns.connected(channel.clone());
        // What could not be fetched while there was no connection.
        link.nudges.nudge();
        let logs = LogRequests::new(client.clone(), link.runner.clone());
        let plans = PlanRequests::new(client.clone(), link);
        let inspections =
            Inspections::new(client.clone(), link.host.clone(), link.config.intervals.call_timeout);
        let heartbeat = link.config.intervals.heartbeat;
        Ok(Self {
            link,
            channel,
            client,
            hints,
            logs,
            plans,
            inspections,
            heartbeat,
            facts_sent: false,
            next_renewal: Instant::now(),
        })
    }

    pub(super) fn controller(&self) -> &str {
        &self.link.enrolment.controller_url
    }

    /// Serves until the connection ends (an error) or is given up for one with a new certificate (fine).
    pub(super) async fn serve(&mut self) -> Result<(), LinkError> {
        let ledger = self.link.ledger.clone();
        self.beat().await?;
        self.poll().await?;
        self.deliver().await?;
        let mut next_beat = Instant::now() + jittered(self.heartbeat);
        let mut next_poll = Instant::now() + jittered(self.link.nudges.poll());
        loop {
            tokio::select! {
                hint = self.hints.message() => match hint? {
                    None => return Err(LinkError::Lost("the controller ended it".into())),
                    Some(v1::Hint { hint }) => {
                        let asked = matches!(hint, Some(Hint::ConvergeNow(_)));
                        let polled = if self.hint(hint) { self.poll().await } else { Ok(()) };
                        if asked {
                            self.link.nudges.ask();
                        }
                        polled?;
                    }
                },
                () = tokio::time::sleep_until(next_poll) => {
                    self.poll().await?;
                    next_poll = Instant::now() + jittered(self.link.nudges.poll());
                }
                () = tokio::time::sleep_until(next_beat) => {
                    self.beat().await?;
                    next_beat = Instant::now() + jittered(self.heartbeat);
                    if self.link.renewal_due() && self.renew().await? {
                        return Ok(());
                    }
                }
                () = ledger.reports.news() => {
                    self.deliver().await?;
                    // Something happened: whoever looks should see the processes as they are now.
                    next_beat = next_beat.min(Instant::now() + NEWS_BEAT);
                }
            }
        }
    }

    /// Whether to poll now.
    fn hint(&mut self, hint: Option<Hint>) -> bool {
        match hint {
            // What a person wants to be tried is what is declared now, which may have been refused when it came.
            Some(Hint::AssignmentChanged(_) | Hint::ConvergeNow(_)) => return true,
            Some(Hint::LogRequest(request)) => self.logs.begin(request),
            Some(Hint::LogRequestEnded(ended)) => self.logs.end(&ended.request_id),
            Some(Hint::PlanRequest(request)) => self.plans.begin(request.request_id),
            Some(Hint::TurnChanged(_)) => self.link.nudges.nudge(),
            Some(Hint::InspectRequest(request)) => self.inspections.begin(request.request_id),
            // A hint of a later version is no reason to hang up.
            Some(Hint::KeepAlive(_)) | None => {}
        }
        false
    }

    async fn poll(&mut self) -> Result<(), LinkError> {
        let current = self.link.ledger.current();
        let request = v1::GetAssignmentRequest {
            known_revision: current.as_ref().map(|c| c.revision.as_bytes().to_vec()).unwrap_or_default(),
            known_generation: current.as_ref().map_or(0, |c| c.generation.get()),
        };
        let timeout = self.link.config.intervals.call_timeout;
        let answer = within(timeout, self.client.get_assignment(request)).await?;
        if let Some(signed) = answer.assignment {
            self.link.take(&signed);
        }
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), LinkError> {
        let host = self.link.host.clone();
        let now = self.link.config.clock.now();
        let wants_facts = !self.facts_sent;
        let wishes = Wishes::of(&self.link.config.state_dir);
        let (metrics, facts, rebooted_for) = crate::blocking(move || {
            let done = host.boot_id().ok().and_then(|boot_id| wishes.done(&boot_id));
            (host.metrics(now), wants_facts.then(|| host.facts(crate::VERSION)), done)
        })
        .await;
        let apps = tokio::time::timeout(LIST_TIMEOUT, self.link.runner.list()).await;
        let redactor = self.link.ledger.redactor();
        let processes =
            apps.ok().and_then(Result::ok).map(|apps| process_reports(&apps, redactor)).unwrap_or_default();
        let request = v1::HeartbeatRequest {
            metrics: Some((&metrics).into()),
            processes: processes.iter().map(Into::into).collect(),
            facts: facts.as_ref().map(Into::into),
            generation: self.link.ledger.current().map_or(0, |current| current.generation.get()),
            rebooted_for: rebooted_for.map(|id| id.as_bytes().to_vec()).unwrap_or_default(),
        };
        let answer = within(self.link.config.intervals.call_timeout, self.client.heartbeat(request)).await?;
        self.facts_sent = true;
        self.link.nudges.set_poll_ms(answer.poll_interval_ms);
        match Wishes::of(&self.link.config.state_dir).heard(answer.reboot.and_then(Wish::told)) {
            Ok(true) => self.link.nudges.ask(),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the restart that somebody wants cannot be kept"),
        }
        if answer.heartbeat_interval_ms > 0 {
            self.heartbeat =
                Duration::from_millis(u64::from(answer.heartbeat_interval_ms).clamp(50, 600_000));
        }
        Ok(())
    }

    /// Sends what is queued, oldest first, until nothing is.
    async fn deliver(&mut self) -> Result<(), LinkError> {
        let mut max_reports = MAX_BATCH_REPORTS;
        loop {
            let reports = self.link.ledger.reports.batch(max_reports, MAX_BATCH_BYTES);
            let Some(first) = reports.first().map(sequence) else { return Ok(()) };
            let alone = reports.len() == 1;
            let timeout = self.link.config.intervals.call_timeout;
            match within(timeout, self.client.send_reports(v1::SendReportsRequest { reports })).await {
                Ok(answer) if answer.stored_sequence >= first => {
                    self.link.ledger.reports.forget_through(answer.stored_sequence);
                }
                Ok(_) => return Err(LinkError::Lost("the controller did not store the reports".into())),
                // One that it cannot take must not hold up all others for ever.
                Err(CallError { code: Some(Code::InvalidArgument), error }) if alone => {
                    tracing::error!(sequence = first, "a report was refused and is dropped: {error}");
                    self.link.ledger.reports.forget_through(first);
                }
                Err(CallError { code: Some(Code::InvalidArgument), .. }) => max_reports = 1,
                Err(CallError { error, .. }) => return Err(error),
            }
        }
    }

    /// Whether there is a new certificate. Trouble with it ends nothing while the present one is good.
    async fn renew(&mut self) -> Result<bool, LinkError> {
        if Instant::now() < self.next_renewal {
            return Ok(false);
        }
        self.next_renewal = Instant::now() + RENEWAL_RETRY;
        match self.link.renew(self.channel.clone()).await {
            Ok(()) => Ok(true),
            Err(error) if self.link.certificate_good() => {
                tracing::warn!("the certificate could not be renewed yet: {error}");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

fn sequence(report: &v1::Report) -> u64 {
    use v1::report::Report as Wire;
    match &report.report {
        Some(Wire::Convergence(report)) => report.sequence,
        Some(Wire::Refusal(report)) => report.sequence,
        Some(Wire::Event(report)) => report.sequence,
        None => 0,
    }
}

struct CallError {
    code: Option<Code>,
    error: LinkError,
}

impl From<CallError> for LinkError {
    fn from(error: CallError) -> Self {
        error.error
    }
}

async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(timeout, call).await {
        Err(_) => Err(CallError { code: None, error: LinkError::Lost("it did not answer in time".into()) }),
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(CallError { code: Some(status.code()), error: status.into() }),
    }
}

impl Link {
    /// Takes an assignment into the ledger, or reports why not.
    pub(super) fn take(&mut self, signed: &v1::SignedAssignment) {
        let at_ms = self.config.clock.now().timestamp_millis();
        match self.ledger.offer(signed) {
            Ok(Offered::Known) => {}
            Ok(Offered::Accepted(assignment)) => {
                let generation = assignment.generation.get();
                tracing::info!(generation, revision = %assignment.revision.short(), "accepted an assignment");
                self.last_refusal = None;
                self.nudges.nudge();
            }
            Ok(Offered::Refused(refused)) => self.refuse(refused.generation, refused.reason, at_ms),
            Err(error) => {
                let reason = format!("it could not be kept: {}", crate::chain(&error));
                self.refuse(Generation::new(signed.generation), reason, at_ms);
            }
        }
    }

    fn refuse(&mut self, generation: Generation, reason: String, at_ms: i64) {
        let refusal = (generation, reason);
        if self.last_refusal.as_ref() == Some(&refusal) {
            return;
        }
        let (generation, reason) = refusal.clone();
        tracing::error!(generation = generation.get(), "refused an assignment: {reason}");
        self.ledger.reports.push(QueuedReport::Refusal { generation, reason, at_ms });
        self.last_refusal = Some(refusal);
    }
}
