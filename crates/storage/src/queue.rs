//! The bounded queue between the async side and the threads that own a connection.
//!
//! What does not live here: running the work (see `sqlite.rs`, `postgres.rs`).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use crate::{Error, Failure, Scope, Tx};

/// What to do with the statements of a closure that has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// It succeeded: commit.
    Keep,
    /// It refused or failed: roll back, and answer with its error.
    Drop,
    /// The engine asked to run it again.
    Again,
}

/// A closure on its way to a thread, without its types.
pub(crate) trait Work: Send {
    fn scope(&self) -> Scope;
    /// True where the closure promises one single statement, its own snapshot.
    fn single(&self) -> bool;
    /// Runs the closure and keeps its outcome; a panic becomes an error.
    fn run(&mut self, tx: &mut dyn Tx) -> Ran;
    /// Replaces the outcome by an error of the store.
    fn fail(&mut self, error: Error);
    /// Hands the outcome to whoever waits.
    fn answer(self: Box<Self>);
}

/// A closure with its types and the channel for its outcome.
pub(crate) struct Job<T, E, F> {
    pub(crate) scope: Scope,
    pub(crate) single: bool,
    pub(crate) op: F,
    pub(crate) outcome: Option<Result<T, E>>,
    pub(crate) waiter: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Work for Job<T, E, F>
where
    T: Send + 'static,
    E: Failure,
    F: Fn(&mut dyn Tx) -> Result<T, E> + Send + 'static,
{
    fn scope(&self) -> Scope {
        self.scope
    }

    fn single(&self) -> bool {
        self.single
    }

    fn run(&mut self, tx: &mut dyn Tx) -> Ran {
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.op)(tx))).unwrap_or_else(|panic| {
            let what = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".to_owned());
            tracing::error!(%what, "a closure of the store panicked; its transaction is rolled back");
            Err(Error::Engine(format!("the closure panicked: {what}")).into())
        });
        let ran = match &outcome {
            Ok(_) => Ran::Keep,
            Err(error) if matches!(error.storage(), Some(Error::Retry(_))) => Ran::Again,
            Err(_) => Ran::Drop,
        };
        self.outcome = Some(outcome);
        ran
    }

    fn fail(&mut self, error: Error) {
        self.outcome = Some(Err(error.into()));
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // Whoever asked may be gone (a closed connection); the effect stands all the same.
            let _ = self.waiter.send(outcome);
        }
    }
}

struct State {
    waiting: VecDeque<Box<dyn Work>>,
    closed: bool,
}

/// First in, first out, bounded; many senders, many workers.
pub(crate) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    room: Semaphore,
    workers: usize,
}

impl Queue {
    pub(crate) fn new(capacity: usize, workers: usize) -> Self {
        Queue {
            state: Mutex::new(State { waiting: VecDeque::new(), closed: false }),
            ready: Condvar::new(),
            room: Semaphore::new(capacity),
            workers,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room and queues the work; false once the queue is closed.
    pub(crate) async fn push(&self, work: Box<dyn Work>) -> bool {
        let Ok(permit) = self.room.acquire().await else { return false };
        permit.forget(); // given back when a worker takes the work
        let mut state = self.state();
        if state.closed {
            return false;
        }
        state.waiting.push_back(work);
        drop(state);
        self.ready.notify_one();
        true
    }

    /// Blocks until there is work; none once the queue is closed and empty. Takes a fair share of
    /// what waits, at most `limit`, all of one scope when `one_scope`.
    pub(crate) fn take(&self, limit: usize, one_scope: bool) -> Option<Vec<Box<dyn Work>>> {
        let mut state = self.state();
        loop {
            if let Some(first) = state.waiting.pop_front() {
                let share = (state.waiting.len() + 1).div_ceil(self.workers).min(limit);
                let scope = first.scope();
                let mut taken = Vec::with_capacity(share);
                taken.push(first);
                while taken.len() < share {
                    match state.waiting.front() {
                        Some(next) if !one_scope || next.scope() == scope => {
                            taken.extend(state.waiting.pop_front());
                        }
                        _ => break,
                    }
                }
                drop(state);
                self.room.add_permits(taken.len());
                return Some(taken);
            }
            if state.closed {
                return None;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the workers finish what waits and end.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.room.close();
        self.ready.notify_all();
    }
}
