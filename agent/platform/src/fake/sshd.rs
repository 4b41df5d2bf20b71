//! An SSH server that reads its files, and does nothing else.

use super::{FakeHost, World};
use crate::host::{CommandLine, CommandOutput, Fault, HostError, SshdHost, SshdValues};
use std::path::{Path, PathBuf};

const CONFIG: &str = "/etc/ssh/sshd_config";
const DEFAULTS: [(&str, &str); 6] = [
    ("authorizedkeysfile", ".ssh/authorized_keys .ssh/authorized_keys2"),
    ("kbdinteractiveauthentication", "no"),
    ("passwordauthentication", "yes"),
    ("permitrootlogin", "without-password"),
    ("pubkeyauthentication", "yes"),
    ("x11forwarding", "no"),
];

impl FakeHost {
    /// Installs an SSH server, as the package of the distribution leaves it, and the program that reloads it.
    pub fn install_sshd(&self) {
        self.tamper(CONFIG, "Include /etc/ssh/sshd_config.d/*.conf\nX11Forwarding yes\n");
        self.tamper("/etc/ssh/sshd_config.d/README", "");
        let mut world = self.world();
        world.programs.entry("sshd".to_owned()).or_default();
        let fine = CommandOutput { code: Some(0), ..CommandOutput::default() };
        world.programs.entry("systemctl".to_owned()).or_insert(fine);
    }
}

pub(super) fn run(world: &World, name: &str, command: &CommandLine) -> Option<CommandOutput> {
    if name != "sshd" || !world.programs.contains_key("sshd") {
        return None;
    }
    Some(match values(world, None) {
        Ok(values) => {
            let lines: String =
                values.iter().map(|(keyword, value)| format!("{keyword} {value}\n")).collect();
            let stdout = if command.args == ["-T"] { lines.into_bytes() } else { Vec::new() };
            CommandOutput { code: Some(0), stdout, stderr: String::new() }
        }
        Err(stderr) => CommandOutput { code: Some(255), stdout: Vec::new(), stderr },
    })
}

fn values(world: &World, config: Option<&str>) -> Result<SshdValues, String> {
    // Made when the daemon is started, which a socket does at the first connection.
    let there = |path: &str| world.tree.contains_key(Path::new(path));
    if there("/run") && !there("/run/sshd") {
        return Err("Missing privilege separation directory: /run/sshd\n".to_owned());
    }
    let text = |path: &Path| {
        let content = world.tree.get(path).map(|entry| entry.content.clone()).unwrap_or_default();
        String::from_utf8_lossy(&content).into_owned()
    };
    let whole = config.map_or_else(|| text(Path::new(CONFIG)), str::to_owned);
    let mut lines: Vec<(PathBuf, usize, String)> = Vec::new();
    for (number, line) in whole.lines().enumerate() {
        let Some(pattern) = line.strip_prefix("Include ") else {
            lines.push((CONFIG.into(), number + 1, line.to_owned()));
            continue;
        };
        let (folder, end) = pattern.split_once('*').unwrap_or((pattern, ""));
        for path in world.tree.keys() {
            let path_text = path.display().to_string();
            let named = if pattern.contains('*') {
                path_text.starts_with(folder) && path_text.ends_with(end)
            } else {
                path_text == pattern
            };
            if named {
                let content = text(path);
                lines.extend(
                    content.lines().enumerate().map(|(at, line)| (path.clone(), at + 1, line.to_owned())),
                );
            }
        }
    }
    let mut values = SshdValues::new();
    for (path, number, line) in lines {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (keyword, value) = line
            .split_once(' ')
            .ok_or_else(|| format!("{} line {number}: Bad configuration option: {line}\n", path.display()))?;
        let keyword = keyword.to_lowercase();
        if !values.iter().any(|(known, _)| *known == keyword) {
            let value = if value == "prohibit-password" { "without-password" } else { value };
            values.push((keyword, value.to_owned()));
        }
    }
    for (keyword, value) in DEFAULTS {
        if !values.iter().any(|(known, _)| known == keyword) {
            values.push((keyword.to_owned(), value.to_owned()));
        }
    }
    Ok(values)
}

impl SshdHost for FakeHost {
    fn sshd_values(&self) -> Result<SshdValues, HostError> {
        values(&self.world(), None).map_err(fault)
    }

    fn sshd_values_of(&self, config: &str) -> Result<SshdValues, HostError> {
        values(&self.world(), Some(config)).map_err(fault)
    }
}

fn fault(said: String) -> HostError {
    HostError::new("ask", Path::new("/usr/sbin/sshd"), Fault::Other(said))
}
