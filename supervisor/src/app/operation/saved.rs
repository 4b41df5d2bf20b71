//! What is being done with an application, as the next supervisor has to know it. Who waits for it is gone by then; an
//! agent that asks again joins it.

use std::collections::BTreeSet;
use std::sync::Arc;

use muster_planning::supervision::replacement::Plan;
use muster_supervisor_protocol::AppSpec;
use serde::{Deserialize, Serialize};

use super::{AfterStopping, Failure, Kind, Operation, Replacing, Stopping};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::app) enum SavedOperation {
    Replacing {
        /// Which of the specs of the application.
        spec: usize,
        kind: Kind,
        stopped: BTreeSet<u32>,
        plan: Plan,
        notes: Vec<String>,
        failure: Option<SavedFailure>,
    },
    Stopping {
        then: AfterStopping,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::app) struct SavedFailure(Failure);

impl Operation {
    /// `number` knows the place of a spec.
    pub(in crate::app) fn save(&self, number: &mut impl FnMut(&Arc<AppSpec>) -> usize) -> SavedOperation {
        match self {
            Self::Replacing(replacing) => SavedOperation::Replacing {
                spec: number(&replacing.spec),
                kind: replacing.kind,
                stopped: replacing.stopped.clone(),
                plan: replacing.plan.clone(),
                notes: replacing.notes.clone(),
                failure: replacing.failure.clone().map(SavedFailure),
            },
            Self::Stopping(stopping) => SavedOperation::Stopping { then: stopping.then },
        }
    }

    /// `None` when the spec is missing.
    pub(in crate::app) fn resume(saved: SavedOperation, specs: &[Arc<AppSpec>]) -> Option<Self> {
        Some(match saved {
            SavedOperation::Replacing { spec, kind, stopped, plan, notes, failure } => {
                Self::Replacing(Box::new(Replacing {
                    spec: Arc::clone(specs.get(spec)?),
                    kind,
                    stopped,
                    plan,
                    replies: Vec::new(),
                    watchers: Vec::new(),
                    notes,
                    failure: failure.map(|failure| failure.0),
                }))
            }
            SavedOperation::Stopping { then } => Self::Stopping(Stopping { then, replies: Vec::new() }),
        })
    }
}
