//! What several tests build.

use muster_apple::enrollment_profile::*;

/// An enrollment profile with everything in it that the server writes.
pub fn enrollment_profile(mode: Option<Mode>) -> EnrollmentProfile {
    EnrollmentProfile {
        identifier: "org.muster.enrollment.1".into(),
        uuid: "10000000-0000-0000-0000-000000000001".into(),
        display_name: "Example".into(),
        organization: "Example".into(),
        description: Some("Management".into()),
        roots: vec![("10000000-0000-0000-0000-000000000002".into(), "Root".into(), vec![0x30, 0])],
        scep: ScepPayload {
            url: "https://mdm.example.org/scep".into(),
            name: "device".into(),
            subject: vec![("O".into(), "Example".into()), ("CN".into(), "1".into())],
            challenge: "c".into(),
            key_size: 2048,
            key_usage: 5,
            ca_fingerprint: Some(vec![1; 32]),
        },
        mdm: MdmPayload {
            identity_certificate_uuid: "10000000-0000-0000-0000-000000000003".into(),
            topic: "com.apple.mgmt.External.x".into(),
            server_url: "https://mdm.example.org/mdm/apple".into(),
            sign_message: true,
            access_rights: Some(access_rights::ALL),
            mode,
            assigned_managed_apple_id: mode.map(|_| "ada@example.org".into()),
            server_capabilities: vec![
                "com.apple.mdm.per-user-connections".into(),
                "com.apple.mdm.bootstraptoken".into(),
            ],
            check_out_when_removed: true,
            use_development_apns: false,
        },
        mdm_uuid: "10000000-0000-0000-0000-000000000004".into(),
    }
}
