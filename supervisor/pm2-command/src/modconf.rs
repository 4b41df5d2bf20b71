//! `set`, `get`, `unset`, `multiset`, `conf`: settings of pm2's modules in `module_conf.json`. There are no modules here;
//! those of pm2-logrotate say how logs of applications are rotated by us.

use std::fs;
use std::io::ErrorKind;

use muster_supervisor_protocol::LogRotation;
use serde_json::{Map, Value};

use crate::shell::write_atomically;
use crate::{Context, Failure, Home};

const LOGROTATE: &str = "pm2-logrotate";
/// Settings of pm2-logrotate without a meaning here, and why.
const NOT_MAPPED: [(&str, &str); 4] = [
    ("dateFormat", "rotated files are numbered in the order of time"),
    ("workerInterval", "sizes are looked at with every write"),
    ("rotateModule", "there are no modules"),
    ("TZ", "times are those of the machine"),
];

/// `set key value`.
pub(crate) fn set(context: &Context, words: &[String]) -> Result<(), Failure> {
    let [key, value] = words else {
        return Err(Failure::new("set wants a key and a value: pm2 set module:key value"));
    };
    let mut conf = read(&context.home)?;
    assign(&mut conf, &path(key)?, Some(value));
    write(&context.home, &conf)?;
    tell(context, &conf, &path(key)?)
}

/// `multiset "key value key value"`.
pub(crate) fn multiset(context: &Context, words: &[String]) -> Result<(), Failure> {
    let words = split(&words.join(" "));
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return Err(Failure::new("multiset wants pairs: pm2 multiset \"module:key value module:key value\""));
    }
    let mut conf = read(&context.home)?;
    for pair in words.chunks(2) {
        assign(&mut conf, &path(&pair[0])?, Some(&pair[1]));
    }
    write(&context.home, &conf)?;
    tell(context, &conf, &path(&words[0])?)
}

/// `unset key`, `unset all`.
pub(crate) fn unset(context: &Context, words: &[String]) -> Result<(), Failure> {
    let [key] = words else { return Err(Failure::new("unset wants a key: pm2 unset module:key")) };
    let mut conf = read(&context.home)?;
    if key == "all" {
        conf.clear();
    } else {
        assign(&mut conf, &path(key)?, None);
    }
    write(&context.home, &conf)?;
    show(context, &conf, None);
    Ok(())
}

/// `get [key]`.
pub(crate) fn get(context: &Context, words: &[String]) -> Result<(), Failure> {
    let conf = read(&context.home)?;
    let Some(key) = words.first() else {
        show(context, &conf, None);
        return Ok(());
    };
    let path = path(key)?;
    let mut value = Value::Object(conf.clone());
    for part in &path {
        value = value.get(part).cloned().ok_or_else(|| Failure::new(format!("Unknown key {key}")))?;
    }
    match path.as_slice() {
        [module] if value.is_object() => {
            show(context, &conf, Some(module));
            println!("Modules configuration. Copy/Paste line to edit values.");
        }
        [key] => println!("Value for key {key}: {}", text(&value)),
        [module, rest @ ..] => println!("Value for module {module} key {}: {}", rest.join("."), text(&value)),
        [] => {}
    }
    Ok(())
}

/// `conf [key] [value]`, `config`.
pub(crate) fn conf(context: &Context, words: &[String]) -> Result<(), Failure> {
    if words.len() >= 2 { set(context, words) } else { get(context, words) }
}

/// How logs of applications that are started from now on are rotated: as pm2-logrotate is told, else our own way.
pub(crate) fn rotation(home: &Home) -> LogRotation {
    let mut rotation = LogRotation { keep: 30, ..LogRotation::default() };
    let Ok(conf) = read(home) else { return rotation };
    let setting = |key: &str| conf.get(LOGROTATE).and_then(|module| module.get(key)).map(text);
    if let Some(bytes) = setting("max_size").and_then(|size| size_bytes(&size)) {
        rotation.max_bytes = bytes;
    }
    match setting("retain").as_deref().map(str::trim) {
        Some("all") => rotation.keep = u32::MAX,
        Some(number) => rotation.keep = number.parse().unwrap_or(rotation.keep),
        None => {}
    }
    if let Some(compress) = setting("compress") {
        rotation.compress = compress.trim() == "true";
    }
    if let Some(pattern) = setting("rotateInterval").filter(|pattern| !pattern.trim().is_empty()) {
        rotation.schedule = Some(pattern.trim().to_owned());
    }
    rotation
}

/// pm2-logrotate's own reading: a number with G, M or K, else bytes.
fn size_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit = match text.chars().last()?.to_ascii_uppercase() {
        'G' => 1 << 30,
        'M' => 1 << 20,
        'K' => 1 << 10,
        _ => 1,
    };
    let digits = if unit == 1 { text } else { &text[..text.len() - 1] };
    digits.trim().parse::<u64>().ok()?.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// `module:key`, `module.key`, quotes around what holds a separator.
fn path(key: &str) -> Result<Vec<String>, Failure> {
    let separator = if key.contains('.') { '.' } else { ':' };
    let mut parts = vec![String::new()];
    let mut quoted = false;
    for c in key.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c == separator && !quoted => parts.push(String::new()),
            c => parts.last_mut().expect("there is always one").push(c),
        }
    }
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() { Err(Failure::new(format!("{key:?} is not a key"))) } else { Ok(parts) }
}

/// Words, and texts in double quotes.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("there is always one").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn assign(conf: &mut Map<String, Value>, path: &[String], value: Option<&str>) {
    let [key, rest @ ..] = path else { return };
    if rest.is_empty() {
        match value {
            Some(value) => conf.insert(key.clone(), Value::from(value)),
            None => conf.remove(key),
        };
        return;
    }
    let inner = conf.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    if let Some(inner) = inner.as_object_mut() {
        assign(inner, rest, value);
    }
}

fn read(home: &Home) -> Result<Map<String, Value>, Failure> {
    let path = home.dir().join("module_conf.json");
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| {
            Failure::new(format!("{} is not what pm2 writes: {error}", path.display()))
                .hint("mend or remove it")
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Map::new()),
        Err(error) => Err(Failure::new(format!("{} cannot be read: {error}", path.display()))),
    }
}

fn write(home: &Home, conf: &Map<String, Value>) -> Result<(), Failure> {
    let path = home.dir().join("module_conf.json");
    let text = serde_json::to_string_pretty(conf).expect("maps have texts as keys");
    // Settings of modules hold credentials.
    fs::create_dir_all(home.dir())
        .and_then(|()| write_atomically(&path, &text, 0o600))
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display())))
}

fn tell(context: &Context, conf: &Map<String, Value>, path: &[String]) -> Result<(), Failure> {
    let [module, rest @ ..] = path else { return Ok(()) };
    if module == LOGROTATE {
        match rest.first().and_then(|key| NOT_MAPPED.iter().find(|(name, _)| name == key)) {
            Some((key, why)) => context.output.warn(format!("{key} is kept and has no effect: {why}")),
            None => {
                context.output.message("Logs of applications that are started from now on are rotated so")
            }
        }
    } else if !rest.is_empty() {
        context.output.warn(format!("{module} is kept for pm2: modules do not run here"));
    }
    show(context, conf, Some(module));
    Ok(())
}

fn show(context: &Context, conf: &Map<String, Value>, only: Option<&str>) {
    for (module, settings) in conf.iter().filter(|(module, _)| only.is_none_or(|only| only == *module)) {
        let Some(settings) = settings.as_object() else { continue };
        context.output.line(format!("{} {module}", context.output.style.bold("Module:")));
        for (key, value) in settings {
            context.output.line(format!("$ pm2 set {module}:{key} {}", text(value)));
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(dir: &std::path::Path) -> Context {
        let mut context = Context::of_this_process(crate::flags::Flags::default(), None).unwrap();
        context.home = Home::at(dir.to_owned());
        context
    }

    fn words(text: &str) -> Vec<String> {
        split(text)
    }

    #[test]
    fn settings_of_logrotate_become_our_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let context = context(&dir.path().join("new"));
        assert_eq!(rotation(&context.home).keep, 30);
        set(&context, &words("pm2-logrotate:max_size 20M")).unwrap();
        multiset(&context, &words("\"pm2-logrotate:retain 7 pm2-logrotate:compress true\"")).unwrap();
        set(&context, &["pm2-logrotate:rotateInterval".into(), "0 3 * * *".into()]).unwrap();
        set(&context, &words("pm2-logrotate:dateFormat YYYY")).unwrap();
        let told = rotation(&context.home);
        assert_eq!((told.max_bytes, told.keep, told.compress), (20 << 20, 7, true));
        assert_eq!(told.schedule.as_deref(), Some("0 3 * * *"));
        set(&context, &words("pm2-logrotate.retain all")).unwrap();
        assert_eq!(rotation(&context.home).keep, u32::MAX);
        unset(&context, &words("pm2-logrotate:max_size")).unwrap();
        assert_eq!(rotation(&context.home).max_bytes, LogRotation::default().max_bytes);
        assert!(get(&context, &words("pm2-logrotate:compress")).is_ok());
        assert!(get(&context, &words("none:such")).is_err());
        unset(&context, &words("all")).unwrap();
        assert_eq!(rotation(&context.home).keep, 30);
    }

    #[test]
    fn a_broken_file_is_kept_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let context = context(dir.path());
        let file = dir.path().join("module_conf.json");
        fs::write(&file, "{broken").unwrap();
        assert!(set(&context, &words("a:b c")).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "{broken");
        // A new application is started all the same.
        assert_eq!(rotation(&context.home).keep, 30);
    }

    #[test]
    fn sizes_are_read_as_logrotate_reads_them() {
        for (text, bytes) in [
            ("10M", Some(10 << 20)),
            ("1g", Some(1 << 30)),
            ("512", Some(512)),
            ("10 K", Some(10_240)),
            ("x", None),
            ("0", None),
            ("", None),
        ] {
            assert_eq!(size_bytes(text), bytes, "{text}");
        }
    }
}
