//! The state of an exchange: what an app keeps from one callback to the next.
//!
//! The host keeps it as bytes, so it outlives the instance and the code. It is at most
//! 64 KiB by default. Keep it small: the host copies it at every callback.

/// A type that can be the state of an exchange.
///
/// `decode` is the inverse of `encode`. The rest says how a state outlives a change of
/// code: [`export!`](crate::export) tells it to the host, which compares the old code
/// with the new.
///
/// - Where both know their shape and it is the same, the new code takes the states over.
/// - Else, where the versions differ, [`from_older`](Self::from_older) or
///   [`into_older`](Self::into_older) is called.
/// - Else, where both know their shape, the new code is refused: it has changed the state
///   and kept the version.
///
/// [`Postcard`] and [`Versions`](crate::Versions) do all of it for types with derives.
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
///     fn shape() -> String {
///         "user u32, received u64".into()
///     }
/// }
/// ```
pub trait State: Sized {
    /// The version of the state that this code writes. Raise it when the shape changes.
    const VERSION: u32 = 0;

    /// The bytes that the host keeps.
    fn encode(self) -> Vec<u8>;

    /// The state from the bytes that the host kept.
    ///
    /// # Errors
    ///
    /// If `encode` does not write such bytes. The exchange ends then.
    fn decode(bytes: Vec<u8>) -> Result<Self, StateError>;

    /// Says how the bytes are made up, in at most 256 bytes. Empty if it cannot say, as
    /// by default.
    fn shape() -> String {
        String::new()
    }

    /// The state from the bytes that an older version wrote. Refused by default.
    ///
    /// # Errors
    ///
    /// The reason of a refusal. The exchange is asked to end, and is counted.
    fn from_older(version: u32, bytes: Vec<u8>) -> Result<Self, String> {
        drop(bytes);
        Err(format!("version {version} of the state is not known"))
    }

    /// The bytes that an older version would have written, before the older code takes
    /// over again. Refused by default.
    ///
    /// # Errors
    ///
    /// The reason of a refusal, as in [`from_older`](Self::from_older).
    fn into_older(self, version: u32) -> Result<Vec<u8>, String> {
        let own = Self::VERSION;
        Err(format!(
            "version {own} of the state cannot go back to version {version}"
        ))
    }
}

/// Bytes that are not the state that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {length} bytes of state are not {expected}: if an older release wrote them, raise the version of the state and say how they become new ones"
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

    fn shape() -> String {
        "empty".into()
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

    fn shape() -> String {
        "bytes".into()
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

    fn shape() -> String {
        "utf-8".into()
    }
}

macro_rules! number {
    ($number:ty, $shape:literal, $expected:literal) => {
        /// The bytes of the number, the least significant first.
        impl State for $number {
            fn encode(self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }

            fn decode(bytes: Vec<u8>) -> Result<Self, StateError> {
                match bytes.as_slice().try_into() {
                    Ok(bytes) => Ok(<$number>::from_le_bytes(bytes)),
                    Err(_) => Err(StateError::new($expected, bytes.len())),
                }
            }

            fn shape() -> String {
                $shape.into()
            }
        }
    };
}

number!(u8, "u8", "a number of 1 byte");
number!(u16, "u16 le", "a number of 2 bytes");
number!(u32, "u32 le", "a number of 4 bytes");
number!(u64, "u64 le", "a number of 8 bytes");
number!(i8, "i8", "a number of 1 byte");
number!(i16, "i16 le", "a number of 2 bytes");
number!(i32, "i32 le", "a number of 4 bytes");
number!(i64, "i64 le", "a number of 8 bytes");

/// Any type with derives as state, in the compact postcard format. The host knows its
/// shape: it refuses new code that has changed it and says nothing of it. When the shape
/// is to change, the state becomes [`Versions`](crate::Versions).
///
/// ```
/// use raxx::{Postcard, State};
///
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize, postcard_schema::Schema)]
/// struct Chat { room: String, since: u64 }
///
/// let chat = Chat { room: "tea".into(), since: 7 };
/// let bytes = Postcard(chat).encode();
/// let Postcard(chat) = Postcard::<Chat>::decode(bytes)?;
/// assert_eq!(chat.room, "tea");
/// assert_eq!(Postcard::<Chat>::shape(), "postcard {room:string,since:u64}");
/// # Ok::<(), raxx::StateError>(())
/// ```
#[cfg(feature = "serde")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Postcard<T>(pub T);

#[cfg(feature = "serde")]
impl<T> State for Postcard<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned + postcard_schema::Schema,
{
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

    fn shape() -> String {
        crate::shape::of::<T>()
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
        comes_back(-7i16);
        #[cfg(feature = "serde")]
        comes_back(Postcard((1u32, String::from("x"))));
    }

    #[test]
    fn states_of_the_same_bytes_and_another_meaning_have_another_shape() {
        let shapes = [
            <()>::shape(),
            Vec::<u8>::shape(),
            String::shape(),
            u64::shape(),
            i64::shape(),
            #[cfg(feature = "serde")]
            Postcard::<u64>::shape(),
        ];
        for (at, shape) in shapes.iter().enumerate() {
            assert!(!shape.is_empty());
            assert!(!shapes[..at].contains(shape), "{shape}");
        }
    }

    #[test]
    fn bytes_of_another_shape_are_refused_by_name() {
        let refused = u64::decode(vec![1, 2]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the 2 bytes of state are not a number of 8 bytes: if an older release wrote them, raise the version of the state and say how they become new ones"
        );
        assert!(<()>::decode(vec![0]).is_err());
        assert!(String::decode(vec![0xff]).is_err());
    }
}
