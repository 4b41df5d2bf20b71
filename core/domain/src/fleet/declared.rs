//! What the sections about hosts declare, seen as resources: which key each entry has, where it stands, and what it refers to.
//! The checks on fleet files and the compiler both ask here, so that a reference means the same to both.

use super::base::{self, Base};
use super::{Common, FileEntry, FleetConfiguration, Selector, edges};
use crate::{NodeName, host_names, host_path, resource::ResourceKey, selection::Target};
use std::borrow::Cow;

/// One resource that is declared somewhere.
#[derive(Debug, Clone)]
pub struct Declared<'a> {
    /// Where: section, entry, and further parts of the path of the field.
    pub at: Vec<Cow<'a, str>>,
    /// Its key on the nodes that have it.
    pub key: ResourceKey,
    /// Which nodes have it, and what else it says of itself.
    pub common: Common<'a>,
    /// Only this node has it.
    pub node: Option<&'a NodeName>,
    /// Whether others may declare it as well.
    pub sharing: Sharing,
    /// What comes first without being said, where it is declared at all.
    pub after: Vec<ResourceKey>,
    /// What it restarts after without being said, where it is declared at all.
    pub restarts_after: Vec<ResourceKey>,
    /// Paths that it writes besides those that its key tells.
    pub writes: Vec<String>,
}

/// Whether several entries may declare one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// One entry says everything.
    Own,
    /// Each adds to it: the lines of `hosts`, the rules of `firewall`.
    Shared,
    /// It comes with something else unless somebody declares it himself.
    Implied,
}

impl<'a> Declared<'a> {
    fn own(at: Vec<Cow<'a, str>>, key: ResourceKey, common: Common<'a>) -> Self {
        let (after, restarts_after, writes) = (Vec::new(), Vec::new(), Vec::new());
        Self { at, key, common, node: None, sharing: Sharing::Own, after, restarts_after, writes }
    }

    /// Whether a node has it.
    pub fn is_on(&self, target: &Target<'_>) -> bool {
        target.has(self.common.on) && self.node.is_none_or(|node| node == target.node)
    }

    /// Whether every node has it, also one that is enrolled without being declared.
    pub fn everywhere(&self) -> bool {
        self.common.on.is_none_or(|on| *on == Selector::default()) && self.node.is_none()
    }

    /// The paths that it claims on the node: no other resource may stand there.
    pub fn paths(&self) -> Vec<Cow<'_, str>> {
        let name = self.key.name();
        let drop_in = |folder: &str| vec![Cow::Owned(format!("{folder}/{name}"))];
        match self.key.kind() {
            "directory" | "file" | "secret_file" | "symlink" => vec![Cow::Borrowed(name)],
            "systemd_unit" => drop_in(SYSTEMD_UNITS),
            "cron_job" => vec![Cow::Owned(format!("/etc/cron.d/{CRON_JOB_PREFIX}{name}"))],
            "logrotate" => drop_in("/etc/logrotate.d"),
            "hosts" => vec![Cow::Borrowed("/etc/hosts")],
            _ => self.writes.iter().map(|path| Cow::Borrowed(path.as_str())).collect(),
        }
    }
}

/// The folder of unit files that people make.
pub const SYSTEMD_UNITS: &str = "/etc/systemd/system";
/// What the files of jobs begin with.
pub const CRON_JOB_PREFIX: &str = "muster-";
/// The file that gives admins sudo.
pub const ADMINS_SUDOERS: &str = "/etc/sudoers.d/90-muster-admins";
/// The folder of settings of the journal.
pub const JOURNAL_FOLDER: &str = "/etc/systemd/journald.conf.d";
/// The file with our settings of the journal.
pub const JOURNAL_SETTINGS: &str = "/etc/systemd/journald.conf.d/50-muster.conf";
/// The unit of the journal.
pub const JOURNAL_UNIT: &str = "systemd-journald.service";
/// The package that runs jobs.
pub const CRON: &str = "cron";
/// The package that rotates logs.
pub const LOGROTATE: &str = "logrotate";
/// The package with which the firewall is made.
pub const FIREWALL: &str = "ufw";
/// What rotates logs.
pub const LOGROTATE_UNIT: &str = "logrotate.timer";
/// The folder of certificates that say no other.
pub const CERTIFICATES: &str = "/etc/ssl/muster";

/// The key of something that a node has once: `firewall:node`.
pub fn of_node(kind: &str) -> ResourceKey {
    ResourceKey::new(kind, "node")
}

/// The key of a package.
pub fn package(name: &str) -> ResourceKey {
    ResourceKey::new("package", name)
}

/// A unit with its suffix: `.service` unless there is one.
pub fn unit_name(name: &str) -> Cow<'_, str> {
    if host_names::unit(name) { Cow::Borrowed(name) } else { Cow::Owned(format!("{name}.service")) }
}

/// The key of a service.
pub fn service(name: &str) -> ResourceKey {
    ResourceKey::new("service", unit_name(name))
}

/// The key of a file entry: which kind it is depends on its form.
pub fn file(entry: &FileEntry) -> ResourceKey {
    let kind = match entry {
        FileEntry { directory: true, .. } => "directory",
        FileEntry { link_to: Some(_), .. } => "symlink",
        FileEntry { secret: Some(_), .. } => "secret_file",
        FileEntry { .. } => "file",
    };
    ResourceKey::new(kind, host_path::normal(&entry.path).unwrap_or(&entry.path))
}

/// What an entry is called on the node.
pub fn name_of<'a>(entry: &'a str, name: Option<&'a String>) -> &'a str {
    name.map_or(entry, String::as_str)
}

/// What a reference stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// One resource.
    One(ResourceKey),
    /// Everything that is declared below a folder, which is given without a slash at its end.
    Below(String),
}

/// The kinds of resources that may be referred to.
pub const KINDS: [&str; 23] = [
    "application",
    "apt_repository",
    "authorized_key",
    "certificate",
    "command",
    "cron_job",
    "directory",
    "file",
    "firewall",
    "group",
    "hostname",
    "hosts",
    "logrotate",
    "os_updates",
    "package",
    "secret_file",
    "service",
    "sshd",
    "symlink",
    "sysctl",
    "systemd_unit",
    "timezone",
    "user",
];

impl Reference {
    /// Reads `kind:name`. A service may be named without `.service`.
    pub fn parse(text: &str) -> Option<Self> {
        let key = ResourceKey::parse(text).ok()?;
        let (kind, name) = (key.kind(), key.name());
        if !KINDS.contains(&kind) {
            return None;
        }
        Some(match kind {
            "file" if name.ends_with('/') => Self::Below(host_path::normal(name)?.to_owned()),
            "service" => Self::One(service(name)),
            _ => Self::One(key),
        })
    }

    /// Whether it stands for a resource.
    pub fn means(&self, key: &ResourceKey) -> bool {
        match self {
            Self::One(one) => one == key,
            Self::Below(folder) => {
                matches!(key.kind(), "directory" | "file" | "secret_file" | "symlink")
                    && key.name().strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }
}

impl FleetConfiguration {
    /// Every resource that the sections about hosts declare. Applications are not among them.
    pub fn declared(&self) -> Vec<Declared<'_>> {
        let mut all = self.of_sections();
        all.extend(self.nodes.iter().filter(|(_, node)| node.hostname.is_some()).map(of_own_name));
        all
    }

    /// Those that are meant for one node.
    pub fn declared_on(&self, target: &Target<'_>) -> Vec<Declared<'_>> {
        let mut all = self.of_sections();
        all.retain(|declared| declared.is_on(target));
        let own = self.nodes.get_key_value(target.node).filter(|(_, node)| node.hostname.is_some());
        all.extend(own.map(of_own_name));
        all
    }

    fn of_sections(&self) -> Vec<Declared<'_>> {
        let mut all = Vec::new();
        let mut add = |section: &'static str, entry, key, common, after| {
            let at = vec![Cow::Borrowed(section), Cow::Borrowed(entry)];
            all.push(Declared { after, ..Declared::own(at, key, common) });
        };
        macro_rules! named {
            ($($section:ident: $kind:literal, $after:expr;)+) => {$(
                for (name, entry) in &self.$section {
                    let key = ResourceKey::new($kind, name_of(name, entry.name.as_ref()));
                    add(stringify!($section), name, key, entry.common(), $after(entry));
                }
            )+};
        }
        named!(
            packages: "package", |entry| edges::of_package(self, entry);
            apt_repositories: "apt_repository", |_| Vec::new();
            groups: "group", |_| Vec::new();
            users: "user", edges::of_user;
            systemd_units: "systemd_unit", |_| Vec::new();
            cron_jobs: "cron_job", edges::of_cron_job;
            logrotate: "logrotate", |_| vec![package(LOGROTATE)];
            sysctl: "sysctl", |_| Vec::new();
            commands: "command", edges::of_command;
        );
        for (name, entry) in &self.files {
            add("files", name, file(entry), entry.common(), edges::of_file(entry));
        }
        for (name, entry) in self.users.iter().filter(|(_, entry)| !entry.keys.is_empty()) {
            let user = name_of(name, entry.name.as_ref());
            let common = Common { depends_on: &[], ..entry.common() };
            let after = vec![ResourceKey::new("user", user)];
            add("users", name, ResourceKey::new("authorized_key", user), common, after);
        }
        for (section, name, common) in self
            .hosts
            .iter()
            .map(|(name, entry)| ("hosts", name, entry.common()))
            .chain(self.firewall.iter().map(|(name, entry)| ("firewall", name, entry.common())))
        {
            let at = vec![Cow::Borrowed(section), Cow::Borrowed(name.as_str())];
            let sharing = Sharing::Shared;
            let after = if section == "firewall" { firewall_after(self.base.as_ref()) } else { Vec::new() };
            all.push(Declared { sharing, after, ..Declared::own(at, of_node(section), common) });
        }
        for (entry_name, entry) in &self.certificates {
            let name = name_of(entry_name, entry.name.as_ref());
            let at = vec![Cow::Borrowed("certificates"), Cow::Borrowed(entry_name.as_str())];
            let writes = vec![entry.key_path(name), entry.certificate_path(name)];
            let mut after = edges::of_certificate(entry);
            if writes.iter().any(|path| host_path::ancestors(path).any(|above| above == CERTIFICATES)) {
                let folder = ResourceKey::new("directory", CERTIFICATES);
                after.push(folder.clone());
                let common = Common { on: entry.on.as_ref(), ..Common::default() };
                let sharing = Sharing::Implied;
                all.push(Declared { sharing, ..Declared::own(at.clone(), folder, common) });
            }
            all.push(Declared {
                after,
                writes,
                ..Declared::own(at, ResourceKey::new("certificate", name), entry.common())
            });
        }
        // What carries them out has to be there.
        let jobs = self.cron_jobs.iter().map(|(name, entry)| ("cron_jobs", name, entry.common(), CRON));
        let rules = self.logrotate.iter().map(|(name, entry)| ("logrotate", name, entry.common(), LOGROTATE));
        let ports = self.firewall.iter().map(|(name, entry)| ("firewall", name, entry.common(), FIREWALL));
        for (section, name, common, program) in jobs.chain(rules).chain(ports) {
            let at = vec![Cow::Borrowed(section), Cow::Borrowed(name.as_str())];
            let Common { on, enforcement, .. } = common;
            let common = Common { on, enforcement, ..Common::default() };
            all.push(Declared { sharing: Sharing::Implied, ..Declared::own(at, package(program), common) });
        }
        let unit_files = edges::unit_files(self);
        for (name, entry) in &self.services {
            let unit = unit_name(name_of(name, entry.name.as_ref()));
            let at = vec![Cow::Borrowed("services"), Cow::Borrowed(name.as_str())];
            all.push(Declared {
                after: edges::of_service(&unit),
                restarts_after: edges::units_of_service(&unit_files, &unit),
                ..Declared::own(at, service(&unit), entry.common())
            });
        }
        if let Some(base) = &self.base {
            all.extend(of_base(base));
        }
        all
    }
}

/// A host name that a node says itself.
fn of_own_name<'a>((name, _): (&'a NodeName, &'a super::Node)) -> Declared<'a> {
    let at = ["nodes", name.as_str(), "hostname"].map(Cow::Borrowed).to_vec();
    Declared { node: Some(name), ..Declared::own(at, of_node("hostname"), Common::default()) }
}

/// What comes before the firewall. Where SSH moves to another port, its old one is closed only when it did.
fn firewall_after(base: Option<&Base>) -> Vec<ResourceKey> {
    let ssh = base.and_then(|base| base::in_force(base.ssh.as_ref()));
    let moves = ssh.is_some_and(|ssh| ssh.port.is_some());
    [package(FIREWALL)].into_iter().chain(moves.then(|| of_node("sshd"))).collect()
}

/// What the base role declares.
fn of_base(base: &Base) -> Vec<Declared<'_>> {
    use Sharing::{Implied, Own, Shared};
    let mut all = Vec::new();
    let common = base.common();
    let mut add = |at: &[&str], key, sharing, after| {
        let at = std::iter::once("base").chain(at.iter().copied()).map(|part| Cow::Owned(part.to_owned()));
        all.push(Declared { sharing, after, ..Declared::own(at.collect(), key, common) });
    };
    let user = |name: &String| ResourceKey::new("user", name);
    let keys = |name: &String| ResourceKey::new("authorized_key", name);
    let sudoers = ResourceKey::new("file", ADMINS_SUDOERS);
    for (name, admin) in &base.admins {
        let groups = admin.groups.iter().map(|group| ResourceKey::new("group", group)).collect();
        add(&["admins", name], user(name), Own, groups);
        add(&["admins", name, "keys"], keys(name), Own, vec![user(name)]);
    }
    if base.has_sudo() {
        // Keys too: while those of a new administrator cannot be put there, the former ones stay administrators.
        let sudoing = base.admins.iter().filter(|(_, admin)| admin.sudo);
        let after = sudoing.flat_map(|(name, _)| [user(name), keys(name)]).chain([package("sudo")]).collect();
        add(&["admins"], sudoers.clone(), Own, after);
        add(&["admins"], package("sudo"), Implied, Vec::new());
    }
    if base::in_force(base.ssh.as_ref()).is_some() {
        // Nobody is locked out by settings that came before the keys.
        let mut after: Vec<_> = base.admins.keys().map(keys).collect();
        after.extend([sudoers, package("openssh-server")]);
        add(&["ssh"], of_node("sshd"), Own, after);
    }
    if base::in_force(base.firewall.as_ref()).is_some() {
        add(&["firewall"], of_node("firewall"), Shared, firewall_after(Some(base)));
        add(&["firewall"], package(FIREWALL), Implied, Vec::new());
    }
    if base::in_force(base.updates.as_ref()).is_some() {
        let installer = package("unattended-upgrades");
        add(&["updates"], of_node("os_updates"), Own, vec![installer.clone()]);
        add(&["updates"], installer, Implied, Vec::new());
    }
    if let Some(time_sync) = base::in_force(base.time_sync.as_ref()) {
        let program = package(time_sync.package());
        add(&["time_sync"], service(time_sync.unit()), Implied, vec![program.clone()]);
        add(&["time_sync"], program, Implied, Vec::new());
    }
    if base::in_force(base.journal.as_ref()).is_some() {
        let folder = ResourceKey::new("directory", JOURNAL_FOLDER);
        add(&["journal"], folder.clone(), Implied, Vec::new());
        add(&["journal"], ResourceKey::new("file", JOURNAL_SETTINGS), Own, vec![folder]);
        add(&["journal"], service(JOURNAL_UNIT), Implied, Vec::new());
    }
    if base.rotates_logs() {
        add(&["logrotate"], service(LOGROTATE_UNIT), Implied, vec![package(LOGROTATE)]);
        add(&["logrotate"], package(LOGROTATE), Implied, Vec::new());
    }
    if base.timezone.is_some() {
        add(&["timezone"], of_node("timezone"), Own, Vec::new());
    }
    if base.hostname {
        add(&["hostname"], of_node("hostname"), Implied, Vec::new());
    }
    for address in base.hosts.keys() {
        add(&["hosts", address], of_node("hosts"), Shared, Vec::new());
    }
    for (index, name) in base.packages.iter().enumerate() {
        add(&["packages", &index.to_string()], package(name), Own, Vec::new());
    }
    for name in base.sysctl.keys() {
        add(&["sysctl", name], ResourceKey::new("sysctl", name), Own, Vec::new());
    }
    for declared in all.iter_mut().filter(|declared| declared.key == service(JOURNAL_UNIT)) {
        declared.restarts_after.push(ResourceKey::new("file", JOURNAL_SETTINGS));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_in_one_way() {
        let one = |text: &str| Some(Reference::One(ResourceKey::parse(text).expect("a key")));
        assert_eq!(Reference::parse("package:nginx"), one("package:nginx"));
        assert_eq!(Reference::parse("service:nginx"), one("service:nginx.service"));
        assert_eq!(Reference::parse("service:fstrim.timer"), one("service:fstrim.timer"));
        assert_eq!(Reference::parse("file:/etc/nginx/"), Some(Reference::Below("/etc/nginx".to_owned())));
        for bad in ["", "nginx", "file:", ":a", "things:a", "file:/", "file:../a/"] {
            assert_eq!(Reference::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_folder_means_what_is_below_it() {
        let folder = Reference::parse("file:/etc/nginx/").expect("it is valid");
        let means = |key: &str| folder.means(&ResourceKey::parse(key).expect("a key"));
        assert!(means("file:/etc/nginx/nginx.conf") && means("symlink:/etc/nginx/sites-enabled/shop"));
        assert!(means("secret_file:/etc/nginx/key") && means("directory:/etc/nginx/snippets"));
        assert!(
            !means("directory:/etc/nginx")
                && !means("file:/etc/nginx-extra/a")
                && !means("package:/etc/nginx/a")
        );
    }
}
