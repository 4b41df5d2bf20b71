//! Downloads from nowhere.

use super::FakeHost;
use crate::host::{Download, DownloadHost, Fault, HostError};
use std::path::Path;

impl FakeHost {
    /// What is at an address from now on.
    pub fn set_download(&self, url: &str, content: impl Into<Vec<u8>>) {
        self.world().downloads.insert(url.to_owned(), content.into());
    }
}

impl DownloadHost for FakeHost {
    fn fetch(&self, download: &Download<'_>) -> Result<Vec<u8>, HostError> {
        let fail = |fault| HostError { action: "fetch", subject: download.url.to_owned(), fault };
        let content =
            self.world().downloads.get(download.url).cloned().ok_or_else(|| fail(Fault::NotFound))?;
        if content.len() as u64 > download.max_bytes {
            return Err(fail(Fault::TooLarge { max_bytes: download.max_bytes }));
        }
        Ok(content)
    }

    fn fetch_into(&self, download: &Download<'_>, file: &Path) -> Result<(), HostError> {
        let content = self.fetch(download)?;
        std::fs::write(file, content).map_err(|error| HostError::new("create", file, error.into()))
    }
}
