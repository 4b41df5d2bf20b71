//! Applications that run as another user.

use muster_supervisor_protocol::{AppSpec, ExecMode, Limits, Readiness};

use crate::harness::{Supervisor, until};

/// `MUSTER_TEST_USER=<user>:<group>` names a user that is in that group besides its own; without one, nothing to see.
#[tokio::test]
async fn an_application_gets_the_supplementary_groups_of_its_user() {
    let Ok(named) = std::env::var("MUSTER_TEST_USER") else { return };
    let (user, group) = named.split_once(':').unwrap();
    let supervisor = Supervisor::start().await;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(supervisor.dir.path(), open).unwrap();
    for (name, limits) in
        [("plain", Limits::default()), ("limited", Limits { open_files: Some(200), ..Limits::default() })]
    {
        let said = supervisor.dir.path().join(format!("{name}.txt"));
        let script = supervisor.script(
            &format!("{name}.sh"),
            &format!("(id -un; id -gn; id -Gn) > '{}'; while :; do sleep 1; done\n", said.display()),
        );
        let spec = AppSpec {
            interpreter: Some("/bin/sh".to_owned()),
            exec_mode: ExecMode::Fork,
            readiness: Readiness::Started,
            user: Some(user.to_owned()),
            script,
            limits,
            ..supervisor.app(name, "1", "")
        };
        supervisor.run(&spec).await;
        let text = until("it said who it is", async || {
            std::fs::read_to_string(&said).ok().filter(|text| text.lines().count() == 3)
        })
        .await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], user);
        assert!(lines[2].split(' ').any(|one| one == group), "{text}");
        assert!(!lines[2].split(' ').any(|one| one == "root"), "{text}");
    }
}
