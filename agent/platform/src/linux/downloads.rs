//! Fetches by HTTPS, trusting whom the host trusts.

use super::LinuxHost;
use crate::host::{Download, DownloadHost, Fault, HostError};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Where Debian and Ubuntu keep the authorities that the host trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const MAX_REDIRECTS: u32 = 5;

impl DownloadHost for LinuxHost {
    fn fetch(&self, download: &Download<'_>) -> Result<Vec<u8>, HostError> {
        let mut content = Vec::new();
        body(download)
            .and_then(|mut body| body.read_to_end(&mut content).map_err(|error| of_io(error, download)))
            .map_err(|fault| failed(download, fault))?;
        Ok(content)
    }

    fn fetch_into(&self, download: &Download<'_>, path: &Path) -> Result<(), HostError> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| HostError::new("create", path, error.into()))?;
        let fetched = body(download).and_then(|body| copy(body, &mut file, download));
        fetched.map_err(|fault| failed(download, fault))
    }
}

fn copy(mut body: impl Read, file: &mut File, download: &Download<'_>) -> Result<(), Fault> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = body.read(&mut buffer).map_err(|error| of_io(error, download))?;
        if count == 0 {
            return Ok(());
        }
        file.write_all(&buffer[..count])?;
    }
}

/// Names and passwords that stand in an address are nobody's business.
fn failed(download: &Download<'_>, fault: Fault) -> HostError {
    let url = download.url.split(['?', '#']).next().unwrap_or_default();
    let subject = match url.split_once("://") {
        Some((scheme, rest)) => match rest.split_once('/') {
            Some((host, path)) => format!("{scheme}://{}/{path}", host.rsplit('@').next().unwrap_or(host)),
            None => format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or(rest)),
        },
        None => url.to_owned(),
    };
    HostError { action: "fetch", subject, fault }
}

fn body(download: &Download<'_>) -> Result<impl Read, Fault> {
    let agent = agent(download)?;
    let mut request = agent.get(download.url);
    if let Some(accept) = download.accept {
        request = request.header("accept", accept);
    }
    let response = request.call().map_err(|error| of_call(error, download))?;
    // Where no redirection is followed, one counts as an answer.
    if !response.status().is_success() {
        return Err(Fault::Other(format!("the answer was {}", response.status().as_u16())));
    }
    Ok(response.into_body().into_with_config().limit(download.max_bytes).reader())
}

fn agent(download: &Download<'_>) -> Result<Agent, Fault> {
    let https = download.url.starts_with("https://");
    if !https && !to_this_machine(download.url) {
        return Err(Fault::Other("only https is fetched, or http from this machine itself".into()));
    }
    let timeout = Duration::from_millis(download.timeout_ms);
    let mut config = Agent::config_builder()
        .https_only(https)
        .max_redirects(if https { MAX_REDIRECTS } else { 0 })
        .timeout_global(Some(timeout))
        .timeout_connect(Some(Duration::from_secs(20)))
        .user_agent(concat!("muster-agent/", env!("CARGO_PKG_VERSION")));
    if https {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(authorities()?)))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        config = config.tls_config(tls);
    } else {
        config = config.proxy(None);
    }
    Ok(config.build().into())
}

fn to_this_machine(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let address = &rest[..end];
    let host = match address.strip_prefix('[') {
        Some(v6) => v6.split(']').next(),
        None => address.split(':').next(),
    };
    !address.contains('@') && matches!(host, Some("localhost" | "127.0.0.1" | "::1"))
}

fn authorities() -> Result<Vec<Certificate<'static>>, Fault> {
    let path = std::env::var_os("SSL_CERT_FILE").map_or_else(|| PathBuf::from(AUTHORITIES), PathBuf::from);
    let certificates = CertificateDer::pem_file_iter(&path)
        .map_err(|_| missing(&path))?
        .filter_map(Result::ok)
        .map(|certificate| Certificate::from_der(&certificate).to_owned())
        .collect::<Vec<_>>();
    if certificates.is_empty() { Err(missing(&path)) } else { Ok(certificates) }
}

fn missing(path: &Path) -> Fault {
    Fault::Other(format!(
        "there are no certificate authorities in {}; install the package ca-certificates",
        path.display()
    ))
}

fn of_call(error: ureq::Error, download: &Download<'_>) -> Fault {
    match error {
        ureq::Error::StatusCode(404) => Fault::NotFound,
        ureq::Error::StatusCode(status) => Fault::Other(format!("the answer was {status}")),
        ureq::Error::Timeout(_) => Fault::TimedOut { after_ms: download.timeout_ms },
        ureq::Error::BodyExceedsLimit(_) => Fault::TooLarge { max_bytes: download.max_bytes },
        other => Fault::Other(other.to_string()),
    }
}

fn of_io(error: io::Error, download: &Download<'_>) -> Fault {
    match error.downcast::<ureq::Error>() {
        Ok(error) => of_call(error, download),
        Err(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Answers one request with these bytes.
    fn serve(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        format!("http://{address}/x")
    }

    fn fetch(url: &str, max_bytes: u64) -> Result<Vec<u8>, Fault> {
        let host = LinuxHost::system(Path::new("/"));
        let download = Download { url, accept: None, max_bytes, timeout_ms: 5_000 };
        host.fetch(&download).map_err(|error| error.fault)
    }

    #[test]
    fn what_is_larger_than_allowed_is_refused() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
        assert_eq!(fetch(&serve(answer), 5), Ok(b"hello".to_vec()));
        assert_eq!(fetch(&serve(answer), 4), Err(Fault::TooLarge { max_bytes: 4 }));
        let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(fetch(&serve(endless), 4), Err(Fault::TooLarge { max_bytes: 4 }));
    }

    #[test]
    fn failures_are_told_apart() {
        let gone = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        assert_eq!(fetch(&serve(gone), 9), Err(Fault::NotFound));
        let away = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let fault = fetch(&serve(away), 9).unwrap_err();
        assert!(matches!(fault, Fault::Other(_)), "{fault:?}");
        let error = fetch("http://example.test/x", 9).unwrap_err();
        assert!(error.to_string().contains("only https"), "{error}");
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for (url, own) in [
            ("http://127.0.0.1:8080/a", true),
            ("http://[::1]/a", true),
            ("http://localhost", true),
            ("http://localhost.example.test/", false),
            ("http://127.0.0.1@example.test/", false),
            ("http://example.test/?http://localhost", false),
            ("ftp://localhost/", false),
        ] {
            assert_eq!(to_this_machine(url), own, "{url}");
        }
    }

    #[test]
    fn what_an_address_may_hold_besides_a_place_is_not_told() {
        let download = Download {
            url: "https://me:secret@example.test/a?token=b",
            accept: None,
            max_bytes: 1,
            timeout_ms: 1,
        };
        assert_eq!(failed(&download, Fault::NotFound).subject, "https://example.test/a");
    }
}
