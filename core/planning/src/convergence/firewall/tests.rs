use super::*;
use muster_domain::resource::{DesiredState, PortRange, RuleAction, Transport};
use proptest::prelude::*;

/// ufw, as far as it is told things here. Written after what ufw 0.36 does, not after what is told to it.
#[derive(Debug, Clone)]
struct Model(ObservedFirewall);

impl Model {
    fn new() -> Self {
        Self(ObservedFirewall {
            enabled: false,
            ipv6: true,
            incoming: Some(FirewallPolicy::Deny),
            outgoing: Some(FirewallPolicy::Allow),
            v4: Vec::new(),
            v6: Vec::new(),
            live: Live::AsFiled,
            way_out: Vec::new(),
        })
    }

    fn with(v4: &[&str], v6: &[&str]) -> Self {
        let mut model = Self::new();
        let read = |lines: &[&str]| lines.iter().map(|line| line_of(line)).collect();
        (model.0.v4, model.0.v6, model.0.enabled) = (read(v4), read(v6), true);
        model
    }

    fn tell(&mut self, command: &[String]) {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["disable"] => return self.0.enabled = false,
            ["--force", "enable"] => {
                (self.0.enabled, self.0.live) = (true, Live::AsFiled);
                return;
            }
            ["reload"] => return self.0.live = Live::AsFiled,
            ["default", policy, direction] => {
                let policy = match *policy {
                    "allow" => FirewallPolicy::Allow,
                    "deny" => FirewallPolicy::Deny,
                    _ => FirewallPolicy::Reject,
                };
                match *direction {
                    "incoming" => self.0.incoming = Some(policy),
                    _ => self.0.outgoing = Some(policy),
                }
                return;
            }
            _ => {}
        }
        let route = words.first() == Some(&"route");
        if route {
            words.remove(0);
        }
        let delete = words.first() == Some(&"delete");
        if delete {
            words.remove(0);
        }
        let mut position = None;
        if words.first() == Some(&"insert") {
            position = Some(words[1].parse::<usize>().unwrap());
            words.drain(..2);
        }
        let both = words.contains(&"any");
        let six = words.iter().any(|word| word.contains("::"));
        let families: &[Family] = if both {
            &[Family::V4, Family::V6]
        } else if six {
            &[Family::V6]
        } else {
            &[Family::V4]
        };
        assert!(!both || position.is_none(), "an insertion into both families counts in ways of its own");
        for family in families {
            let rule = said(&words, route, *family);
            let offset = if *family == Family::V6 { self.0.v4.len() } else { 0 };
            let list = if *family == Family::V6 { &mut self.0.v6 } else { &mut self.0.v4 };
            let found = list.iter().position(|known| known.same_slot(&rule));
            match (delete, found, position) {
                (true, Some(at), None) => {
                    assert_eq!(
                        (list[at].action, &list[at].log),
                        (rule.action, &rule.log),
                        "deletes another rule"
                    );
                    list.remove(at);
                }
                (false, None, Some(position)) => {
                    let at = position.checked_sub(offset + 1).expect("a position among the others");
                    assert!(at < list.len(), "position {position} is beyond the end");
                    list.insert(at, rule);
                }
                (false, Some(at), None) => list[at] = rule,
                (false, None, None) => list.push(rule),
                other => panic!("ufw does nothing on {command:?}: {other:?}"),
            }
        }
    }

    fn converge(&mut self, wanted: &Firewall) -> Vec<Vec<String>> {
        let commands = firewall_commands(wanted, &self.0);
        for command in &commands {
            self.tell(command);
        }
        commands
    }
}

/// A rule from the words of a command.
fn said(words: &[&str], route: bool, family: Family) -> UfwRule {
    let after = |word: &str| words.iter().position(|known| *known == word).map(|at| words[at + 1].to_owned());
    let address =
        |word: &str| after(word).filter(|text| text != "any").unwrap_or_else(|| family.any().into());
    let port = |word: &str| {
        let at = words.iter().position(|known| *known == word)? + 2;
        (words.get(at) == Some(&"port")).then(|| words[at + 1].to_owned())
    };
    let on = |direction: &str| {
        let at = words.iter().position(|known| *known == direction)? + 1;
        (words.get(at) == Some(&"on")).then(|| words[at + 1].to_owned())
    };
    let mut rule = line_of(&format!("{} any any 0.0.0.0/0 any 0.0.0.0/0 in", words[0]));
    rule.route = route;
    rule.log = words.iter().find(|word| word.starts_with("log")).map(|word| (*word).to_owned());
    rule.protocol = after("proto").unwrap_or_else(|| "any".into());
    (rule.from, rule.to) = (address("from"), address("to"));
    rule.from_port = port("from").unwrap_or_else(|| "any".into());
    rule.port = port("to").unwrap_or_else(|| "any".into());
    rule.outgoing = !route && words[1] == "out";
    (rule.in_on, rule.out_on) = (on("in"), on("out"));
    rule.comment = after("comment");
    rule
}

fn line_of(text: &str) -> UfwRule {
    UfwRule::parse(&format!("### tuple ### {text}")).expect(text)
}

fn rule(action: RuleAction, port: u16) -> FirewallRule {
    FirewallRule {
        action,
        outgoing: false,
        protocol: Some(Transport::Tcp),
        port: Some(PortRange { first: port, last: port }),
        from: None,
        to: None,
        interface: None,
        comment: None,
    }
}

fn firewall(rules: Vec<FirewallRule>, exclusive: bool) -> Firewall {
    Firewall { incoming: FirewallPolicy::Deny, outgoing: FirewallPolicy::Allow, rules, exclusive }
}

fn commands(model: &mut Model, wanted: &Firewall) -> Vec<String> {
    model.converge(wanted).into_iter().map(|words| words.join(" ")).collect()
}

#[test]
fn lines_of_ufw_are_read_and_written_as_it_does() {
    // As ufw 0.36.2 wrote them.
    for line in [
        "### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in comment=7765622034",
        "### tuple ### limit tcp 443 0.0.0.0/0 any 10.0.0.0/8 in_host0",
        "### tuple ### allow tcp 8000:8100 0.0.0.0/0 any 0.0.0.0/0 in",
        "### tuple ### deny any any 10.1.2.3 any 0.0.0.0/0 out",
        "### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in",
        "### tuple ### route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_eth0!out_eth1",
        "### tuple ### allow any 53 fd00::1/64 any ::/0 out_eth0",
        "### tuple ### allow_log udp 99 ::/0 any ::/0 in",
        "### tuple ### allow_log-all udp 99 ::/0 any ::/0 Nginx%20Full - in",
    ] {
        let rule = UfwRule::parse(line).expect(line);
        assert_eq!(rule.to_string(), line);
    }
    assert_eq!(
        line_of("allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in comment=7765622034").comment.unwrap(),
        "web 4"
    );
    assert_eq!(
        line_of("allow tcp 80 0.0.0.0/0 any 0.0.0.0/0"),
        line_of("allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 in")
    );
    for odd in [
        "",
        "-A ufw-user-input -j ACCEPT",
        "### RULES ###",
        "### tuple ### allow tcp",
        "### tuple ### drop any any a any b in",
        "### tuple ### allow any any a any b up",
        "### tuple ### allow any any a any b in_a!eth",
        "### tuple ### allow tcp 1 a any b in comment=zz",
    ] {
        assert_eq!(UfwRule::parse(odd), None, "{odd:?}");
    }
}

#[test]
fn addresses_are_those_that_ufw_would_make_of_them() {
    let of = |from: &str, family| {
        let rule = FirewallRule { from: Some(from.into()), ..rule(RuleAction::Allow, 22) };
        rules_of(&rule, family).into_iter().map(|rule| rule.from).collect::<Vec<_>>()
    };
    assert_eq!(of("10.0.0.5/24", Family::V4), ["10.0.0.0/24"]);
    assert_eq!(of("10.0.0.5/32", Family::V4), ["10.0.0.5"]);
    assert_eq!(of("10.0.0.5/0", Family::V4), ["0.0.0.0/0"]);
    assert_eq!(of("FD00:0::1/64", Family::V6), ["fd00::/64"]);
    assert_eq!(of("fd00::1/128", Family::V6), ["fd00::1"]);
    assert!(of("10.0.0.5", Family::V6).is_empty() && of("::1", Family::V4).is_empty());
}

#[test]
fn a_range_without_a_transport_is_two_rules_and_an_apostrophe_is_no_reason_to_fail() {
    let port = Some(PortRange { first: 8000, last: 8100 });
    let wanted =
        FirewallRule { protocol: None, port, comment: Some("Bob's".into()), ..rule(RuleAction::Allow, 1) };
    let rules = rules_of(&wanted, Family::V4);
    assert_eq!(rules.iter().map(|rule| rule.protocol.as_str()).collect::<Vec<_>>(), ["tcp", "udp"]);
    assert_eq!(rules[0].comment.as_deref(), Some("Bob\u{2019}s"));
    let one = FirewallRule { protocol: None, ..rule(RuleAction::Allow, 53) };
    assert_eq!(rules_of(&one, Family::V6).len(), 1);
}

#[test]
fn a_new_firewall_is_told_in_the_words_of_a_person_and_turned_on_last() {
    let wanted = Firewall {
        outgoing: FirewallPolicy::Reject,
        ..firewall(
            vec![
                FirewallRule { comment: Some("ssh".into()), ..rule(RuleAction::Limit, 22) },
                FirewallRule {
                    from: Some("10.0.0.0/8".into()),
                    interface: Some("eth1".into()),
                    ..rule(RuleAction::Allow, 6379)
                },
                rule(RuleAction::Allow, 443),
            ],
            false,
        )
    };
    let mut model = Model::new();
    assert_eq!(
        commands(&mut model, &wanted),
        [
            "limit in proto tcp from any to any port 22 comment ssh",
            "allow in on eth1 proto tcp from 10.0.0.0/8 to 0.0.0.0/0 port 6379",
            "allow in proto tcp from any to any port 443",
            "default reject outgoing",
            "--force enable",
        ]
    );
    assert!(commands(&mut model, &wanted).is_empty());
    assert_eq!(verdict(&wanted, &Observed::Firewall(model.0)), Verdict::InPlace);
}

#[test]
fn a_comment_is_not_worth_touching_a_rule_that_is_there() {
    let mut model = Model::with(
        &["allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=6d696e65"],
        &["allow tcp 22 ::/0 any ::/0 in"],
    );
    model.0.enabled = true;
    let named = FirewallRule { comment: Some("ssh".into()), ..rule(RuleAction::Allow, 22) };
    let wanted = Firewall { incoming: model.0.incoming.unwrap(), ..firewall(vec![named], true) };
    assert_eq!(verdict(&wanted, &Observed::Firewall(model.0.clone())), Verdict::InPlace);
    assert!(commands(&mut model, &wanted).is_empty());
    // Taken away all the same when the rule is to go.
    assert!(firewall_removal(&wanted, &model.0).iter().filter(|command| command[0] == "delete").count() == 2);
}

#[test]
fn rules_that_are_not_declared_stay_behind_the_declared_ones_unless_they_must_go() {
    let four =
        ["allow tcp 8080 0.0.0.0/0 any 0.0.0.0/0 in", "allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in"];
    let six = ["allow tcp 22 ::/0 any ::/0 OpenSSH - in"];
    let mut model = Model::with(&four, &six);
    assert_eq!(
        commands(
            &mut model,
            &firewall(vec![rule(RuleAction::Deny, 8080), rule(RuleAction::Allow, 80)], false)
        ),
        [
            "deny in proto tcp from 0.0.0.0/0 to 0.0.0.0/0 port 8080",
            "insert 3 deny in proto tcp from ::/0 to ::/0 port 8080",
            "insert 2 allow in proto tcp from 0.0.0.0/0 to 0.0.0.0/0 port 80",
            "insert 5 allow in proto tcp from ::/0 to ::/0 port 80",
        ]
    );
    assert_eq!(model.0.v4.len(), 3);
    let told = firewall_commands(&firewall(vec![rule(RuleAction::Allow, 80)], true), &model.0);
    let told: Vec<String> = told.into_iter().map(|words| words.join(" ")).collect();
    assert_eq!(
        told,
        ["delete deny in proto tcp from any to any port 8080", "delete allow in from any to any app OpenSSH"]
    );
}

#[test]
fn what_was_done_by_hand_is_named() {
    let mut model = Model::with(
        &["allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", "allow tcp 9 0.0.0.0/0 any 0.0.0.0/0 in"],
        &[],
    );
    model.0.enabled = false;
    model.0.incoming = Some(FirewallPolicy::Allow);
    let wanted = firewall(vec![rule(RuleAction::Allow, 22)], true);
    let Verdict::Change { reason, actions } = verdict(&wanted, &Observed::Firewall(model.0.clone())) else {
        panic!("nothing to do")
    };
    assert_eq!(actions, [Action::ConfigureFirewall]);
    assert_eq!(
        reason,
        "the firewall is off, incoming is allow by default instead of deny, 1 rule is missing, 1 rule is one too many"
    );
    assert_eq!(
        firewall_diff(&wanted, &model.0),
        "- off\n+ on\n- default allow incoming\n+ default deny incoming\n\
         - allow in proto tcp from 0.0.0.0/0 to 0.0.0.0/0 port 9\n\
         + allow in proto tcp from ::/0 to ::/0 port 22"
    );
    model.converge(&wanted);
    model.0.live = Live::Differs;
    assert_eq!(commands(&mut model, &wanted), ["reload"]);
}

#[test]
fn the_way_to_the_controller_stays_open_when_nothing_else_goes_out() {
    let mut model = Model::new();
    let way = FirewallRule { outgoing: true, to: Some("10.9.0.1".into()), ..rule(RuleAction::Allow, 8444) };
    model.0.way_out = vec![way];
    let wanted = Firewall { outgoing: FirewallPolicy::Deny, ..firewall(vec![], true) };
    let told = commands(&mut model, &wanted);
    assert_eq!(told[0], "allow out proto tcp from 0.0.0.0/0 to 10.9.0.1 port 8444");
    assert_eq!(told[1], "default deny outgoing");
    assert!(commands(&mut model, &wanted).is_empty());
}

#[test]
fn a_rule_for_ipv6_where_ufw_leaves_that_alone_is_told_to_a_person() {
    let mut model = Model::new();
    model.0.ipv6 = false;
    let six = FirewallRule { from: Some("fd00::/8".into()), ..rule(RuleAction::Allow, 22) };
    let Verdict::Impossible { reason } =
        verdict(&firewall(vec![six], false), &Observed::Firewall(model.0.clone()))
    else {
        panic!("it was taken")
    };
    assert!(reason.contains("IPV6=yes"), "{reason}");
    let any = firewall(vec![rule(RuleAction::Allow, 22)], false);
    model.converge(&any);
    assert_eq!((model.0.v4.len(), verdict(&any, &Observed::Firewall(model.0))), (1, Verdict::InPlace));
}

#[test]
fn a_firewall_that_is_taken_away_leaves_the_rules_of_others() {
    let mut model = Model::with(&["allow tcp 9 0.0.0.0/0 any 0.0.0.0/0 in"], &[]);
    let wanted = firewall(vec![rule(RuleAction::Allow, 22), rule(RuleAction::Limit, 23)], false);
    model.converge(&wanted);
    for command in firewall_removal(&wanted, &model.0) {
        model.tell(&command);
    }
    assert_eq!((model.0.enabled, model.0.v4.len(), model.0.v6.len()), (false, 1, 0));
    assert!(firewall_removal(&wanted, &model.0).is_empty());
}

fn any_rule() -> impl Strategy<Value = FirewallRule> {
    let action = prop_oneof![
        Just(RuleAction::Allow),
        Just(RuleAction::Deny),
        Just(RuleAction::Reject),
        Just(RuleAction::Limit)
    ];
    let address = prop_oneof![
        3 => Just(None),
        1 => Just(Some("10.0.0.7/8".to_owned())),
        1 => Just(Some("fd00::/8".to_owned())),
    ];
    let protocol = prop_oneof![Just(None), Just(Some(Transport::Tcp)), Just(Some(Transport::Udp))];
    let port = prop::option::of(
        (20_u16..23, 0_u16..2).prop_map(|(first, more)| PortRange { first, last: first + more }),
    );
    let comment = prop::option::of(prop_oneof![Just("why".to_owned()), Just("it's ours".to_owned())]);
    let interface = prop::option::of(Just("eth0".to_owned()));
    (action, any::<bool>(), protocol, port, address, interface, comment).prop_map(
        |(action, outgoing, protocol, port, from, interface, comment)| FirewallRule {
            action,
            outgoing,
            protocol,
            port,
            from,
            to: None,
            interface,
            comment,
        },
    )
}

fn any_policy() -> impl Strategy<Value = FirewallPolicy> {
    prop_oneof![Just(FirewallPolicy::Allow), Just(FirewallPolicy::Deny), Just(FirewallPolicy::Reject)]
}

proptest! {
    #[test]
    fn what_is_told_leads_to_what_is_wanted_and_then_nothing_is_told(
        former in prop::collection::vec(any_rule(), 0..6),
        declared in prop::collection::vec(any_rule(), 0..8),
        keep in prop::collection::vec(any::<bool>(), 6),
        policies in (any_policy(), any_policy()),
        (exclusive, ipv6, enabled, changed) in any::<(bool, bool, bool, bool)>(),
    ) {
        let mut model = Model::new();
        model.0.ipv6 = ipv6;
        model.0.enabled = enabled;
        // Some of what is there is what is wanted, in another order.
        let before: Vec<FirewallRule> = former
            .into_iter()
            .chain(declared.iter().rev().zip(&keep).filter(|(_, keep)| **keep).map(|(rule, _)| rule.clone()))
            .collect();
        for rule in &before {
            for found in rules_of(rule, Family::V4) {
                if !model.0.v4.iter().any(|known| known.same_slot(&found)) { model.0.v4.push(found); }
            }
            for found in rules_of(rule, Family::V6) {
                if ipv6 && !model.0.v6.iter().any(|known| known.same_slot(&found)) { model.0.v6.push(found); }
            }
        }
        if changed { model.0.live = Live::Differs; }
        let wanted = Firewall { incoming: policies.0, outgoing: policies.1, rules: declared, exclusive };
        let unmanaged: Vec<UfwRule> = model.0.v4.iter().chain(&model.0.v6).cloned().collect();
        let desired = DesiredState::Firewall(wanted.clone());
        prop_assert_eq!(desired.kind(), "firewall");
        let found = Observed::Firewall(model.0.clone());
        if matches!(verdict(&wanted, &found), Verdict::Impossible { .. }) { return Ok(()); }
        let quiet = verdict(&wanted, &found) == Verdict::InPlace;
        prop_assert_eq!(quiet, firewall_commands(&wanted, &model.0).is_empty() && firewall_diff(&wanted, &model.0).is_empty());
        model.converge(&wanted);
        let (again, found) = (firewall_commands(&wanted, &model.0), Observed::Firewall(model.0.clone()));
        prop_assert_eq!(verdict(&wanted, &found), Verdict::InPlace);
        prop_assert!(again.is_empty(), "{:?}", again);
        for (family, list) in [(Family::V4, &model.0.v4), (Family::V6, &model.0.v6)] {
            let mut expected: Vec<UfwRule> = Vec::new();
            for rule in wanted.rules.iter().flat_map(|rule| rules_of(rule, family)) {
                if !expected.iter().any(|known| known.same_slot(&rule)) { expected.push(rule); }
            }
            if ipv6 || family == Family::V4 {
                // What is written beside a rule that is there stays.
                let same = list.iter().zip(&expected).all(|(found, expected)| found.same_effect(expected));
                prop_assert!(list.len() >= expected.len() && same, "{:?} instead of {:?}", list, expected);
                prop_assert!(!exclusive || list.len() == expected.len());
            }
        }
        if !exclusive {
            for rule in unmanaged {
                let there = model.0.v4.iter().chain(&model.0.v6).any(|known| known.same_slot(&rule));
                prop_assert!(there, "{} is gone", rule);
            }
        }
    }
}
