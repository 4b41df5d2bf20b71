//! A configuration of stunnel for a trial: it stays in the foreground, talks to us, and ends by itself.

/// Lines that decide where it runs and what it writes. Who it runs as is left out as well: a trial changes nothing.
const REPLACED: [&str; 7] = ["foreground", "pid", "output", "syslog", "debug", "chroot", "log"];

/// Nothing can be written there; stunnel tries after it has read everything.
const OURS: &str = "foreground = yes\nsyslog = no\ndebug = 5\npid = /proc/muster-trial/pid\n";

pub(super) fn for_trial(content: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "stunnel refuses it: it is not text".to_owned())?;
    let mut global = true;
    let mut made = OURS.to_owned();
    for line in text.lines() {
        let plain = line.trim();
        global &= !plain.starts_with('[');
        let name = plain.split('=').next().unwrap_or_default().trim();
        let replaced = global && REPLACED.iter().any(|known| known.eq_ignore_ascii_case(name));
        // A comment keeps the numbers of the lines.
        made.push_str(if replaced { ";" } else { line });
        made.push('\n');
    }
    Ok(made.into_bytes())
}

/// What stunnel said, with the number of the line in the real file.
pub(super) fn real_line(said: &str, path: &str) -> String {
    let numbered = said.split_once(&format!("{path}:")).and_then(|(before, rest)| {
        let (number, after) = rest.split_once(':')?;
        let number = number.parse::<usize>().ok()?.saturating_sub(OURS.lines().count());
        Some(format!("{before}{path}:{number}:{after}"))
    });
    numbered.unwrap_or_else(|| said.to_owned())
}
