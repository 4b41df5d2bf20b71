//! What single entries become.

use super::*;

#[test]
fn the_web_stack_has_this_on_a_load_balancer_and_an_application_server() {
    let fleet = ExampleFleet::web_stack();
    for node in ["lb-1", "app-1"] {
        let text = serde_json::to_string_pretty(&fleet.compile(node).unwrap()).unwrap();
        insta::assert_snapshot!(format!("web_stack_{node}"), text);
    }
}

#[test]
fn without_the_new_sections_nothing_new_is_on_a_node() {
    let fleet = ExampleFleet::shop();
    let kinds: BTreeSet<_> = NODES
        .iter()
        .flat_map(|node| fleet.compile(node).unwrap().resources)
        .map(|resource| resource.key.kind().to_owned())
        .collect();
    let expected = ["application", "directory", "file", "nodejs"].map(str::to_owned);
    assert_eq!(kinds, expected.into());
    assert_eq!(bare().compile("lb-1").unwrap().resources, []);
}

#[test]
fn files_have_their_judge_and_secrets_are_kept_from_everybody() {
    let mut fleet = with(|fleet| {
        let file = |path: &str| FileEntry {
            path: path.to_owned(),
            content: Some(String::new()),
            ..FileEntry::default()
        };
        fleet.files.insert("sudo".to_owned(), file("/etc/sudoers.d/deploy"));
        fleet.files.insert(
            "none".to_owned(),
            FileEntry { validate: Some("none".to_owned()), ..file("/etc/nginx/x") },
        );
        let secret = FileEntry { secret: Some("TOKEN".to_owned()), content: None, ..file("/srv/token") };
        fleet.files.insert("token".to_owned(), secret);
    });
    let error = fleet.compile("app-1").unwrap_err().to_string();
    assert_eq!(
        error,
        "secret \"TOKEN\" of file entry \"token\" has no value in environment \"production\": set it with `muster secret \
         set TOKEN --environment production`"
    );
    fleet.secrets.insert("TOKEN".to_owned(), "t0ken".to_owned());
    let content = fleet.compile("app-1").unwrap();
    let DesiredState::SecretFile(token) = &get(&content, "secret_file:/srv/token").desired else {
        panic!("another")
    };
    assert_eq!((token.mode, token.sensitive, token.content.as_slice()), (0o600, true, b"t0ken".as_slice()));
    let DesiredState::File(sudo) = &get(&content, "file:/etc/sudoers.d/deploy").desired else {
        panic!("another")
    };
    assert_eq!((sudo.mode, &sudo.validate), (0o440, &Some(Validator::Sudoers)));
    let DesiredState::File(none) = &get(&content, "file:/etc/nginx/x").desired else { panic!("another") };
    assert_eq!((none.mode, &none.validate), (0o644, &None));
}

#[test]
fn rules_of_logrotate_are_made_from_their_settings() {
    let fleet = with(|fleet| {
        let entry = LogrotateEntry {
            logs: vec!["/var/log/shop/*.log".to_owned(), "/var/log/other.log".to_owned()],
            keep: Some(3),
            post_rotate: Some("systemctl reload shop\ntrue".to_owned()),
            ..LogrotateEntry::default()
        };
        fleet.logrotate.insert("shop".to_owned(), entry);
    });
    let content = fleet.compile("app-1").unwrap();
    let DesiredState::Logrotate(rules) = &get(&content, "logrotate:shop").desired else {
        panic!("another kind")
    };
    insta::assert_snapshot!("logrotate", rules.content);
}

#[test]
fn a_certificate_of_no_other_place_lies_in_a_folder_of_its_own() {
    let fleet = with(|fleet| {
        fleet.certificates.insert("shop".to_owned(), CertificateEntry::default());
    });
    let content = fleet.compile("app-1").unwrap();
    assert_eq!(keys(&content), ["directory:/etc/ssl/muster", "certificate:shop"]);
    let DesiredState::Certificate(shop) = &get(&content, "certificate:shop").desired else {
        panic!("another kind")
    };
    assert_eq!(shop.dns_names, ["app-1"]);
    assert_eq!(
        (shop.key_path.as_str(), shop.certificate_path.as_str()),
        ("/etc/ssl/muster/shop.key", "/etc/ssl/muster/shop.crt")
    );
}

#[test]
fn what_agents_would_refuse_is_refused_with_its_place() {
    let mut fleet = with(|fleet| {
        fleet.packages.insert("-y".to_owned(), PackageEntry::default());
        fleet.users.insert("Root".to_owned(), UserEntry::default());
        fleet.services.insert("../x".to_owned(), ServiceEntry::default());
        fleet.systemd_units.insert("a.service".to_owned(), SystemdUnitEntry::default());
        fleet
            .commands
            .insert("always".to_owned(), CommandEntry { run: "x".to_owned(), ..CommandEntry::default() });
        fleet.firewall.insert(
            "x".to_owned(),
            FirewallEntry { allow: vec!["http".to_owned()], ..FirewallEntry::default() },
        );
        fleet.base = Some(Base { timezone: Some("../x".to_owned()), ..Base::default() });
    });
    let job =
        CronJobEntry { schedule: "@daily".to_owned(), command: "a\nb".to_owned(), ..CronJobEntry::default() };
    fleet.configuration.cron_jobs.insert("job".to_owned(), job);
    let error = fleet.compile("app-1").unwrap_err();
    let lines: Vec<_> = error.problems.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("refused", lines.join("\n"));
}

#[test]
fn the_mirror_of_nodejs_is_that_of_all_applications() {
    let mut fleet = ExampleFleet::shop();
    fleet.configuration.nodejs.mirror = Some("https://mirror.example.com/dist".to_owned());
    let content = fleet.compile("app-1").unwrap();
    let DesiredState::Nodejs(nodejs) = &get(&content, "nodejs:22").desired else { panic!("another kind") };
    assert_eq!(nodejs.mirror.as_deref(), Some("https://mirror.example.com/dist"));
}
