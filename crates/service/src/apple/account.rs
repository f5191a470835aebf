//! Account-driven enrollment up to the profile: discovery by mail domain, the signed description of
//! the machine, the challenge that opens a web view, the token that comes back.
//!
//! Apple: "Implementing the simple authentication user-enrollment flow". Threats B1, B3, B5, B10.

use muster_apple::{
    discovery::{Server, Version, web_challenge},
    machine_info::MachineInfo,
};
use muster_pki::{Certificate, asn1, chain, cms, public_key::Legacy};
use muster_storage::{Scope, enrollment_sessions, lookups, tenants};
use uuid::Uuid;

use super::enrollment::{Method, TOKEN_LOOKUP};
use crate::{Error, Kind, Result, Service};

/// The signed description of a machine has a few kilobytes.
pub const MACHINE_INFO_BYTES: usize = 64 * 1024;

/// The answer to a device that asks for its profile.
#[derive(Debug)]
pub enum ProfileAnswer {
    /// 401 with this `WWW-Authenticate`: the person signs in first.
    SignIn(String),
    /// 200: the signed profile.
    Profile(Vec<u8>),
}

/// What discovery says.
#[derive(Debug)]
pub enum Discovered {
    /// The one server of this person's domain.
    Server(Server),
    /// 403 `com.apple.well-known.failed`.
    Refused(String),
}

/// The mail domain of what a person typed: behind the last `@`.
fn domain_of(user: &str) -> Option<&str> {
    let (local, domain) = user.rsplit_once('@')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (!local.is_empty() && !domain.is_empty() && domain.len() <= 253 && domain.chars().all(plain)).then_some(domain)
}

impl Service {
    /// Which enrollment a person of this mail domain gets. The domain alone chooses the tenant, and the
    /// address is always our own.
    pub async fn discover_enrollment(&self, user: &str, model_family: Option<&str>) -> Result<Discovered> {
        let unknown = || Discovered::Refused("Your organisation does not manage devices here.".into());
        let Some(domain) = domain_of(user).map(str::to_owned) else { return Ok(unknown()) };
        let tenant = self.store.read(Scope::Server, move |tx| tenants::by_domain(tx, &domain)).await?;
        let Some(tenant) = tenant else { return Ok(unknown()) };
        let platform = match model_family {
            Some("Mac") => "macOS",
            Some("iPad") => "iPadOS",
            Some("iPhone") | None => "iOS",
            Some(_) => return Ok(Discovered::Refused("This kind of device cannot be managed here.".into())),
        };
        let method = match self.account_method(tenant, user, platform).await {
            Ok(method) => method,
            Err(Error::Refused(refusal)) => return Ok(Discovered::Refused(refusal.message)),
            Err(error) => return Err(error),
        };
        let public = &self.settings.addresses.public;
        Ok(Discovered::Server(match method {
            Method::Adde => Server { version: Version::Adde, base_url: format!("{public}/mdm/apple/enroll/adde") },
            _ => Server { version: Version::Byod, base_url: format!("{public}/mdm/apple/enroll/byod") },
        }))
    }

    /// Answers a device that posts its description: the sign-in first, then the profile. `method` is
    /// the address it posted to and must be what was agreed at sign-in.
    pub async fn account_profile(&self, method: Method, bearer: Option<&str>, body: &[u8]) -> Result<ProfileAnswer> {
        let machine = self.machine_info(body)?;
        let sign_in = || {
            let url = format!("{}/authenticate", self.settings.addresses.public);
            Ok(ProfileAnswer::SignIn(web_challenge(&url)))
        };
        let Some(bearer) = bearer else { return sign_in() };
        let Some((tenant, session)) = self.session_of_token(bearer).await? else { return sign_in() };
        let session = match self.session(tenant, session).await {
            Ok(session) => session,
            Err(Error::Refused(_)) => return sign_in(),
            Err(error) => return Err(error),
        };
        let platform = Service::platform_of(&machine.product);
        let session = self.agreed(tenant, session, platform).await?;
        if session.method != method.word() {
            return Err(forbidden("this is not the kind of enrollment that was agreed: start again"));
        }
        if let (Method::Byod, Some(_)) = (method, machine.udid.as_ref().or(machine.serial.as_ref())) {
            return Err(forbidden("a User Enrollment does not name its device"));
        }
        Ok(ProfileAnswer::Profile(self.session_profile(tenant, session, platform).await?))
    }

    /// Tenant and session of an access token that may still be used.
    pub(super) async fn session_of_token(&self, bearer: &str) -> Result<Option<(Uuid, Uuid)>> {
        let (hash, now) = (muster_pki::sha256(bearer.as_bytes()), self.clock.now());
        let found = self.store.read(Scope::Server, move |tx| lookups::find(tx, TOKEN_LOOKUP, &hash)).await?;
        let Some(found) = found.filter(|found| found.expires_at.is_none_or(|end| end >= now)) else { return Ok(None) };
        let (tenant, session) = (found.tenant, found.subject);
        let stored = self.store.read(tenant, move |tx| enrollment_sessions::by_id(tx, tenant, session)).await?;
        let same = stored.is_some_and(|stored| stored.token_hash.as_deref() == Some(hash.as_slice()));
        Ok(same.then_some((tenant, session)))
    }

    /// Verifies that an Apple device signed its description, and reads it.
    fn machine_info(&self, body: &[u8]) -> Result<MachineInfo> {
        if body.is_empty() || body.len() > MACHINE_INFO_BYTES {
            return Err(Error::bad_request("the body must be the signed description of a device"));
        }
        let legacy = Legacy { sha1: self.settings.compat.cms_sha1 };
        let signed = cms::verify_attached(body, asn1::Limits::default(), legacy)
            .map_err(|_| forbidden("the description of the device is not signed as it should be"))?;
        if !self.settings.compat.apple_any_device_ca {
            let roots: Vec<Certificate> =
                self.settings.apple.device_roots.iter().filter_map(|der| Certificate::decode(der).ok()).collect();
            let trust = chain::Trust { roots: &roots, at: Some(self.clock.now()), legacy };
            chain::verify(&signed.signer, &signed.certificates, trust)
                .map_err(|_| forbidden("the description of the device is not signed by an Apple device"))?;
        }
        MachineInfo::decode(&signed.content)
            .map_err(|error| Error::bad_request(format!("the description of the device does not read: {error}")))
    }
}

fn forbidden(message: &str) -> Error {
    Error::refused(Kind::Forbidden, "enrollmentRefused", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b10_the_domain_is_what_stands_behind_the_last_at_sign() {
        assert_eq!(domain_of("ada@example.org"), Some("example.org"));
        assert_eq!(domain_of("ada@evil.example@example.org"), Some("example.org"));
        for odd in ["ada", "@example.org", "ada@", "ada@exa mple.org", "ada@example.org/../x", "ada@пример.рф"]
        {
            assert_eq!(domain_of(odd), None, "{odd}");
        }
    }
}
