//! DER (X.690): a reader over slices, a writer, times, and the bounded BER-to-DER rewriter.
//!
//! The reader never recurses and keeps the original bytes of every element, because signatures
//! cover bytes, not values. What does not live here: the structures (their own modules).

mod ber;
mod reader;
mod time;
mod writer;

pub use ber::{Limits, to_der};
pub use reader::{Element, Reader};
pub use time::{decode_time, encode_generalized_time, encode_time};
pub use writer::{
    bit_string, boolean, context, context_bytes, ia5_string, integer, integer_i64, null, octet_string, oid,
    printable_string, sequence, set, set_of, tlv, utf8_string,
};

/// Identifier octets used here. Only low tag numbers occur in our formats.
pub mod tag {
    /// BOOLEAN
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER
    pub const OID: u8 = 0x06;
    /// UTF8String
    pub const UTF8_STRING: u8 = 0x0c;
    /// PrintableString
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// TeletexString
    pub const TELETEX_STRING: u8 = 0x14;
    /// IA5String
    pub const IA5_STRING: u8 = 0x16;
    /// UTCTime
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// UniversalString
    pub const UNIVERSAL_STRING: u8 = 0x1c;
    /// BMPString
    pub const BMP_STRING: u8 = 0x1e;
    /// SEQUENCE, SEQUENCE OF
    pub const SEQUENCE: u8 = 0x30;
    /// SET, SET OF
    pub const SET: u8 = 0x31;

    /// `[number]`, constructed.
    pub const fn context(number: u8) -> u8 {
        0xa0 | number
    }
    /// `[number]`, primitive.
    pub const fn context_primitive(number: u8) -> u8 {
        0x80 | number
    }
}
