//! The demo's tenant: operators, people, groups, policies; made as an administrator's script would.

use anyhow::Context as _;
use muster_service::{
    Random as _, RequestContext,
    apple::push_certificate::PushImport,
    operators::{NewAdmin, NewKeyboardToken},
};
use serde_json::{Value, json};

use super::{api::Api, stage::Stage};
use crate::ambient::SystemRandom;

/// An operator of the demo.
#[derive(Clone, Debug)]
pub struct Operator {
    /// User principal name.
    pub principal: String,
    /// Password.
    pub password: String,
    /// Secret of the second factor, base32.
    pub totp_secret: String,
    /// Role.
    pub role: &'static str,
}

/// A person of the demo.
#[derive(Clone, Debug)]
pub struct User {
    /// Display name.
    pub name: String,
    /// User principal name.
    pub principal: String,
    /// Password.
    pub password: String,
    /// Id.
    pub id: String,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Scenery {
    /// An owner's token.
    pub token: String,
    /// Operators.
    pub operators: Vec<Operator>,
    /// People who enroll.
    pub people: Vec<User>,
}

const FIRST: &[&str] = &[
    "Ada", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Kira", "Leon", "Mia", "Noah",
    "Olga", "Paul", "Quinn", "Rosa", "Samir", "Tara", "Uwe", "Vera", "Wim", "Yara", "Zoe",
];
const LAST: &[&str] = &["Alder", "Birch", "Cedar", "Fern", "Hazel", "Larch", "Maple", "Rowan", "Spruce", "Willow"];
const DEPARTMENTS: &[&str] = &["Sales", "Engineering", "Finance", "Care"];

/// Makes the tenant.
pub async fn set(stage: &Stage, domain: &str, people: usize) -> anyhow::Result<Scenery> {
    let tenant = "Meadow";
    stage.service.create_tenant(tenant, domain).await?;
    let mut operators = Vec::new();
    for (name, role) in [("olivia", "owner"), ("oscar", "owner"), ("amira", "administrator"), ("henry", "helpdesk")] {
        let operator =
            Operator { principal: format!("{name}@{domain}"), password: secret(14), totp_secret: base32(32), role };
        let new = NewAdmin {
            tenant: None,
            user: operator.principal.clone(),
            password: operator.password.clone(),
            role: role.into(),
            totp_secret: Some(operator.totp_secret.clone()),
        };
        stage.service.create_admin(new).await.with_context(|| format!("cannot make {}", operator.principal))?;
        operators.push(operator);
    }
    let new = NewKeyboardToken {
        tenant: Some(tenant.into()),
        name: "demo".into(),
        role: "owner".into(),
        user: None,
        life: None,
    };
    let token = stage.service.create_keyboard_token(new).await?;
    let api = Api::new(stage.network.clone(), &stage.addresses.admin, &token);
    prepare(stage, &api).await?;

    let mut users = Vec::new();
    for number in 0..people {
        let first = FIRST[number % FIRST.len()];
        let last = LAST[(number / FIRST.len() + number) % LAST.len()];
        let principal = format!("{}.{}{}@{domain}", first.to_lowercase(), last.to_lowercase(), number + 1);
        users.push(create_user(&api, &format!("{first} {last}"), &principal, &secret(12)).await?);
    }
    let mut groups = Vec::new();
    for (at, department) in DEPARTMENTS.iter().enumerate() {
        let members: Vec<&User> = users.iter().skip(at).step_by(DEPARTMENTS.len()).collect();
        groups.push(create_group(&api, department, &members).await?);
    }
    policies(&api, &groups).await?;
    enrollment(&api).await?;
    Ok(Scenery { token, operators, people: users })
}

/// What enrollment needs: the authority and a push certificate.
pub async fn prepare(stage: &Stage, api: &Api) -> anyhow::Result<()> {
    let organization = api.get("/v1.0/organization").await?;
    let id = organization["value"][0]["id"].as_str().context("there is an organization")?;
    api.post(&format!("/v1.0/organization/{id}/setMobileDeviceManagementAuthority"), &json!({})).await?;
    let context = RequestContext { address: None, correlation: uuid::Uuid::nil(), reason: None };
    let actor = stage.service.authenticate_token(api.token(), &context).await?;
    let csr = stage.service.push_certificate_request(&actor).await?;
    let topic = "com.apple.mgmt.External.0c0ffee0-0000-4000-8000-000000000001";
    let certificate = stage.push.certify(csr.as_bytes(), topic, stage.service.clock.now())?;
    let import = PushImport {
        certificate: certificate.into_bytes(),
        private_key: None,
        apple_identifier: Some("push@meadow.example".into()),
    };
    stage.service.import_push_certificate(&actor, import).await?;
    Ok(())
}

/// A person with a password of their own.
pub async fn create_user(api: &Api, name: &str, principal: &str, password: &str) -> anyhow::Result<User> {
    let body = json!({
        "displayName": name,
        "userPrincipalName": principal,
        "mailNickname": principal.split('@').next(),
        "mail": principal,
        "accountEnabled": true,
        "usageLocation": "DE",
        "passwordProfile": { "password": password, "forceChangePasswordNextSignIn": false },
    });
    let made = api.post("/v1.0/users", &body).await?;
    let id = made["id"].as_str().context("a user has an id")?.to_owned();
    Ok(User { name: name.into(), principal: principal.into(), password: password.into(), id })
}

/// A group of people; its id.
pub async fn create_group(api: &Api, name: &str, members: &[&User]) -> anyhow::Result<String> {
    let body = json!({
        "displayName": name,
        "mailEnabled": false,
        "mailNickname": name.to_lowercase(),
        "securityEnabled": true,
    });
    let made = api.post("/v1.0/groups", &body).await?;
    let id = made["id"].as_str().context("a group has an id")?.to_owned();
    for member in members {
        let reference = json!({ "@odata.id": format!("https://graph.microsoft.com/v1.0/users/{}", member.id) });
        api.post(&format!("/v1.0/groups/{id}/members/$ref"), &reference).await?;
    }
    Ok(id)
}

/// A configuration and whom it is for; its id.
pub async fn create_configuration(api: &Api, body: &Value, target: Value) -> anyhow::Result<String> {
    let made = api.post("/v1.0/deviceManagement/deviceConfigurations", body).await?;
    let id = made["id"].as_str().context("a configuration has an id")?.to_owned();
    let assignments = json!({ "assignments": [{ "target": target }] });
    api.post(&format!("/v1.0/deviceManagement/deviceConfigurations/{id}/assign"), &assignments).await?;
    Ok(id)
}

/// A target of an assignment.
pub fn all_devices() -> Value {
    json!({ "@odata.type": "#microsoft.graph.allDevicesAssignmentTarget" })
}

/// A target of an assignment.
pub fn group(id: &str) -> Value {
    json!({ "@odata.type": "#microsoft.graph.groupAssignmentTarget", "groupId": id })
}

/// A custom profile with a web clip, as bytes of a configuration document.
pub fn web_clip(identifier: &str, label: &str) -> String {
    let uuid = |n: u8| format!("5c0e7a10-0000-4000-8000-{:010x}{n:02x}", identifier.len() * 1_000_003 + label.len());
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>PayloadType</key><string>Configuration</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>{identifier}</string><key>PayloadUUID</key><string>{}</string>
<key>PayloadDisplayName</key><string>{label}</string>
<key>PayloadContent</key><array><dict>
<key>PayloadType</key><string>com.apple.webClip.managed</string><key>PayloadVersion</key><integer>1</integer>
<key>PayloadIdentifier</key><string>{identifier}.clip</string><key>PayloadUUID</key><string>{}</string>
<key>PayloadDisplayName</key><string>{label}</string>
<key>URL</key><string>https://intranet.meadow.example/</string><key>Label</key><string>{label}</string>
<key>IsRemovable</key><true/>
</dict></array></dict></plist>
"#,
        uuid(1),
        uuid(2)
    )
}

/// People say whose Mac it is: the company's may be wiped by two operators, one's own only by its user.
async fn enrollment(api: &Api) -> anyhow::Result<()> {
    let option = |owner: &str| json!({ "ownerType": owner, "enrollmentType": "device" });
    let profile = json!({
        "displayName": "Macs, my own or the company's",
        "platform": "macOS",
        "defaultEnrollmentType": "unknown",
        "availableEnrollmentTypeOptions": [option("personal"), option("company")],
    });
    let path = "/beta/deviceManagement/appleUserInitiatedEnrollmentProfiles";
    let made = api.post(path, &profile).await?;
    let id = made["id"].as_str().context("a profile has an id")?;
    let target = json!({ "@odata.type": "#microsoft.graph.allLicensedUsersAssignmentTarget" });
    let assignment = json!({ "target": target });
    api.post(&format!("{path}/{id}/assignments"), &assignment).await?;
    Ok(())
}

async fn policies(api: &Api, groups: &[String]) -> anyhow::Result<()> {
    use base64::Engine as _;
    let payload =
        |identifier: &str, label: &str| base64::engine::general_purpose::STANDARD.encode(web_clip(identifier, label));
    let intranet = json!({
        "@odata.type": "#microsoft.graph.iosCustomConfiguration",
        "displayName": "Intranet on every phone",
        "payloadName": "Intranet",
        "payloadFileName": "intranet.mobileconfig",
        "payload": payload("example.meadow.intranet", "Intranet"),
    });
    create_configuration(api, &intranet, all_devices()).await?;
    let restrictions = json!({
        "@odata.type": "#microsoft.graph.iosGeneralDeviceConfiguration",
        "displayName": "Phones and tablets",
        "passcodeRequired": true,
        "passcodeMinimumLength": 6,
        "screenCaptureBlocked": false,
        "diagnosticDataBlockSubmission": true,
    });
    create_configuration(api, &restrictions, all_devices()).await?;
    let finance = json!({
        "@odata.type": "#microsoft.graph.iosGeneralDeviceConfiguration",
        "displayName": "Finance takes no screenshots",
        "cameraBlocked": false,
        "iCloudBlockBackup": true,
    });
    create_configuration(api, &finance, group(&groups[2])).await?;
    let macs = json!({
        "@odata.type": "#microsoft.graph.macOSGeneralDeviceConfiguration",
        "displayName": "Macs",
        "passwordRequired": true,
        "passwordBlockSimple": true,
        "passwordMinimumLength": 8,
        "passwordMinutesOfInactivityBeforeLock": 10,
    });
    create_configuration(api, &macs, all_devices()).await?;
    let rule = json!({
        "displayName": "Tablets",
        "mailEnabled": false,
        "mailNickname": "tablets",
        "securityEnabled": true,
        "groupTypes": ["DynamicMembership"],
        "membershipRule": "device.deviceOSType -eq \"iPad\"",
    });
    let tablets = api.post("/v1.0/groups", &rule).await?;
    let timetable = json!({
        "@odata.type": "#microsoft.graph.iosCustomConfiguration",
        "displayName": "Timetable on tablets",
        "payloadName": "Timetable",
        "payloadFileName": "timetable.mobileconfig",
        "payload": payload("example.meadow.timetable", "Timetable"),
    });
    create_configuration(api, &timetable, group(tablets["id"].as_str().context("a group has an id")?)).await?;
    let personal = json!({
        "displayName": "Personal devices",
        "platform": "iOS",
        "rule": "(device.deviceOwnership -eq \"Personal\")",
    });
    let personal = api.post("/beta/deviceManagement/assignmentFilters", &personal).await?;
    let privacy = json!({
        "@odata.type": "#microsoft.graph.iosCustomConfiguration",
        "displayName": "What we see of your phone",
        "payloadName": "Privacy",
        "payloadFileName": "privacy.mobileconfig",
        "payload": payload("example.meadow.privacy", "Privacy"),
    });
    let mut narrowed = all_devices();
    narrowed["deviceAndAppManagementAssignmentFilterId"] = personal["id"].clone();
    narrowed["deviceAndAppManagementAssignmentFilterType"] = "include".into();
    create_configuration(api, &privacy, narrowed).await?;
    Ok(())
}

fn secret(length: usize) -> String {
    drawn("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", length)
}

fn base32(length: usize) -> String {
    drawn("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", length)
}

fn drawn(alphabet: &str, length: usize) -> String {
    let mut bytes = vec![0; length];
    SystemRandom.fill(&mut bytes);
    let alphabet = alphabet.as_bytes();
    bytes.iter().map(|byte| alphabet[*byte as usize % alphabet.len()] as char).collect()
}
