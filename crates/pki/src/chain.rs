//! Chain verification (RFC 5280 section 6, the part that our formats need) to given roots.

use crate::{Certificate, Error, Result, certificate::KeyUsage, public_key::Legacy};

/// Certificates between a leaf and its root, at most.
const DEPTH: usize = 6;
/// Signatures that are checked for one leaf, at most: a pool of equal names costs no more.
const CHECKS: usize = 32;

/// How a chain is judged.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// Self-signed or not: a chain that ends at one of these keys is trusted.
    pub roots: &'a [Certificate],
    /// The time at which every certificate must be valid, unix ms; none asks for no validity.
    pub at: Option<i64>,
    /// Accepts old algorithms.
    pub legacy: Legacy,
}

/// Verifies that `leaf` leads through `pool` to one of the roots. What the leaf may be used for is
/// the caller's question.
pub fn verify(leaf: &Certificate, pool: &[Certificate], trust: Trust<'_>) -> Result<()> {
    let mut checks = CHECKS;
    usable(leaf, trust.at)?;
    if trust.roots.contains(leaf) {
        return Ok(());
    }
    // Depth-first over certificates whose subject is the wanted issuer; the stack holds (certificate,
    // authorities passed below it).
    let mut stack = vec![(leaf, 0usize)];
    while let Some((certificate, below)) = stack.pop() {
        let mut candidates = trust.roots.iter().map(|root| (root, true)).chain(pool.iter().map(|other| (other, false)));
        while let Some((issuer, is_root)) = candidates.find(|(issuer, _)| issuer.subject() == certificate.issuer()) {
            if authority(issuer, below, trust.at).is_err() {
                continue;
            }
            checks = checks.checked_sub(1).ok_or(Error::Untrusted("too many candidates"))?;
            if certificate.verify_signature(issuer.public_key(), trust.legacy).is_err() {
                continue;
            }
            if is_root {
                return Ok(());
            }
            if below < DEPTH && issuer.subject() != issuer.issuer() {
                stack.push((issuer, below + 1));
            }
        }
    }
    Err(Error::Untrusted("no chain to a known root"))
}

fn usable(certificate: &Certificate, at: Option<i64>) -> Result<()> {
    if certificate.extensions().unknown_critical {
        return Err(Error::Untrusted("unknown critical extension"));
    }
    if at.is_some_and(|now| !certificate.valid_at(now)) {
        return Err(Error::Untrusted("outside its validity"));
    }
    Ok(())
}

fn authority(certificate: &Certificate, below: usize, at: Option<i64>) -> Result<()> {
    usable(certificate, at)?;
    let extensions = certificate.extensions();
    match extensions.authority {
        None => return Err(Error::Untrusted("issuer is no authority")),
        Some(Some(length)) if below > length as usize => return Err(Error::Untrusted("path length")),
        Some(_) => {}
    }
    match extensions.key_usage {
        Some(usage) if !usage.has(KeyUsage::CERTIFICATE_SIGN) => Err(Error::Untrusted("issuer may not sign")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CertificateTemplate, KeyKind, KeyPair, Name, Usage, certificate::Issuer};

    fn template(name: &str, key: &KeyPair, usage: Usage) -> CertificateTemplate {
        CertificateTemplate {
            serial: vec![1],
            subject: Name::common(name),
            not_before: 0,
            not_after: 1_000_000,
            public_key: key.public().clone(),
            usage,
            alternative_names: vec![],
            crl_url: None,
        }
    }

    #[test]
    fn chains_lead_to_a_root_or_are_refused() {
        let [root_key, ca_key, leaf_key] = [(); 3].map(|()| KeyPair::generate(KeyKind::P256).unwrap());
        let root = template("root", &root_key, Usage::root()).self_sign(&root_key).unwrap();
        let root_issuer = Issuer { certificate: &root, key: &root_key };
        let ca = template("ca", &ca_key, Usage::issuing()).sign(root_issuer).unwrap();
        let ca_issuer = Issuer { certificate: &ca, key: &ca_key };
        let leaf = template("leaf", &leaf_key, Usage::client()).sign(ca_issuer).unwrap();
        let by_leaf = Issuer { certificate: &leaf, key: &leaf_key };
        let below_leaf = template("fake", &ca_key, Usage::client()).sign(by_leaf).unwrap();
        let sub = template("sub", &leaf_key, Usage::issuing()).sign(ca_issuer).unwrap();
        let by_sub = Issuer { certificate: &sub, key: &leaf_key };
        let too_deep = template("deep", &leaf_key, Usage::client()).sign(by_sub).unwrap();
        let forged =
            template("leaf", &leaf_key, Usage::client()).sign(Issuer { certificate: &ca, key: &leaf_key }).unwrap();

        let roots = [root.clone()];
        let trust = |at| Trust { roots: &roots, at: Some(at), legacy: Legacy::default() };
        verify(&leaf, std::slice::from_ref(&ca), trust(5)).unwrap();
        verify(&leaf, std::slice::from_ref(&ca), Trust { at: None, ..trust(0) }).unwrap();
        verify(&root, &[], trust(5)).unwrap();
        assert!(verify(&leaf, &[], trust(5)).is_err(), "issuer missing");
        assert!(verify(&leaf, std::slice::from_ref(&ca), trust(2_000_000)).is_err(), "expired");
        assert!(verify(&forged, std::slice::from_ref(&ca), trust(5)).is_err(), "signed by another key");
        assert!(verify(&below_leaf, &[ca.clone(), leaf.clone()], trust(5)).is_err(), "leaf is no authority");
        assert!(verify(&too_deep, &[ca.clone(), sub], trust(5)).is_err(), "path length");
        assert!(verify(&leaf, &[ca], Trust { roots: &[], ..trust(5) }).is_err(), "no roots");
    }
}
