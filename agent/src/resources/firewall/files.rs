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

/// Whether the kernel's rules (`iptables -S`) are those of a file: the chains are hooked in and filled, the policy is as it was
/// set, and the rules say the same in the same order.
pub(super) fn holds(kernel: &str, prefix: &str, rules: &str, incoming: Option<FirewallPolicy>) -> bool {
    let hooked = kernel.lines().any(|line| line == format!("-A INPUT -j {prefix}-before-input"));
    // What goes before the rules of people: without it the answers to own connections are dropped.
    let before = format!("-A {prefix}-before-input ");
    let filled = kernel.lines().any(|line| line.starts_with(&before));
    let accepts = kernel.lines().any(|line| line == "-P INPUT ACCEPT");
    let as_set = incoming.is_none_or(|policy| accepts == (policy == FirewallPolicy::Allow));
    hooked
        && filled
        && as_set
        && hooks_to_mend(kernel, prefix).is_empty()
        && ["input", "output", "forward"].into_iter().all(|chain| {
            let chain = format!("-A {prefix}-user-{chain} ");
            facts(kernel, &chain).eq(facts(rules, &chain))
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

/// What a rule says, as far as the kernel and ufw say it alike when it is put in order.
#[derive(Debug, PartialEq, Eq, Default)]
struct Facts<'a> {
    target: Option<&'a str>,
    /// Only of those with ports: others have a name to one and a number to the other.
    protocol: Option<&'a str>,
    ports: [Option<&'a str>; 2],
    addresses: [Option<(IpAddr, u8)>; 2],
    interfaces: [Option<&'a str>; 2],
}

fn facts<'a>(text: &'a str, chain: &'a str) -> impl Iterator<Item = Facts<'a>> {
    text.lines().filter_map(move |line| line.strip_prefix(chain)).map(|rule| {
        let mut facts = Facts::default();
        let mut words = rule.split_whitespace();
        while let Some(word) = words.next() {
            let at = match word {
                "-j" => &mut facts.target,
                "-p" => &mut facts.protocol,
                "--sport" | "--sports" => &mut facts.ports[0],
                "--dport" | "--dports" => &mut facts.ports[1],
                "-i" => &mut facts.interfaces[0],
                "-o" => &mut facts.interfaces[1],
                "-s" | "-d" => {
                    facts.addresses[usize::from(word == "-d")] = words.next().and_then(network);
                    continue;
                }
                // The name of a profile: ufw writes it behind the target, the kernel before it.
                "--comment" => {
                    let quote = words.next().and_then(|first| {
                        let quote = first.trim_start_matches('\\').chars().next()?;
                        let whole = first.len() > 1 && first.ends_with(quote);
                        (!quote.is_alphanumeric() && !whole).then_some(quote)
                    });
                    if let Some(quote) = quote {
                        words.by_ref().find(|word| word.ends_with(quote));
                    }
                    continue;
                }
                _ => continue,
            };
            *at = words.next();
        }
        facts.protocol = facts.protocol.filter(|name| ["tcp", "udp"].contains(name));
        facts
    })
}

/// A network as its first address and the length of its prefix; `None` for everything, which the kernel does not mention.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().ok()?;
    let most: u8 = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Some(most), |prefix| prefix.parse().ok()).filter(|prefix| *prefix <= most)?;
    let first = match address {
        IpAddr::V4(v4) => {
            IpAddr::V4((u32::from(v4) & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            IpAddr::V6((u128::from(v6) & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)).into())
        }
    };
    (prefix > 0).then_some((first, prefix))
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
