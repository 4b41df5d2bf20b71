//! Finds in the words of apt and dpkg what a person has to know about one package.

use muster_platform::SimilarPackages;

/// More is nobody's to read in a report.
const MAX_REASON_CHARS: usize = 500;
const MAX_SUGGESTIONS: usize = 3;

/// Why a call did not do what it should, in one line.
pub(in crate::resources) fn reason(output: &str) -> String {
    if let Some(full) = full_disk(output) {
        return full;
    }
    let mut lines: Vec<String> = Vec::new();
    let mut unmet = false;
    for line in output.lines() {
        let text = line.trim();
        if unmet && line.starts_with(' ') && !text.is_empty() {
            lines.push(text.to_owned());
            continue;
        }
        unmet = text == "The following packages have unmet dependencies:";
        let error = ["E: ", "W: Failed to fetch ", "W: GPG error: ", "dpkg: error: ", "Err:"]
            .iter()
            .any(|start| text.starts_with(start));
        if error && !lines.iter().any(|known| known == text) {
            lines.push(text.to_owned());
        }
    }
    if lines.is_empty() {
        let last = output.lines().rev().map(str::trim).find(|line| !line.is_empty());
        lines.push(last.unwrap_or("it said nothing").to_owned());
    }
    shortened(&lines.join("; "))
}

/// What dpkg says of one package: `dpkg: error processing package NAME (--configure):` and the line behind.
pub(super) fn reason_for(name: &str, output: &str) -> Option<String> {
    if full_disk(output).is_some() {
        return None;
    }
    let mut lines = output.lines();
    let found = lines.by_ref().find(|line| {
        let package = line.strip_prefix("dpkg: error processing package ");
        let archive = line.strip_prefix("dpkg: error processing archive ");
        package.is_some_and(|rest| word(rest) == name)
            || archive.is_some_and(|rest| rest.contains(&format!("/{name}_")))
    })?;
    let detail: Vec<&str> = lines.take(2).take_while(|line| line.starts_with(' ')).map(str::trim).collect();
    let step = found.split_once(" (").map_or("", |(_, step)| step.trim_end_matches("):"));
    Some(shortened(&format!("dpkg failed ({step}): {}", detail.join(" "))))
}

fn word(text: &str) -> &str {
    let word = text.split_ascii_whitespace().next().unwrap_or("");
    word.split_once(':').map_or(word, |(name, _)| name)
}

fn full_disk(output: &str) -> Option<String> {
    let line = output.lines().find(|line| {
        let line = line.to_ascii_lowercase();
        line.contains("no space left on device") || line.contains("don't have enough free space")
    })?;
    Some(format!(
        "the disk is full; make space, the next run completes what was begun: {}",
        shortened(line.trim())
    ))
}

/// A download failed in a way that fresh lists mend: the repository has moved on.
pub(super) fn stale_lists(output: &str) -> bool {
    output.contains("404  Not Found")
        || output.contains("Hash Sum mismatch")
        || output.contains("maybe run apt-get update")
}

/// What to say of a package that no repository offers.
pub(super) fn unknown(name: &str, similar: &SimilarPackages) -> String {
    let mut text = format!("no repository of this node has a package {name}");
    if !similar.providers.is_empty() {
        let providers: Vec<&str> = similar.providers.iter().take(6).map(String::as_str).collect();
        text.push_str(&format!("; it is a name that others fill: declare one of {}", providers.join(", ")));
        return text;
    }
    let plain = name.split_once(':').map_or(name, |(plain, _)| plain);
    // A typo or two, or a word more.
    let mut alike: Vec<(usize, &str)> = similar
        .names
        .iter()
        .map(|known| {
            let distance = strsim::osa_distance(plain, known);
            let longer =
                known.strip_prefix(plain).is_some_and(|rest| rest.starts_with(['-', '.']) || plain.len() > 3);
            (if longer { distance.min(2) } else { distance }, known.as_str())
        })
        .filter(|(distance, _)| *distance <= 2 && *distance < plain.len())
        .collect();
    alike.sort_unstable();
    if !alike.is_empty() {
        let names: Vec<&str> = alike.iter().take(MAX_SUGGESTIONS).map(|(_, name)| *name).collect();
        text.push_str(&format!("; did you mean {}?", names.join(" or ")));
    }
    text
}

fn shortened(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match clean.char_indices().nth(MAX_REASON_CHARS) {
        Some((at, _)) => format!("{}...", &clean[..at]),
        None => clean,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_apts_own_in_one_line() {
        let unmet = "Reading package lists...\nThe following packages have unmet dependencies:\n a : Depends: b but it is not installable\n     Depends: c\nE: Unable to correct problems, you have held broken packages.\n";
        assert_eq!(
            reason(unmet),
            "a : Depends: b but it is not installable; Depends: c; E: Unable to correct problems, you have held broken packages."
        );
        assert_eq!(reason(""), "it said nothing");
        assert_eq!(reason("a\nb\n\n"), "b");
        let full = "dpkg: error processing archive /x/jq_1.deb (--unpack):\n cannot copy: failed to write (No space left on device)\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n";
        assert!(reason(full).starts_with("the disk is full; make space"), "{}", reason(full));
        assert_eq!(reason_for("jq", full), None);
        assert!(reason(&"E: x".repeat(1000)).chars().count() <= MAX_REASON_CHARS + 3);
    }

    #[test]
    fn a_failure_of_dpkg_is_given_to_the_package_that_failed() {
        let output = "Setting up a (1)\ndpkg: error processing package foo:i386 (--configure):\n installed foo package post-installation script subprocess returned error exit status 1\nErrors were encountered while processing:\n foo\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n";
        assert_eq!(
            reason_for("foo", output).as_deref(),
            Some(
                "dpkg failed (--configure): installed foo package post-installation script subprocess returned error exit status 1"
            )
        );
        assert_eq!(reason_for("fo", output), None);
        assert_eq!(reason_for("a", output), None);
    }

    #[test]
    fn names_that_might_have_been_meant_are_told() {
        let known = |names: &[&str]| SimilarPackages {
            providers: vec![],
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let all = known(&["nginx", "nginx-full", "nmap", "node-nginx"]);
        assert_eq!(
            unknown("ngnix", &all),
            "no repository of this node has a package ngnix; did you mean nginx?"
        );
        assert_eq!(
            unknown("redis-serve", &known(&["redis-server", "redis"])),
            "no repository of this node has a package redis-serve; did you mean redis-server?"
        );
        assert_eq!(unknown("zzzz", &all), "no repository of this node has a package zzzz");
        assert_eq!(unknown("ab", &known(&["xy"])), "no repository of this node has a package ab");
        let filled = SimilarPackages { providers: vec!["postfix".into(), "exim4".into()], names: vec![] };
        assert_eq!(
            unknown("mta", &filled),
            "no repository of this node has a package mta; it is a name that others fill: declare one of postfix, exim4"
        );
    }
}
