//! Certificates of the fleet for services of this node: the key is made here and stays here, the controller signs.
//!
//! A good key is kept, so that the two files always belong together for whoever reads them between two writes. A new one is
//! written before its certificate: killed in between, the next run finds a certificate for another key, and asks again.

mod look_at;

use super::Look;
use crate::config::Clock;
use crate::identity::{self, IdentityStore};
use futures_util::future::BoxFuture;
use look_at::{chain_of, key_of, root_of};
use muster_domain::resource::Certificate;
use muster_planning::convergence::{Action, Observed, ObservedCertificate};
use muster_platform::{Host, Ownership, WriteFile};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

const MAX_FILE_BYTES: u64 = 256 * 1024;

/// What everybody may read.
const PUBLIC_MODE: u32 = 0o644;

/// Signs for keys of this node.
pub trait CertificateSource: Send + Sync + 'static {
    /// Asks for a certificate; answers the chain in DER, the service's own first. The error is for a person.
    fn issue(&self, request: CertificateRequest) -> BoxFuture<'_, Result<Vec<Vec<u8>>, String>>;
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    /// The certificate's name in the assignment.
    pub name: String,
    /// PKCS #10, DER.
    pub csr_der: Vec<u8>,
    /// Names that it should be valid for.
    pub dns_names: Vec<String>,
    /// Addresses that it should be valid for.
    pub addresses: Vec<IpAddr>,
}

pub(super) fn observe(look: Look<'_>, wanted: &Certificate) -> Observed {
    if !look.host.privileged() {
        return Observed::Unsupported("certificates for services need an agent that runs as root".into());
    }
    found(look, wanted).map_or_else(Observed::Unreadable, Observed::Certificate)
}

/// Puts right what needs no controller.
pub(super) fn apply(look: Look<'_>, wanted: &Certificate, action: Action) -> Result<Option<String>, String> {
    if action != Action::SetAttributes {
        return Err(format!("{action:?} cannot be done for it"));
    }
    let ownership = ownership(look.host, wanted)?;
    put_root(look, wanted, ownership)?;
    for (path, mode) in files(wanted) {
        look.host.set_attributes(Path::new(path), mode, ownership).map_err(|error| error.to_string())?;
    }
    Ok(None)
}

/// Has a certificate issued, and puts it into place.
pub(crate) async fn issue(
    host: Arc<dyn Host>,
    state: crate::config::StateDir,
    source: &dyn CertificateSource,
    wanted: &Certificate,
) -> Result<Option<String>, String> {
    let (asking, place, declared) = (host.clone(), state.clone(), wanted.clone());
    let key = crate::blocking(move || {
        let look = Look { host: asking.as_ref(), state: &place, assigned: &[] };
        prepare(look, &declared)
    });
    let (key, made) = key.await?;
    let request = CertificateRequest {
        name: wanted.name.clone(),
        csr_der: identity::certificate_request(&key).map_err(|error| crate::chain(&error))?,
        dns_names: wanted.dns_names.clone(),
        addresses: wanted.addresses.clone(),
    };
    let chain = source.issue(request).await?;
    let declared = wanted.clone();
    crate::blocking(move || {
        let look = Look { host: host.as_ref(), state: &state, assigned: &[] };
        finish(look, &declared, made.then_some(&key), &chain)
    })
    .await
}

/// The key to ask with: the one that is there when it is good, or a new one. Answers whether it is new.
fn prepare(look: Look<'_>, wanted: &Certificate) -> Result<(Zeroizing<String>, bool), String> {
    // Before the controller is asked: what nobody can be given is not to be issued.
    ownership(look.host, wanted)?;
    if let Ok(pem) = read_text(look, &wanted.key_path).map(Zeroizing::new)
        && key_of(&pem).is_ok()
    {
        return Ok((pem, false));
    }
    identity::make_key().map(|pem| (pem, true)).map_err(|error| crate::chain(&error))
}

fn finish(
    look: Look<'_>,
    wanted: &Certificate,
    new_key: Option<&Zeroizing<String>>,
    chain: &[Vec<u8>],
) -> Result<Option<String>, String> {
    let pem: String = chain.iter().map(|der| identity::pem("CERTIFICATE", der)).collect();
    let root = root_of(&IdentityStore::new(look.state.clone()))?;
    let issued = chain_of(pem.as_bytes(), &root, None)?;
    if !issued.trusted {
        return Err(
            "the controller answered with a certificate that the fleet's root does not vouch for".into()
        );
    }
    let ownership = ownership(look.host, wanted)?;
    let put = |path: &str, content: &[u8], mode| {
        let file = WriteFile { path: Path::new(path), content, mode, ownership };
        look.host.write(&file).map_err(|error| error.to_string())
    };
    if let Some(key) = new_key {
        put(&wanted.key_path, key.as_bytes(), key_mode(wanted))?;
    }
    put(&wanted.certificate_path, pem.as_bytes(), PUBLIC_MODE)?;
    put_root(look, wanted, ownership)?;
    for (path, mode) in files(wanted) {
        look.host.set_attributes(Path::new(path), mode, ownership).map_err(|error| error.to_string())?;
    }
    let key = if new_key.is_some() { ", with a new key" } else { "" };
    Ok(Some(format!("issued until {}{key}", issued.not_after.format("%Y-%m-%d %H:%M UTC"))))
}

pub(super) fn diff(_look: Look<'_>, wanted: &Certificate, observed: &Observed) -> Option<String> {
    let Observed::Certificate(found) = observed else { return None };
    let mut lines = Vec::new();
    let listed = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>().join(", ");
    let names = |dns: &mut dyn Iterator<Item = String>, addresses: &mut dyn Iterator<Item = IpAddr>| {
        listed(&mut dns.chain(addresses.map(|address| address.to_string())))
    };
    let mut wanted_names: Vec<String> =
        wanted.dns_names.iter().map(|name| name.to_ascii_lowercase()).collect();
    wanted_names.sort();
    let mut addresses = wanted.addresses.clone();
    addresses.sort();
    let wants = names(&mut wanted_names.into_iter(), &mut addresses.into_iter());
    let has = found.certificate.as_ref().ok().map(|certificate| {
        names(&mut certificate.dns_names.iter().cloned(), &mut certificate.addresses.iter().copied())
    });
    if has.as_ref() != Some(&wants) {
        lines.extend(has.map(|has| format!("- for {has}")));
        lines.push(format!("+ for {wants}"));
    }
    lines.extend(found.attributes.iter().map(|text| format!("- {text}")));
    Some(lines.join("\n")).filter(|diff| !diff.is_empty())
}

pub(super) fn remove(look: Look<'_>, wanted: &Certificate) -> Result<Option<String>, String> {
    let mut removed = Vec::new();
    for (path, _) in files(wanted) {
        if look.host.stat(Path::new(path)).map_err(|error| error.to_string())?.is_some() {
            look.host.remove(Path::new(path)).map_err(|error| error.to_string())?;
            removed.push(path);
        }
    }
    Ok((!removed.is_empty()).then(|| format!("removed {}", removed.join(", "))))
}

fn found(look: Look<'_>, wanted: &Certificate) -> Result<ObservedCertificate, String> {
    let ownership = ownership(look.host, wanted)?;
    let root = root_of(&IdentityStore::new(look.state.clone()))?;
    let key = match read_text(look, &wanted.key_path) {
        Ok(pem) => key_of(&Zeroizing::new(pem)).map_err(|fault| format!("the key {fault}")),
        Err(fault) => Err(format!("the key {fault}")),
    };
    let certificate = read_text(look, &wanted.certificate_path)
        .and_then(|pem| chain_of(pem.as_bytes(), &root, key.as_deref().ok()))
        .map_err(|fault| format!("the certificate {fault}"));
    let ca_fault = wanted.ca_path.as_ref().and_then(|path| match read_text(look, path) {
        Ok(text) if text == identity::pem("CERTIFICATE", &root) => None,
        Ok(_) => Some("the copy of the root is another one".to_owned()),
        Err(fault) => Some(format!("the copy of the root {fault}")),
    });
    let mut attributes = Vec::new();
    for (path, mode) in files(wanted) {
        let Some(stat) = look.host.stat(Path::new(path)).map_err(|error| error.to_string())? else {
            continue;
        };
        if stat.mode != mode {
            attributes.push(format!("mode of {path} is {:04o} instead of {mode:04o}", stat.mode));
        }
        for (what, id, wanted) in [("owner", stat.uid, ownership.uid), ("group", stat.gid, ownership.gid)] {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != id) {
                attributes.push(format!("{what} of {path} is {id} instead of {wanted}"));
            }
        }
    }
    let now = Clock::system().now();
    Ok(ObservedCertificate { now, key_fault: key.err(), certificate, ca_fault, attributes })
}

/// The files, with the mode that each should have.
fn files(wanted: &Certificate) -> impl Iterator<Item = (&str, u32)> {
    let ca = wanted.ca_path.as_deref().map(|path| (path, PUBLIC_MODE));
    [(wanted.key_path.as_str(), key_mode(wanted)), (wanted.certificate_path.as_str(), PUBLIC_MODE)]
        .into_iter()
        .chain(ca)
}

const fn key_mode(wanted: &Certificate) -> u32 {
    if wanted.group.is_some() { 0o640 } else { 0o600 }
}

fn ownership(host: &dyn Host, wanted: &Certificate) -> Result<Ownership, String> {
    let named = super::paths::ownership(host, wanted.owner.as_deref(), wanted.group.as_deref())?;
    Ok(Ownership { uid: named.uid.or(Some(0)), gid: named.gid.or(Some(0)) })
}

fn put_root(look: Look<'_>, wanted: &Certificate, ownership: Ownership) -> Result<(), String> {
    let Some(path) = &wanted.ca_path else { return Ok(()) };
    let pem = identity::pem("CERTIFICATE", &root_of(&IdentityStore::new(look.state.clone()))?);
    if read_text(look, path).is_ok_and(|text| text == pem) {
        return Ok(());
    }
    let file = WriteFile { path: Path::new(path), content: pem.as_bytes(), mode: PUBLIC_MODE, ownership };
    look.host.write(&file).map_err(|error| error.to_string())
}

/// The text of a file, or what is wrong with it, to stand behind what it is.
fn read_text(look: Look<'_>, path: &str) -> Result<String, String> {
    use muster_platform::{Fault, HostError};
    match look.host.read(Path::new(path), MAX_FILE_BYTES) {
        Ok(content) => String::from_utf8(content).map_err(|_| "is not text".to_owned()),
        Err(HostError { fault: Fault::NotFound, .. }) => Err("is missing".to_owned()),
        Err(HostError { fault, .. }) => Err(format!("cannot be read: {fault}")),
    }
}

#[cfg(test)]
mod tests;
