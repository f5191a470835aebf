//! The enrollment profile: made for one session, with a challenge minted now, and signed. Fetching it
//! again voids the earlier challenge.

use muster_apple::enrollment_profile::{EnrollmentProfile, MdmPayload, Mode, ScepPayload, access_rights};
use muster_storage::{
    enrollment_sessions::{self, EnrollmentSession},
    push_certificates, tenants,
};
use uuid::Uuid;

use super::{ENROLLMENT_PROFILE, enrollment::Method, hooks::ChallengeFor, model::Model};
use crate::{Error, Kind, Result, Service};

/// Bits of a device's identity key.
const KEY_SIZE: u32 = 2048;
/// Sign and encrypt.
const KEY_USAGE: u32 = 5;

/// What a profile is made for.
pub(super) struct ProfileFor {
    pub(super) mode: Option<Mode>,
    pub(super) managed_apple_account: Option<String>,
    pub(super) challenge: ChallengeFor,
}

impl Service {
    /// `PayloadIdentifier` of the enrollment profile.
    pub fn enrollment_profile_identifier(&self, _tenant: Uuid) -> String {
        ENROLLMENT_PROFILE.to_owned()
    }

    /// The signed enrollment profile of the web session that a link's token leads to.
    pub async fn enrollment_profile(&self, token: &str) -> Result<Vec<u8>> {
        let (tenant, session) = self.session_of_token(token).await?.ok_or_else(over)?;
        let session = self.session(tenant, session).await?;
        if session.method != Method::Profile.word() {
            return Err(over());
        }
        let platform = session.platform.clone();
        self.session_profile(tenant, session, &platform).await
    }

    pub(super) async fn session(&self, tenant: Uuid, id: Uuid) -> Result<EnrollmentSession> {
        let now = self.clock.now();
        let found = self.store.read(tenant, move |tx| enrollment_sessions::by_id(tx, tenant, id)).await?;
        let usable = |session: &EnrollmentSession| {
            session.expires_at >= now && ["open", "fetched"].contains(&session.state.as_str())
        };
        found.filter(usable).ok_or_else(over)
    }

    /// The signed profile of a session, for a device of that product or platform.
    pub(super) async fn session_profile(
        &self,
        tenant: Uuid,
        session: EnrollmentSession,
        platform: &str,
    ) -> Result<Vec<u8>> {
        let mode = match session.method.as_str() {
            "byod" => Some(Mode::Byod),
            "adde" => Some(Mode::Adde),
            _ => None,
        };
        let purpose = ProfileFor {
            mode,
            managed_apple_account: session.managed_apple_account.clone(),
            challenge: ChallengeFor::Session(session.id),
        };
        let profile = self.build_enrollment_profile(tenant, purpose).await?;
        let signed = self.sign_profile(profile.encode()).await?;
        let (id, platform) = (session.id, platform.to_owned());
        let noted = self.store.write(tenant, move |tx| enrollment_sessions::fetched(tx, tenant, id, &platform)).await?;
        if noted { Ok(signed) } else { Err(over()) }
    }

    pub(super) async fn build_enrollment_profile(
        &self,
        tenant: Uuid,
        purpose: ProfileFor,
    ) -> Result<EnrollmentProfile> {
        let now = self.clock.now();
        let (organization, topic) = self
            .store
            .read(tenant, move |tx| {
                let name = tenants::by_id(tx, tenant)?.map(|tenant| tenant.name).unwrap_or_default();
                let topic = push_certificates::by_tenant(tx, tenant)?.and_then(|push| push.topic);
                Ok::<_, Error>((name, topic))
            })
            .await?;
        let topic = topic.ok_or_else(|| Error::internal("an enrollment without a push certificate"))?;
        let challenge = self.identity_challenge(tenant, &purpose.challenge).await?;
        let authorities = self.authorities().await?;
        let uuid = || self.random.id(now).hyphenated().to_string().to_uppercase();
        let scep = ScepPayload {
            url: format!("{}/scep", self.settings.addresses.public),
            name: "device".into(),
            subject: vec![("O".into(), organization.clone()), ("CN".into(), challenge.subject.clone())],
            challenge: challenge.text,
            key_size: KEY_SIZE,
            key_usage: KEY_USAGE,
            ca_fingerprint: Some(authorities.device.certificate.fingerprint().to_vec()),
        };
        let mdm = MdmPayload {
            identity_certificate_uuid: uuid(),
            topic,
            server_url: format!("{}/mdm/apple", self.settings.addresses.device),
            sign_message: true,
            access_rights: Some(access_rights::ALL),
            mode: purpose.mode,
            assigned_managed_apple_id: purpose.managed_apple_account,
            server_capabilities: vec![
                "com.apple.mdm.per-user-connections".into(),
                "com.apple.mdm.bootstraptoken".into(),
            ],
            check_out_when_removed: true,
            use_development_apns: false,
        };
        Ok(EnrollmentProfile {
            identifier: ENROLLMENT_PROFILE.into(),
            uuid: uuid(),
            display_name: format!("{organization} device management"),
            organization: organization.clone(),
            description: Some(format!("Lets {organization} manage this device.")),
            roots: vec![(uuid(), format!("{organization} root"), authorities.root.certificate.der().to_vec())],
            scep,
            mdm,
            mdm_uuid: uuid(),
        })
    }

    /// The platform of a product name, for sessions.
    pub(super) fn platform_of(product: &str) -> &'static str {
        Model::of(product).platform
    }
}

/// 403: the session is over, or was for something else.
pub(super) fn over() -> Error {
    Error::refused(Kind::Forbidden, "enrollmentRefused", "this enrollment is over: start again")
}
