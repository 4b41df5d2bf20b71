//! What is passed over when files are watched: patterns as users of pm2 write them, and our own files.

use std::path::{Path, PathBuf};

use muster_supervisor_protocol::AppSpec;
use regex_lite::Regex;

/// Decides about paths.
#[derive(Debug)]
pub(super) struct Ignore {
    /// `None`: hidden files and `node_modules`.
    patterns: Option<Vec<Pattern>>,
    /// Log folder of the application.
    log_folder: Option<PathBuf>,
    /// Log and pid files: folder, beginning of the name, and what the name contains. Rotated ones are called alike.
    own_files: Vec<(PathBuf, String, String)>,
}

/// One pattern; whatever way of reading it matches counts.
#[derive(Debug)]
struct Pattern {
    /// A name or path, or the beginning of one.
    plain: PathBuf,
    expressions: Vec<Regex>,
}

impl Ignore {
    pub(super) fn of(spec: &AppSpec) -> Self {
        let patterns = spec.watch.as_ref().and_then(|watch| watch.ignore.as_ref());
        let logs = &spec.logs;
        let named =
            [&logs.out_file, &logs.error_file, &logs.log_file].into_iter().filter_map(|file| file.path());
        let own_file = |path: &str| {
            let path = Path::new(path);
            let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
            let extension = text(path.extension()).map(|extension| format!(".{extension}"));
            Some((path.parent()?.to_owned(), text(path.file_stem())?, extension.unwrap_or_default()))
        };
        Self {
            patterns: patterns.map(|patterns| patterns.iter().map(|text| Pattern::new(text)).collect()),
            log_folder: logs.dir.as_ref().map(|dir| Path::new(dir).join(&spec.name)),
            own_files: named.chain(spec.pid_file.as_deref()).filter_map(own_file).collect(),
        }
    }

    /// Whether a change of this path is nothing. `root` is what is watched.
    pub(super) fn passes_over(&self, path: &Path, root: &Path) -> bool {
        if self.log_folder.as_ref().is_some_and(|folder| path.starts_with(folder)) {
            return true;
        }
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let own = |(folder, beginning, part): &(PathBuf, String, String)| {
            path.parent() == Some(folder)
                && name.starts_with(beginning.as_str())
                && name.contains(part.as_str())
        };
        if self.own_files.iter().any(own) {
            return true;
        }
        let below = path.strip_prefix(root).unwrap_or(path);
        match &self.patterns {
            None => below.components().any(|component| {
                let name = component.as_os_str().to_string_lossy();
                name.starts_with('.') || name == "node_modules"
            }),
            Some(patterns) => patterns.iter().any(|pattern| pattern.matches(path, below)),
        }
    }
}

impl Pattern {
    fn new(text: &str) -> Self {
        let text = text.trim();
        // As JavaScript writes an expression.
        let quoted =
            text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|rest| !rest.is_empty());
        let looks_like_expression = quoted.is_some()
            || text.contains(".*")
            || text.contains(".+")
            || text.contains(['\\', '^', '$', '|', '(', '+']);
        let mut expressions = Vec::new();
        if looks_like_expression {
            let text = quoted.unwrap_or(text).replace("\\/", "/");
            // Often copied from pm2's default with the slash that ended it there; hidden files are meant.
            let text = if text.ends_with("\\./") { &text[..text.len() - 1] } else { &text };
            expressions.extend(Regex::new(text));
        }
        if text.contains(['*', '?', '[', '{']) {
            expressions.extend(Regex::new(&from_glob(text.trim_start_matches("./"))));
        }
        let plain = text.trim_start_matches("./").trim_end_matches('/');
        Self { plain: PathBuf::from(plain), expressions }
    }

    /// `path` as it is, `below` relative to what is watched.
    fn matches(&self, path: &Path, below: &Path) -> bool {
        let plain = &self.plain;
        let one_name = plain.components().count() == 1 && plain.is_relative();
        if !plain.as_os_str().is_empty()
            && (path.starts_with(plain)
                || below.starts_with(plain)
                || (one_name && below.components().any(|component| component.as_os_str() == plain)))
        {
            return true;
        }
        // `[\/\\]\./` and the like want a separator in front.
        let forms = [below.to_string_lossy(), path.to_string_lossy(), format!("/{}", below.display()).into()];
        let name = below.file_name().map(|name| name.to_string_lossy());
        self.expressions
            .iter()
            .any(|expression| forms.iter().chain(name.as_ref()).any(|form| expression.is_match(form)))
    }
}

/// The expression of a glob; what lies below a match matches as well.
fn from_glob(glob: &str) -> String {
    let mut expression = String::from("^");
    let mut rest = glob.chars().peekable();
    let (mut braces, mut class) = (0_u32, false);
    while let Some(character) = rest.next() {
        match character {
            ']' => {
                class = false;
                expression.push(']');
            }
            _ if class => expression.push(character),
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                match rest.next_if_eq(&'/') {
                    Some(_) => expression.push_str("(?:.*/)?"),
                    None => expression.push_str(".*"),
                }
            }
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' => {
                class = true;
                expression.push('[');
                if rest.next_if_eq(&'!').is_some() {
                    expression.push('^');
                }
            }
            '{' => {
                braces += 1;
                expression.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                expression.push(')');
            }
            ',' if braces > 0 => expression.push('|'),
            other => expression.push_str(&regex_lite::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push_str("(?:/.*)?$");
    expression
}

#[cfg(test)]
mod tests {
    use muster_supervisor_protocol::{LogFile, Watch};

    use super::*;

    fn ignored(ignore: Option<&[&str]>, path: &str) -> bool {
        let mut spec = AppSpec::new("a", "/srv/.app", "a.js");
        let ignore = ignore.map(|patterns| patterns.iter().map(|p| (*p).to_owned()).collect());
        spec.watch = Some(Watch { ignore, ..Watch::default() });
        Ignore::of(&spec).passes_over(&Path::new("/srv/.app").join(path), Path::new("/srv/.app"))
    }

    #[test]
    fn hidden_files_and_node_modules_are_passed_over_unless_somebody_says_otherwise() {
        for (path, expected) in
            [("a.js", false), (".git/index", true), ("lib/.x", true), ("node_modules/b/c.js", true)]
        {
            assert_eq!(ignored(None, path), expected, "{path}");
            assert!(!ignored(Some(&[]), path), "{path}");
        }
    }

    #[test]
    fn patterns_are_read_as_their_writers_mean_them() {
        for (pattern, path, expected) in [
            ("logs", "logs/out.log", true),
            ("logs", "lib/logs/out.log", true),
            ("logs", "logs2/out.log", false),
            ("./public/uploads/", "public/uploads/a.png", true),
            ("/srv/.app/tmp", "tmp/x", true),
            ("*.log", "out.log", true),
            ("*.log", "deep/down/out.log", true),
            ("*.log", "out.log.js", false),
            ("logs/*", "logs/a", true),
            ("logs/*", "log/a", false),
            ("**/*.test.js", "src/a.test.js", true),
            ("**/*.test.js", "a.test.js", true),
            ("src/*.{png,jpg}", "src/a.jpg", true),
            ("[\\/\\\\]\\./", ".git/config", true),
            ("\\.git", ".git/config", true),
            ("\\.git", "git/config", false),
            ("^lib/", "lib/a.js", true),
            ("/\\.tmp$/", "a.tmp", true),
            ("/\\.tmp$/", "a.tmpl", false),
            ("node_modules", "node_modules/x/y.js", true),
            ("([", "a.js", false),
        ] {
            assert_eq!(ignored(Some(&[pattern]), path), expected, "{pattern} and {path}");
        }
    }

    #[test]
    fn our_own_files_never_count_not_even_rotated() {
        let mut spec = AppSpec::new("a", "/srv/app", "a.js");
        spec.watch = Some(Watch { ignore: Some(vec![]), ..Watch::default() });
        spec.logs.dir = Some("/srv/app/log".into());
        spec.logs.out_file = LogFile::Path("/srv/app/out.log".into());
        spec.pid_file = Some("/srv/app/a.pid".into());
        let ignore = Ignore::of(&spec);
        for (path, expected) in [
            ("log/a/0-out.log", true),
            ("out.log", true),
            ("out-1.log.3.gz", true),
            ("a-0.pid", true),
            ("out.js", false),
            ("a.js", false),
        ] {
            let path = Path::new("/srv/app").join(path);
            assert_eq!(ignore.passes_over(&path, Path::new("/srv/app")), expected, "{path:?}");
        }
    }
}
