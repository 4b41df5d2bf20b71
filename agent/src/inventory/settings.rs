//! What a host has once: its name and its time zone.

use super::source::Source;
use std::fs;

pub(super) fn hostname(source: &mut Source<'_>) -> Option<String> {
    source.text("/etc/hostname").map(|text| text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// What `/etc/localtime` points to, else what `/etc/timezone` says.
pub(super) fn timezone(source: &mut Source<'_>) -> Option<String> {
    let linked = fs::read_link(source.real("/etc/localtime")).ok();
    let linked = linked.and_then(|target| {
        let target = target.to_str()?.to_owned();
        target.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned())
    });
    linked.or_else(|| {
        source.text("/etc/timezone").map(|text| text.trim().to_owned()).filter(|zone| !zone.is_empty())
    })
}
