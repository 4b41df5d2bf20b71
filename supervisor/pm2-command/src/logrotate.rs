//! `logrotate`: rotation by the system's logrotate, for who wants it besides our own.

use std::path::{Path, PathBuf};

use crate::shell::{quote, write_atomically};
use crate::{Context, Failure};

/// Runs it.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let program = crate::program::supervisor()?;
    let user = context.flags.user.clone().unwrap_or_else(|| "root".to_owned());
    if !rustix::process::geteuid().is_root() {
        let user =
            context.flags.user.clone().or_else(|| context.env.get("USER").cloned()).unwrap_or_default();
        return Err(Failure::new("You have to run this command as root. Execute the following command:")
            .hint(format!(
                "      sudo env PATH=$PATH PM2_HOME={} {} pm2 logrotate -u {}",
                quote(&context.home.dir().to_string_lossy()),
                quote(&program.to_string_lossy()),
                quote(&user),
            )));
    }
    let written = write(Path::new("/etc/logrotate.d"), context, &user, &program)?;
    context.output.message(format!("Logrotate configuration added to {}", written.display()));
    context.output.info(
        "log files are rotated without it as well, by size and count (`pm2 set pm2-logrotate:max_size 20M`); with both, whichever comes first rotates",
    );
    Ok(())
}

fn write(folder: &Path, context: &Context, user: &str, program: &Path) -> Result<PathBuf, Failure> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if user.is_empty() || user.starts_with(['-', '.']) || !user.chars().all(valid) {
        return Err(Failure::new(format!("{user:?} is not the name of a user")).hint("name one with -u USER"));
    }
    if !folder.is_dir() {
        return Err(
            Failure::new(format!("{} does not exist", folder.display())).hint("install logrotate first")
        );
    }
    let home = context.home.dir().to_string_lossy().into_owned();
    if home.contains(['"', '\n', '\\']) {
        return Err(Failure::new(format!("{home:?} cannot be written into a configuration of logrotate")));
    }
    // Names in quotes; patterns work in them all the same.
    let reopen =
        format!("PM2_HOME={} exec {} pm2 reloadLogs", quote(&home), quote(&program.to_string_lossy()));
    let reopen = if user == "root" {
        format!("sh -c {}", quote(&reopen))
    } else {
        format!("su -s /bin/sh {user} -c {}", quote(&reopen))
    };
    let socket = quote(&context.home.socket().to_string_lossy());
    let text = format!(
        "\"{home}/pm2.log\" \"{home}/logs/*.log\" {{
        su {user} {user}
        rotate 12
        weekly
        missingok
        notifempty
        compress
        delaycompress
        create 0640 {user} {user}
        sharedscripts
        postrotate
                if [ -S {socket} ]; then {reopen} >/dev/null; fi
        endscript
}}
"
    );
    let path = folder.join(format!("pm2-{user}"));
    write_atomically(&path, &text, 0o644)
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", path.display())))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_renamed_and_opened_anew_instead_of_truncated() {
        let dir = tempfile::tempdir().unwrap();
        let mut context = Context::of_this_process(crate::flags::Flags::default(), None).unwrap();
        context.home = crate::Home::at("/home/deploy/.pm2");
        let program = Path::new("/usr/bin/muster-supervisor");
        let path = write(dir.path(), &context, "deploy", program).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("\"/home/deploy/.pm2/logs/*.log\""), "{text}");
        assert!(text.contains("su -s /bin/sh deploy -c 'PM2_HOME=/home/deploy/.pm2 exec /usr/bin/muster-supervisor pm2 reloadLogs'"), "{text}");
        assert!(!text.contains("copytruncate"), "{text}");
        assert!(write(dir.path(), &context, "a b", program).is_err());
        assert!(write(Path::new("/nonexistent"), &context, "deploy", program).is_err());
    }
}
