//! The base role: what every node has, when there is a `base:` section.

use super::{
    accounts,
    host::Host,
    packages,
    services::{service, yes_or_no},
    system::{folder, sysctl},
};
use muster_domain::{
    fleet::{
        Size,
        base::{Base, BaseJournal, BaseSsh, BaseUpdates, Often, RootLogin, in_force},
        declared::{
            ADMINS_SUDOERS, JOURNAL_FOLDER, JOURNAL_SETTINGS, JOURNAL_UNIT, LOGROTATE_UNIT, of_node, package,
        },
    },
    host_names,
    resource::{
        DesiredState, Ensure, File, OnRemoval, OsUpdates, ResourceKey, Sshd, Timezone, UpdateScope, User,
        Validator,
    },
    window::Window,
};

/// What the journal may keep when nobody says so: a tenth of a small disk is far more than anybody reads.
const JOURNAL_SIZE: &str = "500M";
/// What stands on top of files that are made from the base role.
const MADE: &str =
    "# Made by Muster from the section `base` of the fleet files. What is changed here is put right again.\n";

/// The base role of the node, if it has one.
pub(super) fn of<'a>(host: &Host<'a, '_>) -> Option<&'a Base> {
    let base = host.input.configuration.base.as_ref()?;
    host.target.has(base.on.as_ref()).then_some(base)
}

/// Adds what the base role gives the node; what somebody declared himself stands already, and is left as declared.
pub(super) fn compile(host: &mut Host<'_, '_>) {
    let Some(base) = of(host) else { return };
    admins(host, base);
    if let Some(ssh) = in_force(base.ssh.as_ref()) {
        host.add(of_node("sshd"), DesiredState::Sshd(Sshd { settings: sshd(base, &ssh) }));
    }
    if let Some(updates) = in_force(base.updates.as_ref()) {
        os_updates(host, &updates);
    }
    if let Some(time_sync) = in_force(base.time_sync.as_ref()) {
        host.imply(package(time_sync.package()), packages::present(time_sync.package()));
        let unit = time_sync.unit();
        host.imply(ResourceKey::new("service", unit), service(unit, Some(true), Some(true)));
    }
    if let Some(settings) = in_force(base.journal.as_ref()) {
        host.imply(ResourceKey::new("directory", JOURNAL_FOLDER), folder(JOURNAL_FOLDER));
        host.add(ResourceKey::new("file", JOURNAL_SETTINGS), journal(&settings));
        // It is always there, and cannot be enabled.
        host.imply(ResourceKey::new("service", JOURNAL_UNIT), service(JOURNAL_UNIT, None, Some(true)));
    }
    if base.rotates_logs() {
        host.imply(package("logrotate"), packages::present("logrotate"));
        let timer = service(LOGROTATE_UNIT, Some(true), Some(true));
        host.imply(ResourceKey::new("service", LOGROTATE_UNIT), timer);
    }
    if let Some(timezone) = &base.timezone {
        host.must(timezone, host_names::timezone, "base.timezone");
        host.add(of_node("timezone"), DesiredState::Timezone(Timezone { name: timezone.clone() }));
    }
    for name in &base.packages {
        host.must(name, host_names::package, "base.packages");
        host.add(package(name), packages::present(name));
    }
    for (name, value) in &base.sysctl {
        sysctl(host, name, value);
    }
}

fn root_file(path: &str, content: String, mode: u32, validate: Option<Validator>) -> DesiredState {
    DesiredState::File(File {
        path: path.to_owned(),
        content: content.into_bytes(),
        mode,
        owner: Some("root".to_owned()),
        group: Some("root".to_owned()),
        sensitive: false,
        validate,
    })
}

fn admins(host: &mut Host<'_, '_>, base: &Base) {
    let mut sudoers = MADE.to_owned();
    for (name, admin) in &base.admins {
        let place = format!("base.admins.{name}");
        host.must(name, host_names::account, &place);
        admin.groups.iter().for_each(|group| host.must(group, host_names::account, &place));
        host.add(
            ResourceKey::new("user", name),
            DesiredState::User(User {
                name: name.clone(),
                ensure: Ensure::Present,
                uid: None,
                group: None,
                groups: admin.groups.clone(),
                shell: Some(admin.shell.clone().unwrap_or_else(|| "/bin/bash".to_owned())),
                home: None,
                comment: None,
                system: false,
            }),
        );
        accounts::keys(host, name, &admin.keys, true, &place);
        // Whoever is no longer an admin cannot sign in any more.
        host.resources.last_mut().expect("the keys were added above").on_removal = OnRemoval::Remove;
        if admin.sudo {
            sudoers.push_str(&format!("{name} ALL=(ALL:ALL) NOPASSWD: ALL\n"));
        }
    }
    if base.has_sudo() {
        let file = root_file(ADMINS_SUDOERS, sudoers, 0o440, Some(Validator::Sudoers));
        host.add(ResourceKey::new("file", ADMINS_SUDOERS), file);
        host.resources.last_mut().expect("the file was added above").on_removal = OnRemoval::Remove;
        host.imply(package("sudo"), packages::present("sudo"));
    }
}

/// Settings of the SSH server: what has a field, sensible defaults, and what people add, which wins over the defaults.
fn sshd(base: &Base, ssh: &BaseSsh) -> Vec<(String, String)> {
    let root = ssh.permit_root_login.unwrap_or(match base.has_sudo() {
        true => RootLogin::No,
        false => RootLogin::ProhibitPassword,
    });
    let passwords = if ssh.password_authentication { "yes" } else { "no" };
    let mut settings: Vec<(String, String)> = Vec::new();
    let mut set = |keyword: &str, value: String| settings.push((keyword.to_owned(), value));
    if let Some(port) = ssh.port {
        set("Port", port.to_string());
    }
    set("PermitRootLogin", root.as_str().to_owned());
    set("PasswordAuthentication", passwords.to_owned());
    let own = |keyword: &str| ssh.settings.keys().any(|theirs| theirs.eq_ignore_ascii_case(keyword));
    let mut defaults = vec![
        ("PermitEmptyPasswords", "no"),
        ("X11Forwarding", "no"),
        ("MaxAuthTries", "4"),
        ("LoginGraceTime", "30"),
    ];
    if !ssh.password_authentication {
        // It is another way to be asked for the password.
        defaults.push(("KbdInteractiveAuthentication", "no"));
    }
    for (keyword, value) in defaults.into_iter().filter(|(keyword, _)| !own(keyword)) {
        set(keyword, value.to_owned());
    }
    for (keyword, value) in &ssh.settings {
        set(keyword, yes_or_no(value));
    }
    settings
}

fn os_updates(host: &mut Host<'_, '_>, updates: &BaseUpdates) {
    let BaseUpdates { security, other, reboot } = updates;
    let scope = match (security.unwrap_or(Often::Daily), other.unwrap_or(Often::Never)) {
        (_, Often::Daily) => UpdateScope::All,
        (Often::Daily, Often::Never) => UpdateScope::Security,
        (Often::Never, Often::Never) => UpdateScope::None,
    };
    let reboot = match reboot.as_deref().map(Window::parse).transpose() {
        Ok(reboot) => reboot,
        Err(error) => {
            host.invalid("base.updates.reboot", error.to_string());
            return;
        }
    };
    host.imply(package("unattended-upgrades"), packages::present("unattended-upgrades"));
    host.add(of_node("os_updates"), DesiredState::OsUpdates(OsUpdates { scope, reboot }));
}

fn journal(settings: &BaseJournal) -> DesiredState {
    let size = match &settings.max_size {
        None => JOURNAL_SIZE.to_owned(),
        Some(Size::Text(text)) => text.clone(),
        Some(Size::Bytes(bytes)) => bytes.to_string(),
    };
    let mut content = format!("{MADE}[Journal]\nSystemMaxUse={size}\n");
    if let Some(days) = settings.max_days {
        content.push_str(&format!("MaxRetentionSec={days}day\n"));
    }
    root_file(JOURNAL_SETTINGS, content, 0o644, None)
}
