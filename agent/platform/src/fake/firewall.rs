//! ufw, as far as the agent talks to it: it keeps its files like the real one, and a kernel that holds what it was told.

use super::{Entry, FakeHost, World};
use crate::host::{CommandLine, CommandOutput, FileKind, MAX_OUTPUT_BYTES};
use std::path::Path;

const FILES: [(&str, &str, &str); 2] =
    [("/etc/ufw/user.rules", "0.0.0.0/0", "ufw"), ("/etc/ufw/user6.rules", "::/0", "ufw6")];
const CONF: &str = "/etc/ufw/ufw.conf";
const DEFAULTS: &str = "/etc/default/ufw";

/// What the kernel holds, as `iptables -S` shows it: a list for each family.
#[derive(Debug, Default)]
pub(super) struct Kernel([Vec<String>; 2]);

impl FakeHost {
    /// Installs ufw, as the package of the distribution leaves it: off, without rules.
    pub fn install_ufw(&self) {
        self.tamper(CONF, "ENABLED=no\nLOGLEVEL=low\n");
        self.tamper(
            DEFAULTS,
            "IPV6=yes\nDEFAULT_INPUT_POLICY=\"DROP\"\nDEFAULT_OUTPUT_POLICY=\"ACCEPT\"\nDEFAULT_FORWARD_POLICY=\"DROP\"\n",
        );
        for (file, _, _) in FILES {
            self.tamper(file, "*filter\n### RULES ###\n### END RULES ###\nCOMMIT\n");
        }
        let mut world = self.world();
        for program in ["ufw", "iptables", "ip6tables"] {
            world.programs.entry(program.to_owned()).or_default();
        }
        world.kernel = Some(Kernel::default());
    }

    /// Puts rules into the kernel before those of ufw, as programs that ban addresses do.
    pub fn add_kernel_rules(&self, rules: impl IntoIterator<Item = String>) {
        if let Some(Kernel([v4, _])) = &mut self.world().kernel {
            v4.splice(0..0, rules);
        }
    }

    /// Flushes the rules of the kernel, as somebody does by hand.
    pub fn flush_firewall(&self) {
        self.world().kernel = Some(Kernel::default());
    }
}

pub(super) fn run(world: &mut World, name: &str, command: &CommandLine) -> Option<CommandOutput> {
    world.kernel.as_ref()?;
    let words: Vec<&str> = command.args.iter().map(String::as_str).collect();
    let done = match name {
        // As it is kept of a real one.
        "iptables" => Ok(shown(world, 0).chars().take(MAX_OUTPUT_BYTES).collect()),
        "ip6tables" => Ok(shown(world, 1)),
        "ufw-init" => match words.as_slice() {
            ["force-stop"] => {
                world.kernel = Some(Kernel::default());
                Ok(String::new())
            }
            _ => {
                load(world);
                Ok(String::new())
            }
        },
        "ufw" => ufw(world, &words),
        _ => return None,
    };
    Some(match done {
        Ok(text) => CommandOutput { code: Some(0), stdout: text.into_bytes(), stderr: String::new() },
        Err(text) => CommandOutput { code: Some(1), stdout: Vec::new(), stderr: format!("ERROR: {text}\n") },
    })
}

fn shown(world: &World, family: usize) -> String {
    let held = world.kernel.as_ref().map(|kernel| kernel.0[family].join("\n")).unwrap_or_default();
    if held.is_empty() {
        "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n".into()
    } else {
        held + "\n"
    }
}

fn ufw(world: &mut World, words: &[&str]) -> Result<String, String> {
    match words {
        ["--force", "enable"] => {
            set(world, CONF, "ENABLED", "yes")?;
            load(world);
        }
        ["disable"] => {
            set(world, CONF, "ENABLED", "no")?;
            world.kernel = Some(Kernel::default());
        }
        ["reload"] => reload(world),
        ["default", policy, direction] => {
            let target = match *policy {
                "allow" => "\"ACCEPT\"",
                "deny" => "\"DROP\"",
                "reject" => "\"REJECT\"",
                other => return Err(format!("Unsupported policy '{other}'")),
            };
            let direction =
                if *direction == "incoming" { "DEFAULT_INPUT_POLICY" } else { "DEFAULT_OUTPUT_POLICY" };
            set(world, DEFAULTS, direction, target)?;
            reload(world);
        }
        words => {
            rule(world, words)?;
            reload(world);
        }
    }
    Ok(String::new())
}

fn rule(world: &mut World, words: &[&str]) -> Result<(), String> {
    let mut words = words.to_vec();
    let delete = words.first() == Some(&"delete");
    if delete {
        words.remove(0);
    }
    let mut position = None;
    if words.first() == Some(&"insert") {
        position = Some(words[1].parse::<usize>().map_err(|_| "Invalid position")?);
        words.drain(..2);
    }
    let after =
        |word: &str| words.iter().position(|known| *known == word).and_then(|at| words.get(at + 1)).copied();
    let port = |word: &str| {
        let at = words.iter().position(|known| *known == word)? + 2;
        if words.get(at) == Some(&"port") { words.get(at + 1).copied() } else { None }
    };
    let (Some(from), Some(to)) = (after("from"), after("to")) else { return Err("Invalid syntax".into()) };
    let six = from.contains(':') || to.contains(':');
    let four = from.contains('.') || to.contains('.');
    if six && four {
        return Err("Mixed IP versions for 'from' and 'to'".into());
    }
    let direction = match after("on") {
        Some(interface) => format!("{}_{interface}", words[1]),
        None => words[1].to_owned(),
    };
    let count4 = tuples(world, 0).len();
    for (family, (_, any, _)) in FILES.into_iter().enumerate() {
        if family == 0 && six || family == 1 && four {
            continue;
        }
        let address = |text: &str| if text == "any" { any.to_owned() } else { text.to_owned() };
        let slot = format!(
            "{} {} {} {} {} {direction}",
            after("proto").unwrap_or("any"),
            port("to").unwrap_or("any"),
            address(to),
            port("from").unwrap_or("any"),
            address(from),
        );
        let comment = after("comment").map(|text| {
            let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!(" comment={hex}")
        });
        let line = format!("{} {slot}{}", words[0], comment.unwrap_or_default());
        let mut lines = tuples(world, family);
        let same = |known: &String| {
            let known = known.split(" comment=").next().unwrap_or_default();
            known.split_once(' ').is_some_and(|(_, rest)| rest == slot)
        };
        let found = lines.iter().position(same);
        match (delete, found, position) {
            (true, Some(at), _) => {
                lines.remove(at);
            }
            (false, None, Some(position)) => {
                let at = position.checked_sub(1 + if family == 1 { count4 } else { 0 });
                let at = at
                    .filter(|at| *at < lines.len())
                    .ok_or_else(|| format!("Invalid position '{position}'"))?;
                lines.insert(at, line);
            }
            (false, Some(at), None) => lines[at] = line,
            (false, None, None) => lines.push(line),
            // "Could not delete non-existent rule", "Skipping inserting existing rule": neither is an error to ufw.
            (true, None, _) | (false, Some(_), Some(_)) => {}
        }
        file(world, family, &lines);
    }
    Ok(())
}

fn text(world: &World, path: &str) -> String {
    let content = world.tree.get(Path::new(path)).map(|entry| entry.content.clone());
    String::from_utf8(content.unwrap_or_default()).unwrap_or_default()
}

fn put(world: &mut World, path: &str, content: String) {
    let entry = Entry { kind: FileKind::File, content: content.into_bytes(), mode: 0o640, uid: 0, gid: 0 };
    world.put(path.into(), entry);
}

fn tuples(world: &World, family: usize) -> Vec<String> {
    let text = text(world, FILES[family].0);
    text.lines().filter_map(|line| line.strip_prefix("### tuple ### ")).map(str::to_owned).collect()
}

fn file(world: &mut World, family: usize, lines: &[String]) {
    let (path, _, prefix) = FILES[family];
    let mut content = "*filter\n### RULES ###\n".to_owned();
    for line in lines {
        content.push_str(&format!("\n### tuple ### {line}\n{}\n", kernel_rule(line, prefix)));
    }
    content.push_str("\n### END RULES ###\nCOMMIT\n");
    put(world, path, content);
}

fn kernel_rule(line: &str, prefix: &str) -> String {
    let outgoing = line.split(' ').any(|word| word == "out" || word.starts_with("out_"));
    let target = match line.split(' ').next() {
        Some("allow") => "ACCEPT",
        Some("deny") => "DROP",
        Some("reject") => "REJECT",
        _ => "ufw-user-limit",
    };
    format!("-A {prefix}-user-{} -j {target}", if outgoing { "output" } else { "input" })
}

fn set(world: &mut World, path: &str, name: &str, value: &str) -> Result<(), String> {
    world.before_create(Path::new(path)).map_err(|fault| fault.to_string())?;
    let former = text(world, path);
    let lines = former.lines().map(|line| {
        if line.split('=').next() == Some(name) { format!("{name}={value}\n") } else { format!("{line}\n") }
    });
    let content = lines.collect();
    put(world, path, content);
    Ok(())
}

fn reload(world: &mut World) {
    if text(world, CONF).contains("ENABLED=yes") {
        load(world);
    }
}

fn load(world: &mut World) {
    let defaults = text(world, DEFAULTS);
    let policy = |name: &str| {
        let line = defaults.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        // The kernel knows no policy of that kind; ufw drops, after a rule that rejects.
        line.trim_matches(['=', '"']).replace("REJECT", "DROP")
    };
    let mut held: [Vec<String>; 2] = Default::default();
    for (family, (path, _, prefix)) in FILES.into_iter().enumerate() {
        held[family] = vec![
            format!("-P INPUT {}", policy("DEFAULT_INPUT_POLICY")),
            format!("-P OUTPUT {}", policy("DEFAULT_OUTPUT_POLICY")),
            format!("-N {prefix}-before-input"),
            format!("-A INPUT -j {prefix}-before-input"),
            format!("-A {prefix}-before-input -i lo -j ACCEPT"),
        ];
        let rules = text(world, path);
        held[family].extend(rules.lines().filter(|line| line.starts_with("-A ")).map(str::to_owned));
    }
    world.kernel = Some(Kernel(held));
}
