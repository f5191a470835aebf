//! Devices (Graph's managedDevice): reading and changing single rows. Lists with filters are in
//! `device_list.rs`; the channel's own state is in `enrollments.rs`.

use uuid::Uuid;

use crate::{Error, Result, Row, Tx, TxExt, args, rule_subjects};

/// One device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Device {
    /// The managedDevice's id.
    pub id: Uuid,
    /// Id of its object under `/devices`; what device groups hold.
    pub directory_id: Uuid,
    /// `azureADDeviceId`, the directory object's `deviceId`.
    pub azure_ad_device_id: Uuid,
    /// `mdm`, or the system it came from.
    pub source: String,
    /// Id in that system.
    pub external_id: Option<String>,
    /// Primary user.
    pub person_id: Option<Uuid>,
    /// Its name at the last change.
    pub user_principal_name: Option<String>,
    /// What the device calls itself.
    pub name: String,
    /// Name given by an administrator.
    pub managed_device_name: Option<String>,
    /// `iOS`, `iPadOS`, `macOS`.
    pub platform: String,
    /// Graph's `operatingSystem`.
    pub operating_system: String,
    /// Version text.
    pub os_version: Option<String>,
    /// Maker.
    pub manufacturer: Option<String>,
    /// Model for people to read.
    pub model: Option<String>,
    /// The maker's identifier, e.g. `iPhone15,2`.
    pub product_name: Option<String>,
    /// Serial number.
    pub serial_number: Option<String>,
    /// UDID.
    pub udid: Option<String>,
    /// IMEI.
    pub imei: Option<String>,
    /// `company`, `personal`, `unknown`.
    pub owner_type: String,
    /// What it was before the last change.
    pub owner_type_before: Option<String>,
    /// When it changed, unix ms.
    pub owner_type_changed_at: Option<i64>,
    /// By beta's word.
    pub enrollment_type: String,
    /// Profile it enrolled with.
    pub enrollment_profile_name: Option<String>,
    /// Graph's managementState.
    pub management_state: String,
    /// Graph's complianceState.
    pub compliance_state: String,
    /// Supervised by its own word.
    pub is_supervised: bool,
    /// Encrypted by its own word.
    pub is_encrypted: Option<bool>,
    /// Device category.
    pub category_id: Option<Uuid>,
    /// Its name.
    pub category_name: Option<String>,
    /// Administrator's notes.
    pub notes: Option<String>,
    /// `pending`, `enrolled`, `leaving`, `left`, `wiped`, `gone`, `duplicateClaim`.
    pub state: String,
    /// Bytes free.
    pub free_bytes: Option<i64>,
    /// Bytes in all.
    pub total_bytes: Option<i64>,
    /// Rarer managedDevice properties, a JSON object.
    pub document: String,
    /// JSON array of scope tag ids.
    pub scope_tags: String,
    /// Unix ms.
    pub enrolled_at: Option<i64>,
    /// Unix ms.
    pub last_sync_at: Option<i64>,
    /// Unix ms.
    pub left_at: Option<i64>,
    /// Unix ms.
    pub certificate_expires_at: Option<i64>,
    /// Counts changes.
    pub version: i64,
    /// Unix ms.
    pub created_at: i64,
    /// Unix ms.
    pub modified_at: i64,
}

impl Device {
    /// The rarer properties as a JSON object.
    pub fn properties(&self) -> Result<serde_json::Map<String, serde_json::Value>> {
        serde_json::from_str(&self.document).map_err(|error| Error::inconsistent("device.document", error.to_string()))
    }
}

macro_rules! columns {
    () => {
        "id, directory_id, azure_ad_device_id, source, external_id, person_id, \
         user_principal_name, name, managed_device_name, platform, operating_system, os_version, \
         manufacturer, model, product_name, serial_number, udid, imei, owner_type, \
         owner_type_before, owner_type_changed_at, enrollment_type, enrollment_profile_name, \
         management_state, compliance_state, is_supervised, is_encrypted, category_id, \
         category_name, notes, state, free_bytes, total_bytes, document, scope_tags, enrolled_at, \
         last_sync_at, left_at, certificate_expires_at, version, created_at, modified_at"
    };
}
pub(crate) use columns;

pub(crate) fn map(row: &dyn Row) -> Result<Device> {
    Ok(Device {
        id: row.id(0)?,
        directory_id: row.id(1)?,
        azure_ad_device_id: row.id(2)?,
        source: row.text(3)?,
        external_id: row.opt_text(4)?,
        person_id: row.opt_id(5)?,
        user_principal_name: row.opt_text(6)?,
        name: row.text(7)?,
        managed_device_name: row.opt_text(8)?,
        platform: row.text(9)?,
        operating_system: row.text(10)?,
        os_version: row.opt_text(11)?,
        manufacturer: row.opt_text(12)?,
        model: row.opt_text(13)?,
        product_name: row.opt_text(14)?,
        serial_number: row.opt_text(15)?,
        udid: row.opt_text(16)?,
        imei: row.opt_text(17)?,
        owner_type: row.text(18)?,
        owner_type_before: row.opt_text(19)?,
        owner_type_changed_at: row.opt_int(20)?,
        enrollment_type: row.text(21)?,
        enrollment_profile_name: row.opt_text(22)?,
        management_state: row.text(23)?,
        compliance_state: row.text(24)?,
        is_supervised: row.bool(25)?,
        is_encrypted: row.opt_bool(26)?,
        category_id: row.opt_id(27)?,
        category_name: row.opt_text(28)?,
        notes: row.opt_text(29)?,
        state: row.text(30)?,
        free_bytes: row.opt_int(31)?,
        total_bytes: row.opt_int(32)?,
        document: row.text(33)?,
        scope_tags: row.text(34)?,
        enrolled_at: row.opt_int(35)?,
        last_sync_at: row.opt_int(36)?,
        left_at: row.opt_int(37)?,
        certificate_expires_at: row.opt_int(38)?,
        version: row.int(39)?,
        created_at: row.int(40)?,
        modified_at: row.int(41)?,
    })
}

/// The device of that id.
pub fn by_id(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<Device>> {
    tx.one(concat!("select ", columns!(), " from device where tenant_id = $1 and id = $2"), args![tenant, id], map)
}

/// The device behind an object of `/devices`.
pub fn by_directory_id(tx: &mut dyn Tx, tenant: Uuid, directory: Uuid) -> Result<Option<Device>> {
    tx.one(
        concat!("select ", columns!(), " from device where tenant_id = $1 and directory_id = $2"),
        args![tenant, directory],
        map,
    )
}

/// Every record of that UDID, newest first: another person's enrollment makes a new one.
pub fn by_udid(tx: &mut dyn Tx, tenant: Uuid, udid: &str) -> Result<Vec<Device>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from device where tenant_id = $1 and udid = $2 order by created_at desc, id desc"
        ),
        args![tenant, udid],
        map,
    )
}

/// The devices whose primary user is that person.
pub fn of_person(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<Vec<Device>> {
    tx.all(
        concat!("select ", columns!(), " from device where tenant_id = $1 and person_id = $2 order by id"),
        args![tenant, person],
        map,
    )
}

/// What an administrator may change on the row itself; `None` leaves a column as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// `notes`
    pub notes: Option<Option<String>>,
    /// `managedDeviceName`
    pub managed_device_name: Option<Option<String>>,
    /// `managedDeviceOwnerType`
    pub owner_type: Option<String>,
    /// Category id and name; `Some(None)` takes it away.
    pub category: Option<Option<(Uuid, String)>>,
    /// Primary user's id and user principal name; `Some(None)` takes it away.
    pub person: Option<Option<(Uuid, String)>>,
}

/// Applies the changes; true if the device is there.
pub fn patch(tx: &mut dyn Tx, tenant: Uuid, id: Uuid, patch: &Patch, now: i64) -> Result<bool> {
    let found = tx.execute(
        "update device set version = version + 1, modified_at = $3 where tenant_id = $1 and id = $2",
        args![tenant, id, now],
    )?;
    if found == 0 {
        return Ok(false);
    }
    if let Some(notes) = &patch.notes {
        tx.execute("update device set notes = $3 where tenant_id = $1 and id = $2", args![tenant, id, notes.clone()])?;
    }
    if let Some(name) = &patch.managed_device_name {
        tx.execute(
            "update device set managed_device_name = $3 where tenant_id = $1 and id = $2",
            args![tenant, id, name.clone()],
        )?;
    }
    if let Some(owner_type) = &patch.owner_type {
        tx.execute(
            "update device
                set owner_type_before = owner_type, owner_type = $3, owner_type_changed_at = $4
              where tenant_id = $1 and id = $2 and owner_type <> $3",
            args![tenant, id, owner_type, now],
        )?;
    }
    if let Some(category) = &patch.category {
        tx.execute(
            "update device set category_id = $3, category_name = $4 where tenant_id = $1 and id = $2",
            args![tenant, id, category.as_ref().map(|(id, _)| *id), category.as_ref().map(|(_, name)| name.clone())],
        )?;
    }
    if let Some(person) = &patch.person {
        tx.execute(
            "update device set person_id = $3, user_principal_name = $4, person_since = $5
              where tenant_id = $1 and id = $2",
            args![tenant, id, person.as_ref().map(|(id, _)| *id), person.as_ref().map(|(_, name)| name.clone()), now],
        )?;
    }
    rule_subjects::mark(tx, tenant, rule_subjects::Kind::Device, id)?;
    Ok(true)
}

/// When the primary user was last changed, unix ms; none where it is who enrolled the device.
pub fn person_since(tx: &mut dyn Tx, tenant: Uuid, id: Uuid) -> Result<Option<i64>> {
    let since =
        tx.one("select person_since from device where tenant_id = $1 and id = $2", args![tenant, id], |row| {
            row.opt_int(0)
        })?;
    Ok(since.flatten())
}

/// Takes a category away from every device that has it; answers how many.
pub fn forget_category(tx: &mut dyn Tx, tenant: Uuid, category: Uuid, now: i64) -> Result<u64> {
    rule_subjects::mark_category(tx, tenant, category)?;
    tx.execute(
        "update device set category_id = null, category_name = null, version = version + 1,
                           modified_at = $3
          where tenant_id = $1 and category_id = $2",
        args![tenant, category, now],
    )
}

/// Writes a category's new name on every device that has it; answers how many.
pub fn rename_category(tx: &mut dyn Tx, tenant: Uuid, category: Uuid, name: &str, now: i64) -> Result<u64> {
    rule_subjects::mark_category(tx, tenant, category)?;
    tx.execute(
        "update device set category_name = $3, version = version + 1, modified_at = $4
          where tenant_id = $1 and category_id = $2",
        args![tenant, category, name, now],
    )
}

/// Ids of live devices in the order of ids, for jobs that walk the fleet in chunks.
pub fn ids_after(tx: &mut dyn Tx, tenant: Uuid, after: Option<Uuid>, limit: i64) -> Result<Vec<Uuid>> {
    tx.all(
        "select id from device
          where tenant_id = $1 and id > $2 and state in ('pending', 'enrolled', 'leaving')
          order by id limit $3",
        args![tenant, after.unwrap_or(Uuid::nil()), limit],
        |row| row.id(0),
    )
}

/// Records of that serial number that are managed or about to be.
pub fn live_by_serial(tx: &mut dyn Tx, tenant: Uuid, serial: &str) -> Result<Vec<Device>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from device where tenant_id = $1 and serial_number_key = $2 and state in ('pending', 'enrolled', 'leaving')"
        ),
        args![tenant, serial.to_ascii_lowercase()],
        map,
    )
}

/// Makes enrollments of one person come one after the other until the transaction ends.
pub fn lock_owner(tx: &mut dyn Tx, tenant: Uuid, person: Uuid) -> Result<()> {
    tx.execute("update person set licensed = licensed where tenant_id = $1 and id = $2", args![tenant, person])?;
    Ok(())
}

/// How many devices of a person count against their limit.
pub fn count_for_limit(tx: &mut dyn Tx, tenant: Uuid, person: Uuid, except: Option<Uuid>) -> Result<i64> {
    let count = tx.one(
        "select count(*) from device
          where tenant_id = $1 and person_id = $2 and state in ('pending', 'enrolled') and id <> $3",
        args![tenant, person, except.unwrap_or(Uuid::nil())],
        |row| row.int(0),
    )?;
    Ok(count.unwrap_or(0))
}

/// Writes a device as enrollment makes or resets it: every column.
pub fn put(tx: &mut dyn Tx, tenant: Uuid, d: &Device) -> Result<()> {
    tx.execute(
        "insert into device (tenant_id, id, directory_id, azure_ad_device_id, source, external_id, person_id, \
            user_principal_name, name, managed_device_name, platform, operating_system, os_version, manufacturer, \
            model, product_name, serial_number, udid, imei, owner_type, owner_type_before, owner_type_changed_at, \
            enrollment_type, enrollment_profile_name, management_state, compliance_state, is_supervised, \
            is_encrypted, category_id, category_name, notes, state, free_bytes, total_bytes, document, scope_tags, \
            enrolled_at, last_sync_at, left_at, certificate_expires_at, version, created_at, modified_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, \
            $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43) \
         on conflict (tenant_id, id) do update set \
            person_id = excluded.person_id, user_principal_name = excluded.user_principal_name, \
            name = excluded.name, managed_device_name = excluded.managed_device_name, platform = excluded.platform, \
            operating_system = excluded.operating_system, os_version = excluded.os_version, \
            manufacturer = excluded.manufacturer, model = excluded.model, product_name = excluded.product_name, \
            serial_number = excluded.serial_number, udid = excluded.udid, imei = excluded.imei, \
            owner_type = excluded.owner_type, owner_type_before = excluded.owner_type_before, \
            owner_type_changed_at = excluded.owner_type_changed_at, enrollment_type = excluded.enrollment_type, \
            enrollment_profile_name = excluded.enrollment_profile_name, \
            management_state = excluded.management_state, compliance_state = excluded.compliance_state, \
            is_supervised = excluded.is_supervised, is_encrypted = excluded.is_encrypted, \
            category_id = excluded.category_id, category_name = excluded.category_name, notes = excluded.notes, \
            state = excluded.state, free_bytes = excluded.free_bytes, total_bytes = excluded.total_bytes, \
            document = excluded.document, scope_tags = excluded.scope_tags, enrolled_at = excluded.enrolled_at, \
            last_sync_at = excluded.last_sync_at, left_at = excluded.left_at, \
            certificate_expires_at = excluded.certificate_expires_at, version = device.version + 1, \
            modified_at = excluded.modified_at",
        args![
            tenant,
            d.id,
            d.directory_id,
            d.azure_ad_device_id,
            &d.source,
            d.external_id.as_deref(),
            d.person_id,
            d.user_principal_name.as_deref(),
            &d.name,
            d.managed_device_name.as_deref(),
            &d.platform,
            &d.operating_system,
            d.os_version.as_deref(),
            d.manufacturer.as_deref(),
            d.model.as_deref(),
            d.product_name.as_deref(),
            d.serial_number.as_deref(),
            d.udid.as_deref(),
            d.imei.as_deref(),
            &d.owner_type,
            d.owner_type_before.as_deref(),
            d.owner_type_changed_at,
            &d.enrollment_type,
            d.enrollment_profile_name.as_deref(),
            &d.management_state,
            &d.compliance_state,
            d.is_supervised,
            d.is_encrypted,
            d.category_id,
            d.category_name.as_deref(),
            d.notes.as_deref(),
            &d.state,
            d.free_bytes,
            d.total_bytes,
            &d.document,
            &d.scope_tags,
            d.enrolled_at,
            d.last_sync_at,
            d.left_at,
            d.certificate_expires_at,
            d.version,
            d.created_at,
            d.modified_at
        ],
    )?;
    rule_subjects::mark(tx, tenant, rule_subjects::Kind::Device, d.id)
}

/// Changes the state of the record and Graph's management state.
pub fn set_state(
    tx: &mut dyn Tx,
    tenant: Uuid,
    id: Uuid,
    state: &str,
    management_state: &str,
    left_at: Option<i64>,
    now: i64,
) -> Result<bool> {
    let changed = tx.execute(
        "update device set state = $3, management_state = $4, left_at = coalesce($5, left_at), \
                           version = version + 1, modified_at = $6 \
          where tenant_id = $1 and id = $2",
        args![tenant, id, state, management_state, left_at, now],
    )?;
    rule_subjects::mark(tx, tenant, rule_subjects::Kind::Device, id)?;
    Ok(changed > 0)
}

/// A page of listed devices by directory id, after the given position, for jobs that walk the directory.
pub fn page_by_directory_id(tx: &mut dyn Tx, tenant: Uuid, after: Option<Uuid>, limit: i64) -> Result<Vec<Device>> {
    tx.all(
        concat!(
            "select ",
            columns!(),
            " from device
              where tenant_id = $1 and directory_id > $2 and state in ('enrolled', 'leaving')
              order by directory_id limit $3"
        ),
        args![tenant, after.unwrap_or(Uuid::nil()), limit],
        map,
    )
}
