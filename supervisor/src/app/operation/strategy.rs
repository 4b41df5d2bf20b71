//! Whether an instance may start before the one it replaces has ended.

use muster_planning::supervision::replacement::Strategy;
use muster_supervisor_protocol::{AppSpec, ExecMode, ListenAddress};

/// How the old instances and the new ones can meet, and what to tell about it.
pub(super) fn choose(old: &AppSpec, new: &AppSpec) -> (Strategy, Option<String>) {
    use Ports::{Asked, Listed, Own};
    match (Ports::of(old), Ports::of(new)) {
        (Asked, Asked) | (Listed, Listed) => (Strategy::StartFirst, None),
        (Own, Own) => {
            let help = match (new.exec_mode, new.listen_fds.is_empty(), new.port) {
                (ExecMode::Fork, false, Some(port)) => {
                    format!("name its port {port} in `listen_fds` too, so that it need not open it itself")
                }
                (ExecMode::Fork | ExecMode::Cluster, _, _) => {
                    "cluster mode (Node.js) or `listen_fds` (any language) lets both share the port"
                        .to_owned()
                }
            };
            let note =
                format!("fork mode: each old process was stopped before its successor was started; {help}");
            (Strategy::StopFirst, Some(note))
        }
        (Asked, Own | Listed) | (Own, Asked | Listed) | (Listed, Asked | Own) => {
            let note = "it listens in another way than before (cluster mode, `listen_fds`, by itself): all old \
                        processes were stopped before the first new one was started";
            (Strategy::StopAllFirst, Some(note.to_owned()))
        }
    }
}

/// How an application comes by the ports it listens on. A way in which a proxy before it knows more than one port would
/// be one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    /// It asks us as a cluster worker.
    Asked,
    /// We hand them over.
    Listed,
    /// It opens them itself, so only one process can have them.
    Own,
}

impl Ports {
    fn of(spec: &AppSpec) -> Self {
        let listed = |port: u16| {
            let addresses =
                spec.listen_fds.iter().filter_map(|address| address.parse::<ListenAddress>().ok());
            addresses.filter_map(|address| address.port()).any(|other| other == port)
        };
        match spec.exec_mode {
            ExecMode::Cluster => Self::Asked,
            ExecMode::Fork if !spec.listen_fds.is_empty() && spec.port.is_none_or(listed) => Self::Listed,
            ExecMode::Fork => Self::Own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_shares_its_ports_is_replaced_start_first() {
        let own = AppSpec { port: Some(3000), ..AppSpec::new("a", "/", "a") };
        let cluster = AppSpec { exec_mode: ExecMode::Cluster, ..own.clone() };
        let listed = AppSpec { listen_fds: vec!["127.0.0.1:3000".into()], ..own.clone() };
        let half = AppSpec { listen_fds: vec!["127.0.0.1:9000".into()], ..own.clone() };
        for (old, new, wanted, told) in [
            (&cluster, &cluster, Strategy::StartFirst, ""),
            (&listed, &listed, Strategy::StartFirst, ""),
            (&own, &own, Strategy::StopFirst, "`listen_fds` (any language)"),
            (&half, &half, Strategy::StopFirst, "name its port 3000 in `listen_fds`"),
            (&own, &listed, Strategy::StopAllFirst, "in another way"),
            (&listed, &cluster, Strategy::StopAllFirst, "in another way"),
        ] {
            let (strategy, note) = choose(old, new);
            assert_eq!(strategy, wanted);
            assert!(note.unwrap_or_default().contains(told), "{told}");
        }
    }
}
