//! Issuing and revoking certificates, the authorities, CRL.
