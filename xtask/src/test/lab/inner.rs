//! The tests of other crates that run inside throw-away hosts.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::PACKAGE;
use crate::shell::Program;

/// A program of tests that hosts run.
struct Tests {
    /// How the tests of the lab are told where it is.
    variable: &'static str,
    /// What cargo calls it.
    target: (&'static str, &'static str),
    /// Those of its tests that run nowhere else.
    only_there: &'static [&'static str],
}

const ALL: [Tests; 4] = [
    Tests {
        variable: "MUSTER_LAB_AGENT_TESTS",
        target: ("lib", "muster_agent"),
        only_there: &["on_host::", "host_tests::"],
    },
    Tests { variable: "MUSTER_LAB_KINDS_TESTS", target: ("test", "kinds"), only_there: &["machine::"] },
    Tests {
        variable: "MUSTER_LAB_PLATFORM_TESTS",
        target: ("lib", "muster_platform"),
        only_there: &["real_systemd"],
    },
    // Its tests of limits run everywhere, and in hosts of each kind.
    Tests { variable: "MUSTER_LAB_SUPERVISOR_TESTS", target: ("test", "supervisor"), only_there: &[] },
];

/// The built programs, each beside what it is.
pub(super) struct Inner(Vec<(&'static Tests, String)>);

impl Inner {
    /// Builds them as the part `rust` does, so that nothing is built twice: of the whole workspace, because the features
    /// of shared dependencies come from there.
    pub(super) fn build() -> Result<Self> {
        let args =
            ["test", "--no-run", "--message-format=json", "--workspace", "--exclude", PACKAGE, "--lib"];
        let targets = ALL.iter().filter(|tests| tests.target.0 == "test");
        let targets = targets.flat_map(|tests| ["--test", tests.target.1]);
        let messages = super::cargo().args(args).args(targets).read()?;
        Self::among(&messages)
    }

    /// Finds them in what cargo says.
    fn among(messages: &str) -> Result<Self> {
        let built: Vec<Message> =
            messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let found = |tests: &'static Tests| {
            let (kind, name) = tests.target;
            let is = |message: &&Message| message.target.kind == [kind] && message.target.name == name;
            // The library itself is in the list as well, without a program.
            let path = built.iter().filter(is).find_map(|message| message.executable.clone());
            Ok((tests, path.with_context(|| format!("cargo did not say where the tests of {name} are"))?))
        };
        ALL.iter().map(found).collect::<Result<_>>().map(Self)
    }

    /// Tells a program where they are.
    pub(super) fn named(&self, program: Program) -> Program {
        self.0.iter().fold(program, |program, (tests, path)| program.env(tests.variable, path))
    }

    /// How many tests run nowhere but in hosts.
    pub(super) fn number(&self) -> Result<usize> {
        let list = |(tests, path): &(&Tests, String)| {
            if tests.only_there.is_empty() {
                return Ok(0);
            }
            let args = ["--list", "--format", "terse", "--ignored"];
            let said = Program::new(path).args(args).args(tests.only_there).read()?;
            Ok(listed(&said))
        };
        self.0.iter().map(list).sum()
    }
}

/// The number of tests in the terse list of a program of tests.
pub(super) fn listed(list: &str) -> usize {
    list.lines().filter(|line| line.ends_with(": test")).count()
}

/// What cargo says of a target that it has built.
#[derive(Deserialize)]
struct Message {
    target: Target,
    executable: Option<String>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, name: &str, executable: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"{name}"}},"executable":{executable}}}"#
        )
    }

    #[test]
    fn tests_are_found_among_what_cargo_says() {
        let mut lines = vec![
            r#"{"reason":"build-script-executed","package_id":"x"}"#.to_owned(),
            message("lib", "muster_agent", "null"),
            message("bin", "supervisor", "\"/bin\""),
        ];
        lines.extend(ALL.iter().map(|tests| {
            message(tests.target.0, tests.target.1, &format!("\"/tests-of-{}\"", tests.target.1))
        }));
        let found = Inner::among(&lines.join("\n")).unwrap();
        let paths: Vec<_> = found.0.iter().map(|(_, path)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/tests-of-muster_agent",
                "/tests-of-kinds",
                "/tests-of-muster_platform",
                "/tests-of-supervisor"
            ]
        );
        lines.pop();
        let error = Inner::among(&lines.join("\n")).err().unwrap().to_string();
        assert!(error.contains("supervisor"), "{error}");
    }

    #[test]
    fn lists_are_counted() {
        assert_eq!(listed("a::b: test\na::c: test\nbench: benchmark\n\n2 tests, 1 benchmark\n"), 2);
    }
}
