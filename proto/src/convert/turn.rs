//! Turns between the wire and the domain, for both ends.

use super::{
    InvalidMessage,
    report::{MAX_LINE_BYTES, bytes, cut},
};
use crate::v1;
use muster_domain::{
    assignment::Generation,
    observed::ChangeCause,
    turn::{TurnAnswer, TurnKind, TurnOutcome, TurnRequest},
};

impl From<&TurnRequest> for v1::RequestTurnRequest {
    fn from(request: &TurnRequest) -> Self {
        let TurnRequest { generation, kind, cause, reason } = request;
        Self {
            generation: generation.get(),
            kind: match kind {
                TurnKind::Change => v1::TurnKind::Change,
                TurnKind::Reboot => v1::TurnKind::Reboot,
            }
            .into(),
            cause: match cause {
                ChangeCause::Intentional => v1::ChangeCause::Intentional,
                ChangeCause::Corrective => v1::ChangeCause::Corrective,
            }
            .into(),
            reason: cut(reason.clone(), MAX_LINE_BYTES),
        }
    }
}

impl TryFrom<v1::RequestTurnRequest> for TurnRequest {
    type Error = InvalidMessage;
    fn try_from(wire: v1::RequestTurnRequest) -> Result<Self, InvalidMessage> {
        let kind = match wire.kind() {
            v1::TurnKind::Change => TurnKind::Change,
            v1::TurnKind::Reboot => TurnKind::Reboot,
            v1::TurnKind::Unspecified => return Err(InvalidMessage::new("turn.kind", "is missing")),
        };
        let cause = match wire.cause() {
            v1::ChangeCause::Intentional => ChangeCause::Intentional,
            v1::ChangeCause::Corrective => ChangeCause::Corrective,
            v1::ChangeCause::Unspecified => return Err(InvalidMessage::new("turn.cause", "is missing")),
        };
        Ok(Self {
            generation: Generation::new(bytes("turn.generation", wire.generation)?),
            kind,
            cause,
            reason: cut(wire.reason, MAX_LINE_BYTES),
        })
    }
}

impl From<TurnAnswer> for v1::RequestTurnResponse {
    fn from(answer: TurnAnswer) -> Self {
        use v1::request_turn_response::Outcome;
        let outcome = match answer {
            TurnAnswer::Granted { lease_ms } => Outcome::Granted(v1::TurnGranted { lease_ms }),
            TurnAnswer::Waiting { reason, holders, retry_after_ms } => {
                Outcome::Waiting(v1::TurnWaiting { reason, holders, retry_after_ms })
            }
        };
        Self { outcome: Some(outcome) }
    }
}

impl TryFrom<v1::RequestTurnResponse> for TurnAnswer {
    type Error = InvalidMessage;
    fn try_from(wire: v1::RequestTurnResponse) -> Result<Self, InvalidMessage> {
        use v1::request_turn_response::Outcome;
        Ok(match wire.outcome.ok_or_else(|| InvalidMessage::new("turn.outcome", "is missing"))? {
            Outcome::Granted(v1::TurnGranted { lease_ms }) => Self::Granted { lease_ms },
            Outcome::Waiting(v1::TurnWaiting { reason, holders, retry_after_ms }) => Self::Waiting {
                reason: cut(reason, MAX_LINE_BYTES),
                holders: holders.into_iter().map(|holder| cut(holder, MAX_LINE_BYTES)).collect(),
                retry_after_ms,
            },
        })
    }
}

/// What an agent sends when it has used its turn.
pub fn release_turn(generation: Generation, outcome: &TurnOutcome) -> v1::ReleaseTurnRequest {
    let (word, detail) = match outcome {
        TurnOutcome::Done => (v1::TurnOutcome::Done, String::new()),
        TurnOutcome::Failed { detail } => (v1::TurnOutcome::Failed, cut(detail.clone(), MAX_LINE_BYTES)),
    };
    v1::ReleaseTurnRequest { generation: generation.get(), outcome: word.into(), detail }
}

/// Reads back what [`release_turn`] wrote.
pub fn released_turn(wire: v1::ReleaseTurnRequest) -> Result<(Generation, TurnOutcome), InvalidMessage> {
    let outcome = match wire.outcome() {
        v1::TurnOutcome::Done => TurnOutcome::Done,
        v1::TurnOutcome::Failed => TurnOutcome::Failed { detail: cut(wire.detail, MAX_LINE_BYTES) },
        v1::TurnOutcome::Unspecified => return Err(InvalidMessage::new("turn.outcome", "is missing")),
    };
    Ok((Generation::new(bytes("turn.generation", wire.generation)?), outcome))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_answers_and_outcomes_survive_the_wire() {
        for kind in TurnKind::ALL {
            for cause in [ChangeCause::Intentional, ChangeCause::Corrective] {
                let request = TurnRequest {
                    generation: Generation::new(7),
                    kind,
                    cause,
                    reason: "restart service:nginx".to_owned(),
                };
                assert_eq!(TurnRequest::try_from(v1::RequestTurnRequest::from(&request)), Ok(request));
            }
        }
        for answer in [
            TurnAnswer::Granted { lease_ms: 900_000 },
            TurnAnswer::Waiting {
                reason: "app-1 is changing".to_owned(),
                holders: vec!["app-1".to_owned()],
                retry_after_ms: 10_000,
            },
        ] {
            assert_eq!(TurnAnswer::try_from(v1::RequestTurnResponse::from(answer.clone())), Ok(answer));
        }
        for outcome in [TurnOutcome::Done, TurnOutcome::Failed { detail: "nginx refused it".to_owned() }] {
            let generation = Generation::new(8);
            assert_eq!(released_turn(release_turn(generation, &outcome)), Ok((generation, outcome)));
        }
    }

    #[test]
    fn what_is_left_out_is_refused() {
        assert!(TurnRequest::try_from(v1::RequestTurnRequest::default()).is_err());
        assert!(TurnAnswer::try_from(v1::RequestTurnResponse::default()).is_err());
        assert!(released_turn(v1::ReleaseTurnRequest::default()).is_err());
    }
}
