//! Claims due jobs by lease and runs them; rings timers; does periodic work; drains on stop.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use muster_storage::jobs::{self, Job, NewJob};
use muster_storage::{Error as StoreError, Scope, leases, outbox, tenants, timers};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::table::{HANDLERS, Periodic, SCHEDULE};
use crate::{Result, Service};

/// Jobs that run at once in one process.
const AT_ONCE: usize = 16;
/// How long a claim holds; longer than any handler may take.
const LEASE: i64 = 90_000;
/// A handler that takes longer is cut off and tried again.
const HANDLER_LIMIT: Duration = Duration::from_secs(60);
/// Failed runs until a job is set aside.
const RUNS: i64 = 10;
/// Work enqueued by other nodes is found at the latest after this.
const POLL: Duration = Duration::from_secs(5);
/// How often periodic work is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Timers that become jobs in one transaction.
const TIMERS_AT_ONCE: i64 = 200;

/// Milliseconds until the next run after so many failed ones: 1 s doubling to half an hour.
fn back_off(attempts: i64) -> i64 {
    1_000 << (attempts.clamp(1, 12) - 1)
}

impl Service {
    /// Runs jobs, timers and periodic work until `stop`, then lets running handlers finish.
    pub async fn run_jobs(self, stop: CancellationToken) {
        let mut running: JoinSet<()> = JoinSet::new();
        let mut apart: JoinSet<&'static str> = JoinSet::new();
        let mut busy: HashSet<&'static str> = HashSet::new();
        let mut last_run: HashMap<&'static str, i64> = HashMap::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut poll_at = tokio::time::Instant::now();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(_) = running.join_next(), if !running.is_empty() => {}
                Some(ended) = apart.join_next(), if !apart.is_empty() => {
                    if let Ok(name) = ended {
                        busy.remove(name);
                    }
                    continue;
                }
                () = self.store.job_enqueued(), if running.len() < AT_ONCE => {}
                () = tokio::time::sleep_until(poll_at), if running.len() < AT_ONCE => {}
                _ = tick.tick() => {
                    self.tell_metrics();
                    let now = self.clock.now();
                    for periodic in SCHEDULE {
                        let due = last_run.get(periodic.name).is_none_or(|last| now - last >= periodic.every || now < *last);
                        if !due || busy.contains(periodic.name) {
                            continue;
                        }
                        last_run.insert(periodic.name, now);
                        if periodic.apart {
                            let service = self.clone();
                            busy.insert(periodic.name);
                            apart.spawn(async move {
                                service.come_round(periodic, now, true).await;
                                periodic.name
                            });
                        } else {
                            self.come_round(periodic, now, true).await;
                        }
                    }
                    continue;
                }
            }
            let now = self.clock.now();
            let claimed = self.claim(now, AT_ONCE - running.len()).await;
            let again = claimed.len() == AT_ONCE;
            poll_at = tokio::time::Instant::now()
                + if again { Duration::ZERO } else { POLL.min(self.until_next_job(now).await) };
            for (claim, job) in claimed {
                let service = self.clone();
                running.spawn(async move { service.run_job(claim, job).await });
            }
        }
        // What is apart works in small transactions and goes on where it was: it need not be waited for.
        apart.shutdown().await;
        while running.join_next().await.is_some() {}
        if let Err(error) = self.flush_seen().await {
            tracing::warn!(%error, "the last times devices were heard could not be written");
        }
    }

    /// Runs everything that is due at `now`, one after the other, until nothing is left: periodic
    /// work (whatever its period), timers, jobs and the jobs they enqueue. Answers how many jobs
    /// ran. Tests with a clock moved by hand call this instead of waiting.
    pub async fn run_due(&self, now: i64) -> Result<usize> {
        let mut ran = 0;
        for periodic in SCHEDULE {
            self.come_round(periodic, now, false).await;
        }
        // A job that enqueues itself without end is a bug that a test should see, not hang on.
        for _ in 0..1_000 {
            let mut claimed = self.claim(now, AT_ONCE).await;
            if claimed.is_empty() {
                // Jobs mark, and what is computed for a mark makes jobs.
                for tenant in self.every_tenant().await? {
                    self.compute_dirty(tenant).await?;
                }
                claimed = self.claim(now, AT_ONCE).await;
            }
            if claimed.is_empty() {
                break;
            }
            for (claim, job) in claimed {
                self.run_job(claim, job).await;
                ran += 1;
            }
        }
        for tenant in self.every_tenant().await? {
            self.seal_audit(tenant).await?;
        }
        Ok(ran)
    }

    /// The store's counters, for `/metrics`.
    fn tell_metrics(&self) {
        use std::sync::atomic::Ordering::Relaxed;
        let counters = self.store.counters();
        metrics::counter!("muster_store_statements_total").absolute(counters.statements.load(Relaxed));
        metrics::counter!("muster_store_closures_total").absolute(counters.closures.load(Relaxed));
        metrics::counter!("muster_store_commits_total").absolute(counters.commits.load(Relaxed));
        metrics::counter!("muster_store_retries_total").absolute(counters.retries.load(Relaxed));
    }

    async fn every_tenant(&self) -> Result<Vec<Uuid>> {
        self.store.read(Scope::Server, |tx| Ok(tenants::all(tx)?.into_iter().map(|tenant| tenant.id).collect())).await
    }

    async fn come_round(&self, periodic: &'static Periodic, now: i64, leased: bool) {
        if leased && periodic.exclusive {
            let (name, holder) = (format!("schedule:{}", periodic.name), self.random.id(now));
            // Nobody renews: the lease ends with the period, and one node takes the next.
            let taken =
                self.store.write(Scope::Server, move |tx| leases::take(tx, &name, holder, now, periodic.every)).await;
            match taken {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return tracing::warn!(periodic = periodic.name, %error, "periodic work could not start"),
            }
        }
        let tenants = match self.every_tenant().await {
            Ok(tenants) => tenants,
            Err(error) => return tracing::warn!(periodic = periodic.name, %error, "tenants could not be read"),
        };
        for tenant in tenants {
            let work = (periodic.run)(self.clone(), tenant, now);
            if let Err(error) = contained(work).await {
                tracing::error!(periodic = periodic.name, %tenant, %error, "periodic work failed; it comes round again");
            }
        }
    }

    async fn claim(&self, now: i64, limit: usize) -> Vec<(Uuid, Job)> {
        if limit == 0 {
            return Vec::new();
        }
        let claim = self.random.id(now);
        // Looking is cheaper than claiming: an idle server writes nothing.
        let due = self.store.read(Scope::Server, move |tx| jobs::any_due(tx, now)).await;
        let claimed = match due {
            Ok(false) => return Vec::new(),
            Ok(true) => {
                self.store.write(Scope::Server, move |tx| jobs::claim(tx, claim, now, LEASE, limit as i64)).await
            }
            Err(error) => Err(error),
        };
        match claimed {
            Ok(jobs) => jobs.into_iter().map(|job| (claim, job)).collect(),
            Err(error) => {
                tracing::warn!(%error, "jobs could not be claimed; trying again");
                Vec::new()
            }
        }
    }

    async fn until_next_job(&self, now: i64) -> Duration {
        match self.store.read(Scope::Server, jobs::next_due).await {
            // A due job that nobody could claim belongs to another node's transaction: look again soon.
            Ok(Some(due)) => Duration::from_millis(u64::try_from(due - now).unwrap_or(0).max(20)),
            _ => POLL,
        }
    }

    async fn run_job(&self, claim: Uuid, job: Job) {
        let outcome = match HANDLERS.iter().find(|(kind, _)| *kind == job.kind) {
            Some((_, handler)) => {
                match tokio::time::timeout(HANDLER_LIMIT, contained(handler(self.clone(), job.clone()))).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err("the handler took too long".to_owned()),
                }
            }
            None => Err("no handler takes this kind".to_owned()),
        };
        let now = self.clock.now();
        let ended = match outcome {
            Ok(()) => self.store.write(Scope::Server, move |tx| jobs::finish(tx, job.id, claim)).await,
            Err(error) if job.attempts >= RUNS => {
                tracing::error!(kind = job.kind, tenant = %job.tenant, job = %job.id, %error, "job set aside after {RUNS} failed runs");
                let event = self.random.id(now);
                self.store
                    .write(job.tenant, move |tx| {
                        let body = json!({"kind": job.kind, "error": error}).to_string();
                        outbox::emit(tx, job.tenant, event, "jobSetAside", "job", Some(job.id), &body, now)?;
                        jobs::set_aside(tx, job.id, claim, &error, now)
                    })
                    .await
            }
            Err(error) => {
                tracing::warn!(kind = job.kind, tenant = %job.tenant, job = %job.id, attempt = job.attempts, %error, "job failed; it runs again");
                let mut noise = [0u8; 2];
                self.random.fill(&mut noise);
                // Up to a quarter later, so that what failed together does not come back together.
                let pause = back_off(job.attempts);
                let again = now + pause + pause / 4 * i64::from(u16::from_be_bytes(noise)) / 65_536;
                self.store.write(Scope::Server, move |tx| jobs::retry(tx, job.id, claim, again, &error)).await
            }
        };
        match ended {
            Ok(true) => {}
            Ok(false) => tracing::warn!("a job's claim ran out before its end; it runs again"),
            Err(error) => tracing::warn!(%error, "a job's end could not be written; it runs again"),
        }
    }

    /// Turns due timers into jobs of their kind.
    pub(crate) async fn ring_timers(&self, tenant: Uuid, now: i64) -> Result<()> {
        loop {
            let due = self.store.read(tenant, move |tx| timers::due(tx, tenant, now, TIMERS_AT_ONCE)).await?;
            let rung = due.len() as i64;
            if rung == 0 {
                return Ok(());
            }
            let ids = self.ids(now);
            self.store
                .write(tenant, move |tx| {
                    let mut ids = ids.clone();
                    for timer in &due {
                        if timers::take(tx, tenant, timer)? {
                            let payload = json!({"subject": timer.subject, "payload": timer.payload}).to_string();
                            let key = timer.subject.to_string();
                            jobs::enqueue(
                                tx,
                                &NewJob {
                                    id: ids.next(),
                                    tenant,
                                    kind: &timer.kind,
                                    coalesce_key: Some(&key),
                                    payload: &payload,
                                    run_at: timer.due_at.min(now),
                                    now,
                                },
                            )?;
                        }
                    }
                    Ok::<(), StoreError>(())
                })
                .await?;
            if rung < TIMERS_AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// Runs work and turns a panic into an error, as text.
async fn contained(work: crate::ports::Boxed<'static, Result<()>>) -> std::result::Result<(), String> {
    match Contained(AssertUnwindSafe(work)).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(what) => Err(what),
    }
}

struct Contained(AssertUnwindSafe<crate::ports::Boxed<'static, Result<()>>>);

impl Future for Contained {
    type Output = std::result::Result<Result<()>, String>;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        let work = &mut self.0.0;
        match std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                std::task::Poll::Ready(Err(format!("panicked: {}", text.unwrap_or_default())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_an_hour() {
        assert_eq!([1, 2, 3, 12, 100].map(back_off), [1_000, 2_000, 4_000, 2_048_000, 2_048_000]);
    }

    #[test]
    fn kinds_are_named_once() {
        for (at, (kind, _)) in HANDLERS.iter().enumerate() {
            assert!(HANDLERS[..at].iter().all(|(other, _)| other != kind), "{kind} twice");
        }
        for (at, periodic) in SCHEDULE.iter().enumerate() {
            assert!(SCHEDULE[..at].iter().all(|other| other.name != periodic.name), "{} twice", periodic.name);
        }
    }
}
