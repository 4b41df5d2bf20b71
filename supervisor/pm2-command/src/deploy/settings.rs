//! One environment of a `deploy` section.

use serde_json::Value;

use crate::Failure;
use crate::shell::quote;

/// Where to deploy what, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) hosts: Vec<Host>,
    pub(super) repo: String,
    /// Absolute, on the host.
    pub(super) path: String,
    /// `origin/main`, a tag, a commit; empty = the latest tag.
    pub(super) reference: String,
    /// Only the last commits are fetched.
    pub(super) fast: bool,
    /// Variables of `post-deploy`, names in capitals.
    pub(super) env: Vec<(String, String)>,
    pub(super) hooks: Hooks,
}

/// How to reach a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    /// Arguments of `ssh`, before the command; none for `localhost`, where nothing is reached over the network.
    pub(super) ssh: Option<Vec<String>>,
}

/// Commands of the user's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hooks {
    pub(super) pre_setup: Option<String>,
    pub(super) post_setup: Option<String>,
    pub(super) pre_deploy_local: Option<String>,
    pub(super) pre_deploy: Option<String>,
    pub(super) post_deploy: Option<String>,
    pub(super) test: Option<String>,
}

impl Settings {
    /// Of the section of an environment; `home` is what `~` means in the path of a key.
    pub(super) fn of(section: &Value, home: &str) -> Result<Self, Failure> {
        let text = |key: &str| text(section, key);
        let required =
            |key: &str| text(key).ok_or_else(|| Failure::new(format!("the deploy section lacks {key:?}")));
        let hosts = match section.get("host") {
            Some(Value::Array(hosts)) => hosts.iter().map(|host| host_of(section, host, home)).collect(),
            Some(host) => host_of(section, host, home).map(|host| vec![host]),
            None => Err(Failure::new("the deploy section lacks \"host\"")),
        }?;
        let path = required("path")?;
        let path = path.trim_end_matches('/').to_owned();
        if !path.starts_with('/') {
            return Err(Failure::new(format!("the path {path:?} of the deploy section is not absolute")));
        }
        if !section.get("ref").is_some_and(Value::is_string) {
            return Err(Failure::new("the deploy section lacks \"ref\", such as \"origin/main\""));
        }
        let reference = text("ref").unwrap_or_default();
        check_reference(&reference)?;
        Ok(Self {
            hosts,
            repo: required("repo")?,
            path,
            reference,
            fast: text("fetch").as_deref() == Some("fast"),
            env: env(section)?,
            hooks: Hooks {
                pre_setup: text("pre-setup"),
                post_setup: text("post-setup"),
                pre_deploy_local: text("pre-deploy-local"),
                pre_deploy: text("pre-deploy"),
                post_deploy: text("post-deploy"),
                test: text("test"),
            },
        })
    }

    /// `export A=1 B='two words' && ` in front of a command; nothing when there are no variables.
    pub(super) fn exports(&self) -> String {
        let words: Vec<String> =
            self.env.iter().map(|(name, value)| format!("{name}={}", quote(value))).collect();
        if words.is_empty() { String::new() } else { format!("export {} && ", words.join(" ")) }
    }
}

/// git would take it for an option.
pub(super) fn check_reference(reference: &str) -> Result<(), Failure> {
    if reference.starts_with('-') || reference.contains(char::is_whitespace) {
        return Err(Failure::new(format!("{reference:?} is not the name of a branch, a tag or a commit")));
    }
    Ok(())
}

fn text(section: &Value, key: &str) -> Option<String> {
    match section.get(key)? {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(true) => Some("true".to_owned()),
        _ => None,
    }
}

fn env(section: &Value) -> Result<Vec<(String, String)>, Failure> {
    let Some(Value::Object(fields)) = section.get("env") else { return Ok(Vec::new()) };
    fields
        .iter()
        .map(|(name, value)| {
            let name = name.to_uppercase();
            let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(valid) || name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(Failure::new(format!(
                    "{name:?} in \"env\" of the deploy section is no variable"
                )));
            }
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Ok((name, value))
        })
        .collect()
}

fn host_of(section: &Value, host: &Value, home: &str) -> Result<Host, Failure> {
    // One of several hosts may be an object with settings of its own.
    let own = |key: &str| text(host, key).or_else(|| text(section, key));
    let name = match host {
        Value::String(name) => name.trim().to_owned(),
        other => text(other, "host").unwrap_or_default(),
    };
    if name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace) {
        return Err(Failure::new(format!("{name:?} is not a host")));
    }
    if name == "localhost" {
        return Ok(Host { name, ssh: None });
    }
    let mut ssh = Vec::new();
    let options = host.get("ssh_options").or_else(|| section.get("ssh_options"));
    let options = match options {
        Some(Value::Array(options)) => options.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(option)) => vec![option.as_str()],
        _ => Vec::new(),
    };
    for option in options.into_iter().filter(|option| !option.trim().is_empty()) {
        ssh.extend(["-o".to_owned(), option.trim().to_owned()]);
    }
    if own("needs_tty").is_some() {
        ssh.push("-t".to_owned());
    }
    if own("forward-agent").is_some() {
        ssh.push("-A".to_owned());
    }
    if let Some(port) = own("port") {
        ssh.extend(["-p".to_owned(), port]);
    }
    if let Some(key) = own("key") {
        let key = key.strip_prefix('~').map_or_else(|| key.clone(), |rest| format!("{home}{rest}"));
        ssh.extend(["-i".to_owned(), key]);
    }
    let target = own("user").map_or_else(|| name.clone(), |user| format!("{user}@{name}"));
    if target.starts_with('-') {
        return Err(Failure::new(format!("{target:?} is not a user and a host")));
    }
    ssh.extend(["--".to_owned(), target]);
    Ok(Host { name, ssh: Some(ssh) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn section() -> Value {
        json!({"user": "deploy", "host": ["a.example", {"host": "b.example", "user": "root", "port": 2222}, "localhost"],
            "ref": "origin/main", "repo": "git@example.com:shop.git", "path": "/var/www/shop/", "fetch": "fast",
            "key": "~/.ssh/id", "ssh_options": ["StrictHostKeyChecking=no"], "forward-agent": "yes",
            "env": {"node_env": "it's"}, "post-deploy": "npm ci && pm2 reload all", "pre-setup": ""})
    }

    #[test]
    fn every_host_is_reached_its_own_way() {
        let settings = Settings::of(&section(), "/home/me").unwrap();
        let ssh = |place: usize| settings.hosts[place].ssh.as_ref().map(|words| words.join(" "));
        let a = "-o StrictHostKeyChecking=no -A -i /home/me/.ssh/id -- deploy@a.example";
        assert_eq!(ssh(0).unwrap(), a);
        assert_eq!(
            ssh(1).unwrap(),
            "-o StrictHostKeyChecking=no -A -p 2222 -i /home/me/.ssh/id -- root@b.example"
        );
        assert_eq!(ssh(2), None);
        assert_eq!((settings.path.as_str(), settings.fast), ("/var/www/shop", true));
        assert_eq!(settings.exports(), r"export NODE_ENV='it'\''s' && ");
        assert_eq!(settings.hooks.pre_setup, None);
    }

    #[test]
    fn what_would_become_an_option_or_a_command_is_refused() {
        for (key, value) in [
            ("host", json!("-oProxyCommand=x")),
            ("host", json!("a b")),
            ("user", json!("-x")),
            ("ref", json!("--upload-pack=x")),
            ("path", json!("relative")),
            ("env", json!({"A;rm": "x"})),
            ("repo", json!(null)),
            ("ref", json!(null)),
        ] {
            let mut bad = section();
            bad[key] = value.clone();
            assert!(Settings::of(&bad, "/").is_err(), "{key} {value}");
        }
    }
}
