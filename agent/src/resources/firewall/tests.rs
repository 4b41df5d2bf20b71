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
    let kernel = "-P INPUT DROP\n-N ufw-before-input\n-A INPUT -j ufw-before-input\n-A ufw-before-input -i lo -j ACCEPT\n\
        -A ufw-user-input -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -m recent --set --rsource\n\
        -A ufw-user-input -s 10.0.0.0/8 -p tcp -m tcp --dport 22 -m recent --update --rsource -j ufw-user-limit\n\
        -A ufw-user-output -d 10.1.2.3/32 -j DROP\n";
    let deny = Some(FirewallPolicy::Deny);
    assert!(files::holds(kernel, "ufw", rules, deny));
    assert!(files::holds(kernel, "ufw", rules, Some(FirewallPolicy::Reject)));
    assert!(!files::holds(kernel, "ufw", rules, Some(FirewallPolicy::Allow)));
    assert!(!files::holds(&kernel.replace("-j DROP", "-j ACCEPT"), "ufw", rules, deny));
    for (was, becomes) in [
        ("--dport 22", "--dport 23"),
        ("10.0.0.0/8", "10.0.0.0/7"),
        ("10.1.2.3/32", "10.1.2.4/32"),
        ("-p tcp -m tcp", "-p udp -m udp"),
        ("-A ufw-user-output -d", "-A ufw-user-output -o eth0 -d"),
        ("-A ufw-before-input -i lo -j ACCEPT\n", ""),
    ] {
        assert!(!files::holds(&kernel.replace(was, becomes), "ufw", rules, deny), "{was} -> {becomes}");
    }
    assert!(!files::holds(&kernel.replace("-A INPUT -j ufw-before-input\n", ""), "ufw", rules, deny));
    assert!(!files::holds("-P INPUT ACCEPT\n", "ufw", rules, deny));
}

#[test]
fn what_the_kernel_spells_otherwise_is_the_same_rule() {
    let hooks = |prefix: &str| {
        format!(
            "-N {prefix}-before-input\n-A INPUT -j {prefix}-before-input\n-A {prefix}-before-input -i lo -j ACCEPT\n"
        )
    };
    for (prefix, filed, held) in [
        (
            "ufw",
            "-p tcp -m multiport --dports 80,443 -j ACCEPT -m comment --comment 'dapp_Nginx -j DROP'",
            "-p tcp -m multiport --dports 80,443 -j ACCEPT",
        ),
        (
            "ufw",
            "-p tcp -m multiport --dports 80,443 -j ACCEPT -m comment --comment 'dapp_Nginx%20Full'",
            "-p tcp -m multiport --dports 80,443 -m comment --comment \"\\'dapp_Nginx%20Full\\'\" -j ACCEPT",
        ),
        ("ufw", "-j DROP -m comment --comment 'a -j b'", "-m comment --comment \"a -j b\" -j DROP"),
        (
            "ufw",
            "-i eth1 -p udp --sport 53 -s 0.0.0.0/0 -j ACCEPT",
            "-i eth1 -p udp -m udp --sport 53 -j ACCEPT",
        ),
        ("ufw", "-p ipv6 -s 192.0.2.9 -j ACCEPT", "-s 192.0.2.9/32 -p ipencap -j ACCEPT"),
        (
            "ufw",
            "-p tcp --dport 1 -s 192.0.2.9/24 -j ACCEPT",
            "-s 192.0.2.0/24 -p tcp -m tcp --dport 1 -j ACCEPT",
        ),
        (
            "ufw6",
            "-p tcp --dport 1 -s 2001:DB8:0::1 -j DROP",
            "-s 2001:db8::1/128 -p tcp -m tcp --dport 1 -j DROP",
        ),
        ("ufw6", "-s fd00::5/8 -j DROP", "-s fd00::/8 -j DROP"),
    ] {
        let rules = format!("-A {prefix}-user-input {filed}\n");
        let kernel = format!("{}-A {prefix}-user-input {held}\n", hooks(prefix));
        assert!(files::holds(&kernel, prefix, &rules, None), "{filed}");
        let other = kernel.replace(&format!("-user-input {held}"), "-user-input -j RETURN");
        assert!(!files::holds(&other, prefix, &rules, None), "{filed}");
    }
}

#[test]
fn more_rules_in_the_kernel_than_are_read_are_no_reason_to_reload_for_ever() {
    let host = FakeHost::default();
    host.install_ufw();
    with_look(&host, |look| {
        apply(look, &wanted(), Action::ConfigureFirewall).unwrap();
        let bans = (0..10_000).map(|n| format!("-A f2b-sshd -s 10.{}.{}.1/32 -j REJECT", n / 256, n % 256));
        host.add_kernel_rules(bans);
        assert_eq!(decide(look, &wanted()), Verdict::InPlace);
    });
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
