//! SCEP by clients that we did not write: strongSwan's `pki`, certmonger, and plain HTTP with the
//! `openssl` command line. Each is skipped, visibly, where it is not installed.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use muster::{config::Config, doors::Doors, server::Running, wiring};
use muster_pki::{
    Certificate, CsrTemplate, Digest, KeyKind, KeyPair, Name, Secret,
    cms::Cipher,
    pem,
    public_key::Legacy,
    scep::{
        FailInfo, MessageType,
        client::{Reply, Request, self_signed, transaction_id},
    },
};
use muster_service::{Service, certificates::Decided, scep::NewChallenge};
use muster_storage::{
    devices::{self, Device},
    tenants::{self, Tenant},
};
use uuid::Uuid;

const STRONGSWAN: &str = "/usr/bin/pki";
/// Its way to HTTP, in a package of its own.
const STRONGSWAN_CURL: &str = "/usr/lib/ipsec/plugins/libstrongswan-curl.so";
const SCEP_SUBMIT: &str = "/usr/lib/certmonger/scep-submit";

/// False, with a line past the harness's capture, where a program is missing.
fn installed(test: &str, program: &str) -> bool {
    let there = Path::new(program).exists();
    if !there {
        let _ = writeln!(std::io::stderr(), "skipped: {test}: {program} is not installed");
    }
    there
}

/// A server with its plain listener, and a folder for the client.
struct Office {
    folder: tempfile::TempDir,
    service: Service,
    tenant: Uuid,
    url: String,
    _running: Running,
}

impl Office {
    async fn open() -> Self {
        Office::open_with(&[]).await
    }

    async fn open_with(more: &[(&'static str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let zero = "127.0.0.1:0".to_owned();
        let mut overrides = vec![
            ("data", folder.path().join("data").display().to_string()),
            ("listen_public", zero.clone()),
            ("listen_device", zero.clone()),
            ("listen_admin", zero.clone()),
            ("listen_http", zero),
        ];
        overrides.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        let config = Config::load(None, |_| None, &overrides).unwrap();
        let doors = Doors::bind(&config).await.unwrap();
        let service = wiring::open(&config, Some(doors.addresses.clone())).await.unwrap();
        let now = service.clock.now();
        let tenant = Tenant { id: service.random.id(now), name: "A".into(), created_at: now };
        let id = tenant.id;
        service.store.write(id, move |tx| tenants::insert(tx, &tenant)).await.unwrap();
        let running = Running::start(&config, service.clone(), doors, false).await.unwrap();
        let url = format!("http://{}/scep", running.plain.unwrap());
        let office = Office { folder, service, tenant: id, url, _running: running };
        let authorities = office.service.authorities().await.unwrap();
        office.write("ca.pem", authorities.device.certificate.to_pem());
        office.write("root.pem", authorities.root.certificate.to_pem());
        office
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    async fn challenge(&self, common_name: &str) -> Secret<String> {
        let device = self.service.random.id(self.service.clock.now());
        let (tenant, row) = (
            self.tenant,
            Device {
                id: device,
                directory_id: device,
                azure_ad_device_id: device,
                document: "{}".into(),
                ..Device::default()
            },
        );
        self.service.store.write(tenant, move |tx| devices::put(tx, tenant, &row)).await.unwrap();
        let wish = NewChallenge {
            tenant: self.tenant,
            purpose: "identity".into(),
            enrollment_session: None,
            device: Some(device),
            enrollment: None,
            document: None,
            command: None,
            decided: Decided::identity(common_name),
        };
        self.service.mint_scep_challenge(wish).await.unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program).args(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    fn must(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(program, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        output.stdout
    }

    /// Options of strongSwan's client with a challenge for a key in a file.
    fn strongswan<'a>(&'a self, key: &'a str, challenge: Option<&'a str>) -> Vec<&'a str> {
        let mut arguments = vec!["--scep", "--url", &self.url, "--in", key, "--dn", "CN=admin"];
        arguments.extend(["--cacert-enc", "ca.der", "--cacert-sig", "ca.der", "--cacert", "root.der"]);
        if let Some(challenge) = challenge {
            arguments.extend(["--password", challenge]);
        }
        arguments
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strongswan_enrolls_and_renews_and_a_spent_challenge_is_refused() {
    let test = "strongswan_enrolls_and_renews_and_a_spent_challenge_is_refused";
    if !(installed(test, STRONGSWAN) && installed(test, STRONGSWAN_CURL)) {
        return;
    }
    let office = Office::open().await;
    let authorities = office.service.authorities().await.unwrap();
    office.write("ca.der", authorities.device.certificate.der());
    office.write("root.der", authorities.root.certificate.der());

    office.must(STRONGSWAN, &["--scepca", "--url", &office.url, "--caout", "got.der"]);
    // It numbers authorities that are no roots.
    assert_eq!(office.read("got-1.der"), authorities.device.certificate.der());

    for name in ["phone.key", "next.key", "other.key"] {
        let key = office.must(STRONGSWAN, &["--gen", "--type", "rsa", "--size", "2048"]);
        office.write(name, key);
    }
    let challenge = office.challenge("phone-1").await;
    let der = office.must(STRONGSWAN, &office.strongswan("phone.key", Some(challenge.expose())));
    office.write("phone.der", &der);
    let certificate = Certificate::decode(&der).unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=phone-1", "our words, not the request's");
    certificate.verify_signature(authorities.device.key.public(), Legacy::default()).unwrap();

    let again = office.run(STRONGSWAN, &office.strongswan("other.key", Some(challenge.expose())));
    assert!(!again.status.success(), "a spent challenge is refused");

    let mut renewal = office.strongswan("next.key", None);
    renewal.extend(["--cert", "phone.der", "--key", "phone.key"]);
    let renewed = Certificate::decode(&office.must(STRONGSWAN, &renewal)).unwrap();
    assert_eq!(renewed.subject(), certificate.subject());
    assert_ne!(renewed.public_key(), certificate.public_key());
}

#[tokio::test(flavor = "multi_thread")]
async fn certmonger_submits_and_a_spent_challenge_is_refused() {
    if !installed("certmonger_submits_and_a_spent_challenge_is_refused", SCEP_SUBMIT) {
        return;
    }
    let office = Office::open().await;
    let authorities = office.service.authorities().await.unwrap();
    let capabilities = String::from_utf8(office.must(SCEP_SUBMIT, &["-u", &office.url, "-c"])).unwrap();
    let lines: Vec<&str> = capabilities.split_whitespace().collect();
    assert_eq!(lines, ["AES", "SHA-256", "SHA-384", "SHA-512", "POSTPKIOperation", "Renewal", "SCEPStandard"]);
    let listed = String::from_utf8(office.must(SCEP_SUBMIT, &["-u", &office.url, "-C"])).unwrap();
    assert!(Certificate::all_from_pem(&listed).unwrap().contains(&authorities.device.certificate));

    let fill = |bytes: &mut [u8]| office.service.random.fill(bytes);
    let submit = |key: &KeyPair, challenge: &Secret<String>| {
        let own = self_signed(&Name::common("phone"), key, office.service.clock.now(), &fill).unwrap();
        let challenge = Some(challenge.clone());
        let csr = CsrTemplate { challenge, ..CsrTemplate::new(Name::common("phone")) }.sign(key).unwrap();
        let transaction = transaction_id(key.public());
        let request = Request {
            message_type: MessageType::PkcsReq,
            transaction_id: &transaction,
            nonce: [1; 16],
            csr: &csr,
            key,
            certificate: &own,
            authority: &authorities.device.certificate,
            cipher: Cipher::Aes128,
            digest: Digest::Sha256,
        };
        office.write("request.pem", pem::encode("PKCS7", &request.encode(&fill).unwrap()));
        office.write("own.pem", own.to_pem());
        office.run(SCEP_SUBMIT, &["-u", &office.url, "-r", "ca.pem", "-N", "root.pem", "-p", "request.pem"])
    };
    let key = KeyPair::generate(KeyKind::Rsa2048).unwrap();
    office.write("own.key", key.to_pem().expose());
    let challenge = office.challenge("phone-2").await;
    let output = submit(&key, &challenge);
    assert!(output.status.success(), "{output:?}");
    office.write("envelope.pem", &output.stdout);
    if installed("the envelope that certmonger passed on", "/usr/bin/openssl") {
        let decrypt = "cms -decrypt -binary -inform PEM -in envelope.pem -inkey own.key -recip own.pem";
        let bag = office.must("openssl", &decrypt.split(' ').collect::<Vec<_>>());
        let issued = muster_pki::cms::decode_certificates(&bag, muster_pki::asn1::Limits::default()).unwrap();
        assert_eq!(issued[0].subject().to_string(), "CN=phone-2");
        assert_eq!(issued[0].public_key(), key.public());
    }
    let other = KeyPair::generate(KeyKind::Rsa2048).unwrap();
    let refused = submit(&other, &challenge);
    assert!(!refused.status.success(), "a spent challenge is refused");
}

/// The whole client, on a message bus of its own, with keys and state in the test's folder.
#[tokio::test(flavor = "multi_thread")]
async fn certmonger_enrolls_by_itself() {
    let test = "certmonger_enrolls_by_itself";
    if !(installed(test, "/usr/sbin/certmonger") && installed(test, "/usr/bin/dbus-run-session")) {
        return;
    }
    let office = Office::open().await;
    let authorities = office.service.authorities().await.unwrap();
    let challenge = office.challenge("phone-3").await;
    let folder = office.folder.path().display();
    let script = format!(
        "set -e
         getcert add-scep-ca -s -c Muster -u {url} -N {folder}/root.pem
         getcert request -s -c Muster -k {folder}/cm.key -f {folder}/cm.pem -N CN=admin -L {challenge} -w -v
         getcert list -s
        ",
        url = office.url,
        challenge = challenge.expose(),
    );
    office.write("enrol.sh", script);
    for name in ["state", "state/requests", "state/cas", "state/local", "state/tmp"] {
        std::fs::create_dir(office.path(name)).unwrap();
    }
    let command = format!("timeout 60 sh {folder}/enrol.sh");
    // Its state stays in the folder, whoever runs this; `-c` ends the daemon with the command.
    let output = Command::new("dbus-run-session")
        .args(["--", "certmonger", "-s", "-n", "-B", "-c", &command])
        .env("HOME", office.folder.path())
        .env("CERTMONGER_CONFIG_DIR", office.path("state"))
        .env("CERTMONGER_REQUESTS_DIR", office.path("state/requests"))
        .env("CERTMONGER_CAS_DIR", office.path("state/cas"))
        .env("CERTMONGER_LOCAL_CA_DIR", office.path("state/local"))
        .env("CERTMONGER_TMPDIR", office.path("state/tmp"))
        .env("CERTMONGER_SYSTEM_LOCK_FILE", office.path("state/lock"))
        .current_dir(office.folder.path())
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(office.path("cm.pem").exists(), "{said}");
    let issued = Certificate::from_der_or_pem(&office.read("cm.pem")).unwrap();
    assert_eq!(issued.subject().to_string(), "CN=phone-3");
    issued.verify_signature(authorities.device.key.public(), Legacy::default()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_serves_scep_and_lists_and_nothing_else() {
    let office = Office::open().await;
    let authorities = office.service.authorities().await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = |query: String| {
        let (client, url) = (client.clone(), format!("{}{query}", office.url));
        async move { client.get(url).send().await.unwrap() }
    };
    let answer = get("?operation=GetCACert".into()).await;
    assert_eq!(answer.headers()["content-type"], "application/x-x509-ca-cert");
    assert_eq!(answer.bytes().await.unwrap(), authorities.device.certificate.der());
    let answer = get("?operation=GetCACert&message=access".into()).await;
    assert_eq!(answer.bytes().await.unwrap(), authorities.access.certificate.der());
    let answer = get("?operation=GetCACaps".into()).await;
    assert_eq!(answer.headers()["content-type"], "text/plain");
    for query in ["", "?operation=GetNextCACert", "?operation=PKIOperation&message=AAAA", "?operation=PKIOperation"] {
        assert_eq!(get(query.to_owned()).await.status(), 400, "{query}");
    }

    let fill = |bytes: &mut [u8]| office.service.random.fill(bytes);
    let key = KeyPair::generate(KeyKind::Rsa2048).unwrap();
    let own = self_signed(&Name::common("phone"), &key, office.service.clock.now(), &fill).unwrap();
    let csr = CsrTemplate::new(Name::common("phone")).sign(&key).unwrap();
    let request = Request {
        message_type: MessageType::PkcsReq,
        transaction_id: "T",
        nonce: [1; 16],
        csr: &csr,
        key: &key,
        certificate: &own,
        authority: &authorities.device.certificate,
        cipher: Cipher::Aes256,
        digest: Digest::Sha512,
    };
    // By GET, with plus signs as they are, as some clients send them.
    let text = STANDARD.encode(request.encode(&fill).unwrap()).replace('/', "%2F").replace('=', "");
    let answer = get(format!("?operation=PKIOperation&message={text}")).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/x-pki-message");
    let reply = request.read(&answer.bytes().await.unwrap(), &fill).unwrap();
    assert_eq!(reply, Reply::Refused(FailInfo::BadRequest), "a refusal is a CertRep with status 200");
    let large = client.post(format!("{}?operation=PKIOperation", office.url)).body(vec![0; 65 * 1024]).send().await;
    assert_eq!(large.unwrap().status(), 413);

    let base = office.url.trim_end_matches("/scep");
    let list = client.get(format!("{base}/crl/device.crl")).send().await.unwrap();
    assert_eq!(list.headers()["content-type"], "application/pkix-crl");
    let list = list.bytes().await.unwrap();
    muster_pki::crl::Crl::decode(&list, authorities.device.key.public()).unwrap();
    for path in ["/crl/root.crl", "/enroll", "/healthz", "/v1.0/users", "/mdm/apple"] {
        assert_eq!(client.get(format!("{base}{path}")).send().await.unwrap().status(), 404, "{path}");
    }
}
