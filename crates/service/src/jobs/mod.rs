//! The job runner, schedules, timers, outbox consumers.
