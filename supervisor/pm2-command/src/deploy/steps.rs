//! What is done on one host, step after step; the first that fails ends it.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::settings::{Host, Settings};
use crate::shell::quote;
use crate::{Context, Failure};

/// One host and what it is told.
pub(super) struct Deployment<'a> {
    pub(super) context: &'a Context,
    pub(super) settings: &'a Settings,
    pub(super) host: &'a Host,
}

fn log(text: &str) {
    println!("  ○ {text}");
}

impl Deployment<'_> {
    pub(super) async fn setup(&self) -> Result<(), Failure> {
        let Settings { repo, path, reference, fast, hooks, .. } = self.settings;
        self.pre_setup().await?;
        let folder = |name: &str| quote(&format!("{path}/{name}"));
        let folders = ["shared/logs", "shared/pids", "source"].map(folder).join(" ");
        self.run(&format!("mkdir -p {folders}")).await.map_err(|_| Failure::new("setup paths failed"))?;
        log("running setup");
        log(&format!("cloning {repo}"));
        log(if *fast { "fast fetch" } else { "full fetch" });
        let depth = if *fast { "--depth=5 " } else { "" };
        let branch = reference.split_once('/').map_or(reference.as_str(), |(_, branch)| branch);
        let branch = if branch.is_empty() { String::new() } else { format!("--branch {} ", quote(branch)) };
        let clone = format!("git clone {depth}{branch}-- {} {}", quote(repo), folder("source"));
        self.run(&clone).await.map_err(|_| Failure::new("failed to clone"))?;
        self.link().await?;
        self.hook("post-setup", hooks.post_setup.as_deref()).await?;
        log("setup complete");
        Ok(())
    }

    /// Deploys a reference; empty = the latest tag.
    pub(super) async fn deploy(&self, reference: &str) -> Result<(), Failure> {
        self.bring(reference).await?;
        let test = self.settings.hooks.test.as_deref();
        if test.is_some()
            && let Err(failure) = self.hook("test", test).await
        {
            log("tests failed, reverting");
            self.revert(1).await?;
            return Err(Failure { message: format!("{}; reverted", failure.message), ..failure });
        }
        log(&format!("successfully deployed {reference}"));
        Ok(())
    }

    /// Deploys what was deployed `n` times ago.
    pub(super) async fn revert(&self, n: u32) -> Result<(), Failure> {
        log(&format!("reverting {n} deploy(s)"));
        let commit = self.ask(&self.nth_deploy(n + 1)).await?;
        let commit = commit.trim();
        if commit.is_empty() || !commit.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(Failure::new(format!("there is no deploy to revert to: {n} before the last one")));
        }
        self.bring(commit).await
    }

    pub(super) async fn current(&self) -> Result<(), Failure> {
        self.run(&format!("cd {} && git rev-parse --short HEAD", self.source())).await
    }

    pub(super) async fn previous(&self) -> Result<(), Failure> {
        self.run(&self.nth_deploy(2)).await
    }

    pub(super) async fn list(&self) -> Result<(), Failure> {
        let list = format!("tac {} | awk '{{printf \"%d\\t%s\\n\", NR-1, $0}}'", self.deploys());
        self.run(&list).await
    }

    pub(super) async fn execute(&self, command: &str) -> Result<(), Failure> {
        self.run(&format!("cd {} && {command}", quote(&format!("{}/current", self.settings.path)))).await
    }

    async fn bring(&self, reference: &str) -> Result<(), Failure> {
        let Settings { fast, hooks, .. } = self.settings;
        log(&format!("deploying {reference}"));
        log("executing pre-deploy-local");
        if let Some(command) = &hooks.pre_deploy_local {
            local(self.context, command).await.map_err(|_| Failure::new("pre-deploy-local hook failed"))?;
        }
        self.hook("pre-deploy", hooks.pre_deploy.as_deref()).await?;
        log("fetching updates");
        log(if *fast { "fast fetch" } else { "full fetch" });
        let depth = if *fast { "--depth=5 " } else { "" };
        let source = self.source();
        self.run(&format!("cd {source} && git fetch {depth}--all --tags"))
            .await
            .map_err(|_| Failure::new("fetch failed"))?;
        let mut reference = reference.to_owned();
        if reference.is_empty() {
            log("fetching latest tag");
            let tags = format!(
                "cd {source} && git for-each-ref --sort=-*authordate --sort=-creatordate --format='%(refname)' --count=1 refs/tags | cut -d / -f 3-"
            );
            let failed = || Failure::new("failed to determine latest tag");
            reference = self.ask(&tags).await.map_err(|_| failed())?.trim().to_owned();
            if reference.is_empty() {
                return Err(failed());
            }
        }
        log(&format!("resetting HEAD to {reference}"));
        self.run(&format!("cd {source} && git reset --hard {}", quote(&reference)))
            .await
            .map_err(|_| Failure::new("git reset failed"))?;
        self.link().await?;
        self.run(&format!("cd {source} && git rev-parse HEAD >> {}", self.deploys()))
            .await
            .map_err(|_| Failure::new("deploy log append failed"))?;
        let post = hooks.post_deploy.as_ref().map(|command| format!("{}{command}", self.settings.exports()));
        self.hook("post-deploy", post.as_deref()).await
    }

    async fn link(&self) -> Result<(), Failure> {
        let current = quote(&format!("{}/current", self.settings.path));
        let linked = self.run(&format!("ln -sfn {} {current}", self.source())).await;
        linked.map_err(|_| Failure::new("symlink failed"))
    }

    async fn pre_setup(&self) -> Result<(), Failure> {
        let Some(command) = &self.settings.hooks.pre_setup else {
            log("hook pre-setup");
            return Ok(());
        };
        let failed = |_| Failure::new("pre-setup hook failed");
        let first = command.split_whitespace().next().unwrap_or_default();
        let script = self.context.cwd.join(first);
        if script.is_file() {
            log(&format!("executing pre-setup script `{command}`"));
            return self.script(&script).await.map_err(failed);
        }
        log(&format!("executing pre-setup `{command}`"));
        self.run(command).await.map_err(failed)
    }

    /// A hook runs in the folder of the application, and knows the shared one.
    async fn hook(&self, name: &str, command: Option<&str>) -> Result<(), Failure> {
        let Some(command) = command else {
            log(&format!("hook {name}"));
            return Ok(());
        };
        log(&format!("executing {name} `{command}`"));
        let path = &self.settings.path;
        let current = quote(&format!("{path}/current"));
        let shared = quote(&format!("{path}/shared"));
        self.run(&format!("cd {current} && export SHARED={shared} && {{ {command}\n}}"))
            .await
            .map_err(|failure| Failure::new(format!("{name} hook failed: {}", failure.message)))
    }

    fn source(&self) -> String {
        quote(&format!("{}/source", self.settings.path))
    }

    fn deploys(&self) -> String {
        quote(&format!("{}/.deploys", self.settings.path))
    }

    fn nth_deploy(&self, n: u32) -> String {
        let deploys = self.deploys();
        // With fewer deploys than that `tail` would give the first of them.
        format!("[ $(wc -l < {deploys}) -ge {n} ] && tail -n {n} {deploys} | head -n 1 | cut -d ' ' -f 1")
    }

    /// Runs a command there; what it prints is seen here.
    async fn run(&self, command: &str) -> Result<(), Failure> {
        let status = self.command(command).status().await;
        outcome(&self.host.name, status)
    }

    /// Runs a command there and gives what it prints.
    async fn ask(&self, command: &str) -> Result<String, Failure> {
        let output = self.command(command).stdout(Stdio::piped()).stderr(Stdio::inherit()).output().await;
        match output {
            Ok(output) => {
                outcome(&self.host.name, Ok(output.status))?;
                Ok(String::from_utf8_lossy(&output.stdout).into_owned())
            }
            Err(error) => outcome(&self.host.name, Err(error)).map(|()| String::new()),
        }
    }

    /// Runs a script of this machine there.
    async fn script(&self, script: &Path) -> Result<(), Failure> {
        let file = std::fs::File::open(script)
            .map_err(|error| Failure::new(format!("{} cannot be read: {error}", script.display())))?;
        let status = self.command("bash -s").stdin(Stdio::from(file)).status().await;
        outcome(&self.host.name, status)
    }

    fn command(&self, command: &str) -> Command {
        match &self.host.ssh {
            Some(arguments) => {
                let mut ssh = child(self.context, "ssh");
                ssh.args(arguments).arg(command);
                ssh
            }
            None => shell(self.context, command),
        }
    }
}

/// Runs a command on this machine.
pub(super) async fn local(context: &Context, command: &str) -> Result<(), Failure> {
    outcome("this machine", shell(context, command).status().await)
}

fn shell(context: &Context, command: &str) -> Command {
    let mut bash = child(context, "bash");
    bash.args(["-c", command]);
    bash
}

fn child(context: &Context, program: &str) -> Command {
    let path = context.env.get("PATH").map_or("", String::as_str);
    let program = crate::shell::which(program, path).unwrap_or_else(|| program.into());
    let mut command = Command::new(program);
    command.env_clear().envs(&context.env).current_dir(&context.cwd);
    command
}

fn outcome(host: &str, status: std::io::Result<std::process::ExitStatus>) -> Result<(), Failure> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("a command on {host} ended with {status}"))),
        Err(error) => Err(Failure::new(format!("a command on {host} cannot be started: {error}"))),
    }
}
