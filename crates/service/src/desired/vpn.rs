//! VPN payloads: IKEv2, always-on IKEv2, Cisco IPsec, and the plug-ins of vendors' apps.
//!
//! Apple: `com.apple.vpn.managed` for the whole device, `com.apple.vpn.managed.applayer` for the apps that
//! name it by its `VPNUUID`. Switches there are 0 and 1.

use muster_apple::{
    dict,
    plist::{Dictionary, Value as Plist, put, put_some},
    profile::Payload,
};
use muster_domain::catalogue::built::linked;
use muster_pki::Secret;
use muster_storage::documents::Document;
use serde_json::{Map, Value};
use uuid::Uuid;

mod words;

use super::{
    certificates::subject,
    profile_identifier,
    render::{Material, uuid_of},
    variables::fill_known,
};
use crate::{Error, Result, Service};
use words::{Body, PEER_CHECK, PLUGINS, SERVER_KEY, flag, on_demand, parameters, switch, text, texts, word};

/// What carries the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Carrier {
    IkeV2,
    AlwaysOn,
    IpSec,
    Plugin(String),
}

fn bad(what: impl Into<String>) -> Error {
    Error::bad_request(what.into())
}

fn carrier(body: &Body) -> Result<Carrier> {
    if flag(body, "enableAlwaysOnConfiguration") {
        return Ok(Carrier::AlwaysOn);
    }
    let named = text(body, "identifier");
    match text(body, "connectionType").unwrap_or("ikEv2") {
        "ikEv2" => Ok(Carrier::IkeV2),
        "alwaysOn" => Ok(Carrier::AlwaysOn),
        "ciscoIPSec" => Ok(Carrier::IpSec),
        kind => {
            let known = named.or_else(|| word(PLUGINS, kind));
            let known = known.ok_or_else(|| {
                bad(format!("identifier is needed with the connectionType {kind}: the bundle id of the VPN app"))
            })?;
            Ok(Carrier::Plugin(known.to_owned()))
        }
    }
}

/// What could never become a connection is refused when it is saved.
pub(crate) fn check(body: &Body) -> Result<()> {
    let carrier = carrier(body)?;
    server(body)?;
    if let Some(size) = body.get("mtuSizeInBytes").and_then(Value::as_i64)
        && size != 0
        && !(1280..=1400).contains(&size)
    {
        return Err(bad("mtuSizeInBytes must be between 1280 and 1400"));
    }
    if matches!(carrier, Carrier::IkeV2 | Carrier::AlwaysOn) {
        for name in ["securityAssociationParameters", "childSecurityAssociationParameters"] {
            parameters(body, name)?;
        }
    }
    if flag(body, "enablePerApp") && carrier == Carrier::AlwaysOn {
        return Err(bad("enablePerApp and an always-on connection exclude one another"));
    }
    Ok(())
}

fn server(body: &Body) -> Result<&str> {
    let server = body.get("server").and_then(Value::as_object);
    server.and_then(|server| text(server, "address")).ok_or_else(|| bad("server.address is needed"))
}

/// What every carrier has in its own dictionary.
fn common(into: &mut Dictionary, body: &Body) {
    if flag(body, "disconnectOnIdle") {
        put(into, "DisconnectOnIdle", 1);
        put_some(into, "DisconnectOnIdleTimer", body.get("disconnectOnIdleTimerInSeconds").and_then(Value::as_i64));
    }
    on_demand(into, body);
}

/// What carriers through an app or IKEv2 take beside.
fn routes(into: &mut Dictionary, body: &Body) {
    switch(into, "IncludeAllNetworks", body, "includeAllNetworks");
    switch(into, "ExcludeLocalNetworks", body, "excludeLocalNetworks");
    match text(body, "providerType") {
        Some("appProxy") => put(into, "ProviderType", "app-proxy"),
        Some("packetTunnel") => put(into, "ProviderType", "packet-tunnel"),
        _ => {}
    }
}

fn proxies(body: &Body) -> Option<Dictionary> {
    let proxy = body.get("proxyServer")?.as_object()?;
    if let Some(script) = text(proxy, "automaticConfigurationScriptUrl") {
        return Some(dict! { "ProxyAutoConfigEnable" => 1, "ProxyAutoConfigURLString" => script });
    }
    let address = text(proxy, "address")?;
    let port = proxy.get("port").and_then(Value::as_i64).unwrap_or(8080);
    Some(dict! {
        "HTTPEnable" => 1, "HTTPProxy" => address, "HTTPPort" => port,
        "HTTPSEnable" => 1, "HTTPSProxy" => address, "HTTPSPort" => port,
    })
}

/// What the vendor's app reads.
fn vendor(body: &Body, material: &Material) -> Dictionary {
    let mut content = Dictionary::new();
    put_some(&mut content, "Realm", text(body, "realm"));
    put_some(&mut content, "Role", text(body, "role"));
    let group = if text(body, "connectionType").is_some_and(|kind| kind.starts_with("ciscoAnyConnect")) {
        "Group"
    } else {
        "LoginGroupOrDomain"
    };
    put_some(&mut content, group, text(body, "loginGroupOrDomain"));
    let lists = ["customData", "customKeyValueData"].iter().filter_map(|name| body.get(*name)?.as_array());
    for pair in lists.flatten().filter_map(Value::as_object) {
        let key = text(pair, "key").or_else(|| text(pair, "name"));
        if let Some((key, value)) = key.zip(text(pair, "value")) {
            put(&mut content, key, fill_known(value, &material.subject));
        }
    }
    content
}

/// What the device proves itself with.
struct Proof {
    certificate: Option<String>,
    name: Option<String>,
    secret: Option<Secret<String>>,
}

impl Proof {
    fn secret(&self) -> Option<&str> {
        self.secret.as_ref().map(|secret| secret.expose().as_str())
    }
}

fn ike(body: &Body, material: &Material, proof: &Proof) -> Result<Dictionary> {
    let server = server(body)?;
    let local = match text(body, "localIdentifier") {
        Some("deviceFQDN") => material.subject.device_name.clone(),
        Some("clientCertificateSubjectName") => proof.name.clone().unwrap_or_default(),
        _ => String::new(),
    };
    let extended = flag(body, "enableEAP") || text(body, "clientAuthenticationType") == Some("userAuthentication");
    let method = match text(body, "authenticationMethod") {
        Some("certificate") if !extended => "Certificate",
        Some("sharedSecret") => "SharedSecret",
        _ => "None",
    };
    let mut content = dict! {
        "RemoteAddress" => server,
        "LocalIdentifier" => local,
        "RemoteIdentifier" => text(body, "remoteIdentifier").unwrap_or(server),
        "AuthenticationMethod" => method,
    };
    if extended || method == "None" {
        put(&mut content, "ExtendedAuthEnabled", 1);
    }
    if let Some(certificate) = &proof.certificate {
        put(&mut content, "PayloadCertificateUUID", certificate.as_str());
    }
    if method == "SharedSecret" {
        let secret = proof.secret().ok_or_else(|| bad("sharedSecret is needed where authenticationMethod is it"))?;
        put(&mut content, "SharedSecret", secret);
    }
    let said = |name: &str, words| text(body, name).and_then(|said| word(words, said));
    put_some(&mut content, "CertificateType", said("serverCertificateType", SERVER_KEY));
    put_some(&mut content, "DeadPeerDetectionRate", said("deadPeerDetectionRate", PEER_CHECK));
    for (key, name) in [
        ("ServerCertificateIssuerCommonName", "serverCertificateIssuerCommonName"),
        ("ServerCertificateCommonName", "serverCertificateCommonName"),
        ("TLSMinimumVersion", "tlsMinimumVersion"),
        ("TLSMaximumVersion", "tlsMaximumVersion"),
    ] {
        put_some(&mut content, key, text(body, name));
    }
    for (key, name) in [
        ("DisableMOBIKE", "disableMobilityAndMultihoming"),
        ("DisableRedirect", "disableRedirect"),
        ("EnableCertificateRevocationCheck", "enableCertificateRevocationCheck"),
        ("EnablePFS", "enablePerfectForwardSecrecy"),
        ("UseConfigurationAttributeInternalIPSubnet", "enableUseInternalSubnetAttributes"),
    ] {
        switch(&mut content, key, body, name);
    }
    put_some(&mut content, "MTU", body.get("mtuSizeInBytes").and_then(Value::as_i64).filter(|size| *size > 0));
    put_some(&mut content, "IKESecurityAssociationParameters", parameters(body, "securityAssociationParameters")?);
    put_some(
        &mut content,
        "ChildSecurityAssociationParameters",
        parameters(body, "childSecurityAssociationParameters")?,
    );
    Ok(content)
}

fn always_on(body: &Body, mut tunnel: Dictionary) -> Dictionary {
    let nothing = Map::new();
    let said = body.get("alwaysOnConfiguration").and_then(Value::as_object).unwrap_or(&nothing);
    let interfaces: &[&str] = match text(said, "tunnelConfiguration") {
        Some("cellular") => &["Cellular"],
        Some("wifi") => &["WiFi"],
        _ => &["Cellular", "WiFi"],
    };
    put(&mut tunnel, "ProtocolType", "IKEv2");
    put(&mut tunnel, "Interfaces", Plist::Array(interfaces.iter().map(|name| Plist::from(*name)).collect()));
    if let Some(keep) = said.get("natKeepAliveOffloadEnable").and_then(Value::as_bool) {
        put(&mut tunnel, "NATKeepAliveOffloadEnable", i64::from(keep));
    }
    put_some(&mut tunnel, "NATKeepAliveInterval", said.get("natKeepAliveIntervalInSeconds").and_then(Value::as_i64));
    let exceptions = [
        ("VoiceMail", "voicemailExceptionAction"),
        ("AirPrint", "airPrintExceptionAction"),
        ("CellularServices", "cellularExceptionAction"),
    ];
    let exceptions = exceptions.iter().filter_map(|(service, name)| {
        let action = match text(said, name)? {
            "allowTrafficOutside" => "Allow",
            "dropTraffic" => "Drop",
            _ => return None,
        };
        Some(Plist::from(dict! { "ServiceName" => *service, "Action" => action }))
    });
    let exceptions: Vec<Plist> = exceptions.collect();
    let mut content = dict! { "TunnelConfigurations" => Plist::Array(vec![tunnel.into()]) };
    if !exceptions.is_empty() {
        put(&mut content, "ServiceExceptions", Plist::Array(exceptions));
    }
    switch(&mut content, "UIToggleEnabled", said, "userToggleEnabled");
    switch(&mut content, "AllowCaptiveWebSheet", said, "allowCaptiveWebSheet");
    switch(&mut content, "AllowAllCaptiveNetworkPlugins", said, "allowAllCaptiveNetworkPlugins");
    let plugins = said.get("allowedCaptiveNetworkPlugins").and_then(|plugins| plugins.get("allowedBundleIdentifiers"));
    let plugins: Vec<Plist> = (plugins.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str))
        .map(|bundle| Plist::from(dict! { "BundleIdentifier" => bundle }))
        .collect();
    if !plugins.is_empty() {
        put(&mut content, "AllowedCaptiveNetworkPlugins", Plist::Array(plugins));
    }
    content
}

fn ip_sec(body: &Body, proof: &Proof) -> Result<Dictionary> {
    let mut content = dict! { "RemoteAddress" => server(body)? };
    match &proof.certificate {
        Some(certificate) => {
            put(&mut content, "AuthenticationMethod", "Certificate");
            put(&mut content, "PayloadCertificateUUID", certificate.as_str());
        }
        None => {
            put(&mut content, "AuthenticationMethod", "SharedSecret");
            put(&mut content, "XAuthEnabled", 1);
            put(&mut content, "XAuthPasswordEncryption", "Prompt");
            if let Some(group) = text(body, "loginGroupOrDomain") {
                put(&mut content, "LocalIdentifier", group);
                put(&mut content, "LocalIdentifierType", "KeyID");
            }
        }
    }
    common(&mut content, body);
    Ok(content)
}

/// The payload's content, all but what per-app connections have.
fn content(body: &Body, material: &Material, proof: &Proof) -> Result<Dictionary> {
    let name = text(body, "connectionName").unwrap_or(&material.name);
    let mut content = dict! { "UserDefinedName" => name };
    match carrier(body)? {
        Carrier::IkeV2 => {
            let mut tunnel = ike(body, material, proof)?;
            common(&mut tunnel, body);
            routes(&mut tunnel, body);
            put(&mut content, "VPNType", "IKEv2");
            put(&mut content, "IKEv2", tunnel);
        }
        Carrier::AlwaysOn => {
            put(&mut content, "VPNType", "AlwaysOn");
            put(&mut content, "AlwaysOn", always_on(body, ike(body, material, proof)?));
        }
        Carrier::IpSec => {
            put(&mut content, "VPNType", "IPSec");
            put(&mut content, "IPSec", ip_sec(body, proof)?);
        }
        Carrier::Plugin(bundle) => {
            let mut tunnel = dict! { "RemoteAddress" => server(body)? };
            match &proof.certificate {
                Some(certificate) => {
                    put(&mut tunnel, "AuthenticationMethod", "Certificate");
                    put(&mut tunnel, "PayloadCertificateUUID", certificate.as_str());
                }
                None => put(&mut tunnel, "AuthenticationMethod", "Password"),
            }
            common(&mut tunnel, body);
            routes(&mut tunnel, body);
            put(&mut content, "VPNType", "VPN");
            put(&mut content, "VPNSubType", bundle);
            put(&mut content, "VPN", tunnel);
            let vendor = vendor(body, material);
            if !vendor.is_empty() {
                put(&mut content, "VendorConfig", vendor);
            }
        }
    }
    put_some(&mut content, "Proxies", proxies(body));
    Ok(content)
}

impl Service {
    /// The payloads of a VPN document: its identity first, the connection last.
    pub(crate) async fn vpn_payloads(
        &self,
        tenant: Uuid,
        command: Uuid,
        material: &Material,
        document: &Document,
    ) -> Result<Vec<Payload>> {
        let body = document.properties()?;
        let prefix = profile_identifier(document.id);
        let mut payloads = Vec::new();
        let mut proof = Proof { certificate: None, name: None, secret: None };
        let link = "identityCertificate";
        if text(&body, "authenticationMethod") == Some("certificate") {
            let id = linked(&body, link).first().copied();
            let id = id.ok_or_else(|| bad(format!("{link} is not set; authenticationMethod certificate needs it")))?;
            let uuid = uuid_of(&material.version, "identity");
            let scep = material.document(id, link)?;
            let names = subject(&scep.properties()?, &material.subject)?;
            proof.name = names.into_iter().find(|(kind, _)| kind == COMMON_NAME).map(|(_, name)| name);
            let identifier = format!("{prefix}.identity");
            payloads.push(self.scep_payload(tenant, command, material, scep, &identifier, &uuid).await?);
            proof.certificate = Some(uuid);
        }
        proof.secret = self.document_secret(tenant, document.id, "sharedSecret", &body).await?;
        let mut content = content(&body, material, &proof)?;
        let mut kind = "com.apple.vpn.managed";
        if flag(&body, "enablePerApp") {
            kind = "com.apple.vpn.managed.applayer";
            // Apps name the connection by this; it stays when the document changes.
            put(&mut content, "VPNUUID", document.id.to_string().to_uppercase());
            put(&mut content, "OnDemandMatchAppEnabled", true);
            put_some(&mut content, "SafariDomains", texts(&body, "safariDomains"));
            put_some(&mut content, "AssociatedDomains", texts(&body, "associatedDomains"));
            put_some(&mut content, "ExcludedDomains", texts(&body, "excludedDomains"));
        }
        let uuid = uuid_of(&material.version, "vpn");
        let title = text(&body, "connectionName").unwrap_or(&document.display_name);
        payloads.push(Payload::new(kind, &format!("{prefix}.vpn"), &uuid, content).titled(title));
        Ok(payloads)
    }
}

/// Attribute type of a common name.
const COMMON_NAME: &str = "2.5.4.3";
