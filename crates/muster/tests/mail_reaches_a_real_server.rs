//! Mail goes out over SMTP with STARTTLS, only to a server we can trust, as who we are there; what a
//! server says decides whether a mail is tried again.

mod support;

use muster_pki::Certificate;
use muster_service::{Mail as _, MailError, MailMessage, clients::mail::SmtpMail, settings::MailSettings};
use muster_swarm::standins::smtp::{MailServer, Recipients};
use serde_json::json;
use support::{Engine, HOUR, MINUTE, TestApp, on_both_engines};

on_both_engines!(mail_outlives_an_outage);

const NOW: i64 = 1_767_225_600_000;

fn message(to: &str, subject: &str) -> MailMessage {
    MailMessage { to: to.into(), subject: subject.into(), text: "Grüße aus dem Test.\n".into() }
}

fn client(server: &MailServer, login: &str) -> SmtpMail {
    let root = Certificate::all_from_pem(&server.root_pem()).unwrap().remove(0).der().to_vec();
    let url = format!("smtp://{login}localhost:{}?tls=required", server.running.address.port());
    SmtpMail::new(&MailSettings { url, from: "Muster <muster@example.org>".into(), roots: vec![root] }).unwrap()
}

#[tokio::test]
async fn mail_is_encrypted_and_arrives() {
    let server = MailServer::start(NOW).await.unwrap();
    let client = client(&server, "");
    client.send(&message("ada@example.org", "Äpfel")).await.unwrap();
    let mail = server.take().remove(0);
    assert!(mail.encrypted);
    assert_eq!(mail.to, ["ada@example.org"]);
    assert!(mail.header("From").is_some_and(|from| from.contains("muster@example.org")), "{:?}", mail.header("From"));
    assert!(server.heard_in_the_open().iter().all(|line| line.starts_with("EHLO") || line == "STARTTLS"));
}

#[tokio::test]
async fn a_line_break_makes_no_header_and_no_recipient() {
    let server = MailServer::start(NOW).await.unwrap();
    let client = client(&server, "");
    for line_break in ["\r\n", "\n", "\r", "\r\n\r\n"] {
        let subject = format!("Ada's phone{line_break}Bcc: eve@example.org{line_break}X-Evil: 1");
        client.send(&message("ada@example.org", &subject)).await.unwrap();
        let mail = server.take().remove(0);
        assert!(mail.header("Bcc").is_none() && mail.header("X-Evil").is_none(), "{}", mail.text);
        assert_eq!(mail.to, ["ada@example.org"]);
        assert!(mail.body().starts_with("Gr=C3=BC"), "the body begins where it should: {}", mail.text);

        let to = format!("ada@example.org{line_break}RCPT TO:<eve@example.org>");
        assert!(matches!(client.send(&message(&to, "x")).await, Err(MailError::Refused(_))), "{to:?}");
        let named = format!("Ada{line_break}Bcc: eve@example.org <ada@example.org>");
        // Refused, or the name is written so that it stays a name.
        let _ = client.send(&message(&named, "x")).await;
        for mail in server.take() {
            assert!(mail.header("Bcc").is_none() && mail.to == ["ada@example.org"], "{}", mail.text);
        }
    }
}

#[tokio::test]
async fn a_server_nobody_vouches_for_gets_no_mail() {
    let server = MailServer::start(NOW).await.unwrap();
    let url = format!("{}?tls=required", server.url());
    let settings = MailSettings { url, from: "muster@example.org".into(), roots: vec![] };
    let sent = SmtpMail::new(&settings).unwrap().send(&message("ada@example.org", "secret")).await;
    assert!(matches!(sent, Err(MailError::Later(_))), "{sent:?}");
    assert!(server.take().is_empty());
}

#[tokio::test]
async fn the_password_goes_over_tls_only_and_into_no_error() {
    let server = MailServer::start(NOW).await.unwrap();
    server.require_login("muster", "open sesame");
    client(&server, "muster:open%20sesame@").send(&message("ada@example.org", "in")).await.unwrap();
    assert_eq!(server.take().len(), 1);

    let refused = client(&server, "muster:close%20sesame@").send(&message("ada@example.org", "out")).await.unwrap_err();
    // What an administrator mends is worth another try; the mail is not lost for it.
    assert!(matches!(refused, MailError::Later(_)), "{refused:?}");
    assert!(!format!("{refused} {refused:?}").contains("sesame"), "{refused:?}");
    assert!(server.take().is_empty());
    assert!(server.heard_in_the_open().iter().all(|line| !line.starts_with("AUTH")));
}

#[tokio::test]
async fn what_the_server_says_decides_about_another_try() {
    let server = MailServer::start(NOW).await.unwrap();
    let client = client(&server, "");
    server.recipients(Recipients::Later);
    assert!(matches!(client.send(&message("ada@example.org", "x")).await, Err(MailError::Later(_))));
    server.recipients(Recipients::Unknown);
    assert!(matches!(client.send(&message("ada@example.org", "x")).await, Err(MailError::Refused(_))));
    drop(server);
    assert!(matches!(client.send(&message("ada@example.org", "x")).await, Err(MailError::Later(_))));
}

async fn mail_outlives_an_outage(engine: Engine) {
    let app = TestApp::new(engine).await;
    let ada = app.user("Ada").await;
    let _phone = app.enrolled_iphone(&ada).await;
    let device = app.managed_device(&ada).await;
    let notify = json!({ "notificationTitle": "Hello\r\nBcc: eve@example.test", "notificationBody": "Come by." });
    let mails = || {
        let all = app.stage.mail.take();
        all.into_iter().filter(|mail| mail.body().contains("Come by.")).collect::<Vec<_>>()
    };

    // The mail server takes nothing for half an hour.
    app.stage.mail.recipients(Recipients::Later);
    let id = device["id"].as_str().unwrap();
    let path = format!("/beta/deviceManagement/managedDevices/{id}/sendCustomNotificationToCompanyPortal");
    app.api.post(&path, &notify).await.unwrap();
    app.settle().await;
    for _ in 0..6 {
        app.advance(5 * MINUTE).await;
    }
    assert!(mails().is_empty());
    app.stage.mail.recipients(Recipients::Taken);
    app.advance(HOUR).await;
    let arrived = mails();
    assert_eq!(arrived.len(), 1, "once, when the server is back");
    assert!(arrived[0].header("Bcc").is_none(), "{}", arrived[0].text);

    // A mailbox that is not there is asked once.
    app.stage.mail.recipients(Recipients::Unknown);
    app.api.post(&path, &notify).await.unwrap();
    app.settle().await;
    app.stage.mail.recipients(Recipients::Taken);
    app.advance(HOUR).await;
    assert!(mails().is_empty());
    app.end().await;
}
