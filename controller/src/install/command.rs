//! The line that a person pastes on a host, and the user data for a host that is yet to be made.
//!
//! The line runs nothing that was not verified. It gets the token on standard input, so that no list of processes shows
//! it; fetches the fleet's root certificate from whoever answers; stops unless its SHA-256 is the one at the end of the
//! token; and trusts this root, and no other, for fetching the script. The script does the same for everything else. A
//! download that breaks off ends the line before anything of it is run.

use chrono::{DateTime, Utc};

/// The paths below are under this one, on the listener for agents.
pub(super) const BASE: &str = "/install";

/// What a person is given.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    /// One line for a shell on the host.
    pub command: String,
    /// The same as user data of cloud-init.
    pub cloud_init: String,
}

/// The address of this controller cannot be part of a shell command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} cannot be part of a command line")]
pub struct Unusable {
    url: String,
}

/// What brings the agent onto a host and lets it join as `node`.
pub fn offer(agent_url: &str, token: &str, node: &str, expires_at: DateTime<Utc>) -> Result<Offer, Unusable> {
    let url = plain(agent_url)?;
    let script = script(url);
    Ok(Offer {
        command: format!("echo {token} | sh -c '{script}'"),
        cloud_init: format!(
            "#cloud-config\n\
             # Makes the host node {node} of the Muster fleet at {url}.\n\
             # The join token in it works once, until {until}. Keep this text secret until then.\n\
             write_files:\n\
             \x20 - path: {TOKEN_FILE}\n\
             \x20   permissions: \"0600\"\n\
             \x20   content: |\n\
             \x20     {token}\n\
             runcmd:\n\
             \x20 - |\n\
             \x20   for attempt in 1 2 3 4 5 6; do\n\
             \x20     sh -c '{script}' <{TOKEN_FILE} && break\n\
             \x20     sleep 10\n\
             \x20   done\n\
             \x20   rm -f {TOKEN_FILE}\n",
            until = expires_at.format("%Y-%m-%d %H:%M UTC"),
        ),
    })
}

/// In memory, and gone with the next start in any case.
const TOKEN_FILE: &str = "/run/muster-join-token";

/// What `sh -c` runs, with the token on its standard input. It holds no single quote, so it can stand between two.
///
/// The folder is fresh and private. `--capath .` and `--ca-directory=.` keep the certificates of the system out of it. The
/// PEM is made here from the bytes that were compared: nobody else's file is ever parsed.
fn script(url: &str) -> String {
    format!(
        "set -eu; umask 077; read -r t; d=$(mktemp -d); trap \"rm -rf $d\" EXIT; cd \"$d\"; u={url}{BASE}; \
         if command -v curl >/dev/null; then k=\"curl -fsSk --connect-timeout 20\" c=\"curl -fsS --connect-timeout 20 --cacert root.pem --capath .\"; \
         elif command -v wget >/dev/null; then k=\"wget -nv -t2 -T20 -O- --no-check-certificate\" c=\"wget -nv -t2 -T20 -O- --ca-certificate=root.pem --ca-directory=.\"; \
         else echo \"this needs curl or wget: apt install curl\" >&2; exit 1; fi; \
         $k \"$u/root.der\" >root.der; \
         [ \"$(sha256sum <root.der)\" = \"${{t##*_}}  -\" ] || {{ echo \"$u is not of the fleet that the token names; nothing was run\" >&2; exit 1; }}; \
         {{ echo -----BEGIN CERTIFICATE-----; base64 root.der; echo -----END CERTIFICATE-----; }} >root.pem; \
         $c \"$u/install.sh\" >install.sh; echo \"$t\" | sh install.sh \"$u\""
    )
}

/// `https://host[:port]` without anything that a shell, or YAML, could take for something else.
fn plain(url: &str) -> Result<&str, Unusable> {
    let unusable = || Unusable { url: url.chars().take(200).collect() };
    let trimmed = url.trim_end_matches('/');
    let authority = trimmed.strip_prefix("https://").ok_or_else(unusable)?;
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if authority.is_empty() || !authority.chars().all(usual) {
        return Err(unusable());
    }
    Ok(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(url: &str) -> Result<Offer, Unusable> {
        offer(url, "muster_join_a_b_c", "app-1", DateTime::from_timestamp(1_800_000_000, 0).unwrap())
    }

    #[test]
    fn the_line_is_one_line_in_which_the_token_is_no_argument() {
        let offer = offered("https://muster.example:8444/").unwrap();
        assert!(offer.command.starts_with("echo muster_join_a_b_c | sh -c '"), "{}", offer.command);
        assert_eq!(offer.command.lines().count(), 1);
        assert_eq!(offer.command.matches('\'').count(), 2);
        assert!(offer.command.contains("u=https://muster.example:8444/install;"), "{}", offer.command);
        assert_eq!(offer.command.matches("muster_join").count(), 1);
    }

    #[test]
    fn user_data_holds_the_token_in_a_private_file_only() {
        let user_data = offered("https://[fd00::1]:8444").unwrap().cloud_init;
        assert!(user_data.starts_with("#cloud-config\n"));
        assert!(user_data.contains("until 2027-01-15 08:00 UTC"), "{user_data}");
        assert!(user_data.contains("    permissions: \"0600\"\n    content: |\n      muster_join_a_b_c\n"));
        assert_eq!(user_data.matches("muster_join_").count(), 1);
        assert!(user_data.ends_with("    rm -f /run/muster-join-token\n"));
    }

    #[test]
    fn an_address_that_a_shell_could_misread_is_refused() {
        for bad in [
            "http://a",
            "https://",
            "https://a b",
            "https://a';x",
            "https://$(x)",
            "https://a/b",
            "https://u@a",
        ] {
            assert!(offered(bad).is_err(), "{bad}");
        }
    }
}
