//! Understands the closing lines of the test runners and adds them up.

/// Who ran tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runner {
    Nextest,
    CargoTest,
    Vitest,
    /// Node's own test runner, which prints one line per number.
    Node,
}

#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// The closing lines as they were printed, and their sum.
#[derive(Default)]
pub(super) struct Summary {
    lines: Vec<String>,
    sum: Counts,
    /// Tests of other parts that throw-away hosts were there for.
    on_hosts: u64,
}

impl Summary {
    /// Takes the closing lines out of a runner's output; answers whether there was one.
    pub(super) fn add(&mut self, runner: Runner, output: &[String]) -> bool {
        let mut found = false;
        for line in output {
            let Some(counts) = closing(runner, line) else { continue };
            found = true;
            // Crates without tests say so one by one; that is noise here.
            if counts != Counts::default() {
                self.lines.push(line.clone());
            }
            self.sum.passed += counts.passed;
            self.sum.failed += counts.failed;
            self.sum.skipped += counts.skipped;
        }
        found
    }

    /// Tests that were not even started.
    pub(super) fn add_skipped(&mut self, number: usize) {
        self.sum.skipped += u64::try_from(number).unwrap_or(u64::MAX);
    }

    /// Takes what was counted by tests that a throw-away host ran: the closing line of cargo's own runner.
    pub(super) fn add_on_host(&mut self, name: &str, line: &str) {
        let counted = self.sum;
        let shown = format!("{line} (on a throw-away host: {name})");
        self.add(Runner::CargoTest, &[shown]);
        self.on_hosts += self.sum.passed + self.sum.failed - counted.passed - counted.failed;
    }

    /// Tests for throw-away hosts that were not even started.
    pub(super) fn add_skipped_on_host(&mut self, number: usize) {
        self.add_skipped(number);
        self.on_hosts += u64::try_from(number).unwrap_or(u64::MAX);
    }

    /// Where tests for throw-away hosts are built they are also seen, and skipped; that is counted no second time.
    pub(super) fn count_once(&mut self) {
        self.sum.skipped = self.sum.skipped.saturating_sub(self.on_hosts);
    }

    pub(super) fn failed(&self) -> u64 {
        self.sum.failed
    }

    pub(super) fn print(&self) {
        println!();
        for line in &self.lines {
            println!("{line}");
        }
        let Counts { passed, failed, skipped } = self.sum;
        println!("{passed} passed, {failed} failed, {skipped} skipped");
    }
}

fn closing(runner: Runner, line: &str) -> Option<Counts> {
    let line = line.trim();
    let counts = match runner {
        Runner::Nextest => line.strip_prefix("Summary [")?.split_once(" run: ")?.1,
        Runner::CargoTest => line.strip_prefix("test result:")?.split_once('.')?.1,
        Runner::Vitest => line.strip_prefix("Tests ")?,
        Runner::Node => {
            let (what, number) = line.strip_prefix("# ").or(line.strip_prefix("ℹ "))?.split_once(' ')?;
            let number = number.parse().ok()?;
            return match what {
                "pass" => Some(Counts { passed: number, ..Counts::default() }),
                "fail" | "cancelled" => Some(Counts { failed: number, ..Counts::default() }),
                "skipped" | "todo" => Some(Counts { skipped: number, ..Counts::default() }),
                _ => None,
            };
        }
    };
    Some(numbers(counts))
}

/// Adds up `12 passed`, `1 failed`, `3 ignored` and the like, wherever they stand.
fn numbers(text: &str) -> Counts {
    let words: Vec<&str> =
        text.split([' ', ',', ';', '|', '(', ')', '.']).filter(|word| !word.is_empty()).collect();
    let mut counts = Counts::default();
    for pair in words.windows(2) {
        let Ok(number) = pair[0].parse::<u64>() else { continue };
        match pair[1] {
            "passed" => counts.passed += number,
            "failed" | "timed" | "exec" => counts.failed += number,
            "skipped" | "ignored" | "todo" => counts.skipped += number,
            _ => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(runner: Runner, line: &str, expected: Option<(u64, u64, u64)>) {
        let counts = closing(runner, line).map(|counts| (counts.passed, counts.failed, counts.skipped));
        assert_eq!(counts, expected, "{line}");
    }

    #[test]
    fn closing_lines_of_the_runners_are_understood() {
        check(
            Runner::Nextest,
            "     Summary [  62.411s] 22 tests run: 21 passed (1 slow), 1 failed, 3 skipped",
            Some((21, 1, 3)),
        );
        check(
            Runner::Nextest,
            "     Summary [   0.1s] 2 tests run: 1 passed, 1 timed out, 0 skipped",
            Some((1, 1, 0)),
        );
        check(
            Runner::CargoTest,
            "test result: ok. 7 passed; 0 failed; 2 ignored; 0 measured; 1 filtered out; finished in 0.01s",
            Some((7, 0, 2)),
        );
        check(Runner::Vitest, "      Tests  2 failed | 12 passed | 1 skipped (15)", Some((12, 2, 1)));
        check(Runner::Node, "# pass 12", Some((12, 0, 0)));
        check(Runner::Node, "ℹ fail 1", Some((0, 1, 0)));
        check(Runner::Node, "# skipped 2", Some((0, 0, 2)));
    }

    #[test]
    fn tests_for_throw_away_hosts_are_counted_once() {
        let rust = ["     Summary [  62.411s] 22 tests run: 22 passed, 5 skipped".to_owned()];
        let mut there = Summary::default();
        there.add(Runner::Nextest, &rust);
        there
            .add_on_host("packages", "test result: FAILED. 2 passed; 1 failed; 0 ignored; finished in 1.20s");
        there.count_once();
        assert_eq!(there.sum, Counts { passed: 24, failed: 1, skipped: 2 });
        assert!(there.lines[1].ends_with("(on a throw-away host: packages)"), "{:?}", there.lines);
        let mut nowhere = Summary::default();
        nowhere.add(Runner::Nextest, &rust);
        nowhere.add_skipped(4);
        nowhere.add_skipped_on_host(3);
        nowhere.count_once();
        assert_eq!(nowhere.sum, Counts { passed: 22, failed: 0, skipped: 9 });
    }

    #[test]
    fn other_lines_are_not_counted() {
        check(Runner::Nextest, "        PASS [   0.007s] ( 1/22) crate a::b", None);
        check(Runner::Node, "# tests 12", None);
        check(Runner::Node, "# Subtest: pass 3", None);
    }
}
