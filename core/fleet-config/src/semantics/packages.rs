//! Packages and their sources.

use super::{Checker, values};
use crate::words::{did_you_mean, quoted};
use muster_domain::{
    fleet::{
        PackagePresence,
        declared::{self, Sharing},
    },
    host_names,
};

const PACKAGE: &str = "use the name that apt knows it by: nginx, libstdc++6";

pub(super) fn check(checker: &mut Checker<'_>) {
    packages(checker);
    repositories(checker);
}

fn packages(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, entry) in &configuration.packages {
        let at = |field| ["packages", name.as_str(), field];
        values::named(
            checker,
            ("packages", name),
            entry.name.as_ref(),
            host_names::package,
            "the name of a package",
            PACKAGE,
        );
        let gone = matches!(entry.ensure, Some(PackagePresence::Absent | PackagePresence::Purged));
        if let Some(version) = &entry.version {
            values::rule(
                checker,
                version,
                host_names::package_version,
                &at("version"),
                "a version",
                "write it as `apt-cache policy` shows it, or its beginning with * at the end: \"16.*\"",
            );
            if gone {
                checker.key(&at("version"), "a package that is not there has no version", "take it out");
            }
        }
        if gone && entry.hold {
            checker.key(&at("hold"), "a package that is not there cannot be held", "take it out");
        }
        if let Some(repository) = &entry.repository
            && !configuration.apt_repositories.contains_key(repository)
            && !checker.faulty(&["apt_repositories", repository])
        {
            let known = configuration.apt_repositories.keys().map(String::as_str);
            let guess = did_you_mean(repository, known);
            checker.value(
                &at("repository"),
                format!("there is no repository {}{guess}", quoted(repository)),
                "declare it under `apt_repositories:`, or take this line out for the distribution's own",
            );
        }
        if gone {
            let key = declared::package(declared::name_of(name, entry.name.as_ref()));
            let needs = |d: &&declared::Declared<'_>| d.sharing == Sharing::Implied && d.key == key;
            if let Some(needing) = checker.declared.iter().find(needs) {
                let part = needing.at.join(".");
                let off = match needing.at[1].as_ref() {
                    _ if needing.at[0] != "base" => "that entry".to_owned(),
                    "admins" => "take sudo from the admins (`sudo: false`)".to_owned(),
                    part => format!("switch that off (`{part}: false`)"),
                };
                checker.value(
                    &at("ensure"),
                    format!("{} cannot be without it", quoted(&part)),
                    format!("take this out, or {off}"),
                );
            }
        }
    }
}

fn repositories(checker: &mut Checker<'_>) {
    let configuration = checker.configuration;
    for (name, entry) in &configuration.apt_repositories {
        let section = "apt_repositories";
        let at = |field| [section, name.as_str(), field];
        values::named(
            checker,
            (section, name),
            entry.name.as_ref(),
            host_names::drop_in,
            "the name of a repository",
            values::DROP_IN,
        );
        let (address, word) = (host_names::source_address, host_names::source_word);
        list(
            checker,
            &entry.uris,
            &at("uris"),
            address,
            "the address of a repository",
            "begin with https://",
        );
        list(checker, &entry.suites, &at("suites"), word, "a suite", "write a word: bookworm");
        list(checker, &entry.components, &at("components"), word, "a component", "write a word: main");
        let architecture = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let hint = "write amd64, arm64 and the like";
        list(checker, &entry.architectures, &at("architectures"), architecture, "an architecture", hint);
        for (field, given) in [("uris", &entry.uris), ("suites", &entry.suites)] {
            if given.is_empty() && !checker.faulty(&at(field)) {
                checker.value(&at(field), format!("`{field}` is empty"), "write at least one");
            }
        }
        let flat = entry.suites.iter().any(|suite| suite.ends_with('/'));
        if flat && !entry.components.is_empty() {
            let message = "a repository whose suite is a path has no components";
            checker.key(&at("components"), message, "take them out, or the / at the end of the suite");
        } else if !flat && entry.components.is_empty() && !entry.suites.is_empty() {
            checker.key(
                &at("suites"),
                format!("{} has suites and no components", quoted(name)),
                "add `components: [main]`, or end the suite with / when it is a path",
            );
        }
        let forms = [("key", entry.key.is_some()), ("key_source", entry.key_source.is_some())];
        if forms.iter().all(|(_, given)| !given) && !checker.faulty(&[section, name]) {
            checker.key(
                &[section, name],
                format!("{} has no key that signs it", quoted(name)),
                "add `key:` with the armored OpenPGP key, or `key_source:` with a file beside the fleet files",
            );
        } else {
            values::one_form(checker, &[section, name], &forms);
        }
        values::source(checker, entry.key_source.as_deref(), &at("key_source"));
        let attached = entry.key_source.as_deref().and_then(|source| checker.sources.get(source));
        let attached = attached.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        for (field, text) in [("key", entry.key.as_deref()), ("key_source", attached.as_deref())] {
            let Some(text) = text else { continue };
            if text.contains("PRIVATE KEY") {
                let hint = "write what `gpg --armor --export` prints";
                checker.value(
                    &at(field),
                    "this is a private key, and only the public one belongs here",
                    hint,
                );
            } else if !text.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
                let hint = "write what `gpg --armor --export` prints, or the .asc file of the repository";
                checker.value(&at(field), "this is not an armored OpenPGP key", hint);
            }
        }
    }
}

fn list(
    checker: &mut Checker<'_>,
    texts: &[String],
    at: &[&str],
    follows: impl Fn(&str) -> bool,
    what: &str,
    hint: &str,
) {
    for (index, text) in texts.iter().enumerate() {
        let index = index.to_string();
        let at: Vec<&str> = at.iter().copied().chain([index.as_str()]).collect();
        values::rule(checker, text, &follows, &at, what, hint);
    }
}
