//! Names that a host gives a meaning to: what may stand in a file of root's must not be able to become something else. Asked
//! where people declare them and where an agent is told them.

/// The name in the certificate of every controller, by which agents know one. No service of a node may have it.
pub const CONTROLLER: &str = "muster-controller";

/// Whether a certificate of a service may be for this name: who holds one for a controller's passes as the controller.
pub fn certifiable(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    host(text) && lower != CONTROLLER && !lower.ends_with(&format!(".{CONTROLLER}"))
}

/// One line of ordinary text: no control characters, at most `max` bytes.
pub fn line(text: &str, max: usize) -> bool {
    text.len() <= max && !text.chars().any(char::is_control)
}

fn made_of(text: &str, max: usize, allowed: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.len() <= max && text.chars().all(allowed)
}

/// A package of apt: Debian Policy 5.6.1, with `:architecture` behind it when there is one.
pub fn package(text: &str) -> bool {
    let (name, architecture) = text.split_once(':').unwrap_or((text, "any"));
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() >= 2
        && name.starts_with(lower)
        && made_of(name, 128, |c| lower(c) || "+-.".contains(c))
        && made_of(architecture, 32, |c| lower(c) || c == '-')
}

/// A version of a package, or the beginning of one with `*` at its end.
pub fn package_version(text: &str) -> bool {
    made_of(text, 128, |c| c.is_ascii_alphanumeric() || ".+-:~*".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.find('*').is_none_or(|at| at + 1 == text.len())
}

/// One word of a source of packages: an address, a suite, a component.
pub fn source_word(text: &str) -> bool {
    made_of(text, 1024, |c| c.is_ascii_graphic() && c != '#') && !text.starts_with('-')
}

/// Where packages are fetched from.
pub fn source_address(text: &str) -> bool {
    let fetched = |scheme: &str| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty());
    source_word(text) && ["https://", "http://"].into_iter().any(fetched)
}

/// A user or a group, as `useradd` takes it.
pub fn account(text: &str) -> bool {
    made_of(text, 32, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
}

/// A file of our own in a folder such as `/etc/cron.d`, where a dot would make it be passed over.
pub fn drop_in(text: &str) -> bool {
    made_of(text, 64, |c| c.is_ascii_alphanumeric() || "_-".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// A unit of systemd with its suffix.
pub fn unit(text: &str) -> bool {
    const SUFFIXES: [&str; 8] =
        [".service", ".timer", ".socket", ".path", ".mount", ".target", ".slice", ".automount"];
    made_of(text, 255, |c| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c))
        && !text.starts_with(['.', '-'])
        && SUFFIXES.iter().any(|suffix| text.len() > suffix.len() && text.ends_with(suffix))
}

/// A unit file, or a drop-in for one: `nginx.service.d/limits.conf`.
pub fn unit_file(text: &str) -> bool {
    match text.split_once('/') {
        None => unit(text),
        Some((folder, file)) => {
            folder.strip_suffix(".d").is_some_and(unit) && file.strip_suffix(".conf").is_some_and(drop_in)
        }
    }
}

/// A setting of the kernel.
pub fn sysctl(text: &str) -> bool {
    made_of(text, 128, |c| c.is_ascii_alphanumeric() || "._-/".contains(c))
        && text.split('.').all(|part| !part.is_empty())
        && !text.contains("/..")
        && !text.starts_with('/')
}

/// A host name, or several labels of one.
pub fn host(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            made_of(label, 63, |c| c.is_ascii_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// A name of the time zone database.
pub fn timezone(text: &str) -> bool {
    made_of(text, 64, |c| c.is_ascii_alphanumeric() || "/_+-".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with('/')
        && !text.contains("//")
}

/// An address, or a network as address and prefix.
pub fn network(text: &str) -> bool {
    let (address, prefix) = match text.split_once('/') {
        None => (text, None),
        Some((address, prefix)) => (address, Some(prefix)),
    };
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    prefix.is_none_or(|prefix| {
        !prefix.starts_with('+')
            && prefix.len() <= 3
            && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most)
    })
}

/// A network interface.
pub fn interface(text: &str) -> bool {
    made_of(text, 15, |c| c.is_ascii_alphanumeric() || "._-@:".contains(c)) && text != "." && text != ".."
}

/// A keyword of `sshd_config`.
pub fn sshd_keyword(text: &str) -> bool {
    made_of(text, 64, |c| c.is_ascii_alphanumeric())
}

/// A value that cron reads back as it was written: in quotes that it does not hold, or bare.
pub fn cron_value(text: &str) -> bool {
    !['"', '\''].into_iter().all(|quote| text.contains(quote))
        || !text.starts_with(['"', '\'']) && text.trim() == text
}

/// A variable of a process.
pub fn variable(text: &str) -> bool {
    made_of(text, 128, |c| c.is_ascii_alphanumeric() || c == '_')
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_pass_and_those_that_mean_more_do_not() {
        type Rule = fn(&str) -> bool;
        let table: [(Rule, &[&str], &[&str]); 12] = [
            (
                source_address,
                &["https://deb.example.com/debian", "http://10.0.0.1/"],
                &["", "https://", "file:/srv/apt", "https://a b", "https://a#b", "ftp://a", "https://ä"],
            ),
            (certifiable, &["db", "a.internal"], &["muster-controller", "MUSTER-controller", "a_b", ""]),
            (
                package,
                &["nginx", "libstdc++6", "postgresql-16", "libc6:i386"],
                &["", "a", "-y", "Nginx", "a b", "x;id", "../x"],
            ),
            (package_version, &["16.*", "1:2.3~rc1-1+deb12u1"], &["", "*", "16.*.1", "-1", "1 2"]),
            (account, &["amara", "www-data", "_apt"], &["", "Amara", "-x", "a:b", "a\nb", "0x"]),
            (drop_in, &["nightly-report", "A_1"], &["", "a.b", "a/b", "-x", "a b"]),
            (
                unit,
                &["nginx.service", "foo@1.timer"],
                &["", "nginx", ".service", "-x.service", "a/b.service"],
            ),
            (
                unit_file,
                &["nginx.service.d/limits.conf"],
                &["nginx.d/x.conf", "a.service.d/../x.conf", "a.service.d/x/y.conf"],
            ),
            (
                sysctl,
                &["net.core.somaxconn", "net.ipv4.conf.eth0/1.rp_filter"],
                &["", "net..x", "../x", "/etc", "a b"],
            ),
            (host, &["app-1", "app-1.example.com"], &["", "-a", "a..b", "a_b", "a b"]),
            (
                timezone,
                &["Etc/UTC", "America/Argentina/Buenos_Aires", "UTC"],
                &["", "../UTC", "/etc", "Etc/", "a b"],
            ),
            (
                network,
                &["10.0.0.1", "10.0.0.0/8", "fd00::/8", "::1"],
                &["", "10.0.0.0/33", "10.0.0", "x", "10.0.0.0/+8", "fd00::/129"],
            ),
        ];
        for (rule, good, bad) in table {
            for text in good {
                assert!(rule(text), "{text:?} should pass");
            }
            for text in bad {
                assert!(!rule(text), "{text:?} should not pass");
            }
        }
    }
}
