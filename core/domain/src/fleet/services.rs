//! Units, services, jobs and commands of the nodes, as people declare them.

use super::entry::entries;
use super::lists::{self, Texts};
use super::{Duration, EnvValue, Size, off};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

entries! {
    /// A service or another unit of systemd. Without `enabled` and `running` both are true; with one of them, the other is
    /// left as it is.
    ServiceEntry [reload_on, restart_on] {
        /// The unit, when it is not called like the entry; `.service` may be left out. Default: the name of the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Started at boot. Default: true; left as it is when only `running` is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        enabled: Option<bool>,
        /// Running now. Default: true; left as it is when only `enabled` is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        running: Option<bool>,
        /// It is reloaded when one of these changed, by resource: `file:/etc/nginx/nginx.conf`, or `file:/etc/nginx/` for
        /// everything that is declared below a folder. They come first. A reload that fails puts the former files back.
        /// Default: none.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        reload_on: Vec<String>,
        /// The same with a restart. Default: its own unit file and drop-ins, when they are declared.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        restart_on: Vec<String>,
    }

    /// A unit file of systemd, or a drop-in for one, below `/etc/systemd/system`.
    SystemdUnitEntry {
        /// `shop-worker.service`, or `nginx.service.d/limits.conf` for a drop-in. Default: the name of the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The file itself. Default: `source`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// A file beside the fleet files that holds it, relative to the folder that is applied. Default: `content`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
    }

    /// A job of cron, in a file of its own below `/etc/cron.d`.
    CronJobEntry {
        /// Names its file, when it is not that of the entry: letters, digits, - and _. Default: the name of the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// When: five fields (minute, hour, day, month, weekday), or `@hourly`, `@daily`, `@weekly`, `@monthly`,
        /// `@yearly`, `@reboot`. Required.
        schedule: String,
        /// A command line for `/bin/sh`. Required.
        command: String,
        /// Who runs it. Default: root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Variables of the job. Default: none.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, EnvValue>,
    }

    /// Rules for logrotate, in a file of their own below `/etc/logrotate.d`: said by its settings, or as a whole.
    LogrotateEntry {
        /// Names its file, when it is not that of the entry: letters, digits, - and _. Default: the name of the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The logs: `/var/log/shop/*.log`, or a list of such patterns. Default: `content` or `source` say it.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        logs: Vec<String>,
        /// How often: `hourly`, `daily`, `weekly` or `monthly`. Default: daily.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        every: Option<Frequency>,
        /// How many old ones are kept. Default: 14.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(max = 10_000))]
        keep: Option<u32>,
        /// Also when they are larger than this. Default: only by time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_size: Option<Size>,
        /// The log is copied and emptied in place, for a program that cannot open it anew. Default: false.
        #[serde(default, skip_serializing_if = "off")]
        copy_truncate: bool,
        /// A command line after a rotation, such as `systemctl reload nginx`. Default: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        post_rotate: Option<String>,
        /// The whole file, instead of the settings above. Default: made from them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// A file beside the fleet files that holds the whole file, relative to the folder that is applied. Default: made
        /// from the settings above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
    }

    /// A command that is run until its guard (`unless`, `creates`) says that it is done, or when something changed (`run_on`).
    /// One of the three is needed: nothing is run with every look.
    CommandEntry [run_on] {
        /// Its name on the node, when it is not that of the entry: letters, digits, - and _. Default: the name of the entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// A command line, or a script of several lines, for `/bin/sh`. Required.
        run: String,
        /// It is done when this command line ends with 0. Default: no such guard.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unless: Option<String>,
        /// It is done when this path is there. Default: no such guard.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        creates: Option<String>,
        /// It is run when one of these changed, by resource: `file:/etc/aliases`. They come first. Default: none.
        #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lists::texts")]
        #[schemars(with = "Texts")]
        run_on: Vec<String>,
        /// Who runs it. Default: root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Where. Default: `/`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
        /// When it is killed. Default: 5m.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        timeout: Option<Duration>,
    }
}

/// How often logs are rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    /// Every hour, where logrotate itself is run as often.
    Hourly,
    /// Every day.
    Daily,
    /// Every week.
    Weekly,
    /// Every month.
    Monthly,
}

impl Frequency {
    /// The word of logrotate.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
        }
    }
}
