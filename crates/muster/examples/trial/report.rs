//! What a trial found, line by line.

/// Promises that were checked.
#[derive(Default)]
pub struct Report {
    broken: Vec<String>,
}

impl Report {
    /// One promise: printed, and remembered where it does not hold.
    pub fn check(&mut self, promise: &str, holds: bool, detail: impl std::fmt::Display) {
        println!("{} {promise}: {detail}", if holds { "holds " } else { "BROKEN" });
        if !holds {
            self.broken.push(promise.to_owned());
        }
    }

    /// An error where a promise did not hold.
    pub fn finish(self) -> anyhow::Result<()> {
        anyhow::ensure!(self.broken.is_empty(), "broken: {}", self.broken.join("; "));
        Ok(())
    }
}

/// A value below which `part` (0 to 1) of the sorted values lie.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// The word for a bar in a table.
pub fn met(holds: bool) -> &'static str {
    if holds { "met" } else { "**missed**" }
}
