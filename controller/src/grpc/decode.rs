//! Reports, logs and hints between the wire and the use cases. What is domain is mapped in `muster-proto`.

use muster_app::{CertificateRequest, LogBatch, LogLine, NodeEvent, NodeHint, NodeReport};
use muster_domain::{
    ApplicationName,
    assignment::Generation,
    event::Severity,
    inventory::{Inventory, MAX_INVENTORY_BYTES},
    plan::NodePlan,
};
use muster_proto::{
    convert::{InvalidMessage, MAX_DETAIL_BYTES, MAX_LINE_BYTES, cut, time},
    v1,
};
use uuid::Uuid;

/// The longest line of a log that is handed on; applications print whole documents in one.
const MAX_LOG_LINE_BYTES: usize = 64 * 1024;

/// Lines of one batch, and the bytes in them. Agents send a quarter of that; batches wait for a slow reader in memory.
const MAX_BATCH_LINES: usize = 1_000;
const MAX_BATCH_BYTES: usize = 1024 * 1024;

pub(super) fn report(wire: v1::Report) -> Result<NodeReport, InvalidMessage> {
    use v1::report::Report as Wire;
    Ok(match wire.report.ok_or_else(|| InvalidMessage::new("report", "is empty or of an unknown kind"))? {
        Wire::Convergence(report) => NodeReport::Convergence(report.try_into()?),
        Wire::Refusal(refusal) => NodeReport::Refusal {
            sequence: number("refusal.sequence", refusal.sequence)?,
            generation: Generation::new(number("refusal.generation", refusal.generation)?),
            reason: cut(refusal.reason, MAX_DETAIL_BYTES),
        },
        Wire::Event(event) => NodeReport::Event(NodeEvent {
            sequence: number("event.sequence", event.sequence)?,
            at: time("event.at_ms", event.at_ms)?,
            kind: cut(event.kind, MAX_LINE_BYTES),
            severity: match event.severity.as_str() {
                "info" => Severity::Info,
                "error" => Severity::Error,
                // A word of a later version is still worth a look.
                _ => Severity::Warning,
            },
            message: cut(event.message, MAX_DETAIL_BYTES),
            application: if event.application.is_empty() {
                None
            } else {
                let name = ApplicationName::parse(event.application);
                Some(name.map_err(|e| InvalidMessage::new("event.application", e))?)
            },
            process: event.process.map(TryInto::try_into).transpose()?,
        }),
    })
}

/// A number that a `bigint` column can hold.
fn number(field: &'static str, value: u64) -> Result<u64, InvalidMessage> {
    if i64::try_from(value).is_ok() { Ok(value) } else { Err(InvalidMessage::new(field, "is out of range")) }
}

pub(super) fn hint(hint: NodeHint) -> v1::Hint {
    use v1::hint::Hint;
    let id = |request_id: Uuid| request_id.as_bytes().to_vec();
    let hint = match hint {
        NodeHint::AssignmentChanged => Hint::AssignmentChanged(v1::AssignmentChanged {}),
        NodeHint::ConvergeNow => Hint::ConvergeNow(v1::ConvergeNow {}),
        NodeHint::LogRequest { request_id, application, instance, lines, follow } => {
            let application = application.to_string();
            Hint::LogRequest(v1::LogRequest {
                request_id: id(request_id),
                application,
                instance,
                lines,
                follow,
            })
        }
        NodeHint::LogRequestEnded { request_id } => {
            Hint::LogRequestEnded(v1::LogRequestEnded { request_id: id(request_id) })
        }
        NodeHint::PlanRequest { request_id } => {
            Hint::PlanRequest(v1::PlanRequest { request_id: id(request_id) })
        }
        NodeHint::InspectRequest { request_id } => {
            Hint::InspectRequest(v1::InspectRequest { request_id: id(request_id) })
        }
        NodeHint::TurnChanged => Hint::TurnChanged(v1::TurnChanged {}),
    };
    v1::Hint { hint: Some(hint) }
}

/// Names of one certificate; more than any service has.
const MAX_CERTIFICATE_NAMES: usize = 100;

pub(super) fn certificate_request(
    wire: v1::IssueCertificateRequest,
) -> Result<CertificateRequest, InvalidMessage> {
    let v1::IssueCertificateRequest { name, csr_der, dns_names, addresses } = wire;
    if dns_names.len() + addresses.len() > MAX_CERTIFICATE_NAMES {
        return Err(InvalidMessage::new("certificate.dns_names", "one certificate has at most 100 names"));
    }
    let addresses = addresses.iter().map(|text| text.parse()).collect::<Result<_, _>>();
    let addresses =
        addresses.map_err(|_| InvalidMessage::new("certificate.addresses", "is not an address"))?;
    Ok(CertificateRequest { name, csr_der, dns_names, addresses })
}

/// The id of a request.
pub(super) fn request_id(field: &'static str, bytes: &[u8]) -> Result<Uuid, InvalidMessage> {
    Uuid::from_slice(bytes).map_err(|_| InvalidMessage::new(field, "an id has 16 bytes"))
}

/// The answer to a plan request.
pub(super) fn plan(wire: v1::SendPlanRequest) -> Result<(Uuid, Result<NodePlan, String>), InvalidMessage> {
    use v1::send_plan_request::Answer;
    let request = request_id("plan.request_id", &wire.request_id)?;
    let answer = wire.answer.ok_or_else(|| InvalidMessage::new("plan.answer", "is missing"))?;
    Ok(match answer {
        Answer::Plan(plan) => (request, Ok(plan.try_into()?)),
        Answer::Error(error) => (request, Err(cut(error, MAX_DETAIL_BYTES))),
    })
}

/// The answer to an inspect request.
pub(super) fn inventory(
    wire: v1::SendInventoryRequest,
) -> Result<(Uuid, Result<Inventory, String>), InvalidMessage> {
    use v1::send_inventory_request::Answer;
    let request = request_id("inventory.request_id", &wire.request_id)?;
    let answer = wire.answer.ok_or_else(|| InvalidMessage::new("inventory.answer", "is missing"))?;
    let invalid = |reason: &dyn ToString| InvalidMessage::new("inventory", reason.to_string());
    match answer {
        Answer::Inventory(bytes) if bytes.len() > MAX_INVENTORY_BYTES => Err(invalid(&"is too long")),
        Answer::Inventory(bytes) => {
            let inventory = serde_json::from_slice(&bytes).map_err(|e| invalid(&e))?;
            Ok((request, Ok(inventory)))
        }
        Answer::Error(error) => Ok((request, Err(cut(error, MAX_DETAIL_BYTES)))),
    }
}

pub(super) fn log_batch(wire: v1::LogBatch) -> Result<(Uuid, LogBatch), InvalidMessage> {
    let v1::LogBatch { request_id: request, lines, dropped, error } = wire;
    let request = request_id("log.request_id", &request)?;
    if lines.len() > MAX_BATCH_LINES
        || lines.iter().map(|line| line.line.len()).sum::<usize>() > MAX_BATCH_BYTES
    {
        return Err(InvalidMessage::new("log.lines", "holds too much for one batch"));
    }
    let lines = lines
        .into_iter()
        .map(|line| {
            Ok(LogLine {
                at: time("log.at_ms", line.at_ms)?,
                instance: line.instance,
                stderr: line.stderr,
                line: cut(line.line, MAX_LOG_LINE_BYTES),
            })
        })
        .collect::<Result<_, InvalidMessage>>()?;
    let error = if error.is_empty() { None } else { Some(cut(error, MAX_LINE_BYTES)) };
    Ok((request, LogBatch { lines, dropped, error }))
}
