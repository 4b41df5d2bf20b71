//! Verbs of pm2's hosted service, its modules and its containers: a clear answer instead of silence.

use crate::Failure;
use crate::cli::NotHere;

/// What to say, and exit code 1.
pub(crate) fn answer(verb: &NotHere) -> Failure {
    let hosted = |name: &str| {
        Failure::new(format!(
            "`pm2 {name}` belongs to pm2's hosted service, which is not part of this command"
        ))
        .hint("`pm2 monit` shows processes here; Muster's own controller shows a fleet")
    };
    let module = |name: &str| {
        Failure::new(format!("`pm2 {name}` is about pm2's modules, which are Node.js programs inside pm2's daemon; there are none here"))
            .hint("rotation of logs is built in; anything else runs as an application of its own: `pm2 start`")
    };
    match verb {
        NotHere::DeepUpdate(_) => {
            Failure::new("`pm2 deepUpdate` installs pm2 from npm; this command is no npm package")
                .hint("install the new version of muster-supervisor, then `pm2 update`")
        }
        NotHere::Install(_) => module("install"),
        NotHere::ModuleUpdate(_) => module("module:update"),
        NotHere::ModuleGenerate(_) => module("module:generate"),
        NotHere::Uninstall(_) => module("uninstall"),
        NotHere::Package(_) => module("package"),
        NotHere::Publish(_) => module("publish"),
        NotHere::Set(_) => module("set"),
        NotHere::Multiset(_) => module("multiset"),
        NotHere::Get(_) => module("get"),
        NotHere::Conf(_) => module("conf"),
        NotHere::Unset(_) => module("unset"),
        NotHere::Link(_) => hosted("link"),
        NotHere::Unlink(_) => hosted("unlink"),
        NotHere::Monitor(_) => hosted("monitor"),
        NotHere::Unmonitor(_) => hosted("unmonitor"),
        NotHere::Open(_) => hosted("open"),
        NotHere::Plus(_) => hosted("plus"),
        NotHere::Login(_) => hosted("login"),
        NotHere::Logout(_) => hosted("logout"),
        NotHere::InstallOtel(_) => hosted("install-otel"),
        NotHere::UninstallOtel(_) => hosted("uninstall-otel"),
        NotHere::Autoinstall(_) => hosted("autoinstall"),
    }
}
