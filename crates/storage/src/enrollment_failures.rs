//! Refused and failed enrollments: Graph's troubleshooting events, with the words the person read.

use uuid::Uuid;

use crate::{Result, Row, Tx, TxExt, args};

/// One refused or failed enrollment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollmentFailure {
    /// Its id.
    pub id: Uuid,
    /// Who tried, where known.
    pub person_id: Option<Uuid>,
    /// Graph's `deviceEnrollmentFailureReason`.
    pub category: String,
    /// Readable for the person.
    pub reason: String,
    /// Platform, where known.
    pub platform: Option<String>,
    /// OS version, where known.
    pub os_version: Option<String>,
    /// Id of the request.
    pub correlation_id: Option<Uuid>,
    /// Unix ms.
    pub at: i64,
}

const COLUMNS: &str = "id, person_id, category, reason, platform, os_version, correlation_id, at";

fn failure(row: &dyn Row) -> Result<EnrollmentFailure> {
    Ok(EnrollmentFailure {
        id: row.id(0)?,
        person_id: row.opt_id(1)?,
        category: row.text(2)?,
        reason: row.text(3)?,
        platform: row.opt_text(4)?,
        os_version: row.opt_text(5)?,
        correlation_id: row.opt_id(6)?,
        at: row.int(7)?,
    })
}

/// Records a failure.
pub fn insert(tx: &mut dyn Tx, tenant: Uuid, failure: &EnrollmentFailure) -> Result<()> {
    tx.execute(
        "insert into enrollment_failure (tenant_id, id, person_id, category, reason, platform, os_version,
                correlation_id, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        args![
            tenant,
            failure.id,
            failure.person_id,
            &failure.category,
            &failure.reason,
            failure.platform.clone(),
            failure.os_version.clone(),
            failure.correlation_id,
            failure.at,
        ],
    )?;
    Ok(())
}

/// The newest failures before a position, newest first.
pub fn page(tx: &mut dyn Tx, tenant: Uuid, before: Option<Uuid>, limit: i64) -> Result<Vec<EnrollmentFailure>> {
    tx.all(
        &format!(
            "select {COLUMNS} from enrollment_failure
              where tenant_id = $1 and id < $2 order by id desc limit $3"
        ),
        args![tenant, before.unwrap_or(Uuid::max()), limit],
        failure,
    )
}

/// Removes failures older than `before`.
pub fn prune(tx: &mut dyn Tx, tenant: Uuid, before: i64) -> Result<u64> {
    tx.execute("delete from enrollment_failure where tenant_id = $1 and at < $2", args![tenant, before])
}
