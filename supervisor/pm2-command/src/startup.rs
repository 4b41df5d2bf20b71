//! `startup` and `unstartup`: the saved list comes back after a reboot.

mod scripts;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::shell::{quote, which, write_atomically};
use crate::{Context, Failure, Home};
use scripts::Service;

/// Arguments of both verbs; `-u`, `--hp`, `--wait-ip` and `--service-name` are flags of every command.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// systemd, openrc, systemv or upstart; found out when not given
    pub platform: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
struct Wanted {
    platform: Option<String>,
    user: Option<String>,
    hp: Option<String>,
    wait_ip: bool,
    service_name: Option<String>,
}

impl Wanted {
    fn of(context: &Context, args: Args) -> Self {
        let flags = &context.flags;
        Self {
            platform: args.platform,
            user: flags.user.clone(),
            hp: flags.hp.clone(),
            wait_ip: flags.wait_ip,
            service_name: flags.service_name.clone(),
        }
    }
}

/// The part of the machine that is written to.
#[derive(Debug, Clone)]
struct Machine {
    /// `/`
    root: PathBuf,
    superuser: bool,
    env: BTreeMap<String, String>,
    /// The supervisor's own binary.
    program: PathBuf,
}

/// Whose scripts we can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Init {
    Systemd,
    OpenRc,
    /// Scripts in `/etc/init.d`, enabled by `update-rc.d` (pm2 calls it upstart) or `chkconfig`.
    SystemV {
        chkconfig: bool,
    },
}

/// Enables the start at boot.
pub(crate) async fn startup(context: &Context, args: Args) -> Result<(), Failure> {
    Machine::this(&context.env)?.startup(&Wanted::of(context, args), &context.home).await
}

/// Disables it. Applications go on running.
pub(crate) async fn unstartup(context: &Context, args: Args) -> Result<(), Failure> {
    Machine::this(&context.env)?.unstartup(&Wanted::of(context, args), &context.home).await
}

impl Machine {
    fn this(env: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let program = crate::program::supervisor()?;
        let superuser = rustix::process::geteuid().is_root();
        Ok(Self { root: PathBuf::from("/"), superuser, env: env.clone(), program })
    }

    async fn startup(&self, args: &Wanted, home: &Home) -> Result<(), Failure> {
        let init = self.init(args.platform.as_deref())?;
        let user = self.user(args)?;
        if !self.superuser {
            return Err(self.not_root("startup", "setup", init, &user, home));
        }
        let service = self.service(args, home, &user)?;
        let (text, mode) = match init {
            Init::Systemd => (scripts::systemd(&service), 0o644),
            Init::OpenRc => (scripts::openrc(&service), 0o755),
            Init::SystemV { .. } => (scripts::systemv(&service), 0o755),
        };
        let destination = self.destination(init, &service.name);
        println!("Platform {}", init.word());
        println!("Template\n{text}");
        println!("Target path\n{}", destination.display());
        println!("[PM2] Writing init configuration in {}", destination.display());
        write_atomically(&destination, &text, mode)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", destination.display())))?;
        println!("[PM2] Making script booting at startup...");
        for command in init.enable(&service.name) {
            self.execute(&command).await?;
        }
        println!("+---------------------------------------+");
        println!("[PM2] Freeze a process list on reboot via:\n$ pm2 save\n");
        println!("[PM2] Remove init script via:\n$ pm2 unstartup {}", init.word());
        Ok(())
    }

    async fn unstartup(&self, args: &Wanted, home: &Home) -> Result<(), Failure> {
        let init = self.init(args.platform.as_deref())?;
        let user = self.user(args)?;
        if !self.superuser {
            return Err(self.not_root("unstartup", "unsetup", init, &user, home));
        }
        let name = service_name(args, &user)?;
        let destination = self.destination(init, &name);
        if !destination.exists() {
            return Err(Failure::new(format!("there is no startup script at {}", destination.display()))
                .hint("name its user with -u USER, or the service with --service-name"));
        }
        for command in init.disable(&name) {
            self.execute(&command).await?;
        }
        match std::fs::remove_file(&destination) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Failure::new(format!("cannot remove {}: {error}", destination.display())));
            }
            _ => println!("[PM2] Removed {}", destination.display()),
        }
        if init == Init::Systemd {
            self.execute(&words(&["systemctl", "daemon-reload"])).await?;
        }
        println!("[PM2] Init file disabled. Applications go on running; `pm2 kill` ends them.");
        Ok(())
    }

    /// What pm2 prints: the last line is a command to copy, and scripts run it.
    fn not_root(&self, verb: &str, mode: &str, init: Init, user: &str, home: &Home) -> Failure {
        println!("[PM2] To {mode} the Startup Script, copy/paste the following command:");
        let folder = self.program.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
        let user_home = self.env.get("HOME").map(String::as_str).unwrap_or("/");
        let own_home = Path::new(user_home).join(".pm2");
        // `--hp` names the folder above `.pm2`; any other PM2_HOME has to be said.
        let pm2_home = if home.dir() == own_home {
            String::new()
        } else {
            format!(" PM2_HOME={}", quote(&home.dir().to_string_lossy()))
        };
        println!(
            "sudo env PATH=$PATH:{}{pm2_home} {} pm2 {verb} {} -u {} --hp {}",
            quote(&folder),
            quote(&self.program.to_string_lossy()),
            init.word(),
            quote(user),
            quote(user_home),
        );
        Failure::new("You have to run this with elevated rights")
    }

    fn user(&self, args: &Wanted) -> Result<String, Failure> {
        let own = || ["USER", "LOGNAME"].iter().find_map(|name| self.env.get(*name)).cloned();
        let user = args.user.clone().or_else(own).or_else(|| self.user_by_id()).unwrap_or_default();
        let valid = |c: char| c.is_ascii_alphanumeric() || "._-@\\".contains(c);
        if user.is_empty() || user.starts_with('-') || !user.chars().all(valid) {
            return Err(
                Failure::new(format!("{user:?} is not the name of a user")).hint("name one with -u USER")
            );
        }
        Ok(user)
    }

    fn user_by_id(&self) -> Option<String> {
        let own = rustix::process::geteuid().as_raw().to_string();
        self.passwd(|fields| fields.get(2) == Some(&own.as_str())).map(|(name, _)| name)
    }

    /// Name and home of a local user.
    fn passwd(&self, wanted: impl Fn(&[&str]) -> bool) -> Option<(String, String)> {
        let text = std::fs::read_to_string(self.root.join("etc/passwd")).ok()?;
        text.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (fields.len() >= 6 && wanted(&fields)).then(|| (fields[0].to_owned(), fields[5].to_owned()))
        })
    }

    fn service(&self, args: &Wanted, home: &Home, user: &str) -> Result<Service, Failure> {
        let own = self.env.get("USER").or_else(|| self.env.get("LOGNAME")).is_some_and(|own| own == user);
        let pm2_home = match (&args.hp, self.env.contains_key("PM2_HOME")) {
            (_, true) => home.dir().to_owned(),
            (Some(hp), false) => Path::new(hp).join(".pm2"),
            (None, false) if own => home.dir().to_owned(),
            // Ours would be root's list, started as somebody else.
            (None, false) => {
                let (_, of_user) = self.passwd(|fields| fields.first() == Some(&user)).ok_or_else(|| {
                    Failure::new(format!("user {user:?} is not in /etc/passwd"))
                        .hint("name its home folder with --hp PATH")
                })?;
                Path::new(&of_user).join(".pm2")
            }
        };
        if !pm2_home.is_absolute() {
            return Err(Failure::new(format!("{} is not an absolute path", pm2_home.display())));
        }
        Ok(Service {
            name: service_name(args, user)?,
            user: user.to_owned(),
            pm2_home: single_line(&pm2_home.to_string_lossy())?,
            program: single_line(&self.program.to_string_lossy())?,
            path: single_line(&self.path_of_applications())?,
            wait_ip: args.wait_ip,
        })
    }

    /// The caller's PATH and the usual folders, each once.
    fn path_of_applications(&self) -> String {
        let own = self.env.get("PATH").map_or("", String::as_str);
        let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        let mut folders: Vec<&str> = Vec::new();
        for folder in own.split(':').chain(usual) {
            if folder.starts_with('/') && !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        folders.join(":")
    }

    fn destination(&self, init: Init, service: &str) -> PathBuf {
        match init {
            Init::Systemd => self.root.join("etc/systemd/system").join(format!("{service}.service")),
            Init::OpenRc | Init::SystemV { .. } => self.root.join("etc/init.d").join(service),
        }
    }

    fn init(&self, platform: Option<&str>) -> Result<Init, Failure> {
        let path = self.path();
        let found = [
            ("systemctl", Init::Systemd),
            ("update-rc.d", Init::SystemV { chkconfig: false }),
            ("chkconfig", Init::SystemV { chkconfig: true }),
            ("rc-update", Init::OpenRc),
        ]
        .into_iter()
        .find(|(program, _)| which(program, &path).is_some())
        .map(|(_, init)| init);
        if let Some(found) = found {
            println!("[PM2] Init System found: {}", found.word());
        }
        let Some(platform) = platform else {
            return found
                .ok_or_else(|| Failure::new("Init system not found").hint("name it: pm2 startup systemd"));
        };
        let wanted = match platform {
            "systemd" | "ubuntu" | "centos" | "arch" | "oracle" => Init::Systemd,
            "openrc" | "gentoo" => Init::OpenRc,
            "upstart" | "ubuntu14" | "ubuntu12" => Init::SystemV { chkconfig: false },
            "systemv" | "amazon" | "centos6" => Init::SystemV { chkconfig: true },
            "launchd" | "macos" | "darwin" | "rcd" | "freebsd" | "rcd-openbsd" | "openbsd" | "smf"
            | "sunos" | "solaris" => {
                return Err(Failure::new(format!(
                    "{platform} is not an init system of Linux, and this supervisor runs on Linux only"
                )));
            }
            other => {
                return Err(Failure::new(format!("Unknown platform / init system name {other:?}"))
                    .hint("known: systemd, openrc, systemv, upstart"));
            }
        };
        if found.is_some_and(|found| found != wanted) {
            println!("-----------------------------------------------------------");
            println!(" PM2 detected {} but you precised {platform}", found.map_or("", Init::word));
            println!(" Please verify that your choice is indeed your init system");
            println!(" If you arent sure, just run : pm2 startup");
            println!("-----------------------------------------------------------");
        }
        Ok(wanted)
    }

    /// Root's own folders are not in everybody's PATH.
    fn path(&self) -> String {
        let mut path = self.env.get("PATH").cloned().unwrap_or_default();
        for folder in ["usr/local/sbin", "usr/sbin", "sbin", "usr/bin", "bin"] {
            path.push(':');
            path.push_str(&self.root.join(folder).to_string_lossy());
        }
        path
    }

    async fn execute(&self, command: &[String]) -> Result<(), Failure> {
        let shown = command.join(" ");
        println!("[PM2] [-] Executing: {shown}...");
        let failed = |why: String| Failure::new(format!("{shown} failed: {why}"));
        let path = self.path();
        let program =
            which(&command[0], &path).ok_or_else(|| failed(format!("{} is not installed", command[0])))?;
        let output = Command::new(program)
            .args(&command[1..])
            .env("PATH", &path)
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(format!("{}: {}", output.status, said.trim())));
        }
        println!("[PM2] [v] Command successfully executed.");
        Ok(())
    }
}

impl Init {
    const fn word(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "openrc",
            Self::SystemV { chkconfig: false } => "upstart",
            Self::SystemV { chkconfig: true } => "systemv",
        }
    }

    fn enable(self, service: &str) -> Vec<Vec<String>> {
        match self {
            Self::Systemd => {
                vec![words(&["systemctl", "daemon-reload"]), words(&["systemctl", "enable", service])]
            }
            Self::OpenRc => vec![words(&["rc-update", "add", service, "default"])],
            Self::SystemV { chkconfig: false } => vec![words(&["update-rc.d", service, "defaults"])],
            Self::SystemV { chkconfig: true } => {
                vec![words(&["chkconfig", "--add", service]), words(&["chkconfig", service, "on"])]
            }
        }
    }

    fn disable(self, service: &str) -> Vec<Vec<String>> {
        match self {
            Self::Systemd => vec![words(&["systemctl", "disable", service])],
            Self::OpenRc => vec![words(&["rc-update", "delete", service, "default"])],
            Self::SystemV { chkconfig: false } => vec![words(&["update-rc.d", "-f", service, "remove"])],
            Self::SystemV { chkconfig: true } => vec![words(&["chkconfig", service, "off"])],
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn service_name(args: &Wanted, user: &str) -> Result<String, Failure> {
    let name = args.service_name.clone().unwrap_or_else(|| format!("pm2-{}", user.replace('\\', "-")));
    let valid = |c: char| c.is_ascii_alphanumeric() || ":_.-@".contains(c);
    if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(valid) {
        return Err(Failure::new(format!(
            "{name:?} is not the name of a service: letters, digits, : _ . - @"
        )));
    }
    Ok(name)
}

/// A line break would begin another setting of the script.
fn single_line(text: &str) -> Result<String, Failure> {
    if text.contains(['\n', '\r', '\0']) {
        return Err(Failure::new(format!("{text:?} has a line break in it, which no init system takes")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests;
