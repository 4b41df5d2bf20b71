use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command as StdCommand;

use super::*;

/// A repository, a "host" behind a fake ssh, and somebody's folder with a configuration file.
struct Lab {
    dir: tempfile::TempDir,
    context: Context,
}

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

fn sh(folder: &Path, script: &str) -> String {
    let output = StdCommand::new("bash")
        .args(["-ec", script])
        .current_dir(folder)
        .env_clear()
        .envs([("PATH", PATH), ("HOME", folder.to_str().unwrap())])
        .envs([
            ("GIT_AUTHOR_NAME", "a"),
            ("GIT_AUTHOR_EMAIL", "a@a"),
            ("GIT_COMMITTER_NAME", "a"),
            ("GIT_COMMITTER_EMAIL", "a@a"),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn lab(extra: &str) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    sh(root, "git init -q --bare -b main repo.git && git init -q -b main work && mkdir bin");
    let ssh = format!(
        "#!/bin/sh\nfor word; do last=$word; done\nprintf '%s\\n' \"$*\" >> {0}/ssh.log\nexec sh -c \"$last\"\n",
        root.display()
    );
    fs::write(root.join("bin/ssh"), ssh).unwrap();
    fs::set_permissions(root.join("bin/ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        r#"{{"apps": [], "deploy": {{"production": {{"user": "deploy", "host": "shop.example", "ref": "origin/main",
            "repo": "{0}/repo.git", "path": "{0}/the host/shop", "env": {{"stage": "it's live"}},
            "post-deploy": "echo \"$STAGE\" > \"$SHARED/stage\" && cat version >> \"$SHARED/versions\"" {extra}}}}}}}"#,
        root.display()
    );
    fs::write(root.join("work/ecosystem.config.json"), config).unwrap();
    let env = [("PATH", format!("{}/bin:{PATH}", root.display())), ("HOME", root.display().to_string())];
    let mut context = Context::of_this_process(crate::flags::Flags::default(), None).unwrap();
    context.env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    context.cwd = root.join("work");
    let lab = Lab { dir, context };
    lab.commit("one");
    lab
}

impl Lab {
    fn commit(&self, version: &str) {
        let work = self.dir.path().join("work");
        fs::write(work.join("version"), format!("{version}\n")).unwrap();
        sh(&work, "git add -A && git commit -qm x && git push -q ../repo.git main");
    }

    async fn deploy(&self, words: &str) -> Result<(), Failure> {
        let words = words.split_whitespace().map(str::to_owned).collect();
        run(&self.context, Args { words }).await
    }

    fn on_host(&self, file: &str) -> String {
        fs::read_to_string(self.dir.path().join("the host/shop").join(file)).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_deploy_goes_up_and_back_over_ssh() {
    let lab = lab("");
    lab.deploy("production setup").await.unwrap();
    lab.deploy("ecosystem.config.json production").await.unwrap();
    assert_eq!(lab.on_host("current/version"), "one\n");
    assert_eq!(lab.on_host("shared/stage"), "it's live\n");
    lab.commit("two");
    lab.deploy("production update").await.unwrap();
    assert_eq!(lab.on_host("current/version"), "two\n");
    lab.deploy("production revert 1").await.unwrap();
    assert_eq!(lab.on_host("current/version"), "one\n");
    assert_eq!(lab.on_host("shared/versions"), "one\ntwo\none\n");
    assert_eq!(lab.on_host(".deploys").lines().count(), 3);
    lab.deploy("production exec touch made-by-exec").await.unwrap();
    assert!(lab.dir.path().join("the host/shop/source/made-by-exec").exists());
    for words in ["production list", "production curr", "production prev"] {
        lab.deploy(words).await.unwrap();
    }
    let log = fs::read_to_string(lab.dir.path().join("ssh.log")).unwrap();
    assert!(log.lines().filter(|line| line.starts_with("-- deploy@shop.example ")).count() > 10, "{log}");
    let far = lab.deploy("production revert 9").await.unwrap_err();
    assert!(far.message.contains("Deploy failed"), "{far}");
}

#[tokio::test]
async fn a_failing_hook_fails_the_deploy() {
    let lab = lab(r#", "pre-deploy": "false", "pre-deploy-local": "true""#);
    lab.deploy("production setup").await.unwrap();
    let failure = lab.deploy("production").await.unwrap_err();
    assert!(failure.message.contains("pre-deploy hook failed"), "{failure}");
    assert_eq!(lab.on_host(".deploys"), "");
}

#[tokio::test]
async fn a_failing_test_brings_the_former_release_back() {
    let lab = lab(r#", "test": "grep -q one version""#);
    lab.deploy("production setup").await.unwrap();
    lab.deploy("production").await.unwrap();
    lab.commit("two");
    let failure = lab.deploy("production").await.unwrap_err();
    assert!(
        failure.message.contains("test hook failed") && failure.message.contains("reverted"),
        "{failure}"
    );
    assert_eq!(lab.on_host("current/version"), "one\n");
}

#[tokio::test]
async fn what_is_not_committed_is_not_deployed_unless_forced() {
    let lab = lab("");
    lab.deploy("production setup").await.unwrap();
    fs::write(lab.dir.path().join("work/version"), "dirty\n").unwrap();
    let failure = lab.deploy("production").await.unwrap_err();
    assert!(failure.message.contains("commit or stash your changes"), "{failure}");
    lab.deploy("production --force").await.unwrap();
    assert_eq!(lab.on_host("current/version"), "one\n");
}

#[tokio::test]
async fn unknown_environments_and_words_are_named() {
    let lab = lab("");
    let failure = lab.deploy("staging").await.unwrap_err();
    assert_eq!(failure.message, "staging environment is not defined in ecosystem.config.json file");
    for words in
        ["production revert none", "production --upload-pack=x", "production a b c", "production exec"]
    {
        assert!(lab.deploy(words).await.is_err(), "{words}");
    }
    lab.deploy("help").await.unwrap();
}
