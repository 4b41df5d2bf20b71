//! From the command line to the verb, and from what came of it to the exit code.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::Parser;

use crate::cli::{CommandLine, NotHere, Verb};
use crate::output::print;
use crate::{
    Context, Failure, adopt, attach, completion, deploy, inspect_app, logrotate, logs, modconf, monit, profile, pull, report,
    scaffolding, serve, startup, sysinfos,
};

/// Runs the command `pm2` with these arguments (without the name of the program) and gives its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let mut words: Vec<OsString> = arguments.into_iter().collect();
    let script_args = words.iter().position(|word| word == "--").map(|place| {
        let rest = words.split_off(place);
        rest.into_iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
    });
    if words.iter().any(|word| word == "-v" || word == "--version") {
        print(concat!(env!("CARGO_PKG_VERSION"), "\n"));
        return 0;
    }
    if words.is_empty() {
        print(USAGE);
        return 1;
    }
    let line = match CommandLine::try_parse_from(std::iter::once(OsString::from("pm2")).chain(words)) {
        Ok(line) => line,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            drop(error.print());
            return u8::from(!asked);
        }
    };
    let outcome = Context::of_this_process(line.flags, script_args).and_then(|context| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(format!("this command cannot run: {error}")))?;
        let outcome = runtime.block_on(dispatch(&context, line.verb));
        // Whatever still reads standard input must not keep the command.
        runtime.shutdown_background();
        outcome.map_err(|failure| {
            if !failure.message.is_empty() {
                context.output.error(failure.to_string());
            }
            failure
        })
    });
    match outcome {
        Ok(()) => 0,
        Err(failure) => failure.code,
    }
}

/// Runs the command `pm2-runtime` and gives its exit code.
pub fn run_in_foreground(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let _ = arguments;
    1
}

/// The usage that pm2 prints without a verb.
const USAGE: &str = "usage: pm2 [options] <command>

pm2 -h, --help             all available commands and options
pm2 examples               display pm2 usage examples
pm2 <command> -h           help on a specific command

Access pm2 files in ~/.pm2
";

async fn dispatch(context: &Context, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Deploy(args) => deploy::run(context, args).await,
        Verb::ProfileMem(args) | Verb::ProfileCpu(args) => profile::run(context, args).await,
        Verb::Inspect(args) => inspect_app::run(context, args).await,
        Verb::Attach(args) => attach::run(context, args).await,
        Verb::Startup(args) => startup::startup(context, args).await,
        Verb::Unstartup(args) => startup::unstartup(context, args).await,
        Verb::Ecosystem(args) => scaffolding::run(context, args).await,
        Verb::Slist(args) => sysinfos::run(context, args).await,
        Verb::Monit => monit::run(context).await,
        Verb::Logs(args) => logs::run(context, args).await,
        Verb::Pull(args) => pull::pull(context, args).await,
        Verb::Forward(args) => pull::forward(context, args).await,
        Verb::Backward(args) => pull::backward(context, args).await,
        Verb::Serve(args) => serve::run(context, args).await,
        Verb::ServeFiles => serve::serve_files(context).await,
        Verb::Report => report::run(context).await,
        Verb::Completion(args) => completion::run(context, args).await,
        Verb::Adopt(args) => adopt::run(context, args).await,
        Verb::Send { id, line } => attach::send(context, &id, &line).await,
        Verb::Create => scaffolding::create(context).await,
        Verb::Examples => {
            scaffolding::examples();
            Ok(())
        }
        Verb::Logrotate => logrotate::run(context).await,
        Verb::NotHere(NotHere::Set(args)) => modconf::set(context, &args.words),
        Verb::NotHere(NotHere::Multiset(args)) => modconf::multiset(context, &args.words),
        Verb::NotHere(NotHere::Get(args)) => modconf::get(context, &args.words),
        Verb::NotHere(NotHere::Unset(args)) => modconf::unset(context, &args.words),
        Verb::NotHere(NotHere::Conf(args)) => modconf::conf(context, &args.words),
        Verb::Unknown(_) => {
            context.output.line(format!(
                "{}{}\n",
                context.output.style.red("[PM2][ERROR] "),
                context.output.style.bold("Command not found")
            ));
            print(USAGE);
            Err(Failure::new(""))
        }
        other => Err(Failure::new(format!("not here yet: {other:?}"))),
    }
}
