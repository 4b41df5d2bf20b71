//! Where the output of one stream of one instance goes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use croner::Cron;
use muster_supervisor_protocol::{AppSpec, LogFile, LogFormat, LogRotation, LogStreamName};

use super::dates::DateFormat;

/// Lines that did not make it to the disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct DroppedLines(Arc<AtomicU64>);

impl DroppedLines {
    pub(crate) fn add(&self, lines: u64) {
        self.0.fetch_add(lines, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Made once per process and stream.
#[derive(Debug)]
pub(crate) struct Destination {
    /// Tells writers to the same file apart.
    pub(crate) source: u64,
    pub(crate) app: Arc<str>,
    pub(crate) instance: u32,
    /// `process_id` of JSON lines.
    pub(crate) id: u32,
    pub(crate) stream: LogStreamName,
    /// Its own file first, when it has one, then the combined one.
    pub(crate) files: Vec<Target>,
    /// Whether the first of them is its own.
    pub(crate) own_file: bool,
    pub(crate) style: Style,
    pub(crate) disabled: bool,
    pub(crate) dropped: DroppedLines,
}

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) path: Arc<Path>,
    pub(crate) rotation: Arc<Rotation>,
}

/// How lines look in files.
#[derive(Debug)]
pub(crate) enum Style {
    Raw,
    Dated(DateFormat),
    Json(Option<DateFormat>),
}

/// [`LogRotation`], ready to use.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) max_bytes: u64,
    pub(crate) keep: u32,
    pub(crate) schedule: Option<Cron>,
    pub(crate) compress: bool,
    pub(crate) min_free_bytes: u64,
}

impl From<&LogRotation> for Rotation {
    fn from(rotation: &LogRotation) -> Self {
        let LogRotation { max_bytes, keep, schedule, compress, min_free_bytes } = rotation;
        let schedule = schedule.as_deref().and_then(|pattern| match pattern.parse() {
            Ok(schedule) => Some(schedule),
            Err(error) => {
                tracing::warn!(pattern, %error, "log files are rotated by size only: the schedule is not a cron pattern");
                None
            }
        });
        Self {
            max_bytes: if *max_bytes == 0 { u64::MAX } else { *max_bytes },
            keep: *keep,
            schedule,
            compress: *compress,
            min_free_bytes: *min_free_bytes,
        }
    }
}

/// Also tells streams of earlier supervisors apart from ours: they are gone.
static NEXT_SOURCE: AtomicU64 = AtomicU64::new(1);

impl Destination {
    /// Of a stream of an instance. `id` is the number unique under this supervisor.
    pub(crate) fn new(
        spec: &AppSpec,
        instance: u32,
        id: u32,
        stream: LogStreamName,
        dropped: DroppedLines,
    ) -> Self {
        let logs = &spec.logs;
        let number = if spec.pm2.is_some() { id } else { instance };
        let (named, word) = match stream {
            LogStreamName::Out => (&logs.out_file, "out"),
            LogStreamName::Err => (&logs.error_file, "err"),
        };
        let own = match named {
            LogFile::Default => logs
                .dir
                .as_ref()
                .map(|dir| Path::new(dir).join(&spec.name).join(format!("{number}-{word}.log"))),
            named => self::named(named, number, logs.merge),
        };
        let combined = self::named(&logs.log_file, number, logs.merge);
        let rotation = Arc::new(Rotation::from(&logs.rotation));
        let own_file = own.is_some() && !logs.disabled;
        let mut paths: Vec<PathBuf> = [own, combined].into_iter().flatten().collect();
        paths.dedup();
        if logs.disabled {
            paths.clear();
        }
        let date = logs.date_format.as_deref().filter(|format| !format.is_empty()).map(DateFormat::new);
        Self {
            source: NEXT_SOURCE.fetch_add(1, Ordering::Relaxed),
            app: spec.name.as_str().into(),
            instance,
            id,
            stream,
            files: paths
                .into_iter()
                .map(|path| Target { path: path.into(), rotation: Arc::clone(&rotation) })
                .collect(),
            own_file,
            style: match (logs.format, date) {
                (LogFormat::Json, date) => Style::Json(date),
                (LogFormat::Raw, Some(date)) => Style::Dated(date),
                (LogFormat::Raw, None) => Style::Raw,
            },
            disabled: logs.disabled,
            dropped,
        }
    }

    /// The file of this stream alone (or of whom it shares it with).
    pub(crate) fn own_file(&self) -> Option<&Target> {
        self.files.first().filter(|_| self.own_file)
    }
}

/// `None` and `/dev/null` are nowhere.
fn named(file: &LogFile, number: u32, merge: bool) -> Option<PathBuf> {
    let path = Path::new(file.path()?);
    if path == Path::new("/dev/null") {
        return None;
    }
    if merge {
        return Some(path.to_owned());
    }
    let stem = path.file_stem()?.to_string_lossy();
    let name = match path.extension() {
        Some(extension) => format!("{stem}-{number}.{}", extension.to_string_lossy()),
        None => format!("{stem}-{number}"),
    };
    Some(path.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use muster_supervisor_protocol::{LogSettings, Pm2Origin};

    use super::*;

    fn paths(logs: LogSettings, pm2: bool, stream: LogStreamName) -> Vec<String> {
        let origin = Pm2Origin { home: "/h".into(), record: serde_json::Value::Null };
        let spec = AppSpec { logs, pm2: pm2.then_some(origin), ..AppSpec::new("web", "/srv", "app.js") };
        Destination::new(&spec, 1, 7, stream, DroppedLines::default())
            .files
            .iter()
            .map(|target| target.path.display().to_string())
            .collect()
    }

    #[test]
    fn files_are_named_as_users_of_pm2_expect_it() {
        let path = |path: &str| LogFile::Path(path.to_owned());
        let logs = LogSettings { dir: Some("/logs".into()), ..LogSettings::default() };
        assert_eq!(paths(logs.clone(), false, LogStreamName::Out), ["/logs/web/1-out.log"]);
        assert_eq!(paths(logs.clone(), true, LogStreamName::Err), ["/logs/web/7-err.log"]);
        let named = LogSettings {
            out_file: path("/l/out.log"),
            error_file: path("/dev/null"),
            log_file: path("/l/all"),
            ..logs.clone()
        };
        assert_eq!(paths(named.clone(), false, LogStreamName::Out), ["/l/out-1.log", "/l/all-1"]);
        assert_eq!(paths(named.clone(), true, LogStreamName::Out), ["/l/out-7.log", "/l/all-7"]);
        assert_eq!(paths(named.clone(), false, LogStreamName::Err), ["/l/all-1"]);
        let merged = LogSettings { merge: true, log_file: path("/l/out.log"), ..named.clone() };
        assert_eq!(paths(merged, false, LogStreamName::Out), ["/l/out.log"], "the same file once");
        let silent = LogSettings { disabled: true, ..named };
        assert!(paths(silent, false, LogStreamName::Out).is_empty());
        let nowhere = LogSettings { out_file: LogFile::None, ..logs };
        assert!(paths(nowhere, false, LogStreamName::Out).is_empty());
    }
}
