//! What a configuration is refused for when it is saved: what could never become a profile.

use muster_domain::catalogue::{built, built::Shape, prepare, short};
use serde_json::{Map, Value};

use super::{certificates::trusted_root, custom, documents::fingerprint, vpn};
use crate::{Error, Result};

/// Checks the body of a device configuration; names the place of what is wrong.
pub fn configuration(odata_type: &str, body: &Map<String, Value>) -> Result<()> {
    match built::shape(short(odata_type)) {
        Some(Shape::Custom) => {
            custom::read(body).map(|_| ()).map_err(|refused| Error::bad_request(refused.to_string()))
        }
        Some(Shape::TrustedRoot) => trusted_root(body).map(|_| ()),
        Some(Shape::Scep) => scep(body),
        Some(Shape::WiFi | Shape::EnterpriseWiFi) => wifi(body),
        Some(Shape::Vpn) => vpn::check(body),
        None => {
            // Values of a wrong kind are refused by the type table; here every setting is written once.
            let _ = prepare(odata_type, body, &fingerprint);
            Ok(())
        }
    }
}

fn scep(body: &Map<String, Value>) -> Result<()> {
    let urls = body.get("scepServerUrls").and_then(Value::as_array);
    for url in urls.into_iter().flatten().filter_map(Value::as_str).filter(|url| !url.is_empty()) {
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(Error::bad_request(format!("scepServerUrls: {url:?} is not an address of http or https")));
        }
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("subjectNameFormat") == "custom" && text("subjectNameFormatString").trim().is_empty() {
        return Err(Error::bad_request("subjectNameFormatString is needed where subjectNameFormat is custom"));
    }
    Ok(())
}

fn wifi(body: &Map<String, Value>) -> Result<()> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("ssid").len() > 32 {
        return Err(Error::bad_request("ssid may have at most 32 bytes"));
    }
    match text("proxySettings") {
        "manual" if text("proxyManualAddress").is_empty() => {
            Err(Error::bad_request("proxyManualAddress is needed where proxySettings is manual"))
        }
        "automatic" if text("proxyAutomaticConfigurationUrl").is_empty() => {
            Err(Error::bad_request("proxyAutomaticConfigurationUrl is needed where proxySettings is automatic"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde_json::json;

    use super::*;

    fn refused(kind: &str, body: Value) -> String {
        configuration(kind, body.as_object().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn a_bad_custom_profile_is_refused_with_its_place() {
        let kind = "iosCustomConfiguration";
        let custom = |text: &str| json!({ "payloadName": "x", "payload": STANDARD.encode(text) });
        assert!(refused(kind, json!({ "payload": "%%%" })).starts_with("payload: is not base64"));
        assert!(refused(kind, custom("hello")).starts_with("payload: "));
        let top = "<plist version=\"1.0\"><dict><key>PayloadType</key><string>Configuration</string>\
            <key>PayloadIdentifier</key><string>a</string><key>PayloadUUID</key><string>b</string>\
            <key>PayloadContent</key><array>";
        let payload = "<dict><key>PayloadType</key><string>com.apple.webClip.managed</string>\
            <key>PayloadIdentifier</key><string>same</string><key>PayloadUUID</key><string>X</string></dict>";
        let end = "</array></dict></plist>";
        assert!(refused(kind, custom(&format!("{top}{end}"))).contains("PayloadContent"));
        let twice = refused(kind, custom(&format!("{top}{payload}{payload}{end}")));
        assert!(twice.starts_with("payload.PayloadContent[1].PayloadIdentifier"), "{twice}");
        let enrolling = payload.replace("com.apple.webClip.managed", "com.apple.mdm");
        assert!(refused(kind, custom(&format!("{top}{enrolling}{end}"))).contains("enroll"));
        let fine = custom(&format!("{top}{payload}{end}"));
        assert!(configuration(kind, fine.as_object().unwrap()).is_ok());
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let body = json!({ "trustedRootCertificate": STANDARD.encode("no certificate") });
        assert!(refused("iosTrustedRootCertificate", body).contains("trustedRootCertificate"));
    }
}
