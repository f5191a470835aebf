//! The one place that decides which certificate speaks on a device route: the client certificate of
//! TLS (to us, or to a trusted proxy that passes it on), or the signer of `Mdm-Signature`. Either
//! proves the device; a signature that is there must verify; two different certificates are refused
//! (design, ruling 8; threats A5, A9).

use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use muster_pki::{cms, public_key::Legacy};
use muster_service::{Service, apple::DeviceCertificate};

use super::mdm::Refused;
use crate::gate::PeerCertificate;

/// The header of a detached signature over the body.
const SIGNATURE: &str = "mdm-signature";

/// Decides who speaks. `body` is exactly what came over the wire.
pub(super) async fn device(
    service: &Service,
    peer: Option<&PeerCertificate>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<DeviceCertificate, Refused> {
    let mut signatures = headers.get_all(SIGNATURE).iter();
    let signer = match signatures.next() {
        None => None,
        Some(_) if signatures.next().is_some() => return Err(Refused::bad("Mdm-Signature stands twice")),
        Some(header) => {
            let der = STANDARD.decode(header.as_bytes()).map_err(|_| Refused::bad("Mdm-Signature is not base64"))?;
            let legacy = Legacy { sha1: service.settings.compat.cms_sha1 };
            let signer = cms::verify_detached(&der, body, legacy)
                .map_err(|_| Refused::bad("Mdm-Signature does not verify over this body"))?;
            Some(signer.der().to_vec())
        }
    };
    let certificate = match (peer, signer) {
        (Some(peer), Some(signer)) if peer.0.as_ref() != signer.as_slice() => {
            return Err(Refused::bad("the TLS certificate and the signer of Mdm-Signature differ"));
        }
        (_, Some(signer)) => signer,
        (Some(peer), None) => peer.0.to_vec(),
        (None, None) => return Err(Refused::bad("neither a client certificate nor Mdm-Signature names a device")),
    };
    Ok(service.device_certificate(&certificate).await?)
}
