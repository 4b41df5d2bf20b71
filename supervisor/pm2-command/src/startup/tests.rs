use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

struct Lab {
    dir: tempfile::TempDir,
    machine: Machine,
}

/// A machine whose init programs only write down how they were called.
fn lab(programs: &[&str], superuser: bool) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_owned();
    for folder in ["etc/systemd/system", "etc/init.d", "bin"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\ndeploy:x:1000:1000::/home/deploy:/bin/sh\n",
    )
    .unwrap();
    for program in programs {
        let path = root.join("bin").join(program);
        let script =
            format!("#!/bin/sh\necho {program} \"$@\" >> {}/calls\n[ ! -e {0}/fail ]\n", root.display());
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let env = BTreeMap::from([
        ("PATH".to_owned(), root.join("bin").display().to_string()),
        ("USER".to_owned(), "root".to_owned()),
        ("HOME".to_owned(), "/root".to_owned()),
    ]);
    let machine =
        Machine { root, superuser, env, program: PathBuf::from("/usr/local/bin/muster-supervisor") };
    Lab { dir, machine }
}

impl Lab {
    fn calls(&self) -> String {
        fs::read_to_string(self.dir.path().join("calls")).unwrap_or_default()
    }

    fn home(&self) -> Home {
        Home::of(&self.machine.env)
    }
}

fn for_user(user: &str) -> Wanted {
    Wanted { user: Some(user.to_owned()), ..Wanted::default() }
}

#[tokio::test]
async fn a_unit_is_written_enabled_and_removed_again() {
    let lab = lab(&["systemctl"], true);
    let args = Wanted { hp: Some("/srv/deploy".into()), ..for_user("deploy") };
    lab.machine.startup(&args, &lab.home()).await.unwrap();
    let unit = lab.dir.path().join("etc/systemd/system/pm2-deploy.service");
    let text = fs::read_to_string(&unit).unwrap();
    assert!(text.contains("User=deploy") && text.contains("PM2_HOME=/srv/deploy/.pm2"), "{text}");
    assert!(text.contains("ExecStart=-/usr/local/bin/muster-supervisor pm2 resurrect"), "{text}");
    assert_eq!(lab.calls(), "systemctl daemon-reload\nsystemctl enable pm2-deploy\n");
    lab.machine.unstartup(&args, &lab.home()).await.unwrap();
    assert!(!unit.exists());
    // Nothing is stopped: the applications of the machine go on.
    assert!(!lab.calls().contains("systemctl stop"), "{}", lab.calls());
    let again = lab.machine.unstartup(&args, &lab.home()).await.unwrap_err();
    assert!(again.message.contains("no startup script"), "{again}");
}

#[tokio::test]
async fn another_user_gets_its_own_list_and_not_that_of_root() {
    let lab = lab(&["systemctl"], true);
    lab.machine.startup(&for_user("deploy"), &lab.home()).await.unwrap();
    let text = fs::read_to_string(lab.dir.path().join("etc/systemd/system/pm2-deploy.service")).unwrap();
    assert!(text.contains("PM2_HOME=/home/deploy/.pm2\n"), "{text}");
    let unknown = lab.machine.startup(&for_user("nobody-here"), &lab.home()).await.unwrap_err();
    assert!(unknown.message.contains("nobody-here"), "{unknown}");
}

#[tokio::test]
async fn a_failing_systemctl_fails_the_command() {
    let lab = lab(&["systemctl"], true);
    fs::write(lab.dir.path().join("fail"), "").unwrap();
    let failure = lab.machine.startup(&for_user("root"), &lab.home()).await.unwrap_err();
    assert!(failure.message.starts_with("systemctl daemon-reload failed"), "{failure}");
}

#[tokio::test]
async fn without_rights_nothing_is_written() {
    let lab = lab(&["systemctl"], false);
    let failure = lab.machine.startup(&for_user("deploy"), &lab.home()).await.unwrap_err();
    assert_eq!(failure.message, "You have to run this with elevated rights");
    assert_eq!(fs::read_dir(lab.dir.path().join("etc/systemd/system")).unwrap().count(), 0);
    assert_eq!(lab.calls(), "");
}

#[tokio::test]
async fn other_init_systems_get_a_script() {
    let openrc = lab(&["rc-update"], true);
    openrc.machine.startup(&for_user("deploy"), &openrc.home()).await.unwrap();
    let script = openrc.dir.path().join("etc/init.d/pm2-deploy");
    assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(openrc.calls(), "rc-update add pm2-deploy default\n");
    let systemv = lab(&["chkconfig"], true);
    systemv.machine.startup(&for_user("root"), &systemv.home()).await.unwrap();
    assert_eq!(systemv.calls(), "chkconfig --add pm2-root\nchkconfig pm2-root on\n");
}

#[tokio::test]
async fn names_that_would_become_another_setting_are_refused() {
    let lab = lab(&["systemctl"], true);
    for user in ["", "-x", "a b", "x\nExecStart=/bin/sh"] {
        assert!(lab.machine.startup(&for_user(user), &lab.home()).await.is_err(), "{user:?}");
    }
    let args = Wanted { service_name: Some("../../evil".into()), ..for_user("root") };
    assert!(lab.machine.startup(&args, &lab.home()).await.is_err());
    for platform in ["launchd", "nonsense"] {
        let args = Wanted { platform: Some(platform.into()), ..for_user("root") };
        assert!(lab.machine.startup(&args, &lab.home()).await.is_err(), "{platform}");
    }
}
