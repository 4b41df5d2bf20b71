//! Applications that run as another user.

use muster_supervisor_protocol::{AppSpec, ExecMode, Limits, LogFile, Readiness, Request};

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

/// What an application may write to is no way for it to have root write elsewhere.
#[tokio::test]
async fn links_of_an_application_do_not_lead_root_to_files_of_root() {
    let supervisor = Supervisor::start().await;
    let path = |name: &str| supervisor.dir.path().join(name);
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let home = path("home");
    std::fs::create_dir(&home).unwrap();
    for name in ["out.log", "app.pid"] {
        std::fs::write(path(&format!("of-root-{name}")), "precious").unwrap();
        std::os::unix::fs::symlink(path(&format!("of-root-{name}")), home.join(name)).unwrap();
        if std::os::unix::fs::lchown(home.join(name), Some(65_534), None).is_err() {
            eprintln!("SKIPPED: only root has something to lose");
            return;
        }
    }
    let mut spec = AppSpec {
        pid_file: Some(text(&home.join("app.pid"))),
        exec_mode: ExecMode::Fork,
        readiness: Readiness::ReadyMessage,
        ..supervisor.app(
            "shop",
            "1",
            "console.log('line'); process.send('ready'); setInterval(() => {}, 1000);",
        )
    };
    spec.logs.merge = true;
    spec.logs.out_file = LogFile::Path(text(&home.join("out.log")));
    supervisor.run(&spec).await;
    supervisor
        .until("shop", "its line is counted as lost", |shop| shop.instances[0].dropped_log_lines > 0)
        .await;
    assert!(supervisor.stderr().contains("a symbolic link of user 65534"), "{}", supervisor.stderr());
    supervisor.client().await.carry_out(&Request::FlushLogs { app: None }).await.unwrap();
    supervisor.client().await.delete("shop").await.unwrap();
    for name in ["out.log", "app.pid"] {
        assert_eq!(std::fs::read_to_string(path(&format!("of-root-{name}"))).unwrap(), "precious", "{name}");
    }
}
