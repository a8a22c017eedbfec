//! What is known of values that nobody looks at.
