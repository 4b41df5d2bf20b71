//! Where the sign-in is kept: `$XDG_CONFIG_HOME/muster/config.json`, readable by its owner only.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::failure::{Failure, Result};

/// Everything that is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profiles {
    /// The controller that is meant when none is named.
    pub(crate) current: Option<String>,
    /// By URL of the controller.
    #[serde(default)]
    pub(crate) controllers: BTreeMap<String, Profile>,
}

/// The sign-in to one controller.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    pub(crate) username: String,
    pub(crate) token_id: Uuid,
    pub(crate) token: String,
    /// The certificate authority to trust instead of those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_pem: Option<String>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The file of the profiles.
#[derive(Debug, Clone)]
pub(crate) struct ProfileFile {
    path: PathBuf,
}

impl ProfileFile {
    /// In its usual place.
    pub(crate) fn standard() -> Result<Self> {
        let absolute =
            |name| std::env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
        let folder =
            absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")));
        folder.map(|folder| Self { path: folder.join("muster/config.json") }).ok_or_else(|| {
            Failure::failed("there is no place for the sign-in: neither HOME nor XDG_CONFIG_HOME is set")
                .hint("set MUSTER_URL and MUSTER_TOKEN instead")
        })
    }

    #[cfg(test)]
    fn at(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the profiles; none when there is no file. A file that others can read is closed to them.
    pub(crate) fn load(&self) -> Result<Profiles> {
        let action = || format!("cannot read {}", self.path.display());
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Profiles::default()),
            Err(error) => return Err(Failure::of(action(), &error)),
        };
        let mode =
            fs::metadata(&self.path).map_err(|error| Failure::of(action(), &error))?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(&self.path, Permissions::from_mode(0o600))
                .map_err(|error| Failure::of(format!("cannot protect {}", self.path.display()), &error))?;
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::of(action(), &error).hint("remove the file and sign in again with `muster login URL`")
        })
    }

    /// Replaces the file in one step, mode 0600 from the start.
    pub(crate) fn save(&self, profiles: &Profiles) -> Result<()> {
        let failed =
            |error: std::io::Error| Failure::of(format!("cannot write {}", self.path.display()), &error);
        let folder = self.path.parent().expect("the file lies in a folder");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(folder)
            .map_err(failed)?;
        let text = serde_json::to_vec_pretty(profiles).expect("profiles always encode");
        file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        file.persist(&self.path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// Checks the URL of a controller and brings it into one form. A token never travels in the clear, except to this
/// machine itself.
pub(crate) fn controller_url(text: &str) -> Result<Url> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&with_scheme)
        .map_err(|error| Failure::usage(format!("\"{text}\" is not the URL of a controller: {error}")))?;
    if url.host_str().is_none_or(str::is_empty) || !matches!(url.scheme(), "http" | "https") {
        return Err(Failure::usage(format!("\"{text}\" is not the URL of a controller"))
            .hint("it looks like https://muster.example.com:8443"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::usage("the URL of a controller holds no user name and no password")
            .hint("use --username and --password-stdin"));
    }
    if url.scheme() == "http" && !loopback(&url) {
        return Err(Failure::usage(format!("refusing to send a token to {url} in the clear"))
            .hint("use https://; http:// is for 127.0.0.1 only"));
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Whether the URL means this machine.
pub(crate) fn loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Profiles {
        let profile = Profile {
            username: "amara".to_owned(),
            token_id: Uuid::nil(),
            token: "muster_api_x_y".to_owned(),
            ca_pem: None,
        };
        Profiles {
            current: Some("https://a/".to_owned()),
            controllers: [("https://a/".to_owned(), profile)].into(),
        }
    }

    #[test]
    fn the_file_is_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = ProfileFile::at(folder.path().join("muster/config.json"));
        assert!(file.load().unwrap().controllers.is_empty());
        file.save(&sample()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(file.path().parent().unwrap()), 0o700);

        fs::set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
        assert_eq!(file.load().unwrap().controllers["https://a/"].username, "amara");
        assert_eq!(mode(file.path()), 0o600, "a file that was opened to others is closed again");
        file.save(&Profiles::default()).unwrap();
        assert_eq!(mode(file.path()), 0o600);
    }

    #[test]
    fn a_broken_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = ProfileFile::at(folder.path().join("config.json"));
        fs::write(file.path(), "{").unwrap();
        let failure = file.load().unwrap_err();
        assert!(failure.message.contains("config.json") && failure.hint.is_some(), "{failure:?}");
    }

    #[test]
    fn tokens_are_not_shown_by_accident() {
        assert!(!format!("{:?}", sample()).contains("muster_api"));
    }

    #[test]
    fn urls_have_one_form_and_are_private() {
        for (text, url) in [
            ("muster.example.com:8443", "https://muster.example.com:8443/"),
            ("https://muster.example.com/", "https://muster.example.com/"),
            ("https://example.com/muster/?a#b", "https://example.com/muster"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("http://localhost:1", "http://localhost:1/"),
            ("http://[::1]:1", "http://[::1]:1/"),
        ] {
            assert_eq!(controller_url(text).unwrap().as_str(), url, "{text}");
        }
        for bad in
            ["", "http://", "ftp://x", "http://muster.example.com", "http://10.0.0.1", "https://me:pw@x"]
        {
            assert_eq!(controller_url(bad).unwrap_err().exit, crate::failure::Exit::Usage, "{bad}");
        }
    }
}
