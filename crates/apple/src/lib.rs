//! Apple's device management protocol as bytes: decode and encode, bounded before anything else.
//! Knows nothing of the product.
