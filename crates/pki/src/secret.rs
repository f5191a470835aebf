//! [`Secret`]: a value that cannot be logged, printed or serialised by accident.

use zeroize::Zeroize;

/// Holds a secret. There is no `Display`, no `Serialize`, and `Debug` says only that something is
/// there; the content is wiped when the value is dropped.
///
/// ```compile_fail
/// let secret = muster_pki::Secret::new(String::from("canary"));
/// println!("{secret}");
/// ```
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Secret(value)
    }

    /// Shows the content: the only way to it, so that uses can be found by name.
    pub fn expose(&self) -> &T {
        &self.0
    }

    pub(crate) fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize + Clone> Clone for Secret<T> {
    fn clone(&self) -> Self {
        Secret(self.0.clone())
    }
}

impl<T: Zeroize> std::fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Secret::new(value)
    }
}

/// Secrets compare in constant time.
impl<T: Zeroize + AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.0.as_ref(), other.0.as_ref()).into()
    }
}

impl<T: Zeroize + AsRef<[u8]>> Eq for Secret<T> {}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn i3_a_secret_is_not_in_its_debug_output() {
        #[derive(Debug)]
        struct Holder {
            #[expect(dead_code, reason = "only its Debug output matters")]
            challenge: Secret<String>,
        }
        let shown =
            format!("{:?} {:#?}", Holder { challenge: Secret::new("canary-7f3a".into()) }, Secret::new(vec![7u8]));
        assert!(!shown.contains("canary") && !shown.contains('7'), "{shown}");
        assert!(shown.contains("Secret(..)"));
    }

    #[test]
    fn secrets_compare_by_content() {
        assert_eq!(Secret::new(b"a".to_vec()), Secret::new(b"a".to_vec()));
        assert_ne!(Secret::new(b"a".to_vec()), Secret::new(b"ab".to_vec()));
    }
}
