//! Object identifiers, named as their standards name them.

use const_oid::ObjectIdentifier;
pub use const_oid::ObjectIdentifier as Oid;

macro_rules! oids {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)+) => {
        $($(#[$doc])* pub const $name: ObjectIdentifier = ObjectIdentifier::new_unwrap($value);)+
    };
}

oids! {
    /// PKCS #1
    RSA_ENCRYPTION = "1.2.840.113549.1.1.1";
    /// PKCS #1
    SHA1_WITH_RSA = "1.2.840.113549.1.1.5";
    /// PKCS #1
    SHA256_WITH_RSA = "1.2.840.113549.1.1.11";
    /// PKCS #1
    SHA384_WITH_RSA = "1.2.840.113549.1.1.12";
    /// PKCS #1
    SHA512_WITH_RSA = "1.2.840.113549.1.1.13";
    /// SEC 1
    EC_PUBLIC_KEY = "1.2.840.10045.2.1";
    /// P-256
    P256 = "1.2.840.10045.3.1.7";
    /// P-384
    P384 = "1.3.132.0.34";
    /// X9.62
    ECDSA_SHA1 = "1.2.840.10045.4.1";
    /// X9.62
    ECDSA_SHA256 = "1.2.840.10045.4.3.2";
    /// X9.62
    ECDSA_SHA384 = "1.2.840.10045.4.3.3";
    /// X9.62
    ECDSA_SHA512 = "1.2.840.10045.4.3.4";

    /// SHA-1
    SHA1 = "1.3.14.3.2.26";
    /// SHA-256
    SHA256 = "2.16.840.1.101.3.4.2.1";
    /// SHA-384
    SHA384 = "2.16.840.1.101.3.4.2.2";
    /// SHA-512
    SHA512 = "2.16.840.1.101.3.4.2.3";
    /// AES-128-CBC
    AES128_CBC = "2.16.840.1.101.3.4.1.2";
    /// AES-256-CBC
    AES256_CBC = "2.16.840.1.101.3.4.1.42";
    /// 3DES-CBC
    DES_EDE3_CBC = "1.2.840.113549.3.7";

    /// CMS data (RFC 5652)
    DATA = "1.2.840.113549.1.7.1";
    /// CMS signed-data
    SIGNED_DATA = "1.2.840.113549.1.7.2";
    /// CMS enveloped-data
    ENVELOPED_DATA = "1.2.840.113549.1.7.3";
    /// contentType attribute
    CONTENT_TYPE = "1.2.840.113549.1.9.3";
    /// messageDigest attribute
    MESSAGE_DIGEST = "1.2.840.113549.1.9.4";
    /// signingTime attribute
    SIGNING_TIME = "1.2.840.113549.1.9.5";
    /// challengePassword attribute (PKCS #9)
    CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7";
    /// extensionRequest attribute (PKCS #9)
    EXTENSION_REQUEST = "1.2.840.113549.1.9.14";

    /// commonName
    COMMON_NAME = "2.5.4.3";
    /// serialNumber (of a device)
    SERIAL_NUMBER = "2.5.4.5";
    /// countryName
    COUNTRY = "2.5.4.6";
    /// localityName
    LOCALITY = "2.5.4.7";
    /// stateOrProvinceName
    STATE = "2.5.4.8";
    /// organizationName
    ORGANIZATION = "2.5.4.10";
    /// organizationalUnitName
    ORGANIZATIONAL_UNIT = "2.5.4.11";
    /// emailAddress (PKCS #9)
    EMAIL_ADDRESS = "1.2.840.113549.1.9.1";
    /// userId
    USER_ID = "0.9.2342.19200300.100.1.1";
    /// domainComponent
    DOMAIN_COMPONENT = "0.9.2342.19200300.100.1.25";

    /// RFC 5280 4.2.1.2
    SUBJECT_KEY_IDENTIFIER = "2.5.29.14";
    /// RFC 5280 4.2.1.3
    KEY_USAGE = "2.5.29.15";
    /// RFC 5280 4.2.1.6
    SUBJECT_ALTERNATIVE_NAME = "2.5.29.17";
    /// RFC 5280 4.2.1.9
    BASIC_CONSTRAINTS = "2.5.29.19";
    /// RFC 5280 5.2.3
    CRL_NUMBER = "2.5.29.20";
    /// RFC 5280 5.3.1
    CRL_REASON = "2.5.29.21";
    /// RFC 5280 4.2.1.13
    CRL_DISTRIBUTION_POINTS = "2.5.29.31";
    /// RFC 5280 4.2.1.1
    AUTHORITY_KEY_IDENTIFIER = "2.5.29.35";
    /// RFC 5280 4.2.1.12
    EXTENDED_KEY_USAGE = "2.5.29.37";
    /// Server authentication
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
    /// Client authentication
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
    /// Code signing
    CODE_SIGNING = "1.3.6.1.5.5.7.3.3";
    /// Mail protection
    EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4";
    /// User principal name, an otherName
    USER_PRINCIPAL_NAME = "1.3.6.1.4.1.311.20.2.3";

    /// SCEP messageType (RFC 8894 3.2.1)
    SCEP_MESSAGE_TYPE = "2.16.840.1.113733.1.9.2";
    /// SCEP pkiStatus
    SCEP_PKI_STATUS = "2.16.840.1.113733.1.9.3";
    /// SCEP failInfo
    SCEP_FAIL_INFO = "2.16.840.1.113733.1.9.4";
    /// SCEP senderNonce
    SCEP_SENDER_NONCE = "2.16.840.1.113733.1.9.5";
    /// SCEP recipientNonce
    SCEP_RECIPIENT_NONCE = "2.16.840.1.113733.1.9.6";
    /// SCEP transactionID
    SCEP_TRANSACTION_ID = "2.16.840.1.113733.1.9.7";
}
