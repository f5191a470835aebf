//! [`Reader`]: walks DER elements of one level; nesting is the caller's explicit choice.

use const_oid::ObjectIdentifier;

use super::tag;
use crate::{Error, Result};

/// One element: its identifier octet, its content, and all its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Identifier octet.
    pub tag: u8,
    /// Content octets.
    pub content: &'a [u8],
    /// Identifier, length and content octets as they came.
    pub bytes: &'a [u8],
}

impl<'a> Element<'a> {
    /// Decodes exactly one element that fills `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let element = reader.any()?;
        reader.finish()?;
        Ok(element)
    }

    /// A reader over the content.
    pub fn reader(&self) -> Reader<'a> {
        Reader::new(self.content)
    }

    /// An OBJECT IDENTIFIER's value.
    pub fn oid(&self) -> Result<ObjectIdentifier> {
        if self.tag != tag::OID {
            return Err(Error::Malformed("object identifier"));
        }
        ObjectIdentifier::from_bytes(self.content).map_err(|_| Error::Malformed("object identifier"))
    }

    /// A string of any of the character string types, as text.
    pub fn text(&self) -> Result<String> {
        let malformed = || Error::Malformed("string");
        match self.tag {
            tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING => {
                std::str::from_utf8(self.content).map(str::to_owned).map_err(|_| malformed())
            }
            tag::TELETEX_STRING => Ok(self.content.iter().map(|&byte| char::from(byte)).collect()),
            tag::BMP_STRING if self.content.len().is_multiple_of(2) => {
                let units = self.content.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                char::decode_utf16(units).collect::<std::result::Result<_, _>>().map_err(|_| malformed())
            }
            _ => Err(malformed()),
        }
    }

    /// A non-negative INTEGER that fits 32 bits.
    pub fn small_integer(&self) -> Result<u32> {
        if self.tag != tag::INTEGER || self.content.is_empty() || self.content.len() > 5 || self.content[0] & 0x80 != 0
        {
            return Err(Error::Malformed("integer"));
        }
        let value = self.content.iter().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
        u32::try_from(value).map_err(|_| Error::Malformed("integer"))
    }
}

/// Reads elements one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over the elements in `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// True where nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The identifier octet of the next element.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, whatever it is.
    pub fn any(&mut self) -> Result<Element<'a>> {
        let (tag, header, length) = header(self.rest)?;
        let end = header.checked_add(length).filter(|&end| end <= self.rest.len()).ok_or(Error::Malformed("length"))?;
        let (bytes, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(Element { tag, content: &bytes[header..], bytes })
    }

    /// The next element, which must have this identifier.
    pub fn expect(&mut self, tag: u8, what: &'static str) -> Result<Element<'a>> {
        if self.peek() != Some(tag) {
            return Err(Error::Malformed(what));
        }
        self.any()
    }

    /// The next element if it has this identifier.
    pub fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>> {
        if self.peek() == Some(tag) { self.any().map(Some) } else { Ok(None) }
    }

    /// Content of the next SEQUENCE.
    pub fn sequence(&mut self, what: &'static str) -> Result<Reader<'a>> {
        Ok(self.expect(tag::SEQUENCE, what)?.reader())
    }

    /// Content of the next SET.
    pub fn set(&mut self, what: &'static str) -> Result<Reader<'a>> {
        Ok(self.expect(tag::SET, what)?.reader())
    }

    /// The next OBJECT IDENTIFIER.
    pub fn oid(&mut self) -> Result<ObjectIdentifier> {
        self.expect(tag::OID, "object identifier")?.oid()
    }

    /// Content of the next INTEGER, as it came.
    pub fn integer(&mut self) -> Result<&'a [u8]> {
        let element = self.expect(tag::INTEGER, "integer")?;
        if element.content.is_empty() { Err(Error::Malformed("integer")) } else { Ok(element.content) }
    }

    /// Content of the next BIT STRING without unused bits.
    pub fn bit_string(&mut self) -> Result<&'a [u8]> {
        match self.expect(tag::BIT_STRING, "bit string")?.content {
            [0, bits @ ..] => Ok(bits),
            _ => Err(Error::Malformed("bit string")),
        }
    }

    /// Nothing may follow.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(Error::Malformed("trailing bytes")) }
    }
}

/// Identifier octet, header length and content length; definite lengths in their shortest form.
fn header(bytes: &[u8]) -> Result<(u8, usize, usize)> {
    let malformed = Err(Error::Malformed("element"));
    let [tag, length, rest @ ..] = bytes else { return malformed };
    if tag & 0x1f == 0x1f {
        return malformed;
    }
    if *length < 0x80 {
        return Ok((*tag, 2, usize::from(*length)));
    }
    let count = usize::from(length & 0x7f);
    if count == 0 || count > 4 || rest.len() < count || rest[0] == 0 {
        return malformed;
    }
    let value = rest[..count].iter().fold(0usize, |value, &byte| value << 8 | usize::from(byte));
    if value < 0x80 { malformed } else { Ok((*tag, 2 + count, value)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_form_of_a_short_length_is_refused() {
        assert!(Element::decode(&[0x04, 0x81, 0x01, 0x00]).is_err());
        assert!(Element::decode(&[0x04, 0x82, 0x00, 0x81, 0x00]).is_err());
        assert!(Element::decode(&[0x04, 0x80, 0x00, 0x00]).is_err());
        assert_eq!(Element::decode(&[0x04, 0x01, 0x07]).unwrap().content, [7]);
    }

    #[test]
    fn lengths_beyond_the_input_are_refused() {
        assert!(Element::decode(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(Element::decode(&[0x30, 0x05, 0x00]).is_err());
        assert!(Element::decode(&[]).is_err());
    }
}
