//! What comes before what, how far the agent goes, and what is declared twice.

use super::*;

#[test]
fn what_goes_without_saying_comes_first_where_it_is_declared() {
    let fleet = with(|fleet| {
        fleet.packages.insert("nginx".to_owned(), PackageEntry::default());
        let file = |path: &str| FileEntry {
            path: path.to_owned(),
            content: Some(String::new()),
            owner: Some("shop".to_owned()),
            ..FileEntry::default()
        };
        fleet.files.insert("site".to_owned(), file("/etc/nginx/conf.d/shop.conf"));
        fleet.files.insert("elsewhere".to_owned(), file("/srv/x"));
        fleet
            .users
            .insert("shop".to_owned(), UserEntry { keys: vec![KEY.to_owned()], ..UserEntry::default() });
        let unit = |name: &str| {
            (
                name.to_owned(),
                SystemdUnitEntry { content: Some("[Unit]\n".to_owned()), ..SystemdUnitEntry::default() },
            )
        };
        fleet.systemd_units.extend([unit("nginx.service.d/limits.conf"), unit("other.service")]);
        let texts = |text: &str| vec![text.to_owned()];
        fleet.services.insert(
            "nginx".to_owned(),
            ServiceEntry { reload_on: texts("file:/etc/nginx/"), ..ServiceEntry::default() },
        );
        fleet.cron_jobs.insert(
            "report".to_owned(),
            CronJobEntry {
                schedule: "@daily".to_owned(),
                command: "true".to_owned(),
                user: Some("shop".to_owned()),
                ..CronJobEntry::default()
            },
        );
        fleet.commands.insert(
            "reindex".to_owned(),
            CommandEntry {
                run: "true".to_owned(),
                run_on: texts("file:/srv/x"),
                depends_on: texts("service:nginx"),
                user: Some("shop".to_owned()),
                ..CommandEntry::default()
            },
        );
    });
    let content = fleet.compile("app-1").unwrap();
    let after = |key: &str| {
        let resource = get(&content, key);
        (texts(&resource.depends_on), texts(&resource.reload_on), texts(&resource.restart_on))
    };
    assert_eq!(after("file:/etc/nginx/conf.d/shop.conf").0, ["package:nginx", "user:shop"]);
    assert_eq!(after("file:/srv/x").0, ["user:shop"]);
    assert_eq!(after("authorized_key:shop").0, ["user:shop"]);
    assert_eq!(
        after("service:nginx.service"),
        (
            vec!["package:nginx"],
            vec!["file:/etc/nginx/conf.d/shop.conf"],
            vec!["systemd_unit:nginx.service.d/limits.conf"]
        )
    );
    assert_eq!(after("cron_job:report").0, ["package:cron", "user:shop"]);
    assert_eq!(
        after("command:reindex"),
        (vec!["service:nginx.service", "user:shop"], vec!["file:/srv/x"], vec![])
    );
    let DesiredState::Command(command) = &get(&content, "command:reindex").desired else {
        panic!("another kind")
    };
    assert!(command.only_on_change && command.timeout_ms == 300_000);
    let DesiredState::Service(Service { enabled, running, .. }) =
        &get(&content, "service:nginx.service").desired
    else {
        panic!("another kind")
    };
    assert_eq!((enabled, running), (&Some(true), &Some(true)));
}

#[test]
fn what_people_say_wins_over_what_goes_without_saying() {
    let mut fleet = with(|fleet| {
        fleet.packages.insert(
            "nginx".to_owned(),
            PackageEntry { depends_on: vec!["file:/etc/nginx/".to_owned()], ..PackageEntry::default() },
        );
        let file = FileEntry {
            path: "/etc/nginx/nginx.conf".to_owned(),
            content: Some(String::new()),
            ..FileEntry::default()
        };
        fleet.files.insert("main".to_owned(), file);
    });
    let content = fleet.compile("lb-1").unwrap();
    assert_eq!(keys(&content), ["file:/etc/nginx/nginx.conf", "package:nginx"]);
    let main = fleet.configuration.files.get_mut("main").unwrap();
    main.depends_on = vec!["package:nginx".to_owned()];
    let error = fleet.compile("lb-1").unwrap_err().to_string();
    assert_eq!(
        error,
        "these resources depend on each other in a circle: file:/etc/nginx/nginx.conf, package:nginx"
    );
}

#[test]
fn references_to_what_is_not_on_the_node_are_left_out() {
    let fleet = with(|fleet| {
        fleet.packages.insert(
            "nginx".to_owned(),
            PackageEntry { on: roles(Role::LoadBalancer), ..PackageEntry::default() },
        );
        fleet.services.insert(
            "shop".to_owned(),
            ServiceEntry { depends_on: vec!["package:nginx".to_owned()], ..ServiceEntry::default() },
        );
    });
    let depends = |node| {
        let content = fleet.compile(node).unwrap();
        get(&content, "service:shop.service").depends_on.len()
    };
    assert_eq!((depends("lb-1"), depends("app-1")), (1, 0));
}

#[test]
fn the_strictest_of_entry_node_and_environment_holds() {
    let mut fleet = with(|fleet| {
        let entry = |enforcement| PackageEntry { enforcement, ..PackageEntry::default() };
        fleet.packages.insert("a0".to_owned(), entry(None));
        fleet.packages.insert("a1".to_owned(), entry(Some(Mode::Report)));
        fleet.packages.insert(
            "a2".to_owned(),
            PackageEntry { on_removal: Some(OnRemoval::Remove), ..entry(Some(Mode::Ignore)) },
        );
    });
    let modes = |fleet: &ExampleFleet| {
        let content = fleet.compile("app-1").unwrap();
        ["package:a0", "package:a1", "package:a2"].map(|key| get(&content, key).mode)
    };
    assert_eq!(modes(&fleet), [Mode::Enforce, Mode::Report, Mode::Ignore]);
    assert_eq!(get(&fleet.compile("app-1").unwrap(), "package:a2").on_removal, OnRemoval::Remove);
    fleet.configuration.nodes.get_mut(&node_name("app-1")).unwrap().enforcement = Some(Mode::Report);
    assert_eq!(modes(&fleet), [Mode::Report, Mode::Report, Mode::Ignore]);
    let production = fleet.configuration.environments.get_mut(&environment("production")).unwrap();
    production.enforcement = Some(Mode::Ignore);
    assert_eq!(modes(&fleet), [Mode::Ignore; 3]);
    let staging = fleet.compile("stage-1").unwrap();
    assert_eq!(get(&staging, "package:a0").mode, Mode::Enforce);
}

#[test]
fn one_thing_that_is_declared_twice_for_a_node_names_both_places() {
    let mut fleet = with(|fleet| {
        fleet.base = Some(Base { packages: vec!["htop".to_owned()], ..Base::default() });
        fleet.packages.insert("htop".to_owned(), PackageEntry::default());
        let job = CronJobEntry {
            schedule: "@daily".to_owned(),
            command: "true".to_owned(),
            ..CronJobEntry::default()
        };
        fleet.cron_jobs.insert("report".to_owned(), job);
        let path = "/etc/cron.d/muster-report".to_owned();
        fleet.files.insert(
            "job".to_owned(),
            FileEntry { path, content: Some(String::new()), ..FileEntry::default() },
        );
    });
    let error = fleet.compile("app-1").unwrap_err();
    let lines: Vec<_> = error.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "file:/etc/cron.d/muster-report is declared twice for this node, by cron_jobs.report and files.job",
            "package:htop is declared twice for this node, by packages.htop and base.packages.0"
        ]
    );
    fleet.configuration.packages.get_mut("htop").unwrap().on = roles(Role::Datastore);
    fleet.configuration.files.clear();
    assert!(fleet.compile("app-1").is_ok());
}
