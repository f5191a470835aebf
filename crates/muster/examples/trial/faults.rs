//! Kills under load, and the promises that must hold afterwards (nothing accepted is lost, nothing
//! applied twice, no answer attributed to another device, the audit chain whole).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use muster::demo::{api::Api, scenery};
use muster_storage::{Store, TxExt, args, tenants};
use muster_swarm::{
    fleet::{Fleet, Plan, Surroundings},
    model::LeftBecause,
    random::Seeded,
    shell::{Handset, Person, unruly::Mischief},
    standins::push::{PushService, Weather},
};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use uuid::Uuid;

use crate::{Options, report::Report, report::quantile, stage::Stage, stage::now};

/// An action that the API accepted.
#[derive(Clone, Debug)]
struct Accepted {
    device: Uuid,
    verb: &'static str,
    at: i64,
}

const VERBS: &[&str] = &["remoteLock", "rebootNow", "syncDevice"];

/// Runs the trial: so many kills, then so long in peace.
pub async fn run(options: &Options, kills: u32, database_kills: u32, peace: Duration) -> anyhow::Result<()> {
    let mut stage = Stage::start(options, (options.devices as usize / 3).clamp(4, 40)).await?;
    let clip = scenery::web_clip("example.trial.clip", "Trial");
    let payload = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, clip);
    let policy = json!({
        "@odata.type": "#microsoft.graph.iosCustomConfiguration", "displayName": "Trial",
        "payloadName": "Trial", "payloadFileName": "trial.mobileconfig", "payload": payload,
    });
    scenery::create_configuration(&stage.api, &policy, scenery::all_devices()).await?;
    let persons: Vec<(String, Person)> =
        stage.people.iter().map(|user| (user.name.clone(), Person::new(&user.principal, &user.password))).collect();
    let plans = Plan::draw(options.devices, &persons, options.seed);
    let (deaths, unruly) = watch::channel(0u32);
    let around = Surroundings { unruly: Some(unruly), ..stage.around.clone() };
    let fleet = Fleet::start(plans, around, 4);
    let enrolled = fleet.pulse.clone();
    let began = Instant::now();
    while enrolled.enrolled.load(Ordering::Relaxed) < options.devices / 2 {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(180), "half of the fleet is not enrolled in time");
        sleep(Duration::from_millis(200)).await;
    }
    println!("{} of {} devices enrolled; killing now", enrolled.enrolled.load(Ordering::Relaxed), options.devices);

    let (accepted, calling) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(true)));
    let asked = Arc::new(AtomicU64::new(0));
    let caller = tokio::spawn(call(stage.api.clone(), accepted.clone(), calling.clone(), asked.clone(), options.seed));
    let mut random = Seeded::new(options.seed);
    let mut report = Report::default();
    let (mut starts, mut cost, mut recoveries) = (Vec::new(), Vec::new(), Vec::new());
    let every = (kills / (database_kills + 1)).max(1);
    let mut database_left = if options.database.is_some() { database_kills } else { 0 };
    let mut outage = Outage::default();
    for kill in 1..=kills {
        outage.comes_and_goes(&stage.around.push, kill, kills);
        sleep(Duration::from_millis(200 + random.below(1_800))).await;
        stage.server.kill()?;
        deaths.send_modify(|deaths| *deaths += 1);
        starts.push(stage.server.start().await?.as_secs_f64());
        cost.push(stage.server.cpu().as_secs_f64());
        if database_left > 0 && kill % every == 0 {
            database_left -= 1;
            sleep(Duration::from_millis(200 + random.below(800))).await;
            recoveries.push(kill_database(&stage.api).await?);
        }
        if kill % 10 == 0 {
            println!("{kill} kills, {} actions accepted", accepted.lock().expect("no panic").len());
        }
    }
    // From here on no answer waits for the server to die.
    drop(deaths);
    outage.ends(&stage.around.push);
    sleep(peace).await;
    calling.store(false, Ordering::Relaxed);
    caller.await?;
    starts.sort_by(f64::total_cmp);
    cost.sort_by(f64::total_cmp);
    report.check(
        "the server answers again within 2 s",
        quantile(&starts, 1.0) < 2.0,
        format!(
            "{} kills, median {:.2} s, longest {:.2} s, at most {:.2} s of processor time",
            starts.len(),
            quantile(&starts, 0.5),
            quantile(&starts, 1.0),
            quantile(&cost, 1.0)
        ),
    );
    if !recoveries.is_empty() {
        recoveries.sort_by(f64::total_cmp);
        let longest = quantile(&recoveries, 1.0);
        report.check(
            "the server works again within 5 s of the database",
            longest < 5.0,
            format!("{} kills of the database, longest {longest:.2} s", recoveries.len()),
        );
    }
    let taken = accepted.lock().expect("no panic").clone();
    quiesce(&stage, &taken).await?;
    let handsets = fleet.end().await;
    stage.server.stop().await?;
    let mut on_the_way = Mischief::default();
    handsets.iter().filter_map(|handset| handset.unruly.as_ref()).for_each(|way| on_the_way += way.mischief);
    report.check(
        "messages twice, late, again and cut short change nothing",
        on_the_way.truncated_taken == 0 && on_the_way.duplicated > 0 && on_the_way.replayed > 0,
        format!(
            "{} twice, {} overtaken, {} again later, {} cut short of which {} taken, {} answers after a death",
            on_the_way.duplicated,
            on_the_way.reordered,
            on_the_way.replayed,
            on_the_way.truncated,
            on_the_way.truncated_taken,
            on_the_way.orphaned
        ),
    );
    outage.check(&mut report);

    let verified = stage.server.command(&["audit", "verify"]);
    let detail = verified.as_ref().map_or_else(ToString::to_string, |text| text.trim().to_owned());
    report.check("the audit chain is whole", verified.is_ok(), detail);
    let log = stage.server.log();
    report.check("the server never panicked", !log.contains("panicked"), format!("{} bytes of log", log.len()));
    report.check("no password is in the log", !log.contains("correct horse"), "looked for the people's password");
    let accepted = accepted.lock().expect("no panic").clone();
    check_database(options, &stage, &accepted, &handsets, &mut report).await?;
    println!("{} actions asked for, {} accepted", asked.load(Ordering::Relaxed), accepted.len());
    report.finish()
}

/// The push service refuses in the second third of the kills, and is silent in the half of that time.
#[derive(Default)]
struct Outage {
    began: Option<Instant>,
    lasted: Duration,
    starts: u32,
    refused: usize,
}

impl Outage {
    fn comes_and_goes(&mut self, push: &PushService, kill: u32, kills: u32) {
        let part = kill * 6 / kills.max(1);
        if part < 2 {
            return;
        }
        self.began.get_or_insert_with(Instant::now);
        match part {
            2 => push.weather(Weather::Refusing),
            3 => push.weather(Weather::Silent),
            _ => self.ends(push),
        }
        self.starts += u32::from(part < 4);
    }

    fn ends(&mut self, push: &PushService) {
        push.weather(Weather::Fine);
        if self.lasted.is_zero()
            && let Some(began) = self.began
        {
            self.lasted = began.elapsed();
            self.refused = push.take_pushed().iter().filter(|push| push.status == 503).count();
        }
    }

    fn check(&self, report: &mut Report) {
        // Each start of the server finds out anew, with at most as many pushes as it has under way at once.
        let bound = 16 * (self.starts as usize + self.lasted.as_secs() as usize / 10 + 1);
        report.check(
            "an outage of the push service is not hammered, and ends with everything delivered",
            self.refused <= bound,
            format!("{:.0} s, {} pushes refused", self.lasted.as_secs_f64(), self.refused),
        );
    }
}

/// Asks for actions on random devices, as fast as the server answers.
async fn call(
    api: Api,
    accepted: Arc<Mutex<Vec<Accepted>>>,
    calling: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    seed: u64,
) {
    let mut random = Seeded::new(seed + 1);
    let mut devices: Vec<(Uuid, bool)> = Vec::new();
    while calling.load(Ordering::Relaxed) {
        if devices.is_empty() || random.chance(5) {
            match api.get("/v1.0/deviceManagement/managedDevices?$select=id,operatingSystem&$top=500").await {
                Ok(list) => {
                    let ids = list["value"].as_array().into_iter().flatten();
                    let mac = |device: &serde_json::Value| device["operatingSystem"] == "macOS";
                    devices = ids.filter_map(|one| Some((one["id"].as_str()?.parse().ok()?, mac(one)))).collect();
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
            continue;
        }
        let ((device, mac), verb) = (*random.pick(&devices), *random.pick(VERBS));
        if mac && verb == "remoteLock" {
            continue; // It would be out of reach until somebody types the PIN.
        }
        asked.fetch_add(1, Ordering::Relaxed);
        let at = now();
        let path = format!("/v1.0/deviceManagement/managedDevices/{device}/{verb}");
        match api.call("POST", &path, Some(&json!({}))).await {
            Ok(reply) if (200..300).contains(&reply.status) => {
                accepted.lock().expect("no panic").push(Accepted { device, verb, at });
            }
            _ => sleep(Duration::from_millis(30)).await,
        }
        sleep(Duration::from_millis(random.below(40))).await;
    }
}

/// Has the parent kill and restart the database; answers how long the server needed after that.
async fn kill_database(api: &Api) -> anyhow::Result<f64> {
    tokio::task::spawn_blocking(|| crate::ask_parent("database: kill", "up")).await??;
    let began = Instant::now();
    while api.get("/v1.0/deviceManagement/managedDevices?$top=1").await.is_err() {
        anyhow::ensure!(began.elapsed() < Duration::from_secs(30), "the server does not find its database again");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(began.elapsed().as_secs_f64())
}

/// Waits until no accepted action waits any more.
async fn quiesce(stage: &Stage, accepted: &[Accepted]) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut waiting: BTreeSet<Uuid> = accepted.iter().map(|action| action.device).collect();
    while !waiting.is_empty() && began.elapsed() < Duration::from_secs(180) {
        let mut still = BTreeSet::new();
        for device in &waiting {
            let path = format!("/beta/deviceManagement/managedDevices/{device}");
            let found = stage.api.get(&path).await?;
            let results = found["deviceActionResults"].as_array().cloned().unwrap_or_default();
            if results.iter().any(|result| matches!(result["actionState"].as_str(), Some("pending" | "active"))) {
                still.insert(*device);
                // A push that got lost with the power: the person looks at the device.
                let _ = stage
                    .api
                    .call(
                        "POST",
                        &format!("/v1.0/deviceManagement/managedDevices/{device}/syncDevice"),
                        Some(&json!({})),
                    )
                    .await;
            }
        }
        waiting = still;
        sleep(Duration::from_secs(2)).await;
    }
    println!("quiet after {:.0} s, {} devices still busy", began.elapsed().as_secs_f64(), waiting.len());
    Ok(())
}

struct Rows {
    actions: Vec<(Uuid, String, String, i64)>,
    history: BTreeMap<String, (Uuid, String)>,
    protocol: BTreeMap<String, Uuid>,
    audited: i64,
}

async fn rows(options: &Options, stage: &Stage) -> anyhow::Result<Rows> {
    let file = stage.folder.path().join("muster.db");
    let url = options.database.clone();
    let store = tokio::task::spawn_blocking(move || match url {
        Some(url) => Store::open_postgres(&url, None),
        None => Store::open_sqlite(&file),
    })
    .await??;
    let tenant = store.read(muster_storage::Scope::Server, tenants::all).await?[0].id;
    let rows = store
        .read(tenant, move |tx| {
            let actions = tx.all(
                "select device_id, name, state, requested_at from action where tenant_id = $1",
                args![tenant],
                |row| Ok((row.id(0)?, row.text(1)?, row.text(2)?, row.int(3)?)),
            )?;
            let history = tx.all(
                "select id, device_id, status from command_history where tenant_id = $1",
                args![tenant],
                |row| Ok((row.id(0)?.to_string().to_uppercase(), (row.id(1)?, row.text(2)?))),
            )?;
            let protocol =
                tx.all("select protocol_id, device_id from enrollment where tenant_id = $1", args![tenant], |row| {
                    Ok((row.text(0)?, row.id(1)?))
                })?;
            let audited = tx.one(
                "select count(*) from audit where tenant_id = $1 and operation = 'Action'",
                args![tenant],
                |row| row.int(0),
            )?;
            Ok::<_, muster_storage::Error>(Rows {
                actions,
                history: history.into_iter().collect(),
                protocol: protocol.into_iter().collect(),
                audited: audited.unwrap_or(0),
            })
        })
        .await?;
    Ok(rows)
}

async fn check_database(
    options: &Options,
    stage: &Stage,
    accepted: &[Accepted],
    handsets: &[Handset],
    report: &mut Report,
) -> anyhow::Result<()> {
    let rows = rows(options, stage).await?;
    // The same verb asked again while it waits is answered with the waiting one: an accepted call
    // has a row that began before its answer.
    let lost: Vec<&Accepted> = accepted
        .iter()
        .filter(|call| {
            !rows
                .actions
                .iter()
                .any(|(device, name, ..)| *device == call.device && name.eq_ignore_ascii_case(call.verb))
        })
        .collect();
    report.check(
        "every accepted action has a row",
        lost.is_empty(),
        format!("{} accepted, {} lost", accepted.len(), lost.len()),
    );
    // A device whose enrollment the server took, but could not answer for, enrolls again; under User
    // Enrollment that is another record, and what the first one was asked stays open until it expires.
    // One that gave up enrolling never comes for anything.
    let there: BTreeSet<Uuid> = handsets
        .iter()
        .filter(|handset| handset.device.is_enrolled())
        .filter_map(|handset| handset.device.protocol_id().and_then(|id| rows.protocol.get(id)).copied())
        .collect();
    let open =
        rows.actions.iter().filter(|(_, _, state, _)| ["queued", "sent", "held", "active"].contains(&state.as_str()));
    let (open, orphaned): (Vec<_>, Vec<_>) = open.partition(|(device, ..)| there.contains(device));
    report.check(
        "every action came to an end",
        open.is_empty(),
        format!(
            "{} actions, {} open, {} of records that no device stands behind{}",
            rows.actions.len(),
            open.len(),
            orphaned.len(),
            open.iter().map(|(device, name, state, _)| format!("; {name} on {device} is {state}")).collect::<String>()
        ),
    );
    let first = accepted.iter().map(|call| call.at).min().unwrap_or(0);
    let real = rows.actions.iter().filter(|(.., requested)| *requested >= first).count() as i64;
    report.check(
        "every action is audited",
        rows.audited >= real,
        format!("{real} actions, {} audit rows", rows.audited),
    );

    let left: Vec<&LeftBecause> = handsets
        .iter()
        .filter_map(|handset| handset.device.left.as_ref())
        .filter(|why| !matches!(why, LeftBecause::EnrollmentFailed(_)))
        .collect();
    report.check("no device was made to leave", left.is_empty(), format!("{} left {left:?}", left.len()));
    let repeated: u32 = handsets.iter().map(|handset| handset.device.repeated).sum();
    report.check("no command was done twice", repeated == 0, format!("{} devices", handsets.len()));
    let (mut done, mut unknown, mut foreign) = (0, 0, 0);
    for handset in handsets {
        let device = &handset.device;
        let id = device.protocol_id().and_then(|id| rows.protocol.get(id));
        for command in device.executed.iter().filter(|command| command.status == "Acknowledged") {
            done += 1;
            match rows.history.get(&command.uuid.to_uppercase()) {
                Some((of, status)) => {
                    foreign += usize::from(id.is_some_and(|id| id != of) || status != "acknowledged");
                }
                None => unknown += 1,
            }
        }
    }
    report.check(
        "every answer of a device is in history",
        unknown == 0,
        format!("{done} done by devices, {unknown} unknown"),
    );
    report.check("no answer is attributed to another device", foreign == 0, format!("{foreign} of {done}"));
    Ok(())
}
