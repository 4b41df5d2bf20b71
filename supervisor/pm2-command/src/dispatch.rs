//! From the command line to the verb, and from what came of it to the exit code.

use std::ffi::OsString;

use clap::Parser;

use crate::cli::{CommandLine, NotHere, Verb};
use crate::flags::Flags;
use crate::operate::Action;
use crate::output::{Output, print};
use crate::{
    Context, Failure, adopt, attach, completion, control, daemon_verbs, deploy, describe, foreground,
    inspect_app, logrotate, logs, modconf, monit, not_here, operate, profile, pull, report, saved_list,
    scaffolding, serve, show, start, startup, sysinfos,
};

/// Runs the command `pm2` with these arguments (without the name of the program) and gives its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let (words, script_args) = parted(arguments);
    if asks_for_version(&words) {
        print(concat!(env!("CARGO_PKG_VERSION"), "\n"));
        return 0;
    }
    if words.is_empty() {
        print(USAGE);
        return 1;
    }
    if let Some(verb) = alone(&words) {
        return perform(verb, Flags::default(), script_args);
    }
    let line = match CommandLine::try_parse_from(std::iter::once(OsString::from("pm2")).chain(words)) {
        Ok(line) => line,
        Err(error) => {
            drop(error.print());
            return u8::from(error.use_stderr());
        }
    };
    perform(line.verb, line.flags, script_args)
}

/// A verb without anything else that monitoring calls all the time: the tree of all verbs and flags would take longer
/// to build than the answer to get.
fn alone(words: &[OsString]) -> Option<Verb> {
    let [word] = words else { return None };
    match word.to_str()? {
        "list" | "ls" | "l" | "ps" | "status" => Some(Verb::List),
        "jlist" => Some(Verb::Jlist),
        "prettylist" => Some(Verb::Prettylist),
        "ping" => Some(Verb::Ping),
        _ => None,
    }
}

fn perform(verb: Verb, flags: Flags, script_args: Option<Vec<String>>) -> u8 {
    let for_programs = matches!(verb, Verb::Jlist | Verb::Prettylist | Verb::Pid { .. } | Verb::Id { .. });
    blocking(flags, script_args, |mut context| async move {
        context.for_programs = for_programs;
        dispatch(&context, verb).await
    })
}

/// Runs the command `pm2-runtime` and gives its exit code.
pub fn run_in_foreground(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let (words, script_args) = parted(arguments);
    if asks_for_version(&words) {
        print(concat!(env!("CARGO_PKG_VERSION"), "\n"));
        return 0;
    }
    foreground::runtime(words, script_args)
}

/// What stands before `--` and what behind it.
fn parted(arguments: impl IntoIterator<Item = OsString>) -> (Vec<OsString>, Option<Vec<String>>) {
    let mut words: Vec<OsString> = arguments.into_iter().collect();
    let script_args = words.iter().position(|word| word == "--").map(|place| {
        let rest = words.split_off(place);
        rest.into_iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect()
    });
    (words, script_args)
}

fn asks_for_version(words: &[OsString]) -> bool {
    words.iter().any(|word| word == "-v" || word == "--version")
}

/// Runs a verb to its end and gives the exit code. One thread is enough for waiting.
pub(crate) fn blocking<F: Future<Output = Result<(), Failure>>>(
    flags: Flags,
    script_args: Option<Vec<String>>,
    verb: impl FnOnce(Context) -> F,
) -> u8 {
    let say = |failure: Failure, output: Option<Output>| {
        if !failure.message.is_empty() {
            match output {
                Some(output) => output.error(failure.to_string()),
                None => eprintln!("[PM2][ERROR] {failure}"),
            }
        }
        failure.code
    };
    let context = match Context::of_this_process(flags, script_args) {
        Ok(context) => context,
        Err(failure) => return say(failure, None),
    };
    let output = context.output;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return say(Failure::new(format!("this command cannot run: {error}")), Some(output)),
    };
    let outcome = runtime.block_on(verb(context));
    // Whatever still reads standard input must not keep the command.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => 0,
        Err(failure) => say(failure, Some(output)),
    }
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
        Verb::Start(args) => start::run(context, args).await,
        Verb::StartOrRestart(file) => start::start_or(context, &file.file, Action::Restart).await,
        Verb::StartOrReload(file) | Verb::StartOrGracefulReload(file) => {
            start::start_or(context, &file.file, Action::Reload).await
        }
        Verb::Stop(which) => operate::verb(context, Action::Stop, &which.selectors).await,
        Verb::Restart(which) => operate::verb(context, Action::Restart, &which.selectors).await,
        Verb::Delete(which) => operate::verb(context, Action::Delete, &which.selectors).await,
        Verb::Reload(which) => operate::reload(context, &which.selector).await,
        Verb::Scale { app_name, number, pm2_order } => {
            control::scale(context, &app_name, &number, pm2_order).await
        }
        Verb::Reset(which) => control::reset(context, &which.selector).await,
        Verb::SendSignal { signal, selector } => control::send_signal(context, &signal, &selector).await,
        Verb::Trigger { selector, action_name, params } => {
            control::trigger(context, &selector, &action_name, params).await
        }
        Verb::Id { name } => show::id(context, &name).await,
        Verb::Pid { app_name } => show::pid(context, app_name.as_deref()).await,
        Verb::Env { id } => show::env(context, &id).await,
        Verb::List => show::table(context).await,
        Verb::Jlist => show::json(context).await,
        Verb::Prettylist => show::pretty(context).await,
        Verb::Describe(which) => describe::describe(context, &which.selector).await,
        Verb::Ping => daemon_verbs::ping(context).await,
        Verb::Kill => daemon_verbs::kill(context).await,
        Verb::Update => daemon_verbs::update(context).await,
        Verb::Flush { api } => daemon_verbs::flush(context, api.as_deref()).await,
        Verb::ReloadLogs => daemon_verbs::reload_logs(context).await,
        Verb::Dump => saved_list::save(context).await,
        Verb::Cleardump => saved_list::clear(context),
        Verb::Resurrect => saved_list::resurrect(context).await,
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
        Verb::NotHere(verb) => Err(not_here::answer(&verb)),
        Verb::Unknown(_) => {
            context.output.line(format!(
                "{}{}\n",
                context.output.style.red("[PM2][ERROR] "),
                context.output.style.bold("Command not found")
            ));
            print(USAGE);
            Err(Failure::new(""))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn what_a_verb_and_all_verbs_take_under_one_name_is_of_one_type() {
        let line = CommandLine::command();
        let flags: BTreeMap<&str, String> = (line.get_arguments().filter(|flag| flag.is_global_set()))
            .map(|flag| (flag.get_id().as_str(), format!("{:?}", flag.get_value_parser())))
            .collect();
        assert_eq!(flags["time"], "ValueParser::bool");
        for verb in line.get_subcommands() {
            for argument in verb.get_arguments() {
                if let Some(of_all) = flags.get(argument.get_id().as_str()) {
                    let of_verb = format!("{:?}", argument.get_value_parser());
                    assert_eq!(of_verb, *of_all, "{} {}", verb.get_name(), argument.get_id());
                }
            }
        }
    }

    #[test]
    fn a_verb_alone_means_what_the_command_line_means() {
        for word in ["list", "ls", "l", "ps", "status", "jlist", "prettylist", "ping"] {
            let line = CommandLine::try_parse_from(["pm2", word]).unwrap();
            let verb = alone(&[word.into()]).unwrap();
            assert_eq!(format!("{verb:?}"), format!("{:?}", line.verb));
            assert_eq!(format!("{:?}", Flags::default()), format!("{:?}", line.flags));
        }
        for words in [&["logs"][..], &["jlist", "-s"], &["bogus"], &[]] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert!(alone(&words).is_none(), "{words:?}");
        }
    }
}
