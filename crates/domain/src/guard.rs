//! The rules of decision 9, pure.
