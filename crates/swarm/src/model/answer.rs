//! What a device answers to a command: status, result keys, error chain.

use plist::{Dictionary, Value};

use super::rules::Untaken;

/// Outcome of one command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// `Acknowledged` with the result keys.
    Done(Dictionary),
    /// `Error`, topmost first.
    Failed(Vec<ErrorItem>),
    /// `CommandFormatError`
    Malformed,
    /// `NotNow`
    NotNow,
}

/// One link of an error chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorItem {
    /// Code within the domain.
    pub code: i64,
    /// Domain.
    pub domain: &'static str,
    /// What it says.
    pub text: String,
}

impl Outcome {
    /// Done, nothing to say.
    pub fn done() -> Self {
        Outcome::Done(Dictionary::new())
    }
    /// Done with one result key.
    pub fn with(key: &str, value: impl Into<Value>) -> Self {
        let mut result = Dictionary::new();
        result.insert(key.to_owned(), value.into());
        Outcome::Done(result)
    }
    /// An error of the MDM client.
    pub fn mdm_error(code: i64, text: impl Into<String>) -> Self {
        Outcome::Failed(vec![ErrorItem { code, domain: "MCMDMErrorDomain", text: text.into() }])
    }
    /// A profile could not be installed, with the cause below.
    pub fn installation_error(code: i64, text: impl Into<String>, profile: &str) -> Self {
        Outcome::Failed(vec![
            ErrorItem {
                code: 4001,
                domain: "MCInstallationErrorDomain",
                text: format!("Profile Installation Failed: {profile}"),
            },
            ErrorItem { code, domain: "MCProfileErrorDomain", text: text.into() },
        ])
    }
    /// A command this device does not take.
    pub fn untaken(request_type: &str, why: Untaken) -> Self {
        match why {
            Untaken::Unknown | Untaken::System | Untaken::Channel => {
                Outcome::mdm_error(12021, format!("“{request_type}” is not a valid request type."))
            }
            Untaken::Enrollment => {
                Outcome::mdm_error(12081, format!("“{request_type}” is not available under User Enrollment."))
            }
            Untaken::Supervision => {
                Outcome::mdm_error(12035, format!("“{request_type}” is only available on supervised devices."))
            }
        }
    }
    /// The word of `Status`.
    pub fn status(&self) -> &'static str {
        match self {
            Outcome::Done(_) => "Acknowledged",
            Outcome::Failed(_) => "Error",
            Outcome::Malformed => "CommandFormatError",
            Outcome::NotNow => "NotNow",
        }
    }
    /// The keys of the result document beside ids and CommandUUID.
    pub fn into_keys(self) -> Dictionary {
        let status = self.status();
        let mut keys = match self {
            Outcome::Done(result) => result,
            Outcome::Failed(chain) => {
                let mut keys = Dictionary::new();
                keys.insert("ErrorChain".into(), Value::Array(chain.into_iter().map(link).collect()));
                keys
            }
            Outcome::Malformed | Outcome::NotNow => Dictionary::new(),
        };
        keys.insert("Status".into(), status.into());
        keys
    }
}

fn link(item: ErrorItem) -> Value {
    let mut link = Dictionary::new();
    link.insert("ErrorCode".into(), item.code.into());
    link.insert("ErrorDomain".into(), item.domain.into());
    link.insert("LocalizedDescription".into(), item.text.clone().into());
    link.insert("USEnglishDescription".into(), item.text.into());
    Value::Dictionary(link)
}
