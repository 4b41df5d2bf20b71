//! `serve`: a folder over HTTP, by a managed application that is this very program.

mod page;
mod server;
mod settings;
mod site;

use serde_json::{Value, json};

use crate::{Context, Failure};
use settings::{BasicAuth, DEFAULT_PORT, Settings};

/// Arguments.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// Folder, by default the current one
    pub path: Option<String>,
    /// Port, by default 8080
    #[arg(value_name = "port")]
    pub port_argument: Option<String>,
    /// Port, by default 8080
    #[arg(long = "port", value_name = "port")]
    pub port: Option<String>,
    /// Address to listen on, by default every one
    #[arg(long, value_name = "address")]
    pub host: Option<String>,
    /// Answer unknown paths with index.html
    #[arg(long)]
    pub spa: bool,
    /// List folders
    #[arg(long)]
    pub ftp: bool,
    /// Ask for a user name and a password (PM2_SERVE_BASIC_AUTH_USERNAME and _PASSWORD when not given as flags)
    #[arg(long)]
    pub basic_auth: bool,
    /// The user name
    #[arg(long, value_name = "username")]
    pub basic_auth_username: Option<String>,
    /// The password
    #[arg(long, value_name = "password")]
    pub basic_auth_password: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    pub monitor: Option<String>,
}

/// Runs it.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let settings = settings_of(context, &args)?;
    if args.monitor.is_some() {
        context.output.warn("--monitor belongs to pm2's hosted service and has no effect");
    }
    let name = context.flags.name.clone().unwrap_or_else(|| default_name(&settings));
    let app = app(&name, &settings)?;
    crate::start::document(context, json!({ "apps": [app] })).await?;
    context.output.message(format!("Serving {} on port {}", settings.path.display(), settings.port));
    Ok(())
}

/// Runs the server itself.
pub(crate) async fn serve_files(context: &Context) -> Result<(), Failure> {
    server::run(&context.env).await
}

/// The applications that the `static` section of a configuration file stands for.
pub(crate) fn static_section(context: &Context, items: &Value) -> Result<Vec<Value>, Failure> {
    let one = |item: &Value| {
        let text = |key: &str| match item.get(key) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let on = |key: &str| item.get(key).is_some_and(|value| value == true || value == "true");
        let credential = |key: &str| Some(item.get("basic_auth")?.get(key)?.as_str()?.to_owned());
        let args = Args {
            path: text("path").or_else(|| text("directory")),
            port: text("port"),
            host: text("host"),
            spa: on("spa"),
            ftp: on("ftp"),
            basic_auth: item.get("basic_auth").is_some(),
            basic_auth_username: credential("username"),
            basic_auth_password: credential("password"),
            ..Args::default()
        };
        let settings = settings_of(context, &args)?;
        app(&text("name").unwrap_or_else(|| default_name(&settings)), &settings)
    };
    match items {
        Value::Array(items) => items.iter().map(one).collect(),
        item @ Value::Object(_) => Ok(vec![one(item)?]),
        _ => Err(Failure::new("`static` is a list of sites: {path, port, name, spa, ...}")),
    }
}

fn default_name(settings: &Settings) -> String {
    format!("static-page-server-{}", settings.port)
}

/// Variables of the caller win over arguments, as with pm2.
fn settings_of(context: &Context, args: &Args) -> Result<Settings, Failure> {
    let switch = |name: &str| context.switch(name).map(str::to_owned);
    let port =
        match switch("PM2_SERVE_PORT").or_else(|| args.port_argument.clone()).or_else(|| args.port.clone()) {
            Some(text) => settings::port(&text)?,
            None => DEFAULT_PORT,
        };
    let path = switch("PM2_SERVE_PATH").or_else(|| args.path.clone()).unwrap_or_else(|| ".".to_owned());
    let asked = args.basic_auth || args.basic_auth_username.is_some() || args.basic_auth_password.is_some();
    let basic_auth = if asked {
        let username = args.basic_auth_username.clone().or_else(|| switch("PM2_SERVE_BASIC_AUTH_USERNAME"));
        let password = args.basic_auth_password.clone().or_else(|| switch("PM2_SERVE_BASIC_AUTH_PASSWORD"));
        match (username.filter(|name| !name.is_empty()), password.filter(|word| !word.is_empty())) {
            (Some(username), Some(password)) => Some(BasicAuth { username, password }),
            _ => {
                return Err(Failure::new("basic auth wants a user name and a password")
                    .hint("give both --basic-auth-username and --basic-auth-password"));
            }
        }
    } else {
        None
    };
    let path = context.cwd.join(&path);
    let path = path
        .canonicalize()
        .map_err(|error| Failure::new(format!("{} cannot be served: {error}", path.display())))?;
    Ok(Settings {
        path,
        host: args.host.clone().or_else(|| switch("PM2_SERVE_HOST")).unwrap_or_else(|| "0.0.0.0".to_owned()),
        port,
        spa: args.spa,
        listing: args.ftp,
        homepage: switch("PM2_SERVE_HOMEPAGE").unwrap_or_default().trim_start_matches('/').to_owned(),
        basic_auth,
    }
    .with_homepage())
}

fn app(name: &str, settings: &Settings) -> Result<Value, Failure> {
    let program = crate::program::supervisor()?;
    Ok(json!({
        "name": name,
        "script": program,
        "args": ["pm2", "pm2-serve"],
        "interpreter": "none",
        "exec_mode": "fork",
        "cwd": settings.path,
        "env": settings.variables(),
    }))
}
