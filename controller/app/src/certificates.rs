//! Certificates for services of nodes: issued for what the node's own assignment says, and for nothing else.

use crate::{App, AppError, AuthenticatedNode, shorten};
use muster_domain::resource::{Certificate, DesiredState};
use muster_identity::IssueError;
use std::{collections::BTreeSet, net::IpAddr};

/// What a node asks for.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    /// The name of the certificate in its assignment.
    pub name: String,
    /// PKCS #10, DER.
    pub csr_der: Vec<u8>,
    /// Names that it should be valid for.
    pub dns_names: Vec<String>,
    /// Addresses that it should be valid for.
    pub addresses: Vec<IpAddr>,
}

/// What it gets.
#[derive(Debug, Clone)]
pub struct ServiceCertificate {
    /// DER; the service's own first, then its issuer.
    pub chain_der: Vec<Vec<u8>>,
    /// The root of the fleet, DER.
    pub root_der: Vec<u8>,
}

impl App {
    /// Issues a certificate for a service of the calling node.
    pub async fn service_certificate_issue(
        &self,
        node: &AuthenticatedNode,
        request: CertificateRequest,
    ) -> Result<ServiceCertificate, AppError> {
        let assignment = self.assignment_get(node.id, None).await?;
        let content = assignment
            .map(|assignment| muster_proto::convert::decode_content(&assignment.content))
            .transpose()
            .map_err(|error| {
                AppError::internal(format!("the assignment of node {} cannot be read", node.name), error)
            })?;
        let resources = content.map(|content| content.resources).unwrap_or_default();
        let declared = resources.iter().find_map(|resource| match &resource.desired {
            DesiredState::Certificate(certificate) if certificate.name == request.name => Some(certificate),
            _ => None,
        });
        let declared = declared.ok_or_else(|| {
            AppError::not_found("certificate in the assignment of this node", shorten(&request.name))
        })?;
        require_assigned(declared, &request)?;
        let CertificateRequest { name, csr_der, dns_names, addresses } = request;
        let ca = &self.identity().ca;
        let issued = ca
            .issue_service_certificate(&csr_der, &node.name, &dns_names, &addresses, self.now())
            .map_err(refused)?;
        tracing::info!(
            node.name = %node.name,
            certificate = name,
            serial = issued.serial.as_str(),
            not_after = %issued.not_after,
            "issued a certificate for a service"
        );
        Ok(ServiceCertificate { chain_der: issued.chain_der, root_der: ca.root().to_vec() })
    }
}

/// Refuses names that are not this node's. One that asks for fewer has an older assignment, or a newer one.
fn require_assigned(declared: &Certificate, request: &CertificateRequest) -> Result<(), AppError> {
    let lower =
        |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect::<BTreeSet<_>>();
    let (names, asked) = (lower(&declared.dns_names), lower(&request.dns_names));
    let addresses: BTreeSet<IpAddr> = declared.addresses.iter().copied().collect();
    let asked_addresses: BTreeSet<IpAddr> = request.addresses.iter().copied().collect();
    if names == asked && addresses == asked_addresses {
        return Ok(());
    }
    let foreign: Vec<String> = asked
        .difference(&names)
        .cloned()
        .chain(asked_addresses.difference(&addresses).map(ToString::to_string))
        .take(5)
        .collect();
    let detail = if foreign.is_empty() {
        format!("certificate {:?} of this node has more names than were asked for", declared.name)
    } else {
        format!("certificate {:?} of this node is not for {}", declared.name, foreign.join(", "))
    };
    Err(AppError::conflict("names_not_assigned", detail)
        .with_hint("the assignment may have changed a moment ago: ask again with the newest one"))
}

fn refused(error: IssueError) -> AppError {
    match error {
        IssueError::Request(reason) => AppError::invalid("invalid_certificate_request", reason),
        IssueError::NoServiceIssuer => AppError::conflict("no_service_issuer", &error),
        IssueError::ReservedName(_) => AppError::conflict("reserved_name", &error),
        IssueError::IssuerExpired(_) | IssueError::Sign(_) => {
            AppError::internal("the certificate could not be issued", error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> Certificate {
        Certificate {
            name: "db".into(),
            dns_names: vec!["db.internal".into()],
            addresses: vec!["10.0.0.7".parse().unwrap()],
            key_path: "/etc/db/key".into(),
            certificate_path: "/etc/db/crt".into(),
            ca_path: None,
            owner: None,
            group: None,
        }
    }

    fn request(dns_names: &[&str], addresses: &[&str]) -> CertificateRequest {
        CertificateRequest {
            name: "db".into(),
            csr_der: Vec::new(),
            dns_names: dns_names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn only_exactly_what_is_assigned_passes() {
        let check =
            |names: &[&str], addresses: &[&str]| require_assigned(&declared(), &request(names, addresses));
        check(&["DB.internal"], &["10.0.0.7"]).unwrap();
        for (names, addresses, foreign) in [
            (&["db.internal", "controller"][..], &["10.0.0.7"][..], "controller"),
            (&["db.internal"], &["10.0.0.7", "10.0.0.8"], "10.0.0.8"),
            (&["*.internal"], &["10.0.0.7"], "*.internal"),
            (&[], &["10.0.0.7"], "more names"),
        ] {
            let error = check(names, addresses).unwrap_err();
            assert!(matches!(&error, AppError::Conflict { code: "names_not_assigned", .. }), "{error:?}");
            assert!(error.to_string().contains(foreign), "{error}");
        }
    }
}
