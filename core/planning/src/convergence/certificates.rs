//! Decides about certificates.

use super::{Action, Observed, Verdict, mismatch};
use chrono::{DateTime, TimeDelta, Utc};
use muster_domain::resource::Certificate;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What was found of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedCertificate {
    /// The time of the node.
    pub now: DateTime<Utc>,
    /// What is wrong with the key; absent when it is good.
    pub key_fault: Option<String>,
    /// The certificate, or what is wrong with it.
    pub certificate: Result<FoundCertificate, String>,
    /// What is wrong with the copy of the root; absent when it is good, or not wanted.
    pub ca_fault: Option<String>,
    /// How modes and owners of the files differ from what they should be.
    pub attributes: Vec<String>,
}

/// A certificate that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundCertificate {
    /// From when it is good.
    pub not_before: DateTime<Utc>,
    /// Until when.
    pub not_after: DateTime<Utc>,
    /// Names that it is for, in lower case.
    pub dns_names: BTreeSet<String>,
    /// Addresses that it is for.
    pub addresses: BTreeSet<IpAddr>,
    /// It is for the key that lies beside it.
    pub matches_key: bool,
    /// The fleet's root vouches for it.
    pub trusted: bool,
    /// A number between 0 and 255 that differs between certificates: they are not all renewed at once.
    pub jitter: u8,
}

impl FoundCertificate {
    /// When it is renewed: after two thirds of its life, moved back by up to a tenth of it.
    pub fn renew_at(&self) -> DateTime<Utc> {
        let life = (self.not_after - self.not_before).max(TimeDelta::zero());
        self.not_before + life * 2 / 3 + life * i32::from(self.jitter) / 2550
    }
}

pub(super) fn verdict(wanted: &Certificate, observed: &Observed) -> Verdict {
    let Observed::Certificate(found) = observed else { return mismatch() };
    let Certificate {
        name: _,
        dns_names,
        addresses,
        key_path: _,
        certificate_path: _,
        ca_path: _,
        owner: _,
        group: _,
    } = wanted;
    let mut reasons: Vec<String> = found.key_fault.clone().into_iter().collect();
    match &found.certificate {
        Err(fault) => reasons.push(fault.clone()),
        Ok(certificate) => {
            let names: BTreeSet<String> = dns_names.iter().map(|name| name.to_ascii_lowercase()).collect();
            if certificate.dns_names != names || certificate.addresses != addresses.iter().copied().collect()
            {
                reasons.push("the certificate is for other names".to_owned());
            }
            // Without a key there is nothing that it could be for.
            if !certificate.matches_key && found.key_fault.is_none() {
                reasons.push("the certificate is for another key".to_owned());
            }
            if !certificate.trusted {
                reasons.push("the fleet's root does not vouch for the certificate".to_owned());
            }
            let (now, day) = (found.now, "%Y-%m-%d %H:%M UTC");
            if certificate.not_after <= now {
                reasons.push(format!("the certificate ran out at {}", certificate.not_after.format(day)));
            } else if certificate.renew_at() <= now {
                reasons.push(format!("the certificate runs out at {}", certificate.not_after.format(day)));
            }
        }
    }
    if !reasons.is_empty() {
        reasons.extend(found.attributes.iter().cloned());
        return change(Action::IssueCertificate, reasons);
    }
    reasons.extend(found.ca_fault.clone());
    reasons.extend(found.attributes.iter().cloned());
    if reasons.is_empty() { Verdict::InPlace } else { change(Action::SetAttributes, reasons) }
}

fn change(action: Action, reasons: Vec<String>) -> Verdict {
    Verdict::Change { actions: vec![action], reason: reasons.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted() -> Certificate {
        Certificate {
            name: "db".into(),
            dns_names: vec!["DB.internal".into()],
            addresses: vec!["10.0.0.7".parse().unwrap()],
            key_path: "/k".into(),
            certificate_path: "/c".into(),
            ca_path: None,
            owner: None,
            group: None,
        }
    }

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::hours(hours)
    }

    fn good() -> ObservedCertificate {
        ObservedCertificate {
            now: at(1),
            key_fault: None,
            certificate: Ok(FoundCertificate {
                not_before: at(0),
                not_after: at(7 * 24),
                dns_names: ["db.internal".to_owned()].into(),
                addresses: ["10.0.0.7".parse().unwrap()].into(),
                matches_key: true,
                trusted: true,
                jitter: 0,
            }),
            ca_fault: None,
            attributes: Vec::new(),
        }
    }

    fn decide(change: impl FnOnce(&mut ObservedCertificate)) -> Verdict {
        let mut found = good();
        change(&mut found);
        verdict(&wanted(), &Observed::Certificate(found))
    }

    fn action(verdict: Verdict) -> (Action, String) {
        match verdict {
            Verdict::Change { actions, reason } => (actions[0], reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whatever_is_wrong_with_it_is_issued_anew_and_said() {
        assert_eq!(decide(|_| {}), Verdict::InPlace);
        type Harm = fn(&mut ObservedCertificate);
        let table: [(Harm, &str); 8] = [
            (|f| f.key_fault = Some("the key is missing".into()), "the key is missing"),
            (|f| f.certificate = Err("the certificate is missing".into()), "the certificate is missing"),
            (|f| f.certificate.as_mut().unwrap().dns_names.clear(), "other names"),
            (
                |f| {
                    f.certificate.as_mut().unwrap().addresses.insert("::1".parse().unwrap());
                },
                "other names",
            ),
            (|f| f.certificate.as_mut().unwrap().matches_key = false, "another key"),
            (|f| f.certificate.as_mut().unwrap().trusted = false, "root"),
            (|f| f.now = at(7 * 24), "ran out at"),
            (|f| f.now = at(7 * 16), "runs out at"),
        ];
        for (harm, said) in table {
            let (action, reason) = action(decide(harm));
            assert_eq!(action, Action::IssueCertificate);
            assert!(reason.contains(said), "{reason}");
        }
    }

    #[test]
    fn modes_and_the_copy_of_the_root_are_put_right_without_the_controller() {
        let (first, reason) =
            action(decide(|f| f.attributes.push("mode of /k is 0644 instead of 0600".into())));
        assert_eq!((first, reason.as_str()), (Action::SetAttributes, "mode of /k is 0644 instead of 0600"));
        let (second, _) = action(decide(|f| f.ca_fault = Some("the root is missing".into())));
        assert_eq!(second, Action::SetAttributes);
    }

    proptest! {
        #[test]
        fn it_is_renewed_in_the_last_third_of_its_life(jitter: u8, life_h in 1_i64..10_000) {
            let certificate = FoundCertificate { not_after: at(life_h), jitter, ..good().certificate.unwrap() };
            let life = TimeDelta::hours(life_h);
            prop_assert!(certificate.renew_at() >= at(0) + life * 2 / 3);
            prop_assert!(certificate.renew_at() < at(0) + life * 4 / 5);
        }
    }
}
