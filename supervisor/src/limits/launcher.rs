//! The launcher: what becomes an application.
//!
//! Runs as the process of the application and with the rights of the supervisor, puts itself into its control group,
//! sets its limits, becomes the user, and executes the program. Single-threaded, so what it changes about itself
//! holds for all of it.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use muster_supervisor_protocol::Limits;
use rustix::process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit};

use super::decide::{Group, Machine, decide};
use super::hierarchy::Hierarchies;
use super::own_group::{self, Places};
use super::scope::{self, NoScope, Scope};
use super::wire::{self, Answer, Identity, Orders};
use super::{Controllers, Enclosure, group_name};

/// The binary that runs, also when its file was replaced meanwhile.
const OWN_IMAGE: &str = "/proc/self/exe";
/// Name of the process until it executes the program.
pub(super) const LAUNCHER_NAME: &str = "muster-launcher";
/// As a shell says that it could not execute something.
const NOT_EXECUTED: u8 = 127;

/// Does what standard input says; only comes back when that failed.
#[must_use]
pub fn enclose() -> ExitCode {
    let (orders, stream) = match wire::receive() {
        Ok(received) => received,
        Err(error) => {
            tracing::error!(%error, "this is a part of muster-supervisor and not for people");
            return ExitCode::from(NOT_EXECUTED);
        }
    };
    let reason = match enter(&orders) {
        Ok(notes) => {
            wire::answer(&stream, &Answer::Entered { notes });
            execute(&orders)
        }
        Err(reason) => reason,
    };
    tracing::error!(reason, "the application cannot be started");
    wire::answer(&stream, &Answer::Failed { reason });
    ExitCode::from(NOT_EXECUTED)
}

/// The command that starts a launcher; its standard input must be what `wire::prepare` made.
pub(crate) fn command() -> Command {
    let mut command = Command::new(OWN_IMAGE);
    command.arg0(LAUNCHER_NAME).arg("enclose");
    command
}

/// Everything up to the user; what could not be done as wanted is noted.
fn enter(orders: &Orders) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    notes.extend(limit_open_files(&orders.limits)?);
    notes.extend(enter_group(orders)?);
    limit_processes_of_user(orders)?;
    if let Some(identity) = &orders.identity {
        become_user(identity)?;
    }
    Ok(notes)
}

fn enter_group(orders: &Orders) -> Result<Vec<String>, String> {
    let limits = &orders.limits;
    let wanted = Controllers::wanted(limits);
    if wanted.none() {
        return Ok(Vec::new());
    }
    let (systemd, systemd_owns_groups) = scope::manager();
    let places =
        if systemd_owns_groups { Places::default() } else { Places::find(&Hierarchies::mounted(), wanted) };
    let machine = Machine {
        systemd,
        systemd_owns_groups,
        v2: places.v2.as_ref().map(|(_, controllers)| *controllers),
        v1: places.v1(),
    };
    let name = group_name(&orders.app, orders.index, std::process::id());
    match decide(&machine, limits) {
        Group::Scope(manager) => {
            let scope = Scope {
                name,
                description: format!("Muster application {}, instance {}", orders.app, orders.index),
                limits,
                kill_signal: orders.kill_signal,
                kill_timeout_ms: orders.kill_timeout_ms,
            };
            match scope::enter(manager, &scope) {
                Ok(()) => Ok(Vec::new()),
                Err(NoScope::Refused(why)) => Ok(vec![format!("no systemd scope: {why}")]),
                Err(NoScope::ShuttingDown) => Err("the machine is shutting down".to_owned()),
            }
        }
        Group::Own { v2, v1 } => Ok(own_group::enter(&places, v2.is_some(), v1, &name, limits)),
        Group::None => Ok(Vec::new()),
    }
}

/// Node.js raises its own limit as far as it may, so the hard limit is what counts.
fn limit_open_files(limits: &Limits) -> Result<Option<String>, String> {
    let Some(wanted) = limits.open_files else { return Ok(None) };
    let set = |limit| setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: Some(limit) });
    let possible = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    if set(wanted).is_ok() {
        return Ok(None);
    }
    let limit = wanted.min(possible);
    set(limit).map_err(|error| format!("its number of open files cannot be limited to {limit}: {error}"))?;
    Ok(Some(format!(
        "open files are limited to {limit}: more than that may not be given, {wanted} was asked for"
    )))
}

/// Where no control group counts processes: the kernel counts those of the user, all together. During a replacement
/// there are twice as many as the spec says.
fn limit_processes_of_user(orders: &Orders) -> Result<(), String> {
    let (Some(pids), Some(identity)) = (orders.limits.pids, &orders.identity) else { return Ok(()) };
    let counted =
        Enclosure::of(std::process::id()).is_some_and(|group| group.held(&orders.limits).pids.is_some());
    if counted || identity.uid == 0 {
        return Ok(());
    }
    let limit = u64::from(pids).saturating_mul(u64::from(orders.instances).max(1) * 2);
    setrlimit(Resource::Nproc, Rlimit { current: Some(limit), maximum: Some(limit) })
        .map_err(|error| format!("the number of processes of its user cannot be limited to {limit}: {error}"))
}

fn become_user(identity: &Identity) -> Result<(), String> {
    let Identity { uid, gid, groups } = identity;
    let groups: Vec<Gid> = groups.iter().map(|group| Gid::from_raw(*group)).collect();
    let (user, group) = (Uid::from_raw(*uid), Gid::from_raw(*gid));
    rustix::thread::set_thread_groups(&groups)
        .and_then(|()| rustix::thread::set_thread_res_gid(group, group, group))
        .and_then(|()| rustix::thread::set_thread_res_uid(user, user, user))
        .map_err(|error| format!("it cannot run as user {uid}: {error}"))
}

fn execute(orders: &Orders) -> String {
    let Orders { program, args, cwd, env, .. } = orders;
    // Said here, because the kernel's answer would be about the program.
    if let Err(error) = std::env::set_current_dir(cwd) {
        return format!("its folder {cwd:?} cannot be entered: {error}");
    }
    let failed = Command::new(program).args(args).env_clear().envs(env).exec();
    format!("{program:?} cannot be executed: {failed}")
}
