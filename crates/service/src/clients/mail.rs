//! Mail over SMTP (RFC 5321), encrypted: `smtps://` from the first byte, `smtp://` by STARTTLS,
//! which a server must offer unless it stands on this machine.

use std::{net::IpAddr, time::Duration};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::client::{Certificate, Tls, TlsParameters},
};

use crate::{Mail, MailError, MailMessage, ports::Boxed, settings::MailSettings};

/// A server that does not answer in this time has failed.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The SMTP client.
pub struct SmtpMail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl SmtpMail {
    /// A client for the configured server. Errors name the setting, never the password in it.
    pub fn new(settings: &MailSettings) -> Result<Self, String> {
        let (base, query) = settings.url.split_once('?').unwrap_or((&settings.url, ""));
        let (scheme, rest) = base
            .split_once("://")
            .filter(|(scheme, _)| ["smtp", "smtps"].contains(scheme))
            .ok_or("mail.url must begin with smtp:// or smtps://")?;
        let authority = rest.split('/').next().unwrap_or_default();
        let host = host_of(authority);
        if host.is_empty() {
            return Err("mail.url names no host".into());
        }
        let mut tls = TlsParameters::builder(host.to_owned());
        for root in &settings.roots {
            let root = Certificate::from_der(root.clone()).map_err(|_| "mail.ca_file holds no certificate")?;
            tls = tls.add_root_certificate(root);
        }
        let tls = tls.build_rustls().map_err(|_| "mail: TLS cannot be set up for this host")?;
        let tls = match (scheme, query) {
            ("smtps", "") => Tls::Wrapper(tls),
            ("smtp", "tls=required") => Tls::Required(tls),
            ("smtp", "") if is_here(host) => Tls::Opportunistic(tls),
            ("smtp", "") => Tls::Required(tls),
            ("smtp", "tls=none") if is_here(host) => Tls::None,
            _ => return Err("mail.url may end in ?tls=required, or ?tls=none for a server on this machine".into()),
        };
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(base)
            .map_err(|_| "mail.url is not an address like smtp://user:password@host:587")?
            .tls(tls)
            .timeout(Some(TIMEOUT))
            .build();
        let from = settings.from.parse().map_err(|_| "mail.from is not a mail address")?;
        Ok(SmtpMail { transport, from })
    }
}

/// The host of `user:password@host:port`.
fn host_of(authority: &str) -> &str {
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// True for a server on this machine.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Mail for SmtpMail {
    fn send<'a>(&'a self, message: &'a MailMessage) -> Boxed<'a, Result<(), MailError>> {
        Box::pin(async move {
            let refused = |why: String| MailError::Refused(why);
            let to: Mailbox = message.to.parse().map_err(|_| refused("the recipient is not a mail address".into()))?;
            let mail = Message::builder()
                .from(self.from.clone())
                .to(to)
                .subject(&message.subject)
                .header(ContentType::TEXT_PLAIN)
                .body(message.text.clone())
                .map_err(|error| refused(format!("the mail cannot be written: {error}")))?;
            self.transport.send(mail).await.map(|_| ()).map_err(|error| match error.status() {
                // What the server says of this mail; 53x is about us signing in, which others mend.
                Some(code) if error.is_permanent() && !(530..=538).contains(&u16::from(code)) => {
                    refused(format!("the mail server refused: {error}"))
                }
                _ => MailError::Later(format!("the mail server did not take it: {error}")),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> MailSettings {
        MailSettings { url: url.into(), from: "Muster <muster@example.org>".into(), roots: Vec::new() }
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(host_of("user:p%40ss@mail.example.org:587"), "mail.example.org");
        assert_eq!(host_of("[::1]:25"), "::1");
        for url in [
            "smtp://localhost:2525",
            "smtps://user:secret@mail.example.org",
            "smtp://mail.example.org:587?tls=required",
        ] {
            assert!(SmtpMail::new(&settings(url)).is_ok(), "{url}");
        }
    }

    #[test]
    fn encryption_cannot_be_turned_off_for_another_machine_and_errors_hold_no_password() {
        for url in ["smtp://user:secret@mail.example.org?tls=none", "http://user:secret@mail.example.org", "smtp://"] {
            let error = SmtpMail::new(&settings(url)).err().unwrap();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
