//! A SCEP client as the system's profile installer behaves (RFC 8894): GetCACert, GetCACaps, PKCSReq.

use std::sync::Arc;

use base64::Engine as _;
use muster_pki::{
    Certificate, CsrTemplate, Digest, Name, Secret,
    asn1::Limits,
    cms::{self, Cipher},
    oid::Oid,
    scep::{MessageType, client},
};

use super::{Error, Result, http::Client, url::Url};
use crate::{
    crypto::{self, Identity, Key},
    model::install::ScepNeed,
};

/// Enrolls one identity.
pub async fn enroll(client: &mut Client, need: &ScepNeed) -> Result<Identity> {
    let key = client.network().key().await?;
    enroll_with(client, need, key).await
}

/// Enrolls one identity with a key that is given.
pub async fn enroll_with(client: &mut Client, need: &ScepNeed, key: Arc<Key>) -> Result<Identity> {
    let url = Url::parse(&need.url)?;
    let authority = authority(client, need, &url).await?;
    let capabilities =
        client.send("GET", &url.with_query(&[("operation", "GetCACaps")]), &[], Vec::new(), None).await?;
    let capabilities = match capabilities.status {
        200 => capabilities.text(),
        _ => String::new(),
    };
    let can = |word: &str| capabilities.lines().any(|line| line.trim().eq_ignore_ascii_case(word));

    let subject = subject(&need.subject);
    let throw_away = client::self_signed(&subject, &key, client.network().now(), &crypto::fill).map_err(refused)?;
    let csr = CsrTemplate {
        challenge: need.challenge.as_ref().map(|challenge| Secret::new(challenge.clone())),
        ..CsrTemplate::new(subject)
    };
    let csr = csr.sign(&key).map_err(refused)?;
    let transaction_id = client::transaction_id(key.public());
    let mut nonce = [0; 16];
    crypto::fill(&mut nonce);
    let request = client::Request {
        message_type: MessageType::PkcsReq,
        transaction_id: &transaction_id,
        nonce,
        csr: &csr,
        key: &key,
        certificate: &throw_away,
        authority: &authority,
        cipher: if can("AES") || can("SCEPStandard") { Cipher::Aes128 } else { Cipher::DesEde3 },
        digest: if can("SHA-512") && need.key_size > 2048 { Digest::Sha512 } else { Digest::Sha256 },
    };
    let message = request.encode(&crypto::fill).map_err(refused)?;
    let answer = if can("POSTPKIOperation") || can("SCEPStandard") {
        let headers = [("content-type", "application/x-pki-message")];
        client.send("POST", &url.with_query(&[("operation", "PKIOperation")]), &headers, message, None).await?
    } else {
        let text = base64::engine::general_purpose::STANDARD.encode(message);
        let url = url.with_query(&[("operation", "PKIOperation"), ("message", &text)]);
        client.send("GET", &url, &[], Vec::new(), None).await?
    };
    if answer.status != 200 {
        return Err(Error::Refused { status: answer.status, reason: "the SCEP server answered no CertRep".into() });
    }
    match request.read(&answer.body, &crypto::fill).map_err(refused)? {
        client::Reply::Issued(certificate) => Ok(Identity::new(*certificate, vec![authority], key)),
        client::Reply::Refused(info) => Err(Error::Refused { status: 200, reason: format!("SCEP {info:?}") }),
        client::Reply::Pending => Err(Error::Unexpected("the SCEP server asks to wait".into())),
    }
}

async fn authority(client: &mut Client, need: &ScepNeed, url: &Url) -> Result<Certificate> {
    let mut query = vec![("operation", "GetCACert")];
    if let Some(name) = &need.name {
        query.push(("message", name));
    }
    let answer = client.send("GET", &url.with_query(&query), &[], Vec::new(), None).await?;
    if answer.status != 200 {
        return Err(Error::Refused { status: answer.status, reason: "the SCEP server gave no certificate".into() });
    }
    let authority = match answer.content_type() {
        "application/x-x509-ca-ra-cert" => cms::decode_certificates(&answer.body, Limits::default())
            .map_err(refused)?
            .into_iter()
            .next()
            .ok_or_else(|| Error::Unexpected("GetCACert without a certificate".into()))?,
        _ => Certificate::decode(&answer.body).map_err(refused)?,
    };
    let der = authority.der();
    match need.ca_fingerprint.as_deref() {
        None => Ok(authority),
        Some(hash) if hash == muster_pki::sha256(der) || hash == muster_pki::sha1(der) => Ok(authority),
        Some(_) => Err(Error::Device("the CA is not the one the profile names".into())),
    }
}

fn subject(rdns: &[Vec<(String, String)>]) -> Name {
    let parts: Vec<(Oid, &str)> =
        rdns.iter().flatten().filter_map(|(kind, value)| Some((attribute(kind)?, value.as_str()))).collect();
    Name::new(&parts)
}

fn attribute(name: &str) -> Option<Oid> {
    let dotted = match name {
        "CN" => "2.5.4.3",
        "C" => "2.5.4.6",
        "L" => "2.5.4.7",
        "ST" => "2.5.4.8",
        "O" => "2.5.4.10",
        "OU" => "2.5.4.11",
        other => other,
    };
    dotted.parse().ok()
}

fn refused(error: muster_pki::Error) -> Error {
    Error::Device(format!("SCEP: {error}"))
}
