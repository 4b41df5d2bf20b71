//! Whom to believe that they are the controller: a certificate that the system trusts, or the certificate authority
//! of the fleet, from a file or by its fingerprint.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine;
use reqwest::Url;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Result};
use crate::profile::loopback;

/// An HTTP client that trusts the given certificates, or else those of the system.
pub(crate) fn http_client(url: &Url, ca_pem: Option<&str>) -> Result<reqwest::Client> {
    // Plain HTTP, which is for this machine only, must also work on a host that has no trusted certificates at all.
    let ca_pem = if url.scheme() == "http" { Some("") } else { ca_pem };
    let config = match ca_pem {
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            let trusted = if pem.is_empty() { Vec::new() } else { certificates(pem)? };
            for certificate in trusted {
                roots
                    .add(certificate)
                    .map_err(|error| Failure::of("the certificate authority cannot be used", &error))?;
            }
            let config =
                ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
            Some(config.map_err(tls_setup)?.with_root_certificates(roots).with_no_client_auth())
        }
        None => None,
    };
    build(url, config)
}

fn build(url: &Url, config: Option<ClientConfig>) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(std::time::Duration::from_secs(10))
        .redirect(reqwest::redirect::Policy::none());
    if loopback(url) {
        // A proxy has another idea of what this machine is.
        builder = builder.no_proxy();
    }
    if let Some(config) = config {
        builder = builder.tls_backend_preconfigured(config);
    }
    builder.build().map_err(|error| {
        Failure::of("cannot prepare the connection", &error).hint(
            "if this system has no trusted certificates, give --ca-file FILE, or sign in with --ca-sha256",
        )
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn tls_setup(error: rustls::Error) -> Failure {
    Failure::of("cannot prepare TLS", &error)
}

/// The certificates of a PEM text; at least one.
pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(Failure::usage("the file of the certificate authority holds no certificate in PEM form")),
    }
}

/// A certificate in PEM form.
pub(crate) fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// The SHA-256 of a certificate, in hexadecimal.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex::encode(Sha256::digest(certificate))
}

/// Brings a fingerprint as people copy it (`AB:CD:…`) into the form of [`fingerprint`].
pub(crate) fn parse_fingerprint(text: &str) -> std::result::Result<String, String> {
    let plain: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
    let plain = plain.to_ascii_lowercase();
    let plain = plain.strip_prefix("sha256").unwrap_or(&plain).to_owned();
    if plain.len() == 64 && plain.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(plain)
    } else {
        Err("a SHA-256 fingerprint has 64 hexadecimal digits".to_owned())
    }
}

/// The certificates that a server presents, its own first. The handshake is broken off before anything is sent.
pub(crate) async fn presented_chain(url: &Url) -> Result<Vec<CertificateDer<'static>>> {
    let capture = Arc::new(Capture { provider: provider(), seen: Mutex::new(Vec::new()) });
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(tls_setup)?
        .dangerous()
        .with_custom_certificate_verifier(capture.clone())
        .with_no_client_auth();
    let answer = build(url, Some(config))?.get(url.clone()).send().await;
    let seen = std::mem::take(&mut *capture.seen.lock().expect("nobody panics while holding the lock"));
    match answer {
        _ if !seen.is_empty() => Ok(seen),
        Err(error) => Err(Failure::of(format!("cannot reach the controller at {url}"), &error)),
        Ok(_) => Err(Failure::failed(format!("the server at {url} presents no certificate"))),
    }
}

/// Whether a request failed because the certificate of the server is not trusted.
pub(crate) fn untrusted(error: &(dyn Error + 'static)) -> bool {
    matches!(tls_error(error), Some(rustls::Error::InvalidCertificate(_)))
}

fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // `source()` of such an error skips the one that it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|inner| tls_error(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Notes the certificates and trusts nobody.
#[derive(Debug)]
struct Capture {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Capture {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        *self.seen.lock().expect("nobody panics while holding the lock") =
            chain.map(|certificate| certificate.clone().into_owned()).collect();
        Err(rustls::Error::General("only the certificates were asked for".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only the certificates were asked for".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only the certificates were asked for".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_people_copy_them() {
        let plain = "ab".repeat(32);
        let spaced = format!("SHA256:{}", vec!["AB"; 32].join(":"));
        for text in [plain.as_str(), &plain.to_uppercase(), &spaced] {
            assert_eq!(parse_fingerprint(text), Ok(plain.clone()), "{text}");
        }
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(65)] {
            assert!(parse_fingerprint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn certificates_survive_the_way_through_pem() {
        let certificate = CertificateDer::from(vec![7; 200]);
        assert_eq!(certificates(&pem(&certificate)).unwrap(), [certificate]);
        assert!(certificates("nothing").is_err());
    }
}
