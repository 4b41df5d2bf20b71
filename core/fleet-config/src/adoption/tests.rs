use super::*;
use muster_domain::inventory::{InstalledGroup, InstalledPackage, InstalledPm2Application};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl amara@desk";

fn host() -> Inventory {
    let file = |path: &str, content: &str| InstalledFile {
        path: path.to_owned(),
        content: Some(content.to_owned()),
        link_to: None,
        mode: "0644".to_owned(),
        owner: "root".to_owned(),
        group: "root".to_owned(),
    };
    let unit = |name: &str, enabled, running, content: Option<&str>| InstalledUnit {
        name: name.to_owned(),
        enabled,
        running,
        content: content.map(str::to_owned),
    };
    let package =
        |name: &str, held| InstalledPackage { name: name.to_owned(), version: "1.0".to_owned(), held };
    let rule = |port, protocol: &str, from: Option<&str>| InstalledFirewallRule {
        action: "allow".to_owned(),
        port,
        port_to: None,
        protocol: Some(protocol.to_owned()),
        from: from.map(str::to_owned),
    };
    Inventory {
        hostname: Some("vps-1234".to_owned()),
        timezone: Some("Europe/Berlin".to_owned()),
        packages: vec![
            package("nginx", false),
            package("postgresql-client-16", true),
            package("Bad Name", false),
        ],
        units: vec![
            unit("nginx.service", true, true, None),
            unit("systemd-timesyncd.service", true, true, None),
            unit("shop-worker.service", true, false, Some("[Service]\nExecStart=/srv/worker\n")),
        ],
        users: vec![InstalledUser {
            name: "deploy".to_owned(),
            uid: 1001,
            group: "deploy".to_owned(),
            groups: vec!["www-data".to_owned()],
            home: "/home/deploy".to_owned(),
            shell: "/bin/bash".to_owned(),
            comment: String::new(),
            sudo: true,
            authorized_keys: vec![KEY.to_owned()],
        }],
        groups: vec![InstalledGroup {
            name: "builders".to_owned(),
            gid: 1500,
            members: vec!["deploy".to_owned()],
        }],
        cron_jobs: vec![InstalledCronJob {
            user: "deploy".to_owned(),
            schedule: "*/5 * * * *".to_owned(),
            command: "/srv/sync".to_owned(),
        }],
        files: vec![
            file("/etc/nginx/sites-available/shop", "server {\n  listen 80;\n}\n"),
            InstalledFile {
                content: None,
                link_to: Some("/etc/nginx/sites-available/shop".to_owned()),
                ..file("/etc/nginx/sites-enabled/shop", "")
            },
        ],
        firewall: Some(InstalledFirewall {
            manager: "ufw".to_owned(),
            active: true,
            default_incoming: Some("deny".to_owned()),
            rules: vec![rule(22, "tcp", None), rule(443, "tcp", None), rule(5432, "tcp", Some("10.0.0.0/8"))],
            other_rules: vec!["allow in on wg0".to_owned()],
        }),
        pm2_applications: vec![InstalledPm2Application {
            user: "deploy".to_owned(),
            name: "web".to_owned(),
            script: "/srv/web/server.js".to_owned(),
            cwd: "/srv/web".to_owned(),
            instances: 2,
            exec_mode: "cluster".to_owned(),
            interpreter: None,
        }],
        notes: vec!["/etc/nginx/.htpasswd is not readable by everybody".to_owned()],
    }
}

fn node() -> NodeName {
    NodeName::parse("app-1").expect("it is a name")
}

fn production() -> EnvironmentName {
    EnvironmentName::parse("production").expect("it is a name")
}

#[test]
fn a_host_is_declared_as_it_is() {
    let proposal = propose(&host(), &node(), &production(), &FleetConfiguration::default());
    insta::assert_snapshot!(format!("{}---\n{}", proposal.fragment, proposal.notes.join("\n")));
}

#[test]
fn what_is_declared_already_or_does_not_fit_is_left_out_and_told() {
    let in_force = parse(&[
        SourceFile {
            path: "fleet.yaml".to_owned(),
            content: b"environments: {production: {}}
nodes: {app-1: {environment: production}}
packages: {nginx: {}}
files: {site: {path: /etc/nginx/sites-available/shop, source: site.conf}}
"
            .to_vec(),
        },
        SourceFile { path: "site.conf".to_owned(), content: b"server {}\n".to_vec() },
    ])
    .map_err(|problems| format!("{problems:#?}"))
    .expect("it is valid")
    .configuration;
    let proposal = propose(&host(), &node(), &production(), &in_force);
    assert!(!proposal.fragment.contains("nodes:\n  app-1:\n"), "{}", proposal.fragment);
    for left_out in [
        "packages: nginx is left out",
        "packages: Bad Name is left out",
        "files: etc/nginx/sites-available/shop is left out",
    ] {
        assert!(
            proposal.notes.iter().any(|note| note.starts_with(left_out)),
            "{left_out}: {:#?}",
            proposal.notes
        );
    }
    assert!(proposal.fragment.contains("postgresql-client-16"), "{}", proposal.fragment);
}

#[test]
fn a_key_that_opens_nothing_does_not_take_its_user_with_it() {
    let mut host = host();
    host.users[0].authorized_keys.push("ssh-dss AAAAB3NzaC1kc3MAAAABAQAAAAEBAAAAAQEAAAABAQ== bo".to_owned());
    let mut other = host.users[0].clone();
    (other.name, other.uid, other.authorized_keys) = ("backup".to_owned(), 1002, Vec::new());
    host.users.push(other);
    let proposal = propose(&host, &node(), &production(), &FleetConfiguration::default());
    assert!(proposal.notes.iter().any(|note| note.starts_with("1 of the SSH keys of deploy open nothing")));
    let around = format!("environments: {{production: {{}}}}\n{}", proposal.fragment);
    let file = SourceFile { path: "fleet.yaml".to_owned(), content: around.into_bytes() };
    let parsed = parse(&[file]).map_err(|problems| format!("{problems:#?}")).expect("it is valid");
    assert_eq!(parsed.configuration.users["deploy"].keys, [KEY]);
    assert_eq!(parsed.configuration.users["backup"].exclusive_keys, None);
    assert_eq!(parsed.warnings, [], "what is proposed says nothing that does nothing");
}

#[test]
fn an_empty_host_gives_no_more_than_its_node() {
    let proposal = propose(&Inventory::default(), &node(), &production(), &FleetConfiguration::default());
    assert_eq!(proposal.fragment, "nodes:\n  app-1:\n    environment: production\n");
    assert_eq!(proposal.notes, Vec::<String>::new());
}
