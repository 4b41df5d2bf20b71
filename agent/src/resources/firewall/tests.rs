use super::*;
use crate::config::StateDir;
use muster_platform::FakeHost;

fn rule(action: RuleAction, port: u16) -> FirewallRule {
    FirewallRule {
        action,
        outgoing: false,
        protocol: Some(Transport::Tcp),
        port: Some(PortRange { first: port, last: port }),
        from: None,
        to: None,
        interface: None,
        comment: Some("why".into()),
    }
}

fn wanted() -> Firewall {
    let network = FirewallRule {
        from: Some("10.0.0.0/8".into()),
        interface: Some("eth1".into()),
        ..rule(RuleAction::Limit, 6379)
    };
    Firewall {
        incoming: FirewallPolicy::Deny,
        outgoing: FirewallPolicy::Allow,
        rules: vec![rule(RuleAction::Allow, 22), network, rule(RuleAction::Allow, 443)],
        exclusive: true,
    }
}

fn with_look<T>(host: &FakeHost, test: impl FnOnce(Look<'_>) -> T) -> T {
    let state = tempfile::tempdir().unwrap();
    let state = StateDir::new(state.path());
    test(Look { host, state: &state, assigned: &[] })
}

fn decide(look: Look<'_>, wanted: &Firewall) -> Verdict {
    let desired = muster_domain::resource::DesiredState::Firewall(wanted.clone());
    convergence::verdict(&desired, &observe(look, wanted), convergence::Effort::default())
}

#[test]
fn what_was_applied_is_in_place_and_stays_so() {
    let host = FakeHost::default();
    host.install_ufw();
    with_look(&host, |look| {
        let wanted = wanted();
        assert!(matches!(decide(look, &wanted), Verdict::Change { .. }));
        let difference = diff(look, &wanted, &observe(look, &wanted)).unwrap();
        assert!(difference.starts_with("- off\n+ on\n+ allow in proto tcp from 0.0.0.0/0"), "{difference}");
        apply(look, &wanted, Action::ConfigureFirewall).unwrap();
        assert_eq!(decide(look, &wanted), Verdict::InPlace);
        assert_eq!(diff(look, &wanted, &observe(look, &wanted)), None);
        let writes = host.writes();
        apply(look, &wanted, Action::ConfigureFirewall).unwrap();
        assert_eq!(host.writes(), writes);
    });
}

#[test]
fn a_flush_by_hand_and_a_rule_by_hand_are_noticed_and_put_right() {
    let host = FakeHost::default();
    host.install_ufw();
    with_look(&host, |look| {
        let wanted = wanted();
        apply(look, &wanted, Action::ConfigureFirewall).unwrap();
        host.flush_firewall();
        let Verdict::Change { reason, .. } = decide(look, &wanted) else {
            panic!("the flush was not noticed")
        };
        assert!(reason.contains("kernel"), "{reason}");
        apply(look, &wanted, Action::ConfigureFirewall).unwrap();
        assert_eq!(decide(look, &wanted), Verdict::InPlace);

        tell(&host, &["allow", "in", "from", "any", "to", "any", "port", "9"].map(str::to_owned)).unwrap();
        assert_eq!(diff(look, &wanted, &observe(look, &wanted)).unwrap().lines().count(), 2);
        apply(look, &wanted, Action::ConfigureFirewall).unwrap();
        assert_eq!(decide(look, &wanted), Verdict::InPlace);
    });
}

#[test]
fn killed_after_any_command_the_next_run_converges() {
    let all = {
        let host = FakeHost::default();
        host.install_ufw();
        with_look(&host, |look| firewall_commands(&wanted(), &found(look, &wanted()).unwrap()).len())
    };
    assert!(all > 3);
    for done in 0..=all {
        let host = FakeHost::default();
        host.install_ufw();
        with_look(&host, |look| {
            for command in firewall_commands(&wanted(), &found(look, &wanted()).unwrap()).iter().take(done) {
                tell(&host, command).unwrap();
            }
            apply(look, &wanted(), Action::ConfigureFirewall).unwrap();
            assert_eq!(decide(look, &wanted()), Verdict::InPlace, "killed after {done} commands");
        });
    }
}

#[test]
fn where_it_cannot_be_managed_the_reason_says_what_to_do() {
    let host = FakeHost::default();
    with_look(&host, |look| {
        let Verdict::Impossible { reason } = decide(look, &wanted()) else { panic!("without ufw") };
        assert!(reason.contains("declare the package ufw"), "{reason}");
        assert_eq!(remove(look, &wanted()), Ok(None));
    });
    let host = FakeHost::default().unprivileged();
    with_look(&host, |look| assert!(matches!(decide(look, &wanted()), Verdict::Unsupported { .. })));
}

#[test]
fn what_is_taken_away_is_said() {
    let host = FakeHost::default();
    host.install_ufw();
    with_look(&host, |look| {
        apply(look, &wanted(), Action::ConfigureFirewall).unwrap();
        assert!(remove(look, &wanted()).unwrap().unwrap().contains("off"));
        assert_eq!(remove(look, &wanted()).unwrap(), None);
    });
}

#[test]
fn the_kernel_is_compared_in_what_both_spell_alike() {
    let rules = "### tuple ### limit tcp 22 0.0.0.0/0 any 10.0.0.0/8 in\n\
        -A ufw-user-input -p tcp --dport 22 -s 10.0.0.0/8 -m recent --set\n\
        -A ufw-user-input -p tcp --dport 22 -s 10.0.0.0/8 -m recent --update -j ufw-user-limit\n\
        -A ufw-user-output -d 10.1.2.3 -j DROP\n\
        -A ufw-user-limit -j REJECT\n";
    let kernel = "-P INPUT DROP\n-A INPUT -j ufw-before-input\n\
        -A ufw-user-input -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -m recent --set --rsource\n\
        -A ufw-user-input -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -m recent --update --rsource -j ufw-user-limit\n\
        -A ufw-user-output -d 10.1.2.3/32 -j DROP\n";
    let deny = Some(FirewallPolicy::Deny);
    assert!(files::holds(kernel, "ufw", rules, deny));
    assert!(files::holds(kernel, "ufw", rules, Some(FirewallPolicy::Reject)));
    assert!(!files::holds(kernel, "ufw", rules, Some(FirewallPolicy::Allow)));
    assert!(!files::holds(&kernel.replace("-j DROP", "-j ACCEPT"), "ufw", rules, deny));
    assert!(!files::holds(&kernel.replace("-A INPUT -j ufw-before-input\n", ""), "ufw", rules, deny));
    assert!(!files::holds("-P INPUT ACCEPT\n", "ufw", rules, deny));
}

#[test]
fn hooks_that_somebody_took_out_are_put_back_in_their_order() {
    let kernel = "-N ufw6-before-input\n-N ufw6-before-logging-input\n-N ufw6-after-input\n-N ufw6-before-output\n\
        -A INPUT -j ufw6-before-logging-input\n-A INPUT -i lo -j ACCEPT\n-A INPUT -j ufw6-after-input\n\
        -A OUTPUT -j ufw6-before-output\n";
    let told: Vec<String> =
        files::hooks_to_mend(kernel, "ufw6").iter().map(|words| words.join(" ")).collect();
    assert_eq!(
        told,
        [
            "-A INPUT -j ufw6-before-logging-input",
            "-A INPUT -j ufw6-before-input",
            "-A INPUT -j ufw6-after-input",
            "-D INPUT -j ufw6-before-logging-input",
            "-D INPUT -j ufw6-after-input",
        ]
    );
    assert!(files::hooks_to_mend("-P INPUT ACCEPT\n", "ufw6").is_empty());
}

#[test]
fn name_servers_of_this_host_itself_need_no_way_out() {
    let text = "# x\nsearch a\nnameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nnameservers 1.1.1.1\n";
    let found: Vec<String> = files::name_servers(text).map(|ip| ip.to_string()).collect();
    assert_eq!(found, ["10.0.0.2", "fe80::1"]);
}
