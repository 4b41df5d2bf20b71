//! All changes of packages of a run, in one transaction.

use super::decide::{Item, Need, acceptable, change, choose, need, needs_mark, told};
use super::{Look, attribute, observed};
use crate::resources::repositories::put;
use muster_domain::resource::{Package, PackageEnsure};
use muster_planning::convergence::{package_differences, pin_file};
use muster_platform::{PackageChange, PackageMark, PackageStates};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Lists that are older are fetched again before anything is installed.
const LISTS_GOOD_FOR: Duration = Duration::from_secs(24 * 3600);
/// A package that fresh lists do not have is not asked for again before they are as old.
const LISTS_SURE_FOR: Duration = Duration::from_secs(15 * 60);

type Results = BTreeMap<String, Result<Option<String>, String>>;

/// Brings packages to what is wanted, all in one transaction of apt, and says what became of each. Blocks for as long as
/// apt takes, but not for a lock that somebody else holds.
pub(crate) fn transaction(look: Look<'_>, wanted: &[&Package]) -> Results {
    let mut work = Work { look, results: BTreeMap::new(), notes: Vec::new() };
    if let Err(reason) = work.carry_out(wanted) {
        for package in wanted {
            work.results.entry(package.name.clone()).or_insert_with(|| Err(reason.clone()));
        }
    }
    let notes = std::mem::take(&mut work.notes);
    if !notes.is_empty() {
        for result in work.results.values_mut().flatten() {
            let text = result.get_or_insert_default();
            let separator = if text.is_empty() { "" } else { "; " };
            text.push_str(separator);
            text.push_str(&notes.join("; "));
        }
    }
    work.results
}

struct Work<'a> {
    look: Look<'a>,
    results: Results,
    /// What is worth telling besides the packages.
    notes: Vec<String>,
}

impl<'a> Work<'a> {
    /// Fills the results; the error is that of all packages that have none yet.
    fn carry_out(&mut self, wanted: &[&'a Package]) -> Result<(), String> {
        if let Some(holder) = super::locked_by(self.look)? {
            return Err(format!(
                "the lock of dpkg and apt is held by {holder}; it is tried again when that ends"
            ));
        }
        let mut states = self.states()?;
        if states.interrupted || states.unfinished().next().is_some() {
            states = self.repair()?;
        }
        let mut items: Vec<Item<'a>> = Vec::new();
        for package in wanted {
            let need = need(package, &observed(self.look, package, &states)?);
            let essential = states.get(&package.name).is_some_and(|record| record.essential);
            if essential && matches!(need, Need::Remove | Need::Purge) {
                self.fail(
                    package,
                    "it is essential: the host does not work without it, and it is not removed".into(),
                );
            } else {
                items.push(Item { package, need });
            }
        }
        let versions = self.resolve(&mut items)?;
        self.write_pins(&mut items);
        let request = |items: &[Item<'_>]| change(items, &versions, &states);
        let items = self.solvable(items, &states, &request);
        let asked = request(&items);
        let output = if asked.is_empty() { String::new() } else { self.run(&asked)? };
        self.mark(&items)?;
        self.conclude(&items, &states, &output)
    }

    fn states(&self) -> Result<Arc<PackageStates>, String> {
        self.look.host.packages().map_err(|error| error.to_string())
    }

    fn fail(&mut self, package: &Package, reason: String) {
        self.results.insert(package.name.clone(), Err(reason));
    }

    fn repair(&mut self) -> Result<Arc<PackageStates>, String> {
        let outcome = self.look.host.repair_packages().map_err(|error| error.to_string())?;
        let states = self.states()?;
        let left: Vec<&str> = states.unfinished().collect();
        if states.interrupted {
            let reason = attribute::reason(&outcome.output);
            return Err(format!("dpkg was interrupted and could not be repaired: {reason}"));
        }
        if left.is_empty() {
            self.notes.push("dpkg had been interrupted and was repaired".into());
        } else {
            // These may be what a new version mends, or nobody's concern here: apt says when they are in the way.
            let reason = left
                .first()
                .and_then(|name| attribute::reason_for(name, &outcome.output))
                .unwrap_or_else(|| attribute::reason(&outcome.output));
            self.notes.push(format!(
                "dpkg had been interrupted; {} could not be completed: {reason}",
                left.join(", ")
            ));
        }
        Ok(states)
    }

    /// Finds the version of each package to install. Those that cannot be had are taken out of `items`.
    fn resolve(&mut self, items: &mut Vec<Item<'a>>) -> Result<BTreeMap<String, String>, String> {
        let names: Vec<&str> = items
            .iter()
            .filter(|item| item.need == Need::Install)
            .map(|item| item.package.name.as_str())
            .collect();
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut age = self.look.host.package_lists_age();
        if age.is_none_or(|age| age > LISTS_GOOD_FOR) {
            self.update();
            age = Some(Duration::ZERO);
        }
        let mut offered = self.offered(&names)?;
        let missing =
            items.iter().any(|item| item.need == Need::Install && choose(item.package, &offered).is_none());
        if missing && age.is_none_or(|age| age > LISTS_SURE_FOR) {
            self.update();
            offered = self.offered(&names)?;
        }
        let mut chosen = BTreeMap::new();
        let mut failed = Vec::new();
        items.retain(|item| {
            if item.need != Need::Install {
                return true;
            }
            match choose(item.package, &offered) {
                Some(version) => {
                    chosen.insert(item.package.name.clone(), version.to_owned());
                    true
                }
                None => {
                    failed.push(item.package);
                    false
                }
            }
        });
        for package in failed {
            let reason = self.cannot_be_had(package, offered.get(&package.name));
            self.fail(package, reason);
        }
        Ok(chosen)
    }

    fn offered(&self, names: &[&str]) -> Result<BTreeMap<String, Vec<String>>, String> {
        self.look.host.package_versions(names).map_err(|error| error.to_string())
    }

    /// Fetches the lists. One repository that does not answer is no reason to have nothing of the others.
    fn update(&mut self) {
        match self.look.host.update_package_lists(None) {
            Ok(outcome) if outcome.success => {}
            Ok(outcome) => self.notes.push(format!(
                "not all lists of packages could be fetched: {}",
                attribute::reason(&outcome.output)
            )),
            Err(error) => self.notes.push(format!("the lists of packages could not be fetched: {error}")),
        }
    }

    fn cannot_be_had(&self, package: &Package, offered: Option<&Vec<String>>) -> String {
        let name = &package.name;
        let mut text = match (&package.ensure, offered) {
            (PackageEnsure::Version(pin), Some(offered)) if !offered.is_empty() => {
                let some: Vec<&str> = offered.iter().take(5).map(String::as_str).collect();
                format!(
                    "no repository of this node has version {pin} of {name}; there is {}",
                    some.join(", ")
                )
            }
            _ => attribute::unknown(name, &self.look.host.similar_packages(name).unwrap_or_default()),
        };
        for note in &self.notes {
            text.push_str("; ");
            text.push_str(note);
        }
        text
    }

    /// Tells apt what is preferred, before it decides about anything.
    fn write_pins(&mut self, items: &mut Vec<Item<'a>>) {
        let host = self.look.host;
        items.retain(|item| {
            if super::pinned(self.look, item.package) == Ok(true) {
                return true;
            }
            let (path, content) = pin_file(item.package);
            let written = match content {
                None => host.remove(Path::new(&path)).map_err(|error| error.to_string()),
                Some(content) => put(host, &path, content.as_bytes()),
            };
            if let Err(reason) = &written {
                self.results.insert(item.package.name.clone(), Err(reason.clone()));
            }
            written.is_ok()
        });
    }

    /// Those of `items` that go together, and whose change takes nothing else away. The first that is declared wins.
    fn solvable(
        &mut self,
        items: Vec<Item<'a>>,
        states: &PackageStates,
        request: &dyn Fn(&[Item<'_>]) -> PackageChange,
    ) -> Vec<Item<'a>> {
        let mut kept: Vec<Item<'a>> = Vec::with_capacity(items.len());
        // Halves, so that one bad package among many costs a few simulations and not one for each.
        let mut left: Vec<Vec<Item<'a>>> = vec![items];
        while let Some(more) = left.pop() {
            let together: Vec<Item<'a>> = kept.iter().chain(&more).copied().collect();
            let change = request(&together);
            let verdict = if change.is_empty() { Ok(()) } else { self.acceptable(&change, states) };
            match (verdict, more.as_slice()) {
                (Ok(()), _) => kept = together,
                (Err(_), []) => {}
                (Err(reason), [only]) => self.fail(only.package, reason),
                (Err(_), several) => {
                    let (first, second) = several.split_at(several.len() / 2);
                    left.push(second.to_vec());
                    left.push(first.to_vec());
                }
            }
        }
        kept
    }

    fn acceptable(&self, change: &PackageChange, states: &PackageStates) -> Result<(), String> {
        let simulation = self.look.host.simulate_packages(change).map_err(|error| error.to_string())?;
        acceptable(&simulation, change, states)
    }

    /// Runs the transaction; what it wrote, whether it succeeded or not: the packages tell.
    fn run(&mut self, change: &PackageChange) -> Result<String, String> {
        let host = self.look.host;
        let outcome = host.change_packages(change).map_err(|error| error.to_string())?;
        if outcome.success || !attribute::stale_lists(&outcome.output) {
            return Ok(outcome.output);
        }
        self.update();
        Ok(host.change_packages(change).map_err(|error| error.to_string())?.output)
    }

    fn mark(&mut self, items: &[Item<'a>]) -> Result<(), String> {
        let states = self.states()?;
        for mark in [PackageMark::Unhold, PackageMark::Manual, PackageMark::Hold] {
            let names: Vec<&str> = items
                .iter()
                .filter(|item| needs_mark(item.package, mark, &states))
                .map(|item| item.package.name.as_str())
                .collect();
            if names.is_empty() {
                continue;
            }
            let outcome = self.look.host.mark_packages(mark, &names).map_err(|error| error.to_string())?;
            if !outcome.success {
                let reason = attribute::reason(&outcome.output);
                return Err(format!("apt-mark {} failed: {reason}", mark.as_str()));
            }
        }
        Ok(())
    }

    /// Looks once more, and says of each package what became of it.
    fn conclude(&mut self, items: &[Item<'a>], before: &PackageStates, output: &str) -> Result<(), String> {
        let states = self.states()?;
        let unfinished = states.interrupted || states.unfinished().next().is_some();
        for item in items {
            let package = item.package;
            let mut found = observed(self.look, package, &states)?;
            // Another package may be what is unfinished.
            found.interrupted = false;
            let left = package_differences(package, &found);
            let result = if left.is_empty() {
                Ok(told(item, before, &found.state))
            } else {
                let why = attribute::reason_for(states.plain(&package.name), output)
                    .unwrap_or_else(|| attribute::reason(output));
                let next = if unfinished { "; the next run completes what was begun" } else { "" };
                Err(format!("{}: {why}{next}", left.join(", ")))
            };
            self.results.insert(package.name.clone(), result);
        }
        Ok(())
    }
}
