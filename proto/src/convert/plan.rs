//! What a run would change.

use super::{
    InvalidMessage, digest,
    report::{MAX_DETAIL_BYTES, MAX_DIFF_BYTES, MAX_LINE_BYTES, bytes, cut, text},
};
use crate::v1;
use muster_domain::{
    assignment::Generation,
    observed::ChangeCause,
    plan::{NodePlan, PlannedChange, PlannedResource},
    resource::{Mode, ResourceKey},
};

/// Resources of one plan that are taken; a node has some hundred.
pub const MAX_PLANNED_RESOURCES: usize = 20_000;

/// Differences of one plan in all: a thousand changed files of 4 kB. Those that do not fit are left out, and the resource
/// says so.
pub const MAX_PLAN_DIFFS_BYTES: usize = 4 * 1024 * 1024;

/// Stands for a difference that did not fit.
const LEFT_OUT: &str = "(left out: the plan is too long to show every difference)";

impl From<&NodePlan> for v1::NodePlan {
    fn from(plan: &NodePlan) -> Self {
        let NodePlan { generation, revision, resources, reboot_required } = plan;
        let mut left = MAX_PLAN_DIFFS_BYTES;
        Self {
            generation: generation.get(),
            revision: revision.as_bytes().to_vec(),
            resources: resources
                .iter()
                .take(MAX_PLANNED_RESOURCES)
                .map(|resource| {
                    let mut wire = v1::PlannedResource::from(resource);
                    if wire.diff.len() > left {
                        wire.diff = LEFT_OUT.to_owned();
                    } else {
                        left -= wire.diff.len();
                    }
                    wire
                })
                .collect(),
            reboot_required: reboot_required.clone().unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::NodePlan> for NodePlan {
    type Error = InvalidMessage;
    fn try_from(wire: v1::NodePlan) -> Result<Self, InvalidMessage> {
        if wire.resources.len() > MAX_PLANNED_RESOURCES
            || wire.resources.iter().map(|r| r.diff.len()).sum::<usize>() > 2 * MAX_PLAN_DIFFS_BYTES
        {
            return Err(InvalidMessage::new("plan.resources", "hold too much for one plan"));
        }
        Ok(Self {
            generation: Generation::new(bytes("plan.generation", wire.generation)?),
            revision: digest("plan.revision", &wire.revision)?,
            resources: wire.resources.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            reboot_required: text(wire.reboot_required, MAX_LINE_BYTES),
        })
    }
}

impl From<&PlannedResource> for v1::PlannedResource {
    fn from(resource: &PlannedResource) -> Self {
        let PlannedResource { key, change, mode, cause, disruptive, detail, diff } = resource;
        Self {
            key: key.to_string(),
            change: match change {
                PlannedChange::None => v1::PlannedChange::None,
                PlannedChange::Change => v1::PlannedChange::Change,
                PlannedChange::Remove => v1::PlannedChange::Remove,
                PlannedChange::Release => v1::PlannedChange::Release,
                PlannedChange::Reload => v1::PlannedChange::Reload,
                PlannedChange::Restart => v1::PlannedChange::Restart,
                PlannedChange::Run => v1::PlannedChange::Run,
                PlannedChange::Skip => v1::PlannedChange::Skip,
                PlannedChange::Unknown => v1::PlannedChange::Unknown,
            }
            .into(),
            mode: mode.as_str().to_owned(),
            cause: match cause {
                None => v1::ChangeCause::Unspecified,
                Some(ChangeCause::Intentional) => v1::ChangeCause::Intentional,
                Some(ChangeCause::Corrective) => v1::ChangeCause::Corrective,
            }
            .into(),
            disruptive: *disruptive,
            detail: cut(detail.clone(), MAX_DETAIL_BYTES),
            diff: cut(diff.clone().unwrap_or_default(), MAX_DIFF_BYTES),
        }
    }
}

impl TryFrom<v1::PlannedResource> for PlannedResource {
    type Error = InvalidMessage;
    fn try_from(wire: v1::PlannedResource) -> Result<Self, InvalidMessage> {
        let change = match wire.change() {
            v1::PlannedChange::None => PlannedChange::None,
            v1::PlannedChange::Change => PlannedChange::Change,
            v1::PlannedChange::Remove => PlannedChange::Remove,
            v1::PlannedChange::Release => PlannedChange::Release,
            v1::PlannedChange::Reload => PlannedChange::Reload,
            v1::PlannedChange::Restart => PlannedChange::Restart,
            v1::PlannedChange::Run => PlannedChange::Run,
            v1::PlannedChange::Skip => PlannedChange::Skip,
            v1::PlannedChange::Unknown => PlannedChange::Unknown,
            v1::PlannedChange::Unspecified => return Err(InvalidMessage::new("plan.change", "is missing")),
        };
        let cause = match wire.cause() {
            v1::ChangeCause::Unspecified => None,
            v1::ChangeCause::Intentional => Some(ChangeCause::Intentional),
            v1::ChangeCause::Corrective => Some(ChangeCause::Corrective),
        };
        Ok(Self {
            key: ResourceKey::parse(wire.key).map_err(|e| InvalidMessage::new("plan.key", e))?,
            change,
            mode: Mode::parse(&wire.mode).ok_or_else(|| InvalidMessage::new("plan.mode", "is no mode"))?,
            cause,
            disruptive: wire.disruptive,
            detail: cut(wire.detail, MAX_DETAIL_BYTES),
            diff: text(wire.diff, MAX_DIFF_BYTES),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_domain::Digest;

    fn resource(change: PlannedChange, diff: Option<String>) -> PlannedResource {
        PlannedResource {
            key: ResourceKey::new("file", "/etc/motd"),
            change,
            mode: Mode::Report,
            cause: change.changes().then_some(ChangeCause::Corrective),
            disruptive: change == PlannedChange::Restart,
            detail: "another content".to_owned(),
            diff,
        }
    }

    fn plan(resources: Vec<PlannedResource>) -> NodePlan {
        NodePlan {
            generation: Generation::new(4),
            revision: Digest::from_bytes([9; 32]),
            resources,
            reboot_required: Some("linux-image".to_owned()),
        }
    }

    #[test]
    fn every_change_survives_the_wire() {
        let all = PlannedChange::ALL.map(|change| resource(change, Some(format!("-{change:?}\n")))).to_vec();
        let plan = plan(all);
        assert_eq!(NodePlan::try_from(v1::NodePlan::from(&plan)), Ok(plan));
    }

    #[test]
    fn a_plan_with_too_many_differences_still_fits_one_message() {
        use prost::Message as _;
        let long = plan(vec![resource(PlannedChange::Change, Some("x".repeat(MAX_DIFF_BYTES))); 1_000]);
        let wire = v1::NodePlan::from(&long);
        assert!(wire.encoded_len() < crate::MAX_MESSAGE_BYTES / 2, "{}", wire.encoded_len());
        let read = NodePlan::try_from(wire).unwrap();
        assert_eq!(read.resources.len(), 1_000);
        assert_eq!(read.resources[999].diff.as_deref(), Some(LEFT_OUT));
    }

    #[test]
    fn a_change_or_a_mode_that_is_unknown_is_refused() {
        let wire = v1::PlannedResource::from(&resource(PlannedChange::Run, None));
        let without = v1::PlannedResource { change: 0, ..wire.clone() };
        assert_eq!(PlannedResource::try_from(without).unwrap_err().field, "plan.change");
        let odd = v1::PlannedResource { mode: "maybe".to_owned(), ..wire };
        assert_eq!(PlannedResource::try_from(odd).unwrap_err().field, "plan.mode");
    }
}
