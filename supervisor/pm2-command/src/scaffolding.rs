//! `ecosystem`, `create` and `examples`: something to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde_json::json;

use crate::output::print;
use crate::{Context, Failure};

/// Arguments of `ecosystem`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// `simple` for a short one
    pub mode: Option<String>,
}

/// Runs `ecosystem`.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let text = if args.mode.as_deref() == Some("simple") { SIMPLE } else { COMPLETE };
    let file = context.cwd.join("ecosystem.config.js");
    // In a package of ES modules `module.exports` is an error, and `.js` means ES module.
    let modules = std::fs::read_to_string(context.cwd.join("package.json"))
        .ok()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .is_some_and(|package| package["type"] == "module");
    let text = if modules { text.replacen("module.exports =", "export default", 1) } else { text.to_owned() };
    write(&file, &text, context.flags.force)?;
    context.output.line(format!("File {} generated", file.display()));
    Ok(())
}

/// Runs `create`: a small application in a folder of its own, started.
pub(crate) async fn create(context: &Context) -> Result<(), Failure> {
    let folder = context.cwd.join("http-server");
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::new(format!("{} cannot be made: {error}", folder.display())))?;
    write(&folder.join("index.js"), SAMPLE, context.flags.force)?;
    write(&folder.join("ecosystem.config.js"), SAMPLE_CONFIG, context.flags.force)?;
    context.output.line(">> Project copied inside folder ./http-server/");
    let app = json!({"name": "http-server", "script": "index.js", "cwd": folder, "instances": 2});
    crate::start::document(context, json!({ "apps": [app] })).await
}

/// Runs `examples`.
pub(crate) fn examples() {
    print(EXAMPLES);
}

/// Whatever lies there was written by somebody.
fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::new(format!("{} is there already", path.display())).hint("say --force to overwrite it")
        }
        _ => Failure::new(format!("{} cannot be written: {error}", path.display())),
    })
}

const SIMPLE: &str = r#"module.exports = {
  apps : [{
    name   : "app1",
    script : "./app.js"
  }]
}
"#;

const COMPLETE: &str = r"module.exports = {
  apps : [{
    script: 'index.js',
    watch: '.'
  }, {
    script: './service-worker/',
    watch: ['./service-worker']
  }],

  deploy : {
    production : {
      user : 'SSH_USERNAME',
      host : 'SSH_HOSTMACHINE',
      ref  : 'origin/master',
      repo : 'GIT_REPOSITORY',
      path : 'DESTINATION_PATH',
      'pre-deploy-local': '',
      'post-deploy' : 'npm install && pm2 reload ecosystem.config.js --env production',
      'pre-setup': ''
    }
  }
};
";

const SAMPLE: &str = r"const http = require('http')

const port = process.env.PORT || 8000

http.createServer((request, response) => {
  response.end(`Hello from process ${process.pid}\n`)
}).listen(port, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}`))
";

const SAMPLE_CONFIG: &str = r"module.exports = {
  apps: [{
    name: 'http-server',
    script: 'index.js',
    instances: 2
  }]
}
";

const EXAMPLES: &str = "[PM2] pm2 usage examples:

- Start and add a process to the pm2 process list:

    $ pm2 start app.js --name app

- Show the process list:

    $ pm2 ls

- Stop and delete a process from the pm2 process list:

    $ pm2 delete app

- Stop, start and restart a process from the process list:

    $ pm2 stop app
    $ pm2 start app
    $ pm2 restart app

- Clusterize an app to all CPU cores available:

    $ pm2 start -i max app.js

- Replace running processes without losing requests:

    $ pm2 reload app

- Bring the process list back when the machine starts:

    $ pm2 startup
    $ pm2 save

- Serve a folder over HTTP:

    $ pm2 serve ./public 8080 --spa

- Move applications from a running pm2 to this one:

    $ muster-supervisor pm2 adopt --dry-run
";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sample_is_written_and_nothing_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let mut context = Context::of_this_process(crate::flags::Flags::default(), None).unwrap();
        context.cwd = dir.path().to_owned();
        run(&context, Args { mode: Some("simple".into()) }).await.unwrap();
        let file = dir.path().join("ecosystem.config.js");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), SIMPLE);
        assert!(run(&context, Args { mode: None }).await.is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), SIMPLE);
        context.flags.force = true;
        std::fs::write(dir.path().join("package.json"), r#"{"type": "module"}"#).unwrap();
        run(&context, Args { mode: None }).await.unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("export default {"));
    }
}
