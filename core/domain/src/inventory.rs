//! What is on a host that nobody has declared yet: read by the agent when a person asks, turned into a part of a fleet file
//! by `muster-fleet-config`. Every list is bounded by whoever fills it; what did not fit, or could not be read, is in
//! `notes`.

use serde::{Deserialize, Serialize};

/// The longest inventory as JSON.
pub const MAX_INVENTORY_BYTES: usize = 1024 * 1024;

/// Entries of one list.
pub const MAX_ENTRIES: usize = 2_000;

/// What is on a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// Its name.
    pub hostname: Option<String>,
    /// Its time zone, as in the time zone database.
    pub timezone: Option<String>,
    /// Packages that somebody asked for (`apt-mark showmanual`), those of the base system left out.
    pub packages: Vec<InstalledPackage>,
    /// Services and timers that are enabled, and those that run although they are not.
    pub units: Vec<InstalledUnit>,
    /// Users from 1000 on, and root.
    pub users: Vec<InstalledUser>,
    /// Groups from 1000 on that are no user's own.
    pub groups: Vec<InstalledGroup>,
    /// Jobs in the tables of users (`crontab -e`).
    pub cron_jobs: Vec<InstalledCronJob>,
    /// Files and links that somebody made or changed: those below `/etc/nginx`, `/etc/cron.d`, `/etc/logrotate.d`,
    /// `/etc/sysctl.d` and `/etc/sudoers.d` that no package brought, or that are not as a package brought them. Those that not
    /// everybody may read are left out, and named in `notes`: their content may be a secret. The exception is
    /// `/etc/sudoers.d`.
    pub files: Vec<InstalledFile>,
    /// The firewall.
    pub firewall: Option<InstalledFirewall>,
    /// Applications of pm2.
    pub pm2_applications: Vec<InstalledPm2Application>,
    /// What could not be read or did not fit, one line each.
    pub notes: Vec<String>,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstalledPackage {
    /// Its name.
    pub name: String,
    /// The version that is installed.
    pub version: String,
    /// apt was told to leave it at this version.
    #[serde(default)]
    pub held: bool,
}

/// A unit of systemd.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstalledUnit {
    /// Its name with the suffix.
    pub name: String,
    /// It starts with the host.
    pub enabled: bool,
    /// It runs now.
    pub running: bool,
    /// The unit file, when it is in `/etc/systemd/system` and no package brought it.
    #[serde(default)]
    pub content: Option<String>,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledUser {
    /// The name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The group of its own.
    pub group: String,
    /// Other groups.
    pub groups: Vec<String>,
    /// The home folder.
    pub home: String,
    /// The shell.
    pub shell: String,
    /// The comment field.
    #[serde(default)]
    pub comment: String,
    /// It may become root through sudo without being in the group `sudo`.
    #[serde(default)]
    pub sudo: bool,
    /// Lines of `authorized_keys`.
    pub authorized_keys: Vec<String>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledGroup {
    /// The name.
    pub name: String,
    /// The number.
    pub gid: u32,
    /// Its members.
    pub members: Vec<String>,
}

/// A job in the table of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledCronJob {
    /// Whose table.
    pub user: String,
    /// When: five fields, or a word such as `@daily`.
    pub schedule: String,
    /// What. It may hold a password, so it is shown to whoever may manage nodes and kept nowhere.
    pub command: String,
}

/// A text file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledFile {
    /// Where it is.
    pub path: String,
    /// Its content; absent when it is a link.
    #[serde(default)]
    pub content: Option<String>,
    /// What it links to, when it is a link.
    #[serde(default)]
    pub link_to: Option<String>,
    /// Permissions, `0644`.
    pub mode: String,
    /// Owner by name.
    pub owner: String,
    /// Group by name.
    pub group: String,
}

/// What lets traffic in and out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstalledFirewall {
    /// What manages it: `ufw`, `nftables`, `iptables`.
    pub manager: String,
    /// It is in force.
    pub active: bool,
    /// What becomes of traffic from outside that no rule speaks of: `deny`, `allow` or `reject`.
    #[serde(default)]
    pub default_incoming: Option<String>,
    /// Rules, in order.
    pub rules: Vec<InstalledFirewallRule>,
    /// Rules that are more than a port and where it may be reached from, as they are written.
    pub other_rules: Vec<String>,
}

/// A rule that is a port and where it may be reached from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledFirewallRule {
    /// `allow`, `deny`, `reject` or `limit`.
    pub action: String,
    /// First port.
    pub port: u16,
    /// Last port, of a range.
    #[serde(default)]
    pub port_to: Option<u16>,
    /// `tcp` or `udp`; absent: both.
    #[serde(default)]
    pub protocol: Option<String>,
    /// Address or network; absent: anywhere.
    #[serde(default)]
    pub from: Option<String>,
}

/// An application of pm2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledPm2Application {
    /// Whose pm2.
    pub user: String,
    /// The name.
    pub name: String,
    /// The script, absolute.
    pub script: String,
    /// The folder it runs in.
    pub cwd: String,
    /// How many instances.
    pub instances: u32,
    /// `fork` or `cluster`.
    pub exec_mode: String,
    /// The interpreter, when it is not node.
    #[serde(default)]
    pub interpreter: Option<String>,
}
