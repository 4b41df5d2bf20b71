//! What the file server is told, in the variables that pm2 uses for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::Failure;

/// pm2's default.
pub(crate) const DEFAULT_PORT: u16 = 8080;

/// One site.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Unknown paths are answered by the home page.
    pub(crate) spa: bool,
    /// Folders without an index are listed.
    pub(crate) listing: bool,
    /// Relative to `path`, without the slash in front.
    pub(crate) homepage: String,
    pub(crate) basic_auth: Option<BasicAuth>,
}

/// Who may look.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BasicAuth {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Settings {
    /// As the variables say; relative paths begin from `cwd`.
    pub(crate) fn of(env: &BTreeMap<String, String>, cwd: &Path) -> Result<Self, Failure> {
        let set = |name: &str| env.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let on = |name: &str| set(name) == Some("true");
        let basic_auth = if on("PM2_SERVE_BASIC_AUTH") {
            let (Some(username), Some(password)) =
                (set("PM2_SERVE_BASIC_AUTH_USERNAME"), set("PM2_SERVE_BASIC_AUTH_PASSWORD"))
            else {
                // Serving to everybody what was meant for a few would be worse than not serving.
                return Err(Failure::new(
                    "basic auth is asked for, but the user name or the password is missing",
                )
                .hint("give both --basic-auth-username and --basic-auth-password"));
            };
            Some(BasicAuth { username: username.to_owned(), password: password.to_owned() })
        } else {
            None
        };
        Ok(Self {
            path: cwd.join(set("PM2_SERVE_PATH").unwrap_or(".")),
            host: set("PM2_SERVE_HOST").unwrap_or("0.0.0.0").to_owned(),
            port: match set("PM2_SERVE_PORT") {
                Some(text) => port(text)?,
                None => DEFAULT_PORT,
            },
            spa: on("PM2_SERVE_SPA"),
            listing: on("PM2_SERVE_FTP"),
            homepage: set("PM2_SERVE_HOMEPAGE").unwrap_or("/index.html").trim_start_matches('/').to_owned(),
            basic_auth,
        })
    }

    /// With pm2's home page where none is named.
    pub(crate) fn with_homepage(self) -> Self {
        let homepage = if self.homepage.is_empty() { "index.html".to_owned() } else { self.homepage };
        Self { homepage, ..self }
    }

    /// The variables that say the same.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::from([
            ("PM2_SERVE_PATH".to_owned(), self.path.to_string_lossy().into_owned()),
            ("PM2_SERVE_HOST".to_owned(), self.host.clone()),
            ("PM2_SERVE_PORT".to_owned(), self.port.to_string()),
            ("PM2_SERVE_SPA".to_owned(), self.spa.to_string()),
            ("PM2_SERVE_FTP".to_owned(), self.listing.to_string()),
            ("PM2_SERVE_HOMEPAGE".to_owned(), format!("/{}", self.homepage)),
        ]);
        if let Some(BasicAuth { username, password }) = &self.basic_auth {
            variables.insert("PM2_SERVE_BASIC_AUTH".to_owned(), "true".to_owned());
            variables.insert("PM2_SERVE_BASIC_AUTH_USERNAME".to_owned(), username.clone());
            variables.insert("PM2_SERVE_BASIC_AUTH_PASSWORD".to_owned(), password.clone());
        }
        variables
    }

    /// What is listened on, as people write it.
    pub(crate) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host.trim_matches(['[', ']']), self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A port as it is typed.
pub(crate) fn port(text: &str) -> Result<u16, Failure> {
    text.trim().parse().map_err(|_| Failure::new(format!("{text:?} is not a port: 0 to 65535")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn variables_and_settings_say_the_same() {
        let given = env(&[
            ("PM2_SERVE_PATH", "public"),
            ("PM2_SERVE_PORT", "9000"),
            ("PM2_SERVE_HOST", "::1"),
            ("PM2_SERVE_SPA", "true"),
            ("PM2_SERVE_BASIC_AUTH", "true"),
            ("PM2_SERVE_BASIC_AUTH_USERNAME", "ada"),
            ("PM2_SERVE_BASIC_AUTH_PASSWORD", "a:b"),
        ]);
        let settings = Settings::of(&given, Path::new("/srv")).unwrap();
        assert_eq!((settings.path.to_str(), settings.port), (Some("/srv/public"), 9000));
        assert_eq!(settings.address(), "[::1]:9000");
        assert!(settings.spa && !settings.listing);
        assert!(Settings::of(&settings.variables(), Path::new("/")).unwrap() == settings);
    }

    #[test]
    fn half_of_the_credentials_is_refused() {
        let given = env(&[("PM2_SERVE_BASIC_AUTH", "true"), ("PM2_SERVE_BASIC_AUTH_USERNAME", "ada")]);
        assert!(Settings::of(&given, Path::new("/")).is_err());
        assert!(Settings::of(&env(&[("PM2_SERVE_PORT", "80x")]), Path::new("/")).is_err());
    }
}
