//! Jobs of cron in the tables of users.

use super::source::Source;
use muster_domain::inventory::InstalledCronJob;

/// Tables of users. Files in `/etc/cron.d` are among the files; what somebody added to `/etc/crontab` is noted.
pub(super) fn read(source: &mut Source<'_>) -> Vec<InstalledCronJob> {
    let mut jobs = Vec::new();
    for user in source.names("/var/spool/cron/crontabs") {
        let text = source.text(&format!("/var/spool/cron/crontabs/{user}")).unwrap_or_default();
        jobs.extend(text.lines().filter_map(|line| {
            let (schedule, command) = schedule(line)?;
            Some(InstalledCronJob { user: user.clone(), schedule, command: command.to_owned() })
        }));
    }
    let table = source.text("/etc/crontab").unwrap_or_default();
    // What the distribution's own table does is run the parts of the hour, day, week and month.
    let added = table.lines().filter_map(schedule).filter(|(_, rest)| !rest.contains("run-parts")).count();
    if added > 0 {
        source.note(format!(
            "/etc/crontab has {added} jobs of somebody's own, which have to be declared by hand"
        ));
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
