//! A mail server stand-in: SMTP (RFC 5321) with STARTTLS (RFC 3207), keeps what it is given.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

use super::{Running, authority::Authority, listen, tls};
use crate::shell::Error;

/// One mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// Headers and body as they came, without dot stuffing.
    pub text: String,
    /// The connection was encrypted.
    pub encrypted: bool,
}

impl Received {
    /// A header's value, unfolded.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.text.split("\r\n\r\n").next()?.replace("\r\n ", " ").replace("\r\n\t", " ");
        let prefix = format!("{}:", name.to_lowercase());
        let line = head.lines().find(|line| line.to_lowercase().starts_with(&prefix))?.to_owned();
        Some(line[prefix.len()..].trim().to_owned())
    }
    /// The text after the headers.
    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

/// How recipients are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recipients {
    /// Taken.
    #[default]
    Taken,
    /// 450: not now.
    Later,
    /// 550: there is no such mailbox.
    Unknown,
}

#[derive(Default)]
struct State {
    mails: Vec<Received>,
    recipients: Recipients,
    login: Option<(String, String)>,
    heard: Vec<String>,
}

/// The mail server.
pub struct MailServer {
    /// Where it listens.
    pub running: Running,
    authority: Authority,
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
}

impl std::fmt::Debug for MailServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MailServer")
    }
}

impl MailServer {
    /// Starts the server.
    pub async fn start(now: i64) -> Result<Self, Error> {
        let authority = Authority::new("Simulated Mail CA", now)?;
        let server = authority.server(&["localhost"], now)?;
        let acceptor = TlsAcceptor::from(tls(&server, None, &[])?);
        let (listener, address) = listen().await?;
        let state = Arc::new(Mutex::new(State::default()));
        let arrived = Arc::new(Notify::new());
        let (shared, notify) = (state.clone(), arrived.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared, notify) = (acceptor.clone(), shared.clone(), notify.clone());
                tokio::spawn(async move {
                    // A client that hangs up in the middle loses its mail, not ours.
                    let _ = converse(stream, acceptor, &shared, &notify).await;
                });
            }
        });
        Ok(MailServer { running: Running { address, task }, authority, state, arrived })
    }

    /// `smtp://localhost:PORT`
    pub fn url(&self) -> String {
        format!("smtp://localhost:{}", self.running.address.port())
    }

    /// Root that clients must trust, PEM.
    pub fn root_pem(&self) -> String {
        self.authority.root_pem()
    }

    /// Mails since the last call.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.state.lock().expect("no panic holds this lock").mails)
    }

    /// Answers recipients in a certain way from now on.
    pub fn recipients(&self, answer: Recipients) {
        self.state.lock().expect("no panic holds this lock").recipients = answer;
    }

    /// Takes mail only from who signs in so, and only on an encrypted connection.
    pub fn require_login(&self, user: &str, password: &str) {
        self.state.lock().expect("no panic holds this lock").login = Some((user.to_owned(), password.to_owned()));
    }

    /// Every line that came over a connection before it was encrypted.
    pub fn heard_in_the_open(&self) -> Vec<String> {
        self.state.lock().expect("no panic holds this lock").heard.clone()
    }

    /// Waits for the next mail.
    pub async fn arrival(&self) {
        self.arrived.notified().await;
    }
}

async fn converse(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    state: &Mutex<State>,
    arrived: &Notify,
) -> std::io::Result<()> {
    let mut plain = BufReader::new(stream);
    say(&mut plain, "220 localhost ESMTP").await?;
    if talk(&mut plain, false, state, arrived).await? {
        let encrypted = acceptor.accept(plain.into_inner()).await?;
        talk(&mut BufReader::new(encrypted), true, state, arrived).await?;
    }
    Ok(())
}

/// One conversation; true if the client asked for TLS.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    encrypted: bool,
    state: &Mutex<State>,
    arrived: &Notify,
) -> std::io::Result<bool> {
    let (mut from, mut to) = (String::new(), Vec::new());
    let login = state.lock().expect("no panic holds this lock").login.clone();
    let mut welcome = login.is_none();
    loop {
        let Some(line) = read_line(stream).await? else { return Ok(false) };
        if !encrypted {
            state.lock().expect("no panic holds this lock").heard.push(line.clone());
        }
        let upper = line.to_ascii_uppercase();
        let verb = upper.split([' ', ':']).next().unwrap_or_default();
        match verb {
            "EHLO" if encrypted && login.is_some() => {
                say(stream, "250-localhost\r\n250-8BITMIME\r\n250-AUTH PLAIN\r\n250 SMTPUTF8").await?;
            }
            "EHLO" if encrypted => say(stream, "250-localhost\r\n250-8BITMIME\r\n250 SMTPUTF8").await?,
            "EHLO" => say(stream, "250-localhost\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 STARTTLS").await?,
            "HELO" => say(stream, "250 localhost").await?,
            "STARTTLS" if !encrypted => {
                say(stream, "220 go ahead").await?;
                return Ok(true);
            }
            "AUTH" if encrypted => {
                welcome = login.as_ref().is_some_and(|login| plain(&line).as_ref() == Some(login));
                say(stream, if welcome { "235 welcome" } else { "535 5.7.8 not with these credentials" }).await?;
            }
            "MAIL" if !welcome => say(stream, "530 5.7.0 sign in first").await?,
            "MAIL" => {
                (from, to) = (address(&line), Vec::new());
                say(stream, "250 ok").await?;
            }
            "RCPT" => {
                let recipients = state.lock().expect("no panic holds this lock").recipients;
                match recipients {
                    Recipients::Later => say(stream, "450 try again later").await?,
                    Recipients::Unknown => say(stream, "550 5.1.1 no such mailbox").await?,
                    Recipients::Taken => {
                        to.push(address(&line));
                        say(stream, "250 ok").await?;
                    }
                }
            }
            "DATA" if to.is_empty() => say(stream, "503 no recipient").await?,
            "DATA" => {
                say(stream, "354 go on").await?;
                let mut text = String::new();
                loop {
                    let Some(line) = read_line(stream).await? else { return Ok(false) };
                    if line == "." {
                        break;
                    }
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push_str("\r\n");
                }
                let mail = Received { from: from.clone(), to: std::mem::take(&mut to), text, encrypted };
                state.lock().expect("no panic holds this lock").mails.push(mail);
                arrived.notify_waiters();
                say(stream, "250 taken").await?;
            }
            "RSET" | "NOOP" => say(stream, "250 ok").await?,
            "QUIT" => {
                say(stream, "221 bye").await?;
                return Ok(false);
            }
            _ => say(stream, "502 not known here").await?,
        }
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, text: &str) -> std::io::Result<()> {
    stream.write_all(format!("{text}\r\n").as_bytes()).await?;
    stream.flush().await
}

async fn read_line<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if stream.read_until(b'\n', &mut bytes).await? == 0 {
        return Ok(None);
    }
    while bytes.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
        bytes.pop();
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// User and password of `AUTH PLAIN` (RFC 4616).
fn plain(line: &str) -> Option<(String, String)> {
    use base64::Engine as _;
    let (_, encoded) = line.rsplit_once(' ')?;
    let text = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?).ok()?;
    let mut parts = text.split('\0').skip(1).map(str::to_owned);
    Some((parts.next()?, parts.next()?))
}

fn address(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inner, _)| inner);
    inner.unwrap_or_default().to_owned()
}
