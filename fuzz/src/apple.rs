//! Decoders of crate `apple`. Each function takes any bytes and must come back, with an error or not.

use muster_apple::{
    CheckIn, Command, CommandResult, Limits, declarative::StatusReport, discovery,
    enrollment_profile::EnrollmentProfile, machine_info::MachineInfo, plist, profile::Profile, push, raw_command,
    refusal::Refusal,
};

/// The guarded list decoder; what it takes survives encoding.
pub fn plist(data: &[u8]) {
    if let Ok(value) = plist::decode(data, &Limits::MESSAGE) {
        let again = plist::encode(&value);
        let _ = plist::decode(&again, &Limits::RESULT);
    }
    let _ = Profile::decode(data);
    let _ = EnrollmentProfile::decode(data);
    let _ = raw_command::decode(data);
}

/// Everything a device sends.
pub fn check_in(data: &[u8]) {
    if let Ok(message) = CheckIn::decode(data) {
        assert_eq!(CheckIn::decode(&message.encode()).as_ref(), Ok(&message), "what is read can be written");
    }
    if let Ok(result) = CommandResult::decode(data) {
        assert!(result.ids.protocol_id().len() <= 600);
    }
    let _ = MachineInfo::decode(data);
    let _ = StatusReport::decode(data).map(|report| report.declarations());
    let _ = Command::decode(data);
    let _ = discovery::decode(data);
    let _ = Refusal::decode(data);
    let _ = push::decode(data);
}
