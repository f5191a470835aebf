//! Where secrets may not be: in the database as a thief reads it, in the log, in answers of the API.
//! One world with a canary for every secret serves the three threats rows G3, G6 and I3.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex, Once},
};

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use muster_apple::{CheckIn, Dictionary, Status, Value, check_in::SetBootstrapToken, check_in::TokenUpdate, dict};
use muster_pki::{Certificate, Name, Usage, cms, oid};
use muster_service::{apple::enrollment::Entry, operators::NewAdmin};
use muster_storage::testing::{TestStore, postgres_store, skipped, store};
use muster_web::graph::{Shape, registry};
use serde_json::json;

use crate::kit::{Phone, Site, TOPIC, certificate};

const PASSWORD: &str = "canary-password-7fa1";
const TOTP: &str = "CANARYTOTPSECRETCANARYTOTPSECRET";
const PSK: &str = "canary-wifi-key-88aa";
const FILE_VAULT: &str = "CANA-RYFI-LEVA-ULTK-EY12-3456";
const BOOTSTRAP: &[u8] = b"canary-bootstrap-token";
const UNLOCK: &[u8] = b"canary-unlock-token-0123456789";
const MAGIC: &str = "canary-push-magic";

/// Every event of this process, at the most talkative level.
static LOG: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(Mutex::default);

struct Log;

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What may not be found, by what it is.
struct Canaries(BTreeMap<&'static str, Vec<u8>>);

impl Canaries {
    /// What is found of them in a text, however it is written there.
    fn found_in(&self, text: &str) -> Vec<&'static str> {
        let written = |secret: &[u8]| {
            let mut forms = vec![
                secret.escape_ascii().to_string(),
                String::from_utf8_lossy(secret).into_owned(),
                hex::encode(secret),
                hex::encode_upper(secret),
            ];
            // Inside a longer text the first characters depend on what stands before: three windows.
            for skip in 0..3 {
                let whole = &secret[skip..skip + (secret.len() - skip) / 3 * 3];
                forms.extend([STANDARD.encode(whole), URL_SAFE_NO_PAD.encode(whole)]);
            }
            forms
        };
        let is_in = |secret: &[u8]| written(secret).iter().any(|form| text.contains(form));
        self.0.iter().filter(|(_, secret)| is_in(secret)).map(|(name, _)| *name).collect()
    }
}

/// Everything that has a secret happens once.
async fn world(database: TestStore) -> (Site, Canaries) {
    static START: Once = Once::new();
    START.call_once(|| {
        // As `muster::logging` does: the database's client keeps the values of its statements to itself.
        let lines = tracing_subscriber::fmt().with_env_filter("trace,tokio_postgres=info");
        lines.with_writer(|| Log).with_ansi(false).init();
    });
    let site = Site::over(database).await;
    let mut canaries = BTreeMap::new();
    let mut secret = |name, bytes: &[u8]| assert!(canaries.insert(name, bytes.to_vec()).is_none(), "{name} twice");
    // Keys are looked for by bytes of their private part.
    let private = |der: &[u8]| der[der.len() - 64..].to_vec();

    let (key, leaf) = certificate(Name::new(&[(oid::USER_ID, TOPIC)]), Usage::client(), None);
    site.import_push_key(&key, &leaf).await.unwrap();
    secret("push key", &private(key.to_pkcs8().expose()));
    let authorities = site.test.authorities().await.unwrap();
    secret("device authority's key", &private(authorities.device.key.to_pkcs8().expose()));
    secret("access authority's key", &private(authorities.access.key.to_pkcs8().expose()));
    secret("API token", site.token.as_bytes());

    let operator = NewAdmin {
        tenant: None,
        user: "cora@example.org".into(),
        password: PASSWORD.into(),
        role: "helpdesk".into(),
        totp_secret: Some(TOTP.into()),
    };
    site.test.create_admin(operator).await.unwrap();
    secret("password", PASSWORD.as_bytes());
    secret("second factor, as typed", TOTP.as_bytes());
    let form = [("username", "cora@example.org"), ("password", PASSWORD)];
    let page = site.form("/enroll", &form).await.text();
    let flow = page.split("name=\"flow\" value=\"").nth(1).unwrap_or_else(|| panic!("a flow begins: {page}"));
    secret("value of a flow", flow.split('"').next().unwrap().as_bytes());

    let wifi = json!({
        "@odata.type": "#microsoft.graph.iosWiFiConfiguration", "displayName": "Wi-Fi", "networkName": "office",
        "ssid": "office", "wiFiSecurityType": "wpa2Personal", "preSharedKey": PSK, "connectAutomatically": true,
    });
    let made = site.api("POST", "/beta/deviceManagement/deviceConfigurations", Some(wifi)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let made: serde_json::Value = serde_json::from_slice(&made.body).unwrap();
    let target = json!({ "target": { "@odata.type": "#microsoft.graph.allDevicesAssignmentTarget" } });
    let path = format!("/beta/deviceManagement/deviceConfigurations/{}/assign", made["id"].as_str().unwrap());
    let assigned = site.api("POST", &path, Some(json!({ "assignments": [target] }))).await;
    assert_eq!(assigned.status, StatusCode::OK, "{}", assigned.text());
    secret("Wi-Fi key", PSK.as_bytes());

    let person = site.person("grace@example.org").await;
    secret("access token", site.start(person, Entry::Account).await.unwrap().expose().as_bytes());
    let token = site.start(person, Entry::Web).await.unwrap();
    secret("enrollment token", token.expose().as_bytes());
    let profile = site.open(&format!("/enroll/profile/{}", token.expose())).await;
    assert_eq!(profile.status, StatusCode::OK, "{}", profile.text());
    let phone = site.install(&profile.body, muster_apple::EnrollmentIds::device("UDID-1"), None).await;
    secret("SCEP challenge", phone.profile.scep.challenge.as_bytes());
    assert_eq!(phone.authenticate(&site).await.status, StatusCode::OK);
    let update = TokenUpdate {
        ids: phone.ids.clone(),
        topic: phone.profile.mdm.topic.clone(),
        token: vec![1; 32],
        push_magic: MAGIC.into(),
        unlock_token: Some(UNLOCK.to_vec()),
        awaiting_configuration: None,
    };
    assert_eq!(phone.check_in(&site, CheckIn::TokenUpdate(update)).await.status, StatusCode::OK);
    let token = SetBootstrapToken {
        ids: phone.ids.clone(),
        bootstrap_token: Some(BOOTSTRAP.to_vec()),
        awaiting_configuration: None,
    };
    assert_eq!(phone.check_in(&site, CheckIn::SetBootstrapToken(token)).await.status, StatusCode::OK);
    secret("unlock token", UNLOCK);
    secret("bootstrap token", BOOTSTRAP);

    site.test.run_due(site.test.clock.now_ms()).await.unwrap();
    let sent = talk(&site, &phone).await;
    assert!(sent.windows(PSK.len()).any(|window| window == PSK.as_bytes()), "the phone itself gets the Wi-Fi key");
    secret("recovery key", FILE_VAULT.as_bytes());
    (site, Canaries(canaries))
}

/// The phone answers everything, a recovery key among it; what it was sent.
async fn talk(site: &Site, phone: &Phone) -> Vec<u8> {
    let escrow = site.test.file_vault_escrow_certificate(site.actor.tenant).await.unwrap();
    let escrow = Certificate::decode(&escrow).unwrap();
    let sealed = cms::encrypt(FILE_VAULT.as_bytes(), &escrow, cms::Cipher::Aes256, &crate::kit::fill).unwrap();
    let (mut sent, mut next) = (Vec::new(), phone.idle(site).await);
    while let Some(command) = next {
        if let Some(payload) = command.request.parameters.get("Payload").and_then(Value::as_data) {
            sent.extend_from_slice(payload);
        }
        let body = match command.request.request_type.as_str() {
            "SecurityInfo" => dict! { "SecurityInfo" => dict! {
                "FDE_Enabled" => true, "FDE_PersonalRecoveryKeyCMS" => Value::Data(sealed.clone()),
            } },
            _ => Dictionary::new(),
        };
        next = phone.answer(site, Status::Acknowledged, &command.uuid, body).await;
    }
    sent
}

async fn a_thief_finds_nothing(database: TestStore) {
    let (site, canaries) = world(database).await;
    // The thief does read the tables: what is no secret is found.
    let dump = site.test.database.dump();
    assert!(dump.contains("grace@example.org") && dump.contains("sealed"), "{} bytes", dump.len());
    assert_eq!(canaries.found_in(&dump), Vec::<&str>::new());
    let log = String::from_utf8_lossy(&LOG.lock().unwrap()).into_owned();
    assert!(log.contains("path=\"/enroll/profile/{token}\""), "the log is listened to: {log}");
    assert_eq!(canaries.found_in(&log), Vec::<&str>::new(), "i3: the log names no secret");
    assert_eq!(log.lines().find(|line| line.contains(MAGIC)), None, "i3: nor a push magic");
}

#[tokio::test]
async fn g3_a_thief_of_the_embedded_database_finds_no_secret_nor_does_i3_a_reader_of_the_log() {
    a_thief_finds_nothing(store()).await;
}

#[tokio::test]
async fn g3_a_thief_of_the_postgresql_database_finds_no_secret() {
    match postgres_store() {
        Some(database) => a_thief_finds_nothing(database).await,
        None => skipped("g3_a_thief_of_the_postgresql_database_finds_no_secret", "MUSTER_TEST_POSTGRES is not set"),
    }
}

/// The ids that stand in an answer.
fn ids(answer: &serde_json::Value) -> Vec<String> {
    let items = answer["value"].as_array().cloned().unwrap_or_default();
    items.iter().filter_map(|item| Some(item["id"].as_str()?.to_owned())).take(3).collect()
}

#[tokio::test]
async fn g6_no_answer_to_a_reader_has_a_secret() {
    let (site, canaries) = world(store()).await;
    let mut paths: Vec<String> = muster_web::routes::table()
        .iter()
        .filter(|route| route.method == "GET" && route.path.starts_with("/muster/v1/") && !route.path.contains('{'))
        .map(|route| route.path.to_owned())
        .collect();
    // Rows with keys are filled with what the list before the key shows.
    let mut known: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut rows: Vec<_> = registry().iter().filter(|row| row.method == "GET").collect();
    rows.sort_by_key(|row| row.parts().count());
    for row in rows {
        let mut filled = vec![String::from("/beta")];
        for part in row.parts() {
            filled = filled
                .iter()
                .flat_map(|path| match part.starts_with('{') {
                    false => vec![format!("{path}/{part}")],
                    true => known.get(path).into_iter().flatten().map(|id| format!("{path}/{id}")).collect(),
                })
                .collect();
        }
        for path in &filled {
            if row.shape == Shape::Collection {
                let answer = site.api("GET", path, None).await;
                known.insert(path.clone(), ids(&serde_json::from_slice(&answer.body).unwrap_or_default()));
            }
        }
        paths.extend(filled);
    }
    let (mut read, mut shown) = (0, Vec::new());
    for path in &paths {
        let answer = site.api("GET", path, None).await;
        assert!(answer.status.as_u16() < 500 || answer.status == 501, "{path}: {} {}", answer.status, answer.text());
        read += usize::from(answer.status == StatusCode::OK);
        shown.extend(canaries.found_in(&answer.text()).into_iter().map(|name| format!("{name} at {path}")));
    }
    assert!(read > 30, "of {} paths only {read} were read", paths.len());
    // One function gives a recovery key out, to whoever may: its own permission, audited (G5).
    shown.retain(|what| !(what.starts_with("recovery key at") && what.ends_with("/getFileVaultKey")));
    assert_eq!(shown, Vec::<String>::new());
    let wifi = paths.iter().find(|path| path.contains("/deviceConfigurations/")).expect("the Wi-Fi policy was read");
    let wifi: serde_json::Value = serde_json::from_slice(&site.api("GET", wifi, None).await.body).unwrap();
    assert_eq!(wifi["preSharedKey"], json!(null), "{wifi}");
}
