//! Subjects: what resolving needs to know of a channel, its device and its user, and the assignments it reads. Read only; the rows belong to the nouns `enrollments`, `devices`, `people`,
//! `groups`, `assignments` and `documents`.

use muster_domain::assignment::{Assignment, FilterMode, Intent, Target};
use uuid::Uuid;

use crate::{Error, Result, Tx, TxExt, args, dialect::many};

/// One channel with its device and user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The channel.
    pub enrollment_id: Uuid,
    /// `appleDevice` or `appleUser`.
    pub channel: String,
    /// State of the channel.
    pub state: String,
    /// The device.
    pub device_id: Uuid,
    /// Id that groups hold.
    pub directory_id: Uuid,
    /// Id that certificates may name.
    pub azure_ad_device_id: Uuid,
    /// iOS, iPadOS, macOS.
    pub platform: String,
    /// OS version as last reported.
    pub os_version: Option<String>,
    /// Supervised.
    pub is_supervised: bool,
    /// Enrollment type word.
    pub enrollment_type: String,
    /// company, personal, unknown.
    pub owner_type: String,
    /// Device name.
    pub device_name: String,
    /// Serial number.
    pub serial_number: Option<String>,
    /// UDID.
    pub udid: Option<String>,
    /// IMEI.
    pub imei: Option<String>,
    /// Primary user.
    pub person_id: Option<Uuid>,
    /// The user exists, is enabled and licensed.
    pub licensed_user: bool,
    /// The user's name.
    pub user_principal_name: Option<String>,
    /// The user's mail address.
    pub mail: Option<String>,
    /// The user's display name.
    pub display_name: Option<String>,
    /// State of the device record.
    pub device_state: String,
}

/// What decides which settings, facts and queries a channel takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits {
    /// A user's channel, not the device's own.
    pub user_channel: bool,
    /// iOS, iPadOS, macOS.
    pub platform: String,
    /// OS version as last reported.
    pub os_version: Option<String>,
    /// Supervised.
    pub is_supervised: bool,
    /// Enrollment type word.
    pub enrollment_type: String,
    /// company, personal, unknown.
    pub owner_type: String,
}

impl Subject {
    /// Its traits.
    pub fn traits(&self) -> Traits {
        Traits {
            user_channel: self.channel == "appleUser",
            platform: self.platform.clone(),
            os_version: self.os_version.clone(),
            is_supervised: self.is_supervised,
            enrollment_type: self.enrollment_type.clone(),
            owner_type: self.owner_type.clone(),
        }
    }
}

/// The subject behind a channel.
pub fn of_enrollment(tx: &mut dyn Tx, tenant: Uuid, enrollment: Uuid) -> Result<Option<Subject>> {
    Ok(of_enrollments(tx, tenant, &[enrollment])?.pop())
}

/// The subjects behind these channels.
pub fn of_enrollments(tx: &mut dyn Tx, tenant: Uuid, enrollments: &[Uuid]) -> Result<Vec<Subject>> {
    let (sql, args) = many(
        "select e.id, e.channel, e.state, d.id, d.directory_id, d.azure_ad_device_id, d.platform, \
            coalesce(d.os_version, e.os_version), d.is_supervised, d.enrollment_type, d.owner_type, d.name, \
            d.serial_number, d.udid, d.imei, p.id, p.licensed, p.account_enabled, p.user_principal_name, p.mail, \
            p.display_name, d.state \
         from enrollment e \
         join device d on d.tenant_id = $1 and d.id = e.device_id \
         left join person p on p.tenant_id = $1 and p.id = d.person_id and p.deleted_at is null \
         where e.tenant_id = $1 and e.id in ($2 /* more */) order by e.id",
        tenant,
        enrollments,
    );
    tx.all(&sql, &args, |row| {
        Ok(Subject {
            enrollment_id: row.id(0)?,
            channel: row.text(1)?,
            state: row.text(2)?,
            device_id: row.id(3)?,
            directory_id: row.id(4)?,
            azure_ad_device_id: row.id(5)?,
            platform: row.text(6)?,
            os_version: row.opt_text(7)?,
            is_supervised: row.bool(8)?,
            enrollment_type: row.text(9)?,
            owner_type: row.text(10)?,
            device_name: row.text(11)?,
            serial_number: row.opt_text(12)?,
            udid: row.opt_text(13)?,
            imei: row.opt_text(14)?,
            person_id: row.opt_id(15)?,
            licensed_user: row.opt_bool(16)?.unwrap_or(false) && row.opt_bool(17)?.unwrap_or(false),
            user_principal_name: row.opt_text(18)?,
            mail: row.opt_text(19)?,
            display_name: row.opt_text(20)?,
            device_state: row.text(21)?,
        })
    })
}

/// Every assignment of a collection, with its document.
pub fn assignments(tx: &mut dyn Tx, tenant: Uuid, kind: &str) -> Result<Vec<(Uuid, Assignment)>> {
    tx.all(
        "select document_id, target, exclude, group_id, filter_id, filter_mode, intent from assignment \
         where tenant_id = $1 and kind = $2 order by document_id, id",
        args![tenant, kind],
        |row| {
            let target = match (row.text(1)?.as_str(), row.opt_id(3)?) {
                ("allDevices", _) => Target::AllDevices,
                ("allUsers", _) => Target::AllUsers,
                ("group", Some(group)) => Target::Group(group),
                (other, _) => return Err(Error::inconsistent("assignment.target", other)),
            };
            let filter = match (row.opt_id(4)?, row.text(5)?.as_str()) {
                (Some(filter), "include") => Some((filter, FilterMode::Include)),
                (Some(filter), "exclude") => Some((filter, FilterMode::Exclude)),
                _ => None,
            };
            let intent = if row.text(6)? == "remove" { Intent::Remove } else { Intent::Apply };
            Ok((row.id(0)?, Assignment { target, exclude: row.bool(2)?, filter, intent }))
        },
    )
}

/// Id and version of every document of a collection.
pub fn versions(tx: &mut dyn Tx, tenant: Uuid, kind: &str) -> Result<Vec<(Uuid, i64)>> {
    tx.all("select id, version from document where tenant_id = $1 and kind = $2", args![tenant, kind], |row| {
        Ok((row.id(0)?, row.int(1)?))
    })
}
