//! Behaviour of release agreement.
