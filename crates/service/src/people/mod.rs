//! Users, groups, licences, leavers, CSV import.
