//! Reads what is on a host that nobody has declared yet, for `muster node inspect`. Changes nothing.
//!
//! Holds: one module for each list of an [`Inventory`]. Must not: fail as a whole. What cannot be read becomes a note, and
//! everything is bounded: a host may hold anything, and some of what is read here belongs to users who are not root.
//! Start here: [`take`].

mod accounts;
mod cron;
mod files;
mod firewall;
mod owned;
mod packages;
mod pm2;
mod settings;
mod source;
mod units;

use muster_domain::inventory::{Inventory, MAX_ENTRIES, MAX_INVENTORY_BYTES};
use muster_platform::Host;
use source::Source;
use std::path::Path;

/// Takes the inventory of the host whose files lie below `root` (`/` but for tests). Blocks for some seconds.
pub fn take(host: &dyn Host, root: &Path) -> Inventory {
    let mut source = Source::new(host, root);
    let base = packages::base(&mut source);
    let users = accounts::users(&mut source);
    let mut inventory = Inventory {
        hostname: settings::hostname(&mut source),
        timezone: settings::timezone(&mut source),
        packages: packages::manual(&mut source, &base),
        units: units::read(&mut source, &base),
        groups: accounts::groups(&mut source),
        cron_jobs: cron::read(&mut source),
        files: files::read(&mut source),
        firewall: firewall::read(&mut source),
        pm2_applications: pm2::read(&mut source, &users),
        users,
        notes: Vec::new(),
    };
    shorten(&mut source, &mut inventory);
    inventory.notes = source.into_notes();
    fit(&mut inventory);
    inventory
}

/// Keeps every list within its bound.
fn shorten(source: &mut Source<'_>, inventory: &mut Inventory) {
    fn cut<T>(source: &mut Source<'_>, what: &str, list: &mut Vec<T>) {
        if list.len() > MAX_ENTRIES {
            source.note(format!("of {} {what} only the first {MAX_ENTRIES} are listed", list.len()));
            list.truncate(MAX_ENTRIES);
        }
    }
    cut(source, "packages", &mut inventory.packages);
    cut(source, "units", &mut inventory.units);
    cut(source, "users", &mut inventory.users);
    cut(source, "groups", &mut inventory.groups);
    cut(source, "jobs of cron", &mut inventory.cron_jobs);
    cut(source, "files", &mut inventory.files);
    cut(source, "applications of pm2", &mut inventory.pm2_applications);
}

/// Leaves out the contents of files, the longest first, until the whole fits the bound of the protocol.
fn fit(inventory: &mut Inventory) {
    let size = |inventory: &Inventory| serde_json::to_vec(inventory).map_or(0, |json| json.len());
    while size(inventory) > MAX_INVENTORY_BYTES {
        let longest = inventory
            .files
            .iter()
            .enumerate()
            .max_by_key(|(_, file)| file.content.as_ref().map_or(0, String::len))
            .map(|(index, _)| index);
        let Some(index) = longest else { break };
        let left_out = inventory.files.remove(index);
        inventory.notes.push(format!("{} was left out: everything together is too long", left_out.path));
    }
}

#[cfg(test)]
mod tests;
