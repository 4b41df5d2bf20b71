//! Jobs of cron that no package brought.

use super::{owned, source::Source};
use muster_domain::inventory::InstalledCronJob;

/// Tables of users, and files of root's that no package brought.
pub(super) fn read(source: &mut Source<'_>) -> Vec<InstalledCronJob> {
    let mut jobs = Vec::new();
    for user in source.names("/var/spool/cron/crontabs") {
        let file = format!("/var/spool/cron/crontabs/{user}");
        let text = source.text(&file).unwrap_or_default();
        jobs.extend(text.lines().filter_map(|line| {
            let (schedule, command) = schedule(line)?;
            Some(InstalledCronJob {
                file: file.clone(),
                user: user.clone(),
                schedule,
                command: command.to_owned(),
            })
        }));
    }
    let mut files: Vec<String> =
        source.names("/etc/cron.d").into_iter().map(|name| format!("/etc/cron.d/{name}")).collect();
    files.push("/etc/crontab".to_owned());
    let owners = owned::packages_of(source, &files);
    for file in files {
        if owners.contains_key(&file) && file != "/etc/crontab" {
            continue;
        }
        let text = source.text(&file).unwrap_or_default();
        jobs.extend(text.lines().filter_map(|line| {
            let (schedule, rest) = schedule(line)?;
            let (user, command) = rest.split_once(char::is_whitespace)?;
            // What the distribution's own table does.
            (!command.contains("run-parts")).then(|| InstalledCronJob {
                file: file.clone(),
                user: user.to_owned(),
                schedule,
                command: command.trim().to_owned(),
            })
        }));
    }
    jobs
}

/// The schedule of a line, and what follows it; `None` for a comment or a variable.
fn schedule(line: &str) -> Option<(String, &str)> {
    let line = line.trim();
    let mut rest = line;
    if line.starts_with('@') {
        let (word, command) = line.split_once(char::is_whitespace)?;
        return Some((word.to_owned(), command.trim()));
    }
    if !line.starts_with(|c: char| c.is_ascii_digit() || c == '*') {
        return None;
    }
    let mut fields = Vec::new();
    for _ in 0..5 {
        let (field, after) = rest.split_once(char::is_whitespace)?;
        fields.push(field);
        rest = after.trim_start();
    }
    (!rest.is_empty()).then(|| (fields.join(" "), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cron_are_taken_apart() {
        assert_eq!(schedule("15  2 * * *\troot /x  -a"), Some(("15 2 * * *".into(), "root /x  -a")));
        assert_eq!(schedule("@daily /x"), Some(("@daily".into(), "/x")));
        for other in ["# 1 2 3 4 5 x", "PATH=/bin", "1 2 3", "", "1 2 3 4 5 "] {
            assert_eq!(schedule(other), None, "{other:?}");
        }
    }
}
