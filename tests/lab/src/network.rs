//! The network of a lab: a bridge with the machine as gateway, NAT, a cable per host, and its faults.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};

use crate::command::{attempt, feed, run};
use crate::place::{self, SLOTS, Slot};

/// Whether the machine forwards packets, and what that was before the first lab.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const FORWARDING_BEFORE: &str = "forwarding-before";
/// Without an uplink that says otherwise.
const USUAL_MTU: u32 = 1500;

/// Whom a host can be kept from reaching.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer<'a> {
    /// Another host.
    Host(&'a str),
    /// The machine, and with it everything outside the lab.
    Gateway,
    /// Everybody.
    All,
}

/// Whether the names and addresses of a lab are free on the machine.
pub(crate) fn free(slot: Slot) -> Result<bool> {
    let prefix = format!(" {}.", slot.subnet());
    let addresses = run("ip", ["-4", "-oneline", "address", "show"])?;
    let routes = run("ip", ["-4", "route", "show", "table", "all"])?;
    let taken = |text: &str| text.lines().any(|line| format!(" {line}").contains(&prefix));
    Ok(!taken(&addresses) && !taken(&routes) && !place_of_link(&slot.bridge()).exists())
}

pub(crate) fn address(slot: Slot, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 90, slot.0, last)
}

/// Makes the bridge and the rules.
pub(crate) fn create(slot: Slot) -> Result<()> {
    let (bridge, subnet) = (slot.bridge(), slot.subnet());
    let mtu = uplink_mtu()?.to_string();
    run("ip", ["link", "add", &bridge, "type", "bridge"])?;
    run("ip", ["address", "add", &format!("{subnet}.1/24"), "dev", &bridge])?;
    run("ip", ["link", "set", &bridge, "mtu", &mtu, "up"])?;
    let before = place::runtime(FORWARDING_BEFORE)?;
    if !before.exists() {
        std::fs::copy(FORWARDING, &before).with_context(|| format!("cannot write {}", before.display()))?;
    }
    forward()?;
    feed("nft", ["-f", "-"], &rules(slot)).map(drop)
}

fn forward() -> Result<()> {
    std::fs::write(FORWARDING, "1").with_context(|| format!("cannot write {FORWARDING}"))
}

/// `forward` also sees packets from host to host, where the machine sends bridged packets through its filters.
fn rules(slot: Slot) -> String {
    let (table, bridge, subnet) = (slot.table(), slot.bridge(), slot.subnet());
    format!(
        r#"
table ip {table} {{
  set offline {{ type ipv4_addr; }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname "{bridge}" oifname "{bridge}" accept
    ip saddr @offline reject
    ip daddr @offline drop
    oifname "{bridge}" ct state established,related accept
    iifname "{bridge}" meta l4proto {{ tcp, udp }} th dport 53 accept
    iifname "{bridge}" tcp dport {{ 80, 443 }} accept
    iifname "{bridge}" reject
    oifname "{bridge}" drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {subnet}.0/24 oifname != "{bridge}" masquerade
  }}
}}
# Only IP is dropped. With ARP alive a blocked host is a black hole, as between two data centres: connections time out
# instead of failing at once with `no route to host`.
table bridge {table} {{
  set pairs {{ type ifname . ifname; }}
  set walled {{ type ifname; }}
  set dark {{ type ifname; }}
  chain forward {{
    type filter hook forward priority 0;
    iifname . oifname @pairs ether type {{ ip, ip6 }} drop
  }}
  chain input {{ type filter hook input priority 0; iifname @walled ether type {{ ip, ip6 }} drop; }}
  chain output {{ type filter hook output priority 0; oifname @walled ether type {{ ip, ip6 }} drop; }}
  chain prerouting {{ type filter hook prerouting priority 0; iifname @dark ether type {{ ip, ip6 }} drop; }}
  chain postrouting {{ type filter hook postrouting priority 0; oifname @dark ether type {{ ip, ip6 }} drop; }}
}}
"#
    )
}

/// A fresh network namespace for one boot of a host, connected to its bridge. What the host sets in there is gone at its
/// next boot, like on a VPS.
pub(crate) fn plug(slot: Slot, host: &str, address: Ipv4Addr, cut: bool) -> Result<()> {
    unplug(slot, host)?;
    // Another program on the machine may have switched it off since.
    forward()?;
    let device = slot.device(host);
    let mtu = uplink_mtu()?.to_string();
    let [_, _, lab, last] = address.octets();
    let mac = format!("02:6d:6c:00:{lab:02x}:{last:02x}");
    run("ip", ["netns", "add", &device])?;
    run(
        "ip",
        [
            "link", "add", &device, "mtu", &mtu, "type", "veth", "peer", "name", "eth0", "address", &mac,
            "mtu", &mtu, "netns", &device,
        ],
    )?;
    let inside = |args: &[&str]| run("ip", [&["-n", &device], args].concat());
    inside(&["link", "set", "lo", "up"])?;
    inside(&["address", "add", &format!("{address}/24"), "brd", "+", "dev", "eth0"])?;
    inside(&["link", "set", "eth0", "up"])?;
    inside(&["route", "add", "default", "via", &format!("{}.1", slot.subnet())])?;
    run("ip", ["link", "set", &device, "master", &slot.bridge()])?;
    set_cable(slot, host, cut)
}

/// Pulls the cable of a host, or plugs it in again.
pub(crate) fn set_cable(slot: Slot, host: &str, cut: bool) -> Result<()> {
    let device = slot.device(host);
    if !place_of_link(&device).exists() {
        return Ok(());
    }
    run("ip", ["link", "set", &device, if cut { "down" } else { "up" }]).map(drop)
}

pub(crate) fn unplug(slot: Slot, host: &str) -> Result<()> {
    let device = slot.device(host);
    if place_of_link(&device).exists() {
        // Its other end may be destroyed with the namespace at this very moment.
        attempt("ip", ["link", "delete", &device]);
    }
    if namespaces().contains(&device) {
        run("ip", ["netns", "delete", &device])?;
    }
    Ok(())
}

/// Keeps a host from the package archives and everything else outside of the lab, or lets it there again.
pub(crate) fn set_offline(slot: Slot, address: Ipv4Addr, offline: bool) -> Result<()> {
    set_element("ip", slot, "offline", &address.to_string(), offline)
}

/// Drops what a host and its peer send each other, silently, or lets it through again.
pub(crate) fn set_blocked(slot: Slot, host: &str, peer: Peer<'_>, blocked: bool) -> Result<()> {
    let device = slot.device(host);
    match peer {
        Peer::All => set_element("bridge", slot, "dark", &format!("\"{device}\""), blocked),
        Peer::Gateway => set_element("bridge", slot, "walled", &format!("\"{device}\""), blocked),
        Peer::Host(other) => {
            let other = slot.device(other);
            for pair in [format!("\"{device}\" . \"{other}\""), format!("\"{other}\" . \"{device}\"")] {
                set_element("bridge", slot, "pairs", &pair, blocked)?;
            }
            Ok(())
        }
    }
}

fn set_element(family: &str, slot: Slot, set: &str, element: &str, present: bool) -> Result<()> {
    let table = slot.table();
    // Added first in any case, because deleting what is not there is an error.
    let add = format!("add element {family} {table} {set} {{ {element} }}\n");
    let delete = format!("delete element {family} {table} {set} {{ {element} }}\n");
    feed("nft", ["-f", "-"], &if present { add } else { add + &delete }).map(drop)
}

/// Removes whatever of a lab's network is there.
pub(crate) fn remove(slot: Slot) -> Result<()> {
    for device in links().into_iter().filter(|name| Slot::of_name(name) == Some(slot)) {
        attempt("ip", ["link", "delete", &device]);
    }
    for name in namespaces().into_iter().filter(|name| Slot::of_name(name) == Some(slot)) {
        run("ip", ["netns", "delete", &name])?;
    }
    for (family, table) in tables()? {
        if Slot::of_name(&table) == Some(slot) {
            run("nft", ["delete", "table", &family, &table])?;
        }
    }
    Ok(())
}

/// Puts back what is shared by all labs. For when there is none any more.
pub(crate) fn remove_shared() -> Result<()> {
    let before = place::runtime(FORWARDING_BEFORE)?;
    if let Ok(value) = std::fs::read(&before) {
        // Somebody else who translates addresses began to rely on it in the meantime.
        let relied_upon = run("nft", ["list", "ruleset"])?.to_lowercase().contains("masquerade");
        let value = if relied_upon { b"1".to_vec() } else { value };
        std::fs::write(FORWARDING, value).with_context(|| format!("cannot write {FORWARDING}"))?;
        place::remove(&before)?;
    }
    // `ip netns` mounts this folder on itself.
    if namespaces().is_empty() {
        attempt("umount", ["/run/netns"]);
    }
    Ok(())
}

/// The labs of which something is on the network, with what it is.
pub(crate) fn found() -> Result<Vec<(Slot, String)>> {
    let links = links().into_iter().map(|name| ("network interface", name));
    let namespaces = namespaces().into_iter().map(|name| ("network namespace", name));
    let tables = tables()?.into_iter().map(|(_, name)| ("nftables table", name));
    let all = links.chain(namespaces).chain(tables);
    Ok(all.filter_map(|(kind, name)| Some((Slot::of_name(&name)?, format!("{kind} {name}")))).collect())
}

fn links() -> Vec<String> {
    place::names("/sys/class/net".as_ref())
}

fn namespaces() -> Vec<String> {
    place::names("/run/netns".as_ref())
}

fn tables() -> Result<Vec<(String, String)>> {
    let text = run("nft", ["list", "tables"])?;
    let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    Ok(words
        .filter_map(|words| match words.as_slice() {
            ["table", family, name] => Some(((*family).to_owned(), (*name).to_owned())),
            _ => None,
        })
        .collect())
}

fn place_of_link(name: &str) -> std::path::PathBuf {
    std::path::Path::new("/sys/class/net").join(name)
}

/// That of the interface with the default route: a bridge and cables with a larger one would make connections to the
/// outside hang at their first large packet.
fn uplink_mtu() -> Result<u32> {
    let routes = run("ip", ["-4", "route", "show", "default"])?;
    let mut words = routes.split_whitespace().skip_while(|word| *word != "dev");
    let Some(device) = words.nth(1) else { return Ok(USUAL_MTU) };
    let path = place_of_link(device).join("mtu");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.trim().parse().with_context(|| format!("{} holds no number", path.display()))
}

/// Every number that a lab can have and that is free on the network.
pub(crate) fn candidates() -> impl Iterator<Item = Slot> {
    SLOTS.map(Slot).filter(|slot| free(*slot).unwrap_or(false))
}
