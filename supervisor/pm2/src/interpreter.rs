//! Which program runs a script, as pm2 chooses it.

use std::path::Path;

use crate::app::Interpreter;
use crate::surroundings::Files;

/// pm2's table.
pub fn by_extension(extension: &str) -> Option<&'static str> {
    Some(match extension {
        "sh" => "bash",
        "py" => "python",
        "rb" => "ruby",
        "php" => "php",
        "pl" => "perl",
        "js" => "node",
        "coffee" => "coffee",
        "ls" => "lsc",
        "ts" | "tsx" => "bun",
        _ => return None,
    })
}

/// The interpreter of a script: the one given, else by extension, else none for a binary, else the daemon's Node.js.
pub(crate) fn interpreter(given: Option<&str>, script: &Path, files: &dyn Files) -> Interpreter {
    let given = given.filter(|given| !given.is_empty());
    let extension = script.extension().and_then(|extension| extension.to_str());
    let chosen = given.or_else(|| by_extension(extension?));
    match chosen {
        Some("none") => Interpreter::None,
        Some("node") => Interpreter::Node,
        Some("python")
            if given.is_none() && files.which("python").is_none() && files.which("python3").is_some() =>
        {
            Interpreter::Program("python3".to_owned())
        }
        Some(name) => match name.split_once("node@") {
            Some((_, version)) => Interpreter::NodeVersion(version.to_owned()),
            None => Interpreter::Program(name.to_owned()),
        },
        None if files.binary(script) => Interpreter::None,
        None => Interpreter::Node,
    }
}
