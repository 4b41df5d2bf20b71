//! What files of ufw and answers of iptables say.

use muster_domain::resource::FirewallPolicy;
use std::net::IpAddr;

/// A variable of a file that a shell reads; the last one counts.
pub(super) fn setting<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut values = text.lines().filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
    values.next_back().map(|value| value.trim().trim_matches(['"', '\'']))
}

pub(super) fn policy(defaults: &str, name: &str) -> Option<FirewallPolicy> {
    match setting(defaults, name)?.to_ascii_uppercase().as_str() {
        "ACCEPT" => Some(FirewallPolicy::Allow),
        "DROP" => Some(FirewallPolicy::Deny),
        "REJECT" => Some(FirewallPolicy::Reject),
        _ => None,
    }
}

/// Whether the kernel's rules (`iptables -S`) are those of a file: the chains are hooked in, the policy is as it was set, and
/// the rules have the same targets in the same order. Addresses are spelled differently by both, and are not compared.
pub(super) fn holds(kernel: &str, prefix: &str, rules: &str, incoming: Option<FirewallPolicy>) -> bool {
    let hooked = kernel.lines().any(|line| line == format!("-A INPUT -j {prefix}-before-input"));
    let accepts = kernel.lines().any(|line| line == "-P INPUT ACCEPT");
    let as_set = incoming.is_none_or(|policy| accepts == (policy == FirewallPolicy::Allow));
    hooked
        && as_set
        && hooks_to_mend(kernel, prefix).is_empty()
        && ["input", "output", "forward"].into_iter().all(|chain| {
            let chain = format!("-A {prefix}-user-{chain} ");
            targets(kernel, &chain).eq(targets(rules, &chain))
        })
}

/// What to tell iptables so that every chain of ufw is hooked in again, in its order: ufw itself does so only where its chains
/// are missing. The new hooks come before the old ones go.
pub(super) fn hooks_to_mend(kernel: &str, prefix: &str) -> Vec<Vec<String>> {
    const PARTS: [&str; 6] = ["before-logging", "before", "after", "after-logging", "reject", "track"];
    let mut commands = Vec::new();
    for builtin in ["INPUT", "OUTPUT", "FORWARD"] {
        let name = |part: &&str| format!("{prefix}-{part}-{}", builtin.to_lowercase());
        let there = |chain: &String| kernel.lines().any(|line| line == format!("-N {chain}"));
        let wanted: Vec<String> = PARTS.iter().map(name).filter(there).collect();
        let jump = format!("-A {builtin} -j ");
        let found: Vec<String> = kernel
            .lines()
            .filter_map(|line| line.strip_prefix(&jump))
            .filter(|chain| chain.starts_with(&format!("{prefix}-")))
            .map(str::to_owned)
            .collect();
        if found == wanted {
            continue;
        }
        let told = |flag: &str, chain: &String| [flag, builtin, "-j", chain].map(str::to_owned).to_vec();
        commands.extend(wanted.iter().map(|chain| told("-A", chain)));
        commands.extend(found.iter().map(|chain| told("-D", chain)));
    }
    commands
}

fn targets<'a>(text: &'a str, chain: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.strip_prefix(chain)).map(|rule| {
        let mut words = rule.split_whitespace().skip_while(|word| *word != "-j");
        words.nth(1).unwrap_or("-")
    })
}

/// Those of a `resolv.conf` that are not on this host.
pub(super) fn name_servers(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        if words.next() == Some("nameserver") {
            words.next()?.split('%').next()?.parse::<IpAddr>().ok()
        } else {
            None
        }
    });
    named.filter(|address| !address.is_loopback())
}
