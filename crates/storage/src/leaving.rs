//! What leaves the database with a device: inventory, secrets, states and queues. The record itself and
//! its certificates stay, so that a later contact is recognised and refused.

use uuid::Uuid;

use crate::{Result, Tx, args};

/// Deletes everything that was collected about a device or kept for it.
pub fn forget(tx: &mut dyn Tx, tenant: Uuid, device: Uuid) -> Result<()> {
    for of_device in [
        "delete from fact where tenant_id = $1 and device_id = $2",
        "delete from detected_app where tenant_id = $1 and device_id = $2",
        "delete from setting_state where tenant_id = $1 and device_id = $2",
        "delete from secret where tenant_id = $1 and owner_kind = 'device' and owner_id = $2",
        "delete from secret where tenant_id = $1 and owner_kind = 'enrollment'
            and owner_id in (select id from enrollment where tenant_id = $1 and device_id = $2)",
        "delete from inventory_query where tenant_id = $1
            and enrollment_id in (select id from enrollment where tenant_id = $1 and device_id = $2)",
        "delete from item where tenant_id = $1
            and enrollment_id in (select id from enrollment where tenant_id = $1 and device_id = $2)",
        "delete from device_state where tenant_id = $1
            and enrollment_id in (select id from enrollment where tenant_id = $1 and device_id = $2)",
    ] {
        tx.execute(of_device, args![tenant, device])?;
    }
    tx.execute(
        "update device
            set serial_number = null, udid = null, imei = null, free_bytes = null, total_bytes = null,
                is_encrypted = null, notes = null, document = '{}'
          where tenant_id = $1 and id = $2",
        args![tenant, device],
    )?;
    Ok(())
}

/// The verdict of a leaving device falls.
pub fn fell(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, now: i64) -> Result<u64> {
    tx.execute(
        "update device set compliance_state = 'noncompliant', version = version + 1, modified_at = $3
          where tenant_id = $1 and id = $2",
        args![tenant, device, now],
    )
}

/// Sets Graph's management state alone.
pub fn set_management_state(tx: &mut dyn Tx, tenant: Uuid, device: Uuid, word: &str, now: i64) -> Result<u64> {
    tx.execute(
        "update device set management_state = $3, version = version + 1, modified_at = $4
          where tenant_id = $1 and id = $2",
        args![tenant, device, word, now],
    )
}
