//! Users, groups and keys.

use super::{accounts_alone, eventually, machine, out, sh};
use crate::declare;
use muster_domain::resource::{DesiredState, Ensure, Group, User};
use muster_planning::convergence::Action;
use std::time::Duration;

fn fresh(users: &[&str], groups: &[&str]) {
    for user in users {
        sh(&format!("pkill -KILL -u {user}; userdel -f {user}; rm -rf /home/{user}"));
    }
    for group in groups {
        sh(&format!("groupdel {group}"));
    }
}

/// Without a session: what runs is what was asked for and nothing else.
fn as_user(name: &str) -> String {
    format!("HOME=/home/{name} setpriv --reuid={name} --regid={name} --init-groups sh -c")
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_user_is_made_kept_and_removed_and_its_home_outlives_it() {
    let node = machine();
    let _alone = accounts_alone();
    fresh(&["tuma"], &["tgroup"]);
    node.settle(&declare::group("tgroup"));
    let wanted = User {
        groups: vec!["tgroup".into()],
        shell: Some("/bin/sh".into()),
        comment: Some("Tests, and more".into()),
        ..declare::plain_user("tuma")
    };
    let user = declare::user(wanted.clone());
    assert_eq!(node.settle(&user), [Action::CreateUser]);
    assert_eq!(out("id -nG tuma"), "tuma tgroup");
    assert_eq!(out("getent shadow tuma | cut -d: -f2"), "*");
    assert_eq!(out("stat -c %U:%G /home/tuma"), "tuma:tuma");
    assert!(out("getent passwd tuma").ends_with(":Tests, and more:/home/tuma:/bin/sh"));

    // What was set by hand goes, groups that nobody spoke of stay.
    out("usermod --shell /bin/bash --comment x --groups games tuma");
    assert_eq!(node.settle(&user), [Action::ChangeUser]);
    assert_eq!(out("id -nG tuma | tr ' ' '\\n' | sort | xargs"), "games tgroup tuma");
    let password = out("getent shadow tuma | cut -d: -f2");
    assert_eq!(password, "*");

    let uid: u32 = out("id -u tuma").parse().unwrap();
    let renumbered = declare::user(User { uid: Some(uid + 7), ..wanted.clone() });
    assert!(node.refusal(&renumbered).contains("would orphan its files"));
    let shellless = declare::user(User { shell: Some("/bin/nosuch".into()), ..wanted.clone() });
    assert!(node.refusal(&shellless).contains("/bin/nosuch is not on this node"));
    let alone = declare::user(User { groups: vec!["tnosuch".into()], ..wanted.clone() });
    assert!(node.refusal(&alone).contains("tnosuch does not exist"));

    out(&format!("{} 'echo mine > ~/mine'", as_user("tuma")));
    let moved = declare::user(User { home: Some("/srv/tuma".into()), ..wanted.clone() });
    node.settle(&moved);
    assert_eq!(out("stat -c '%U %a' /srv/tuma; cat /home/tuma/mine"), "tuma 750\nmine");
    node.settle(&declare::user(User { home: Some("/home/tuma".into()), ..wanted.clone() }));

    let gone = declare::user(User { ensure: Ensure::Absent, ..wanted });
    assert_eq!(node.settle(&gone), [Action::RemoveUser]);
    assert_eq!(out("stat -c %u /home/tuma; cat /home/tuma/mine"), format!("{uid}\nmine"));
    // Made once more it is the same one again, for its files and for whatever still runs.
    out("useradd -M -u 1900 tother");
    node.settle(&user);
    assert_eq!(out("id -u tuma"), uid.to_string());
    out("userdel tother; rm -rf /srv/tuma");
    assert_eq!(node.remove(&user).unwrap().unwrap(), "the user tuma was removed, its home was kept");
    let group = DesiredState::Group(Group { ensure: Ensure::Absent, ..declare::plain_group("tgroup") });
    assert_eq!(node.settle(&group), [Action::RemoveGroup]);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_user_whose_processes_run_is_not_removed_and_comes_back_when_somebody_else_removed_it() {
    let node = machine();
    let _alone = accounts_alone();
    fresh(&["tbusy"], &[]);
    let user = declare::user(declare::plain_user("tbusy"));
    node.settle(&user);
    let uid = out("id -u tbusy");
    out("setpriv --reuid=tbusy --regid=tbusy --init-groups sleep 300 >/dev/null 2>&1 & echo $!");
    let gone = declare::user(User { ensure: Ensure::Absent, ..declare::plain_user("tbusy") });
    eventually("it runs as the user", Duration::from_secs(10), || sh("pgrep -u tbusy sleep").success());
    assert!(node.refusal(&gone).contains("sleep (1) runs as it"), "{}", node.refusal(&gone));
    assert!(node.remove(&user).unwrap_err().contains("sleep (1)"));
    // By hand, and by force.
    out("sed -i /^tbusy:/d /etc/passwd /etc/shadow");
    assert_eq!(node.settle(&user), [Action::CreateUser]);
    assert_eq!(out("id -u tbusy"), uid);
    assert_eq!(out("pgrep -u tbusy -c sleep"), "1");
    out("pkill -u tbusy sleep");
    eventually("it ended", Duration::from_secs(10), || !sh("pgrep -u tbusy").success());
    node.settle(&gone);
    fresh(&[], &["tbusy"]);
    sh("rm -rf /home/tbusy");
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn accounts_of_the_system_stay_unless_they_are_declared_as_such() {
    let node = machine();
    let _alone = accounts_alone();
    let absent = |name: &str, system| {
        declare::user(User { ensure: Ensure::Absent, system, ..declare::plain_user(name) })
    };
    assert!(node.refusal(&absent("root", true)).contains("never removed"));
    assert!(node.refusal(&absent("www-data", false)).contains("belongs to the system"));
    let service = declare::user(User { system: true, ..declare::plain_user("tservice") });
    node.settle(&service);
    assert!(out("getent passwd tservice").ends_with("::/nonexistent:/usr/sbin/nologin"));
    assert!(out("id -u tservice").parse::<u32>().unwrap() < 1000);
    node.settle(&absent("tservice", true));
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn somebody_signs_in_with_a_declared_key_and_not_with_one_that_was_taken_away() {
    let node = machine();
    let _alone = accounts_alone();
    fresh(&["tkeys"], &[]);
    node.settle(&declare::user(declare::plain_user("tkeys")));
    sh(
        "rm -f /root/tkey* ; ssh-keygen -q -t ed25519 -N '' -f /root/tkey -C 'tests key'; ssh-keygen -q -t ed25519 -N '' -f /root/tkey2",
    );
    let (key, other) = (out("cat /root/tkey.pub"), out("cat /root/tkey2.pub"));
    let sign_in = |key: &str| {
        sh(&format!("ssh -n -i /root/{key} -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null tkeys@127.0.0.1 id -un")).success()
    };
    assert!(!sign_in("tkey"));
    let wanted = declare::keys("tkeys", &[&key], false);
    assert_eq!(node.settle(&wanted), [Action::WriteKeys]);
    assert_eq!(
        out("stat -c '%U %a' /home/tkeys/.ssh /home/tkeys/.ssh/authorized_keys"),
        "tkeys 700\ntkeys 600"
    );
    assert!(sign_in("tkey"));
    // A key of the user's own stays, and so do looser modes only until the next look.
    out(&format!("echo '{other}' >> /home/tkeys/.ssh/authorized_keys; chmod 755 /home/tkeys/.ssh"));
    node.settle(&wanted);
    assert!(sign_in("tkey") && sign_in("tkey2"));
    assert_eq!(out("stat -c %a /home/tkeys/.ssh"), "700");
    let tied = declare::keys("tkeys", &[&format!("command=\"echo tied\",no-pty {key}")], false);
    node.settle(&tied);
    assert_eq!(
        out(
            "ssh -n -i /root/tkey -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null tkeys@127.0.0.1 id"
        ),
        "tied"
    );
    node.settle(&declare::keys("tkeys", &[], false));
    assert!(!sign_in("tkey") && sign_in("tkey2"));
    node.settle(&declare::keys("tkeys", &[&key], true));
    assert!(sign_in("tkey") && !sign_in("tkey2"));
    node.remove(&wanted).unwrap().unwrap();
    assert!(!sign_in("tkey"));
    fresh(&["tkeys"], &[]);
}

#[test]
#[ignore = "for throw-away hosts: `cargo xtask test --only lab`"]
fn a_user_cannot_have_its_keys_written_or_read_elsewhere() {
    let node = machine();
    let _alone = accounts_alone();
    fresh(&["ttrick"], &[]);
    node.settle(&declare::user(declare::plain_user("ttrick")));
    let wanted = declare::keys("ttrick", &["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA t"], false);
    out(
        "rm -rf /root/victim; mkdir -m 755 /root/victim; echo secret > /root/victim/authorized_keys; chmod 644 /root/victim/authorized_keys",
    );
    let before =
        out("stat -c '%U %a %Y' /root/victim /root/victim/authorized_keys; cat /root/victim/authorized_keys");
    let tricks = [
        ("ln -s /root/victim ~/.ssh", "~/.ssh is no folder of the user's own"),
        ("mkdir ~/.ssh; ln -s /root/victim/authorized_keys ~/.ssh/authorized_keys", "it is a symbolic link"),
        ("mkdir ~/.ssh; mkfifo ~/.ssh/authorized_keys", "not a regular file"),
        ("touch ~/.ssh", "~/.ssh is no folder of the user's own"),
        ("mkdir -p ~/.ssh/authorized_keys", "not a regular file"),
    ];
    for (trick, words) in tricks {
        out(&format!("rm -rf /home/ttrick/.ssh; {} '{trick}'", as_user("ttrick")));
        let reason = node.converge(&wanted).err().unwrap_or_else(|| panic!("{trick} was not noticed"));
        assert!(reason.contains(words), "{trick}: {reason}");
        assert!(node.act(&wanted, Action::WriteKeys).is_err(), "{trick}");
    }
    // A folder of somebody else's, and another name of somebody else's file.
    out("rm -rf /home/ttrick/.ssh; mkdir /home/ttrick/.ssh; chown nobody /home/ttrick/.ssh");
    assert!(node.converge(&wanted).unwrap_err().contains("belongs to the user number"));
    out(
        "rm -rf /home/ttrick/.ssh; install -d -o ttrick /home/ttrick/.ssh; echo secret > /home/shared; chmod 600 /home/shared; ln /home/shared /home/ttrick/.ssh/authorized_keys",
    );
    assert!(node.converge(&wanted).unwrap_err().contains("file of the user number 0"));
    assert_eq!(out("stat -c '%U %a' /home/shared"), "root 600");
    // What root put into the home, and its owner gave another name.
    out(
        "rm -rf /home/ttrick/.ssh; install -d -m 700 /home/ttrick/backup; echo secret > /home/ttrick/backup/dump",
    );
    out(&format!("{} 'mv ~/backup ~/.ssh'", as_user("ttrick")));
    assert!(node.converge(&wanted).unwrap_err().contains("which is not given away"));
    assert_eq!(out("stat -c '%U %a' /home/ttrick/.ssh"), "root 700");
    out(
        "rm -rf /home/ttrick/.ssh; install -d -o ttrick /home/ttrick/.ssh; echo secret > /home/ttrick/dump; chmod 600 /home/ttrick/dump",
    );
    out(&format!("{} 'mv ~/dump ~/.ssh/authorized_keys'", as_user("ttrick")));
    assert!(node.converge(&wanted).unwrap_err().contains("holds more than keys"));
    assert_eq!(out("stat -c '%U %a' /home/ttrick/.ssh/authorized_keys"), "root 600");
    // Keys that were given to root by mistake are put right.
    out(
        "rm -rf /home/ttrick/.ssh; install -d -m 700 /home/ttrick/.ssh; install -m 600 /dev/null /home/ttrick/.ssh/authorized_keys",
    );
    node.settle(&wanted);
    assert_eq!(out("stat -c '%U %a' /home/ttrick/.ssh/authorized_keys"), "ttrick 600");
    assert_eq!(
        out("stat -c '%U %a %Y' /root/victim /root/victim/authorized_keys; cat /root/victim/authorized_keys"),
        before
    );
    out("rm -f /home/shared");
    fresh(&["ttrick"], &[]);
}
