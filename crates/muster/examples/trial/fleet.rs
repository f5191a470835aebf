//! Devices that enrolled by the real protocol, with messages signed before the clock starts.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use base64::Engine as _;
use muster_storage::{Store, TxExt, args};
use muster_swarm::{
    crypto,
    fleet::{self, Path, Plan},
    model::{Family, Next, Version},
    random::Seeded,
    shell::{Handset, Person, http::Client, url::Url},
};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

use crate::{Options, stage::Stage};

/// A message made and signed beforehand.
#[derive(Clone)]
pub struct Signed {
    url: Url,
    body: Vec<u8>,
    signature: String,
}

/// A device as a measurement needs it.
pub struct Subject {
    /// Its poll.
    pub idle: Signed,
    /// Its id on the wire.
    pub protocol_id: String,
    /// The simulated device.
    pub handset: Handset,
    /// Its record.
    pub device: Uuid,
    /// Its channel.
    pub enrollment: Uuid,
    /// Its identity.
    pub certificate: Uuid,
}

/// Enrolls `options.devices` devices; answers them, idle, and how many that made a second.
pub async fn enroll(
    options: &Options,
    stage: &Stage,
    store: &Store,
    tenant: Uuid,
    together: usize,
) -> anyhow::Result<(Vec<Subject>, f64)> {
    // Key generation is the device's work, not the server's. A key of its own each: SCEP refuses a key twice.
    let keys = (0..options.devices).map(|_| crypto::generate().map(Arc::new)).collect::<Result<Vec<_>, _>>();
    stage.around.network.share_keys(keys.map_err(anyhow::Error::msg)?);
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let mut handsets = Vec::new();
    for number in 0..options.devices {
        if tasks.len() >= together.min(16) {
            handsets.push(tasks.join_next().await.context("a device is enrolling")???);
        }
        let user = &stage.people[number as usize % stage.people.len()];
        let mut person = Person::new(&user.principal, &user.password);
        let plan = Plan {
            number,
            family: Family::IPhone,
            system: Version(26, 0, 0),
            supervised: false,
            path: Path::Profile,
            person: person.clone(),
            owner: user.name.clone(),
        };
        let around = stage.around.clone();
        tasks.spawn(async move {
            let mut random = Seeded::new(number + 1);
            let mut handset = fleet::make(&plan, &around, &mut random);
            let mut tries = 1;
            while let Err(error) = handset.enroll_by_profile(&around.start, &mut person).await {
                // So many sign-ins from one address are slowed down; a person would wait, too.
                anyhow::ensure!(tries < 10 && error.to_string().contains("(429)"), "{error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
                tries += 1;
            }
            anyhow::Ok(handset)
        });
    }
    while let Some(handset) = tasks.join_next().await {
        handsets.push(handset??);
    }
    let rate = options.devices as f64 / began.elapsed().as_secs_f64();
    let mut subjects = Vec::new();
    for mut handset in handsets {
        for _ in 0..3 {
            handset.session().await?;
        }
        let Next::Send(message) = handset.device.connect() else { anyhow::bail!("a device has nothing to send") };
        anyhow::ensure!(message.name == "Idle", "a device sends {} where it should be idle", message.name);
        let idle = sign(&handset, message.body)?;
        let protocol_id = handset.device.protocol_id().context("the device has an id")?.to_owned();
        let id = protocol_id.clone();
        let (enrollment, device, certificate) = store
            .read(tenant, move |tx| {
                tx.one(
                    "select e.id, e.device_id, c.id from enrollment e
                       join certificate c on c.tenant_id = $1 and c.device_id = e.device_id and c.state = 'active'
                      where e.tenant_id = $1 and e.protocol_id = $2",
                    args![tenant, &id],
                    |row| Ok((row.id(0)?, row.id(1)?, row.id(2)?)),
                )
            })
            .await?
            .context("the device is in the database")?;
        subjects.push(Subject { idle, protocol_id, handset, device, enrollment, certificate });
    }
    Ok((subjects, rate))
}

/// Signs a message as the device does.
pub fn sign(handset: &Handset, body: Vec<u8>) -> anyhow::Result<Signed> {
    let management = handset.device.management.as_ref().context("the device is managed")?;
    let signature = management.identity.sign_detached(&body)?;
    let signature = base64::engine::general_purpose::STANDARD.encode(signature);
    Ok(Signed { url: Url::parse(&management.server_url)?, body, signature })
}

/// Sends a signed message; answers the reply's body.
pub async fn send(client: &mut Client, message: &Signed) -> anyhow::Result<Vec<u8>> {
    let headers = [
        ("user-agent", "MDM/1.0"),
        ("content-type", "application/x-apple-aspen-mdm; charset=UTF-8"),
        ("mdm-signature", message.signature.as_str()),
    ];
    let answer = client.send("PUT", &message.url, &headers, message.body.clone(), None).await?;
    anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(answer.body)
}
