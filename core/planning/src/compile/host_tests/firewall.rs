//! The firewall: policy, order of rules, and SSH.

use super::*;

#[test]
fn rules_for_somebody_in_particular_and_rules_that_keep_out_come_first() {
    let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let fleet = with(|fleet| {
        let mut add = |name: &str, entry| fleet.firewall.insert(name.to_owned(), entry);
        add("a-web", FirewallEntry { allow: list(&["443/tcp", "80/tcp"]), ..FirewallEntry::default() });
        add("b-closed", FirewallEntry { deny: list(&["5432"]), ..FirewallEntry::default() });
        add(
            "c-database",
            FirewallEntry {
                allow: list(&["5432/tcp"]),
                from: list(&["10.0.0.0/8", "fd00::/8"]),
                ..FirewallEntry::default()
            },
        );
        add(
            "d-bad",
            FirewallEntry { reject: list(&["any"]), from: list(&["10.6.6.6"]), ..FirewallEntry::default() },
        );
        add("e-again", FirewallEntry { allow: list(&["80/tcp"]), ..FirewallEntry::default() });
    });
    let content = fleet.compile("app-1").unwrap();
    let firewall = firewall(&content);
    assert_eq!(
        lines(firewall),
        [
            "reject any from 10.6.6.6 # d-bad",
            "allow 5432/tcp from 10.0.0.0/8 # c-database",
            "allow 5432/tcp from fd00::/8 # c-database",
            "deny 5432 # b-closed",
            "allow 22/tcp # ssh",
            "allow 80/tcp # a-web",
            "allow 443/tcp # a-web",
        ]
    );
    assert_eq!(
        (firewall.incoming, firewall.outgoing, firewall.exclusive),
        (FirewallPolicy::Deny, FirewallPolicy::Allow, true)
    );
}

#[test]
fn ssh_stays_open_unless_a_rule_speaks_of_it() {
    let rules = |base: Option<Base>, entry: FirewallEntry| {
        let fleet = with(|fleet| {
            fleet.base = base;
            fleet.firewall.insert("rule".to_owned(), entry);
        });
        lines(firewall(&fleet.compile("app-1").unwrap()))
    };
    let allow = |text: &str| FirewallEntry { allow: vec![text.to_owned()], ..FirewallEntry::default() };
    assert_eq!(rules(None, allow("443/tcp")), ["allow 22/tcp # ssh", "allow 443/tcp # rule"]);
    let limited = FirewallEntry { limit: vec!["22/tcp".to_owned()], ..FirewallEntry::default() };
    assert_eq!(rules(None, limited), ["limit 22/tcp # rule"]);
    assert_eq!(rules(None, allow("22/udp")).len(), 2, "that is not SSH");
    let deny = |from: &[&str]| FirewallEntry {
        deny: vec!["22/tcp".to_owned()],
        from: from.iter().map(|from| (*from).to_owned()).collect(),
        ..FirewallEntry::default()
    };
    assert_eq!(
        rules(None, deny(&["203.0.113.9"])),
        ["deny 22/tcp from 203.0.113.9 # rule", "allow 22/tcp # ssh"],
        "who keeps one attacker out does not mean everybody"
    );
    assert_eq!(rules(None, deny(&[])), ["deny 22/tcp # rule"]);
    let moved = BaseSsh { port: Some(2222), from: vec!["10.0.0.0/8".to_owned()], ..BaseSsh::default() };
    let base = Base { ssh: Some(Part::Settings(moved)), ..Base::default() };
    assert_eq!(
        rules(Some(base.clone()), allow("443/tcp")),
        ["allow 2222/tcp from 10.0.0.0/8 # ssh", "allow 443/tcp # rule"]
    );
    let content = based(base).compile("app-1").unwrap();
    assert_eq!(
        texts(&get(&content, "firewall:node").depends_on),
        ["package:ufw", "sshd:node"],
        "the old port is closed last"
    );
    let alone = with(|fleet| {
        let ssh = BaseSsh { port: Some(2222), ..BaseSsh::default() };
        fleet.base = Some(Base {
            ssh: Some(Part::Settings(ssh)),
            firewall: Some(Part::Switch(false)),
            ..Base::default()
        });
        fleet.firewall.insert("web".to_owned(), allow("443/tcp"));
    });
    assert_eq!(
        texts(&get(&alone.compile("app-1").unwrap(), "firewall:node").depends_on),
        ["package:ufw", "sshd:node"],
        "also when only the section speaks of the firewall"
    );
    let open = FirewallDefaults { incoming: Some(FirewallPolicy::Allow), ..FirewallDefaults::default() };
    let policy = FirewallEntry { policy: Some(open), ..FirewallEntry::default() };
    assert_eq!(rules(None, policy), Vec::<String>::new());
}

#[test]
fn an_entry_says_another_policy_than_the_base_role_for_some_nodes() {
    let fleet = with(|fleet| {
        let of_base = BaseFirewall { exclusive: Some(false), ..BaseFirewall::default() };
        fleet.base = Some(Base { firewall: Some(Part::Settings(of_base)), ..Base::default() });
        let policy =
            FirewallDefaults { outgoing: Some(FirewallPolicy::Reject), ..FirewallDefaults::default() };
        fleet.firewall.insert(
            "closed".to_owned(),
            FirewallEntry { policy: Some(policy), on: roles(Role::Datastore), ..FirewallEntry::default() },
        );
    });
    let outgoing = |node| {
        let content = fleet.compile(node).unwrap();
        (firewall(&content).outgoing, firewall(&content).exclusive)
    };
    assert_eq!(outgoing("stage-1"), (FirewallPolicy::Reject, false));
    assert_eq!(outgoing("app-1"), (FirewallPolicy::Allow, false));
}
