//! The BER-to-DER rewriter that stands before every decoder of messages from others.
//!
//! CMS may arrive with indefinite lengths, long length forms and OCTET STRINGs in pieces (X.690
//! section 8); signatures and our reader want DER. The order inside SETs is kept, since signatures
//! cover it. Depth, size and the number of elements are bounded.

use super::{tag, tlv};
use crate::{Error, Result};

/// Bounds of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole message.
    pub bytes: usize,
    /// Nesting.
    pub depth: usize,
    /// Elements on all levels together.
    pub elements: usize,
}

impl Default for Limits {
    /// 256 KiB, 32 levels, 4,096 elements: ten times what a certificate request with a chain takes.
    fn default() -> Self {
        Limits { bytes: 256 * 1024, depth: 32, elements: 4_096 }
    }
}

/// Rewrites one BER element that fills `bytes`.
pub fn to_der(bytes: &[u8], limits: Limits) -> Result<Vec<u8>> {
    if bytes.len() > limits.bytes {
        return Err(Error::Malformed("message size"));
    }
    let mut rewriter = Rewriter { rest: bytes, elements: limits.elements };
    let out = rewriter.element(limits.depth)?.ok_or(Error::Malformed("element"))?;
    if rewriter.rest.is_empty() { Ok(out.bytes) } else { Err(Error::Malformed("trailing bytes")) }
}

struct Rewriter<'a> {
    rest: &'a [u8],
    elements: usize,
}

struct Rewritten {
    tag: u8,
    bytes: Vec<u8>,
    /// Where the content starts in `bytes`.
    content: usize,
}

impl Rewritten {
    fn new(tag: u8, content: &[u8]) -> Self {
        let bytes = tlv(tag, content);
        let start = bytes.len() - content.len();
        Rewritten { tag, bytes, content: start }
    }
}

impl<'a> Rewriter<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Error::Malformed("length"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next element, or none at end-of-contents octets. Recursion is bounded by `depth`.
    fn element(&mut self, depth: usize) -> Result<Option<Rewritten>> {
        self.elements = self.elements.checked_sub(1).ok_or(Error::Malformed("number of elements"))?;
        let depth = depth.checked_sub(1).ok_or(Error::Malformed("depth"))?;
        let &[tag, first] = self.take(2)? else { return Err(Error::Malformed("element")) };
        if tag & 0x1f == 0x1f {
            return Err(Error::Malformed("tag number"));
        }
        if tag == 0 {
            return if first == 0 { Ok(None) } else { Err(Error::Malformed("end of contents")) };
        }
        let constructed = tag & 0x20 != 0;
        let length = match first {
            0x80 if constructed => None,
            0x80 => return Err(Error::Malformed("length")),
            short @ 0..0x80 => Some(usize::from(short)),
            long => {
                let digits = self.take(usize::from(long & 0x7f))?;
                let skip = digits.iter().take_while(|&&byte| byte == 0).count();
                if digits.len() - skip > 4 {
                    return Err(Error::Malformed("length"));
                }
                Some(digits[skip..].iter().fold(0usize, |value, &byte| value << 8 | usize::from(byte)))
            }
        };
        if !constructed {
            let content = self.take(length.ok_or(Error::Malformed("length"))?)?;
            return Ok(Some(Rewritten::new(tag, content)));
        }
        let children = match length {
            None => self.children(depth, true)?,
            Some(length) => {
                let mut inner = Rewriter { rest: self.take(length)?, elements: self.elements };
                let children = inner.children(depth, false)?;
                self.elements = inner.elements;
                children
            }
        };
        if tag == tag::OCTET_STRING | 0x20 {
            // Pieces of one OCTET STRING; a piece that came in pieces is already joined.
            if children.iter().any(|piece| piece.tag != tag::OCTET_STRING) {
                return Err(Error::Malformed("octet string"));
            }
            let joined: Vec<u8> = children.iter().flat_map(|piece| &piece.bytes[piece.content..]).copied().collect();
            return Ok(Some(Rewritten::new(tag::OCTET_STRING, &joined)));
        }
        // Other universal strings in pieces do not occur in our formats.
        if tag & 0xc0 == 0 && tag != tag::SEQUENCE && tag != tag::SET {
            return Err(Error::Malformed("constructed string"));
        }
        let content: Vec<u8> = children.into_iter().flat_map(|child| child.bytes).collect();
        Ok(Some(Rewritten::new(tag, &content)))
    }

    fn children(&mut self, depth: usize, indefinite: bool) -> Result<Vec<Rewritten>> {
        let mut children = Vec::new();
        loop {
            if !indefinite && self.rest.is_empty() {
                return Ok(children);
            }
            match self.element(depth)? {
                Some(child) => children.push(child),
                None if indefinite => return Ok(children),
                None => return Err(Error::Malformed("end of contents")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::asn1::{octet_string, sequence};

    #[test]
    fn der_stays_as_it_is() {
        let der = sequence(&[&octet_string(&[1; 200]), &sequence(&[])]);
        assert_eq!(to_der(&der, Limits::default()).unwrap(), der);
    }

    #[test]
    fn indefinite_lengths_and_pieces_are_joined() {
        let ber = [0x30, 0x80, 0x24, 0x80, 4, 1, 7, 0x24, 0x03, 4, 1, 8, 0, 0, 0, 0];
        assert_eq!(to_der(&ber, Limits::default()).unwrap(), sequence(&[&octet_string(&[7, 8])]));
        assert_eq!(to_der(&[4, 0x82, 0, 1, 9], Limits::default()).unwrap(), octet_string(&[9]));
    }

    #[test]
    fn e5_deep_nesting_is_refused() {
        assert_eq!(to_der(&[0x30, 0x80].repeat(100_000), Limits::default()), Err(Error::Malformed("depth")));
        let mut nested = Vec::new();
        for _ in 0..40 {
            nested = sequence(&[&nested]);
        }
        assert_eq!(to_der(&nested, Limits::default()), Err(Error::Malformed("depth")));
    }

    #[test]
    fn e5_many_elements_and_large_messages_are_refused() {
        let many = sequence(&[&sequence(&[]).repeat(100_000)]);
        assert_eq!(to_der(&many, Limits::default()), Err(Error::Malformed("number of elements")));
        assert_eq!(to_der(&vec![0; 300_000], Limits::default()), Err(Error::Malformed("message size")));
    }

    #[test]
    fn unbalanced_ends_are_refused() {
        for bad in [&[0x30, 0x02, 0, 0][..], &[0x30, 0x80, 4, 1, 7], &[0, 0], &[4, 0x80, 0, 0], &[0x30, 0, 0, 0]] {
            assert!(to_der(bad, Limits::default()).is_err(), "{bad:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_become_stable_der(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(der) = to_der(&bytes, Limits::default()) {
                prop_assert_eq!(to_der(&der, Limits::default()).unwrap(), der);
            }
        }
    }
}
