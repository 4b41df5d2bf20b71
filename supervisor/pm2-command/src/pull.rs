//! `pull`, `forward`, `backward`: the working copy of an application moves to another commit, then it is reloaded.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use muster_supervisor_protocol::{AppSpec, ApplyOutcome};
use serde_json::Value;
use tokio::process::Command;

use crate::context::refused;
use crate::selector::select;
use crate::shell::which;
use crate::{Context, Failure};

/// Arguments of `pull`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PullArgs {
    /// Name
    pub name: String,
    /// Commit
    pub commit_id: Option<String>,
}

/// Arguments of `forward` and `backward`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Name
    pub name: String,
}

/// Where to go.
#[derive(Debug, Clone, PartialEq, Eq)]
enum To {
    Latest,
    Commit(String),
    Next,
    Previous,
}

/// Runs `pull`.
pub(crate) async fn pull(context: &Context, args: PullArgs) -> Result<(), Failure> {
    let to = args.commit_id.map_or(To::Latest, To::Commit);
    move_app(context, &args.name, &to).await
}

/// Runs `forward`.
pub(crate) async fn forward(context: &Context, args: Args) -> Result<(), Failure> {
    move_app(context, &args.name, &To::Next).await
}

/// Runs `backward`.
pub(crate) async fn backward(context: &Context, args: Args) -> Result<(), Failure> {
    move_app(context, &args.name, &To::Previous).await
}

async fn move_app(context: &Context, name: &str, to: &To) -> Result<(), Failure> {
    let mut client = context.connect().await?;
    let processes = context.processes(&mut client).await?;
    let places = select(&processes, name)?;
    let app = processes[places[0]].name.clone();
    let specs = client.specs(Some(app.clone())).await.map_err(refused)?;
    let spec =
        specs.first().ok_or_else(|| Failure::new(format!("No processes with this name or id : {name}")))?;
    context.output.message(format!("Updating repository for process name {app}"));
    let Some(commit) = update(context, spec, to).await? else {
        context.output.message(format!("Already up-to-date: {app}"));
        return Ok(());
    };
    context.output.message(format!("Process successfully updated {app}"));
    context.output.message(format!("Current commit {commit}"));
    match client.reload(&app).await.map_err(refused)?.outcome {
        ApplyOutcome::Failed { reason, last_stderr, .. } => Err(Failure::new(format!(
            "{app} was not reloaded, what ran before goes on: {reason}{}{}",
            if last_stderr.is_empty() { "" } else { "\n" },
            last_stderr.join("\n")
        ))
        .hint(format!("its working copy is at {commit}; `pm2 backward {app}` takes it back"))),
        ApplyOutcome::Unchanged | ApplyOutcome::Started | ApplyOutcome::Replaced => Ok(()),
    }
}

/// Moves the working copy and runs `post_update`; the commit it is at now, `None` when there is nowhere to go.
async fn update(context: &Context, spec: &AppSpec, to: &To) -> Result<Option<String>, Failure> {
    let folder = PathBuf::from(&spec.cwd);
    let git = Git { context, folder: &folder };
    let root = git.ask(&["rev-parse", "--show-toplevel"]).await.map_err(|_| {
        Failure::new(format!("No versioning system found for process {}", spec.name))
            .hint(format!("{} is in no git repository", spec.cwd))
    })?;
    let root = PathBuf::from(root);
    let git = Git { context, folder: &root };
    // Moving would destroy what nobody has committed.
    if !context.flags.force && !git.ask(&["status", "--porcelain", "--untracked-files=no"]).await?.is_empty()
    {
        return Err(Failure::new(format!("{} has changes that are not committed", root.display()))
            .hint("commit or stash them, or say --force to lose them"));
    }
    let before = git.ask(&["rev-parse", "HEAD"]).await?;
    if *to != To::Previous {
        git.ask(&["fetch", "--all", "--tags", "--quiet"]).await?;
    }
    let wanted = match to {
        To::Latest => git.ask(&["rev-parse", "@{upstream}"]).await?,
        To::Commit(commit) if commit.starts_with('-') => {
            return Err(Failure::new(format!("{commit:?} is not a commit")));
        }
        To::Commit(commit) => git.ask(&["rev-parse", "--verify", &format!("{commit}^{{commit}}")]).await?,
        To::Previous => git
            .ask(&["rev-parse", "--verify", "HEAD~1"])
            .await
            .map_err(|_| Failure::new("there is no commit before this one"))?,
        To::Next => {
            let later = git.ask(&["rev-list", "--reverse", "--ancestry-path", "HEAD..@{upstream}"]).await?;
            later.lines().next().unwrap_or(&before).to_owned()
        }
    };
    if wanted == before {
        return Ok(None);
    }
    git.ask(&["reset", "--hard", "--quiet", &wanted]).await?;
    for command in post_update(context, &root, &spec.name) {
        if let Err(failure) = git.run("bash", &["-c", &command], true).await {
            git.ask(&["reset", "--hard", "--quiet", &before]).await?;
            return Err(Failure::new(format!("`{command}` failed: {}", failure.message))
                .hint(format!("the working copy is back at {before}")));
        }
    }
    Ok(Some(wanted))
}

/// Files whose `post_update` counts.
const FILES: [&str; 6] = [
    "ecosystem.json",
    "process.json",
    "package.json",
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.json",
];

fn post_update(context: &Context, root: &Path, app: &str) -> Vec<String> {
    let commands = |file: &&str| {
        let path = root.join(file);
        let document = path.exists().then(|| muster_pm2::document(&path, &context.surroundings()).ok())??;
        let apps = document.get("apps")?.as_array()?.clone();
        let own = apps.into_iter().find(|known| known.get("name").and_then(Value::as_str) == Some(app))?;
        let commands = own.get("post_update")?.as_array()?.clone();
        Some(commands.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>())
    };
    FILES.iter().find_map(commands).unwrap_or_default()
}

struct Git<'a> {
    context: &'a Context,
    folder: &'a Path,
}

impl Git<'_> {
    async fn ask(&self, arguments: &[&str]) -> Result<String, Failure> {
        self.run("git", arguments, false).await
    }

    async fn run(&self, program: &str, arguments: &[&str], shown: bool) -> Result<String, Failure> {
        let env = &self.context.env;
        let path = env.get("PATH").map_or("", String::as_str);
        let failed = |why: String| Failure::new(format!("{program} {}: {why}", arguments.join(" ")));
        let program = which(program, path).ok_or_else(|| failed("it is not installed".to_owned()))?;
        let output = Command::new(program)
            .args(arguments)
            .current_dir(self.folder)
            .env_clear()
            .envs(env)
            // Nobody is there to be asked for a password.
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(|error| failed(error.to_string()))?;
        if shown {
            crate::output::print(&String::from_utf8_lossy(&output.stdout));
        }
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lab {
        dir: tempfile::TempDir,
        context: Context,
        spec: AppSpec,
    }

    fn sh(folder: &Path, script: &str) {
        let done =
            std::process::Command::new("bash").args(["-ec", script]).current_dir(folder).status().unwrap();
        assert!(done.success(), "{script}");
    }

    fn lab() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        sh(dir.path(), "git init -q --bare -b main repo.git; git init -q -b main work; cd work; git config user.name a; git config user.email a@a
            echo '{\"apps\": [{\"name\": \"web\", \"post_update\": [\"cp version built\", \"! grep -q bad version\"]}]}' > ecosystem.json
            for v in one two; do echo $v > version; git add -A; git commit -qm $v; done; git push -q ../repo.git main; cd ..; git clone -q repo.git live");
        let mut context = Context::of_this_process(crate::flags::Flags::default(), None).unwrap();
        context.cwd = dir.path().to_owned();
        let spec = AppSpec::new("web", dir.path().join("live").to_string_lossy(), "app.js");
        Lab { dir, context, spec }
    }

    impl Lab {
        async fn go(&self, to: &To) -> Result<Option<String>, Failure> {
            update(&self.context, &self.spec, to).await
        }

        fn version(&self) -> String {
            std::fs::read_to_string(self.dir.path().join("live/version")).unwrap().trim().to_owned()
        }

        fn push(&self, version: &str) {
            sh(
                &self.dir.path().join("work"),
                &format!("echo {version} > version; git commit -qam x; git push -q ../repo.git main"),
            );
        }
    }

    #[tokio::test]
    async fn the_working_copy_goes_back_and_forth() {
        let lab = lab();
        assert_eq!(lab.go(&To::Latest).await.unwrap(), None);
        lab.push("three");
        lab.push("four");
        assert!(lab.go(&To::Next).await.unwrap().is_some());
        assert_eq!(lab.version(), "three");
        assert!(lab.go(&To::Latest).await.unwrap().is_some());
        assert_eq!(lab.version(), "four");
        let back = lab.go(&To::Previous).await.unwrap().unwrap();
        assert_eq!(lab.version(), "three");
        assert!(lab.go(&To::Commit("HEAD~1".into())).await.unwrap().is_some());
        assert_eq!(lab.version(), "two");
        assert!(lab.go(&To::Commit(back)).await.unwrap().is_some());
        assert_eq!(std::fs::read_to_string(lab.dir.path().join("live/built")).unwrap().trim(), "three");
    }

    #[tokio::test]
    async fn what_fails_leaves_the_working_copy_as_it_was() {
        let mut lab = lab();
        lab.push("bad");
        let failure = lab.go(&To::Latest).await.unwrap_err();
        assert!(failure.message.contains("! grep -q bad version"), "{failure}");
        assert_eq!(lab.version(), "two");
        std::fs::write(lab.dir.path().join("live/version"), "mine\n").unwrap();
        assert!(lab.go(&To::Previous).await.unwrap_err().message.contains("not committed"));
        assert_eq!(lab.version(), "mine");
        lab.spec.cwd = lab.dir.path().join("no-repo").display().to_string();
        std::fs::create_dir(&lab.spec.cwd).unwrap();
        assert!(lab.go(&To::Latest).await.is_err());
    }
}
