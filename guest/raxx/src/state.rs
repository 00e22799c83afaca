//! The state of an exchange: what an app keeps from one callback to the next.
//!
//! The host keeps it as bytes. So it outlives the instance and, with
//! [`Upgrade`](crate::Upgrade), the code. It is at most 64 KiB by default. Keep
//! it small: the host copies it at every callback.

/// A type that can be the state of an exchange.
///
/// `decode` is the inverse of `encode`. Another release of the app may have
/// written the bytes. So choose a format from whose bytes you can tell the
/// version, and turn old bytes into new ones in [`Upgrade`](crate::Upgrade).
///
/// ```
/// use raxx::{State, StateError};
///
/// /// How many bytes have come, and of which user.
/// struct Upload { user: u32, received: u64 }
///
/// impl State for Upload {
///     fn encode(self) -> Vec<u8> {
///         let mut bytes = self.user.to_le_bytes().to_vec();
///         bytes.extend(self.received.to_le_bytes());
///         bytes
///     }
///     fn decode(bytes: Vec<u8>) -> Result<Self, StateError> {
///         let wrong = || StateError::new("an upload of 12 bytes", bytes.len());
///         let (user, received) = bytes.split_first_chunk().ok_or_else(wrong)?;
///         let received = received.try_into().map_err(|_| wrong())?;
///         Ok(Upload {
///             user: u32::from_le_bytes(*user),
///             received: u64::from_le_bytes(received),
///         })
///     }
/// }
/// ```
pub trait State: Sized {
    /// The bytes that the host keeps.
    fn encode(self) -> Vec<u8>;

    /// The state from the bytes that the host kept.
    ///
    /// # Errors
    ///
    /// If `encode` does not write such bytes. The exchange ends then.
    fn decode(bytes: Vec<u8>) -> Result<Self, StateError>;
}

/// Bytes that are not the state that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {length} bytes of state are not {expected}: if an older release wrote them, export `raxx::Upgrade`"
)]
pub struct StateError {
    expected: &'static str,
    length: usize,
}

impl StateError {
    /// An error about bytes of this length. `expected` is a noun that says what
    /// they should have been.
    pub fn new(expected: &'static str, length: usize) -> Self {
        Self { expected, length }
    }
}

/// No state.
impl State for () {
    fn encode(self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, StateError> {
        match bytes.len() {
            0 => Ok(()),
            length => Err(StateError::new("empty", length)),
        }
    }
}

/// The bytes themselves.
impl State for Vec<u8> {
    fn encode(self) -> Vec<u8> {
        self
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, StateError> {
        Ok(bytes)
    }
}

/// Text, as UTF-8.
impl State for String {
    fn encode(self) -> Vec<u8> {
        self.into_bytes()
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, StateError> {
        String::from_utf8(bytes).map_err(|error| StateError::new("UTF-8", error.as_bytes().len()))
    }
}

/// Eight bytes, least significant first.
impl State for u64 {
    fn encode(self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, StateError> {
        match <[u8; 8]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(u64::from_le_bytes(bytes)),
            Err(_) => Err(StateError::new("a number of 8 bytes", bytes.len())),
        }
    }
}

/// Any serde type as state, in the compact postcard format.
///
/// ```
/// use raxx::{Postcard, State};
///
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Chat { room: String, since: u64 }
///
/// let chat = Chat { room: "tea".into(), since: 7 };
/// let bytes = Postcard(chat).encode();
/// let Postcard(chat) = Postcard::<Chat>::decode(bytes)?;
/// assert_eq!(chat.room, "tea");
/// # Ok::<(), raxx::StateError>(())
/// ```
#[cfg(feature = "serde")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Postcard<T>(pub T);

#[cfg(feature = "serde")]
impl<T: serde::Serialize + serde::de::DeserializeOwned> State for Postcard<T> {
    /// # Panics
    ///
    /// If postcard cannot write the type, such as a sequence of unknown length.
    fn encode(self) -> Vec<u8> {
        match postcard::to_allocvec(&self.0) {
            Ok(bytes) => bytes,
            Err(error) => panic!(
                "state of type {} cannot be encoded: {error}",
                std::any::type_name::<T>()
            ),
        }
    }

    fn decode(bytes: Vec<u8>) -> Result<Self, StateError> {
        postcard::from_bytes(&bytes)
            .map(Postcard)
            .map_err(|_| StateError::new(std::any::type_name::<T>(), bytes.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back<S: State + Clone + PartialEq + std::fmt::Debug>(state: S) {
        assert_eq!(S::decode(state.clone().encode()), Ok(state));
    }

    #[test]
    fn states_come_back_as_they_were() {
        comes_back(());
        comes_back(vec![0u8, 255]);
        comes_back(String::from("\u{e4}"));
        comes_back(u64::MAX - 1);
        #[cfg(feature = "serde")]
        comes_back(Postcard((1u32, String::from("x"))));
    }

    #[test]
    fn bytes_of_another_shape_are_refused_by_name() {
        let refused = u64::decode(vec![1, 2]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the 2 bytes of state are not a number of 8 bytes: if an older release wrote them, export `raxx::Upgrade`"
        );
        assert!(<()>::decode(vec![0]).is_err());
        assert!(String::decode(vec![0xff]).is_err());
    }
}
