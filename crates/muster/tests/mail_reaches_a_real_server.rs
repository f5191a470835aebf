//! Mail goes out over SMTP with STARTTLS, and only to a server we can trust.

use muster_service::{Mail, MailMessage, clients::mail::SmtpMail, settings::MailSettings};
use muster_swarm::standins::smtp::MailServer;

fn message(to: &str, subject: &str) -> MailMessage {
    MailMessage { to: to.into(), subject: subject.into(), text: "Grüße aus dem Test.\n".into() }
}

#[tokio::test]
async fn mail_is_encrypted_and_arrives() {
    let server = MailServer::start(1_767_225_600_000).await.unwrap();
    let root = muster_pki::Certificate::all_from_pem(&server.root_pem()).unwrap().remove(0).der().to_vec();
    let url = format!("{}?tls=required", server.url());
    let settings = MailSettings { url, from: "Muster <muster@example.org>".into(), roots: vec![root] };
    let client = SmtpMail::new(&settings).unwrap();
    client.send(&message("ada@example.org", "Äpfel\r\nBcc: eve@example.org")).await.unwrap();
    let mail = server.take().remove(0);
    assert!(mail.header("From").is_some_and(|from| from.contains("muster@example.org")), "{:?}", mail.header("From"));
    assert!(mail.header("Bcc").is_none(), "a line break in a subject makes no header");

    server.refuse(true);
    assert!(
        client.send(&message("ada@example.org", "again")).await.is_err(),
        "a refusal is an error, to be tried again"
    );
}

#[tokio::test]
async fn a_server_nobody_vouches_for_gets_no_mail() {
    let server = MailServer::start(1_767_225_600_000).await.unwrap();
    let url = format!("{}?tls=required", server.url());
    let settings = MailSettings { url, from: "muster@example.org".into(), roots: vec![] };
    let sent = SmtpMail::new(&settings).unwrap().send(&message("ada@example.org", "secret")).await;
    assert!(sent.is_err());
    assert!(server.take().is_empty());
}
