//! The CA on disk: made once, checked at every start.

use super::{Authority, FleetCa, ISSUER_LIFE, ROOT_LIFE, ServerCertificate, authority};
use crate::{
    IdentityError,
    files::{self, Readers},
};
use chrono::{DateTime, Utc};
use muster_domain::{FleetId, host_names};
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, GeneralSubtree, Issuer, KeyPair, NameConstraints,
    PublicKeyData as _,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{collections::BTreeSet, path::Path};
use uuid::Uuid;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

const FLEET_ID: &str = "fleet-id";
const ROOT: &str = "root";
const NODES: &str = "node-issuer";
const CONTROLLERS: &str = "controller-issuer";
const SERVICES: &str = "service-issuer";

/// Makes a new fleet's CA in `folder`, which must be empty.
pub(crate) fn create(folder: &Path, now: DateTime<Utc>) -> Result<(), IdentityError> {
    let make = |source| IdentityError::Make { what: "the fleet's certificates", source };
    let fleet = FleetId::from_uuid(Uuid::new_v4());
    files::write_new(&folder.join(FLEET_ID), format!("{fleet}\n").as_bytes())?;

    let root_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(make)?;
    let params = authority(&format!("Muster fleet {fleet}"), 1, now, now + ROOT_LIFE);
    let root = params.self_signed(&root_key).map_err(make)?;
    write(folder, ROOT, &root, &root_key)?;

    let root = Issuer::new(params, root_key);
    for (name, common_name, usage) in [
        (NODES, "Muster issuer of nodes", ExtendedKeyUsagePurpose::ClientAuth),
        (CONTROLLERS, "Muster issuer of controllers", ExtendedKeyUsagePurpose::ServerAuth),
    ] {
        let (certificate, key) =
            sign_issuer(&root, issuer_params(common_name, vec![usage], now)).map_err(make)?;
        write(folder, name, &certificate, &key)?;
    }
    let (certificate, key) = sign_service_issuer(&root, now).map_err(make)?;
    write(folder, SERVICES, &certificate, &key)
}

/// Makes what a fleet that was made by an earlier version lacks, while its root key is still there.
pub(crate) fn complete(folder: &Path, now: DateTime<Utc>) -> Result<(), IdentityError> {
    let there = |name: &str| {
        let path = folder.join(name);
        path.try_exists().map_err(|source| IdentityError::Io { action: "look for", path, source })
    };
    if there(&format!("{SERVICES}.crt"))? || !there(&format!("{ROOT}.key"))? {
        return Ok(());
    }
    let make = |source| IdentityError::Make { what: "the issuer for services", source };
    let path = folder.join(format!("{ROOT}.crt"));
    let root = certificate(&path, &files::read(&path, Readers::Anybody)?)?;
    let key_path = folder.join(format!("{ROOT}.key"));
    let root_key = read_key(&key_path)?;
    if root_key.subject_public_key_info() != parse(&path, &root)?.public_key().raw {
        return Err(IdentityError::damaged(&key_path, "it does not belong to the certificate beside it"));
    }
    let root = Issuer::from_ca_cert_der(&root, root_key).map_err(make)?;
    let (certificate, key) = sign_service_issuer(&root, now).map_err(make)?;
    // The certificate last: while it is missing, this is done again.
    let pem = zeroize::Zeroizing::new(key.serialize_pem());
    files::replace(&folder.join(format!("{SERVICES}.key")), pem.as_bytes())?;
    files::replace(&folder.join(format!("{SERVICES}.crt")), certificate.pem().as_bytes())?;
    tracing::info!("made the fleet's issuer for services");
    Ok(())
}

fn sign_service_issuer(
    root: &Issuer<'_, KeyPair>,
    now: DateTime<Utc>,
) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
    let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let mut params = issuer_params("Muster issuer of services", usages, now);
    // Agents know a controller by the root and this name, so nothing that this issuer signs may pass for one.
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: Vec::new(),
        excluded_subtrees: vec![GeneralSubtree::DnsName(host_names::CONTROLLER.to_owned())],
    });
    sign_issuer(root, params)
}

fn issuer_params(
    common_name: &str,
    usages: Vec<ExtendedKeyUsagePurpose>,
    now: DateTime<Utc>,
) -> CertificateParams {
    let mut params = authority(common_name, 0, now, now + ISSUER_LIFE);
    params.extended_key_usages = usages;
    params.use_authority_key_identifier_extension = true;
    params
}

fn sign_issuer(
    root: &Issuer<'_, KeyPair>,
    params: CertificateParams,
) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    Ok((params.signed_by(&key, root)?, key))
}

fn read_key(path: &Path) -> Result<KeyPair, IdentityError> {
    let key = files::read(path, Readers::Owner)?;
    std::str::from_utf8(&key)
        .ok()
        .and_then(|pem| KeyPair::from_pem(pem).ok())
        .ok_or_else(|| IdentityError::damaged(path, "it holds no key"))
}

fn write(
    folder: &Path,
    name: &str,
    certificate: &rcgen::Certificate,
    key: &KeyPair,
) -> Result<(), IdentityError> {
    let key = zeroize::Zeroizing::new(key.serialize_pem());
    files::write_new(&folder.join(format!("{name}.key")), key.as_bytes())?;
    files::write_new(&folder.join(format!("{name}.crt")), certificate.pem().as_bytes())
}

/// Reads a CA and checks that its parts belong together.
pub(crate) fn load(folder: &Path) -> Result<FleetCa, IdentityError> {
    let path = folder.join(FLEET_ID);
    let fleet_id = std::str::from_utf8(&files::read(&path, Readers::Anybody)?)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| IdentityError::damaged(&path, "it holds no id"))?;

    let path = folder.join(format!("{ROOT}.crt"));
    let root = certificate(&path, &files::read(&path, Readers::Anybody)?)?;
    parse(&path, &root)?
        .verify_signature(None)
        .map_err(|_| IdentityError::damaged(&path, "it is not a root"))?;

    let path = folder.join(format!("{SERVICES}.crt"));
    let with_services =
        path.try_exists().map_err(|source| IdentityError::Io { action: "look for", path, source })?;
    Ok(FleetCa {
        fleet_id,
        nodes: issuer(folder, NODES, &root)?,
        controllers: issuer(folder, CONTROLLERS, &root)?,
        services: if with_services { Some(issuer(folder, SERVICES, &root)?) } else { None },
        root,
    })
}

fn issuer(folder: &Path, name: &str, root: &CertificateDer<'_>) -> Result<Authority, IdentityError> {
    let path = folder.join(format!("{name}.crt"));
    let certificate = certificate(&path, &files::read(&path, Readers::Anybody)?)?;
    let parsed = parse(&path, &certificate)?;
    let root = parse(&folder.join(format!("{ROOT}.crt")), root)?;
    parsed
        .verify_signature(Some(root.public_key()))
        .map_err(|_| IdentityError::damaged(&path, "the root did not sign it"))?;
    let not_after = expiry(&path, &parsed)?;

    let key_path = folder.join(format!("{name}.key"));
    let key = read_key(&key_path)?;
    if key.subject_public_key_info() != parsed.public_key().raw {
        return Err(IdentityError::damaged(&key_path, "it does not belong to the certificate beside it"));
    }
    let issuer = Issuer::from_ca_cert_der(&certificate, key)
        .map_err(|e| IdentityError::damaged(&path, format!("it cannot issue: {e}")))?;
    Ok(Authority { certificate, not_after, issuer })
}

/// Reads what [`FleetCa::issue_server_pem`] made, with the names that the certificate is for. Refuses it when the
/// controllers' issuer of today did not sign it.
pub(crate) fn read_server(
    ca: &FleetCa,
    path: &Path,
    pem: &[u8],
) -> Result<(ServerCertificate, BTreeSet<String>), IdentityError> {
    let leaf = certificate(path, pem)?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|e| IdentityError::damaged(path, e))?;
    let parsed = parse(path, &leaf)?;
    parsed
        .verify_signature(Some(parse(path, &ca.controllers.certificate)?.public_key()))
        .map_err(|_| IdentityError::damaged(path, "another issuer signed it"))?;
    let not_after = expiry(path, &parsed)?;
    let names = parsed
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| extension.value.general_names.iter().filter_map(name).collect())
        .unwrap_or_default();
    let chain = vec![leaf, ca.controllers.certificate.clone(), ca.root.clone()];
    Ok((ServerCertificate { chain, key, not_after }, names))
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(|four| std::net::IpAddr::from(four).to_string())
            .or_else(|_| {
                <[u8; 16]>::try_from(*bytes).map(|sixteen| std::net::IpAddr::from(sixteen).to_string())
            })
            .ok(),
        _ => None,
    }
}

fn certificate(path: &Path, pem: &[u8]) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(pem).map_err(|e| IdentityError::damaged(path, e))
}

fn parse<'a>(path: &Path, der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, IdentityError> {
    X509Certificate::from_der(der).map(|(_, parsed)| parsed).map_err(|e| IdentityError::damaged(path, e))
}

fn expiry(path: &Path, certificate: &X509Certificate<'_>) -> Result<DateTime<Utc>, IdentityError> {
    DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0)
        .ok_or_else(|| IdentityError::damaged(path, "its end is not a time"))
}
