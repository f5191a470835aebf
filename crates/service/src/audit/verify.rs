//! `muster audit verify`: recomputes the chain from the records and compares it with the checkpoints.

use muster_storage::audit;
use uuid::Uuid;

use crate::{Result, Service};

/// Links recomputed in one read.
const AT_ONCE: i64 = 1_000;
/// Findings named before the report only counts.
const NAMED: usize = 20;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The record was changed, or the chain at it.
    Changed {
        /// Position in the chain.
        n: i64,
        /// The audit row.
        audit: Uuid,
    },
    /// The record is gone.
    Missing {
        /// Position in the chain.
        n: i64,
        /// The audit row.
        audit: Uuid,
    },
    /// The personal fields were changed other than by erasing them.
    PersonalChanged {
        /// The audit row.
        audit: Uuid,
    },
    /// A position is left out.
    Gap {
        /// The position that should be there.
        n: i64,
    },
    /// The chain ends before a checkpoint, or has another hash there.
    Checkpoint {
        /// Position of the checkpoint.
        n: i64,
    },
    /// The chain does not reach a checkpoint that was kept elsewhere, or has another hash there.
    Kept {
        /// Position of the checkpoint.
        n: i64,
    },
    /// A checkpoint that this server did not sign.
    Signature {
        /// Position of the checkpoint.
        n: i64,
    },
    /// A record that is neither in the chain nor waiting for it.
    Stray {
        /// The audit row.
        audit: Uuid,
    },
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Finding::Changed { n, audit } => write!(f, "record {audit} at position {n} was changed"),
            Finding::Missing { n, audit } => write!(f, "record {audit} at position {n} is gone"),
            Finding::PersonalChanged { audit } => write!(f, "the personal fields of record {audit} were changed"),
            Finding::Gap { n } => write!(f, "position {n} of the chain is missing"),
            Finding::Checkpoint { n } => write!(f, "the chain does not reach its checkpoint at position {n}"),
            Finding::Kept { n } => write!(f, "the chain is not the one of the checkpoint kept at position {n}"),
            Finding::Signature { n } => write!(f, "the checkpoint at position {n} is not signed by this server"),
            Finding::Stray { audit } => write!(f, "record {audit} was never sealed"),
        }
    }
}

/// What verifying one tenant's log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Links checked.
    pub links: i64,
    /// Checkpoints checked.
    pub checkpoints: i64,
    /// Rows that wait to be sealed.
    pub unsealed: i64,
    /// The first findings.
    pub findings: Vec<Finding>,
    /// All findings.
    pub found: usize,
}

impl Report {
    /// True where nothing was touched.
    pub fn is_intact(&self) -> bool {
        self.found == 0
    }

    fn add(&mut self, finding: Finding) {
        self.found += 1;
        if self.findings.len() < NAMED {
            self.findings.push(finding);
        }
    }
}

/// A checkpoint as it is kept outside the database: `TENANT N HASH`, the hash in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose chain.
    pub tenant: Uuid,
    /// Position.
    pub n: i64,
    /// Hash there.
    pub hash: Vec<u8>,
}

impl std::fmt::Display for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.tenant, self.n, hex::encode(&self.hash))
    }
}

impl std::str::FromStr for Kept {
    type Err = &'static str;

    fn from_str(line: &str) -> std::result::Result<Self, Self::Err> {
        let mut words = line.split_whitespace();
        let mut next = || words.next().ok_or("a line is TENANT N HASH");
        let (tenant, n, hash) = (next()?, next()?, next()?);
        Ok(Kept {
            tenant: tenant.parse().map_err(|_| "the first word is no tenant's id")?,
            n: n.parse().map_err(|_| "the second word is no position")?,
            hash: hex::decode(hash).map_err(|_| "the third word is no hash")?,
        })
    }
}

impl Service {
    /// The checkpoints of a tenant's chain, to be kept where nobody who can write the database can.
    pub async fn audit_checkpoints(&self, tenant: Uuid) -> Result<Vec<Kept>> {
        let all = self.store.read(tenant, move |tx| audit::checkpoints(tx, tenant, 0, i64::MAX)).await?;
        Ok(all.into_iter().map(|checkpoint| Kept { tenant, n: checkpoint.n, hash: checkpoint.hash }).collect())
    }

    /// Recomputes a tenant's chain and compares it with its checkpoints.
    pub async fn verify_audit(&self, tenant: Uuid) -> Result<Report> {
        self.verify_audit_against(tenant, Vec::new()).await
    }

    /// The same, and with checkpoints that were kept elsewhere: a chain that somebody with the key file
    /// wrote anew has none of their hashes. Those of other tenants are left out.
    pub async fn verify_audit_against(&self, tenant: Uuid, mut kept: Vec<Kept>) -> Result<Report> {
        kept.retain(|kept| kept.tenant == tenant);
        kept.sort_by_key(|kept| std::cmp::Reverse(kept.n)); // the next one is last
        let mut report = Report::default();
        let mut checkpoints = self.store.read(tenant, move |tx| audit::checkpoints(tx, tenant, 0, i64::MAX)).await?;
        for checkpoint in &checkpoints {
            report.checkpoints += 1;
            if !self.checkpoint_is_signed(tenant, checkpoint).await? {
                report.add(Finding::Signature { n: checkpoint.n });
            }
        }
        checkpoints.reverse(); // the next one is last
        let (mut n, mut hash) = (0, Vec::new());
        loop {
            let (after, previous) = (n, hash.clone());
            let links = self.store.read(tenant, move |tx| audit::links(tx, tenant, after, &previous, AT_ONCE)).await?;
            let last = (links.len() as i64) < AT_ONCE;
            for link in links {
                report.links += 1;
                while n + 1 < link.n {
                    n += 1;
                    report.add(Finding::Gap { n });
                }
                n = link.n;
                let audit = link.audit;
                if link.expected.is_none() {
                    report.add(Finding::Missing { n, audit });
                } else if link.expected.as_deref() != Some(&link.hash) {
                    report.add(Finding::Changed { n, audit });
                } else if !link.personal_intact {
                    report.add(Finding::PersonalChanged { audit });
                }
                hash = link.hash;
                while let Some(kept) = kept.pop_if(|kept| kept.n <= n) {
                    if kept.n < n || kept.hash != hash {
                        report.add(Finding::Kept { n: kept.n });
                    }
                }
                while let Some(checkpoint) = checkpoints.pop_if(|checkpoint| checkpoint.n <= n) {
                    if checkpoint.n < n || checkpoint.hash != hash {
                        report.add(Finding::Checkpoint { n: checkpoint.n });
                    }
                }
            }
            if last {
                break;
            }
        }
        for checkpoint in checkpoints {
            report.add(Finding::Checkpoint { n: checkpoint.n });
        }
        for kept in kept {
            report.add(Finding::Kept { n: kept.n });
        }
        for audit in self.store.read(tenant, move |tx| audit::strays(tx, tenant, AT_ONCE)).await? {
            report.add(Finding::Stray { audit });
        }
        report.unsealed = self.store.read(tenant, move |tx| audit::unsealed(tx, tenant, i64::MAX)).await?;
        Ok(report)
    }
}
