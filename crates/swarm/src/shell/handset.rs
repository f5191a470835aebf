//! [`Handset`]: a device model with its network: enrollment by both paths, and sessions.

use std::sync::Arc;

use base64::Engine as _;
use plist::Dictionary;

use super::{
    Error, Network, Person, Result,
    browser::{Browser, End},
    http::{Client, Response},
    scep,
    unruly::{Stray, Unruly},
    url::{Url, decode, encode},
};
use crate::{
    crypto::Identity,
    model::{
        Device, EnrollmentMode, LeftBecause, Message, Next,
        install::Install,
        session::{Answer, Kind},
    },
    plists,
};

/// A device that can talk.
#[derive(Debug)]
pub struct Handset {
    /// The model.
    pub device: Device,
    /// The identity the factory gave it, for MachineInfo.
    pub factory: Option<Arc<Identity>>,
    /// Headers and requests that were sent, where a test asks for them.
    pub log: Option<Vec<String>>,
    /// What befalls its messages on their way, where a trial asks for it.
    pub unruly: Option<Box<Unruly>>,
    client: Client,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// Nothing left to say.
    Quiet,
    /// The server answered this; the device tries again later.
    Refused(u16),
}

impl Handset {
    /// A device on a network.
    pub fn new(device: Device, network: Arc<Network>) -> Self {
        let http2 = device.hardware.serial.bytes().last().is_some_and(|byte| byte % 2 == 0);
        Handset { device, factory: None, log: None, unruly: None, client: Client::new(network, http2) }
    }

    /// With the identity of the factory, for account-driven enrollment.
    pub fn with_factory_identity(mut self, identity: Arc<Identity>) -> Self {
        self.factory = Some(identity);
        self
    }

    /// Carries the device to another network, on which the same names may lead to other servers.
    pub fn move_to(&mut self, network: Arc<Network>) {
        let http2 = self.client.speaks_http2();
        self.client = Client::new(network, http2);
    }

    /// The person opens the address they were told, goes through the pages and installs the profile.
    pub async fn enroll_by_profile(&mut self, start: &str, person: &mut Person) -> Result<()> {
        let profile = self.fetch_enrollment_profile(start, person).await?;
        self.install(&profile, EnrollmentMode::Profile, None).await
    }

    /// The same, as far as the profile.
    pub async fn fetch_enrollment_profile(&mut self, start: &str, person: &mut Person) -> Result<Vec<u8>> {
        let start = Url::parse(start)?;
        let end = Browser::new(&mut self.client, &self.device.hardware).walk(&start, person).await;
        self.client.close();
        match end? {
            End::Profile(profile) => Ok(profile),
            End::Scheme(scheme) => Err(Error::Unexpected(format!("the pages ended at {scheme}"))),
            End::Page(page, _) => {
                Err(Error::Unexpected(page.reason.unwrap_or("the pages end without a profile".into())))
            }
        }
    }

    /// Installs an enrollment profile and does its first session.
    pub async fn install(&mut self, profile: &[u8], mode: EnrollmentMode, bearer: Option<String>) -> Result<()> {
        let install = self.device.install_enrollment_profile(profile, mode, bearer).map_err(Error::Device)?;
        let identities = self.identities(&install).await;
        let next = self.device.identified(install, identities);
        let end = self.run(next).await;
        self.client.close();
        end?;
        match &self.device.left {
            Some(LeftBecause::EnrollmentFailed(reason)) => Err(Error::Device(reason.clone())),
            _ if self.device.is_enrolled() => Ok(()),
            _ => Err(Error::Device("the enrollment did not finish".into())),
        }
    }

    /// The person adds a work account in the device's settings.
    pub async fn enroll_account_driven(&mut self, person: &mut Person) -> Result<()> {
        let result = self.account_driven(person).await;
        self.client.close();
        result
    }

    async fn account_driven(&mut self, person: &mut Person) -> Result<()> {
        let (mode, base) = self.discover(&person.username).await?;
        let url = Url::parse(&base)?;
        let machine_info = self.machine_info(mode)?;
        let first = self.ask_profile(&url, machine_info.clone(), None).await?;
        let sign_in = challenge(&first)?;
        let start = Url::parse(&sign_in)?.with_query(&[("user-identifier", &person.username)]);
        let end = Browser::new(&mut self.client, &self.device.hardware).walk(&start, person).await?;
        let End::Scheme(scheme) = end else {
            return Err(Error::Unexpected("the sign-in did not end at the device".into()));
        };
        let token = scheme
            .strip_prefix("apple-remotemanagement-user-login://authentication-results?")
            .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("access-token=")))
            .map(decode)
            .ok_or_else(|| Error::Unexpected(format!("the sign-in ended at {scheme}")))?;
        let answer = self.ask_profile(&url, machine_info, Some(&token)).await?;
        if answer.status != 200 {
            return Err(refused(&answer));
        }
        if answer.content_type() != "application/x-apple-aspen-config" {
            return Err(Error::Unexpected(format!("a profile of type {}", answer.content_type())));
        }
        self.install(&answer.body, mode, Some(token)).await
    }

    /// Finds the server of a person's organisation.
    pub async fn discover(&mut self, username: &str) -> Result<(EnrollmentMode, String)> {
        let (_, domain) = username.rsplit_once('@').ok_or_else(|| Error::Device("no work account".into()))?;
        let query = format!("user-identifier={}&model-family={}", encode(username), self.device.hardware.family.word());
        let mut url = Url::parse(&format!("https://{domain}/.well-known/com.apple.remotemanagement?{query}"))?;
        for _ in 0..5 {
            let headers = [("user-agent", "DeviceManagementClient/1.0"), ("accept", "application/json")];
            let answer = self.client.send("GET", &url, &headers, Vec::new(), None).await?;
            // Redirects are followed, but the query is not added again.
            if let Some(location) = answer.header("location").filter(|_| (300..400).contains(&answer.status)) {
                url = url.join(location)?;
                continue;
            }
            if answer.status != 200 {
                return Err(refused(&answer));
            }
            if answer.content_type() != "application/json" {
                return Err(Error::Unexpected(format!("discovery of type {}", answer.content_type())));
            }
            let document: serde_json::Value =
                serde_json::from_slice(&answer.body).map_err(|error| Error::Unexpected(error.to_string()))?;
            let servers = document["Servers"].as_array().map_or(&[][..], Vec::as_slice);
            let [server] = servers else { return Err(Error::Unexpected("discovery names not one server".into())) };
            let mode = match server["Version"].as_str() {
                Some("mdm-byod") => EnrollmentMode::Byod,
                Some("mdm-adde") => EnrollmentMode::Adde,
                other => return Err(Error::Unexpected(format!("discovery offers {other:?}"))),
            };
            let base = server["BaseURL"].as_str().ok_or_else(|| Error::Unexpected("no BaseURL".into()))?;
            return Ok((mode, base.to_owned()));
        }
        Err(Error::Unexpected("discovery redirects too often".into()))
    }

    /// MachineInfo, signed with the identity of the factory.
    pub fn machine_info(&self, mode: EnrollmentMode) -> Result<Vec<u8>> {
        let hardware = &self.device.hardware;
        let mut keys = Dictionary::new();
        keys.insert("LANGUAGE".into(), "en-US".into());
        keys.insert("PRODUCT".into(), hardware.product_name.clone().into());
        keys.insert("VERSION".into(), hardware.build.clone().into());
        if mode != EnrollmentMode::Byod {
            keys.insert("UDID".into(), hardware.udid.clone().into());
            keys.insert("SERIAL".into(), hardware.serial.clone().into());
            keys.insert("OS_VERSION".into(), hardware.system.to_string().into());
        }
        let factory = self.factory.as_ref().ok_or_else(|| Error::Device("no identity of the factory".into()))?;
        factory.sign_attached(&plists::write(&keys))
    }

    async fn ask_profile(&mut self, url: &Url, body: Vec<u8>, token: Option<&str>) -> Result<Response> {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers =
            vec![("user-agent", "DeviceManagementClient/1.0"), ("content-type", "application/pkcs7-signature")];
        if let Some(bearer) = &bearer {
            headers.push(("authorization", bearer));
        }
        self.client.send("POST", url, &headers, body, None).await
    }

    /// One session with the server: everything waiting is told, every command done.
    pub async fn session(&mut self) -> Result<SessionEnd> {
        let next = self.device.connect();
        let end = self.run(next).await;
        self.client.close();
        end
    }

    async fn run(&mut self, mut next: Next) -> Result<SessionEnd> {
        loop {
            next = match next {
                Next::Done => return Ok(SessionEnd::Quiet),
                Next::Failed(status) => return Ok(SessionEnd::Refused(status)),
                Next::Send(message) => match self.put(&message).await {
                    Ok(answer) => self.device.answered(&answer),
                    Err(error) => {
                        self.device.disconnected();
                        return Err(error);
                    }
                },
                Next::Enroll(install) => {
                    let identities = self.identities(&install).await;
                    self.device.identified(*install, identities)
                }
                Next::Fetch(url) => match self.fetch(&url).await {
                    Ok(answer) => self.device.fetched(&answer),
                    Err(error) => {
                        self.device.disconnected();
                        return Err(error);
                    }
                },
            }
        }
    }

    async fn identities(&mut self, install: &Install) -> std::result::Result<Vec<Arc<Identity>>, String> {
        let mut identities = Vec::new();
        for need in &install.needs {
            let identity = scep::enroll(&mut self.client, need).await.map_err(|error| error.to_string())?;
            identities.push(Arc::new(identity));
        }
        Ok(identities)
    }

    async fn put(&mut self, message: &Message) -> Result<Answer> {
        let Some(mut way) = self.unruly.take() else { return self.deliver(message).await };
        way.hold(message).await;
        for stray in way.before(message) {
            self.stray(&mut way, &stray).await;
        }
        let answer = self.deliver(message).await;
        if answer.is_ok()
            && let Some(stray) = way.after(message)
        {
            self.stray(&mut way, &stray).await;
        }
        self.unruly = Some(way);
        answer
    }

    /// A message that the device never meant to send: its answer reaches nobody.
    async fn stray(&mut self, way: &mut Unruly, stray: &Stray) {
        if let Ok(answer) = self.deliver(&stray.message).await {
            way.arrived(stray, answer.status);
        }
    }

    async fn deliver(&mut self, message: &Message) -> Result<Answer> {
        let management = self.device.management.as_ref().ok_or_else(|| Error::Device("not managed".into()))?;
        let (address, content_type) = match message.kind {
            Kind::CheckIn => (&management.check_in_url, "application/x-apple-aspen-mdm-checkin"),
            Kind::Command => (&management.server_url, "application/x-apple-aspen-mdm; charset=UTF-8"),
        };
        let url = Url::parse(address)?;
        let identity = management.identity.clone();
        let signature = match management.sign_message {
            true => Some(base64::engine::general_purpose::STANDARD.encode(identity.sign_detached(&message.body)?)),
            false => None,
        };
        let bearer = management.bearer.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![("user-agent", "MDM/1.0"), ("content-type", content_type)];
        if let Some(signature) = &signature {
            headers.push(("mdm-signature", signature));
        }
        if let Some(bearer) = &bearer {
            headers.push(("authorization", bearer));
        }
        let answer = self.client.send("PUT", &url, &headers, message.body.clone(), Some(&identity)).await?;
        if let Some(log) = &mut self.log {
            log.push(format!("{} {}", message.name, answer.status));
        }
        Ok(Answer { status: answer.status, body: answer.body })
    }

    async fn fetch(&mut self, url: &str) -> Result<Answer> {
        let management = self.device.management.as_ref().ok_or_else(|| Error::Device("not managed".into()))?;
        let identity = management.identity.clone();
        let signature = base64::engine::general_purpose::STANDARD.encode(identity.sign_detached(b"")?);
        let bearer = management.bearer.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![("user-agent", "MDM/1.0"), ("mdm-signature", signature.as_str())];
        if let Some(bearer) = &bearer {
            headers.push(("authorization", bearer));
        }
        let answer = self.client.send("GET", &Url::parse(url)?, &headers, Vec::new(), Some(&identity)).await?;
        Ok(Answer { status: answer.status, body: answer.body })
    }
}

/// The sign-in address of a `WWW-Authenticate` challenge.
fn challenge(answer: &Response) -> Result<String> {
    if answer.status != 401 {
        return Err(refused(answer));
    }
    let header = answer.header("www-authenticate").unwrap_or_default();
    let value = |key: &str| {
        let rest = header.split_once(&format!("{key}=\""))?.1;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    match (header.starts_with("Bearer "), value("method").as_deref(), value("url")) {
        (true, Some("apple-as-web"), Some(url)) => Ok(url),
        _ => Err(Error::Unexpected(format!("no usable challenge: {header}"))),
    }
}

fn refused(answer: &Response) -> Error {
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let said = ["message", "description", "code"].iter().find_map(|key| json[key].as_str());
    let reason = said.map_or_else(|| answer.text().chars().take(200).collect(), str::to_owned);
    Error::Refused { status: answer.status, reason }
}
