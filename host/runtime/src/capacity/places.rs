//! Who has an instance: places, in four classes that do not take from each other.
//!
//! A request has a place while its app works on it. A `wasi:http` request keeps its instance as
//! long as it lasts, so once its response head has gone out, or it waits for its client, it
//! counts as a stream. So streams and slow uploads never take the places of requests. New code
//! is tried out in places of its own, so an overloaded node can take the release that would repair it.
//! An instance that waits for its next call has a place for that, and leaves the one of its request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::Counted;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::machine::PlaceLimits;
use super::memory::Resident;
use crate::throttle::Throttle;

/// How long a new request waits for a place. Then its client is asked to come back.
pub(crate) const PATIENCE: Duration = Duration::from_millis(450);
/// How often memory is looked at again while a request waits for it.
const LOOK: Duration = Duration::from_millis(50);
/// So many requests run even if the memory is used up. Otherwise a node whose own data fills the
/// budget would answer nobody.
const ALWAYS: usize = 16;

/// How many tables an instance may have that counts once.
pub(crate) const TABLES_OF_A_PLACE: u32 = 4;

/// How many usual instances one instance of a component counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeOf(u32);

impl SizeOf {
    /// An instance with so many memories and tables.
    pub(crate) fn instance(memories: u32, tables: u32) -> SizeOf {
        SizeOf(memories.max(tables.div_ceil(TABLES_OF_A_PLACE)).max(1))
    }
}

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A request that the app works on.
    Call,
    /// New code that is tried out. It needs no room in the budget of memory.
    Try,
}

/// Why there is no place. It says nothing about the app.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// As many requests run as may.
    #[error("all {0} places for requests are taken")]
    Calls(u32),
    /// As many streams are open as may be.
    #[error("all {0} places for streams are taken; a higher vm.max_map_count gives more")]
    Streams(u32),
    /// The memory is used up.
    #[error(
        "{} MiB of memory are used, of a budget of {} MiB; --memory-budget allows more",
        .used >> 20, .budget >> 20
    )]
    Memory {
        /// Bytes that are used.
        used: u64,
        /// Bytes that may be used.
        budget: u64,
    },
    /// The bodies of requests to simple apps take all memory that is set aside for them, in
    /// bytes.
    #[error("bodies of other requests take all {} MiB that there are for them", .0 >> 20)]
    Bodies(usize),
    /// The engine was given no memory.
    #[error("could not be given an instance: {0}; is there memory left?")]
    Engine(String),
}

cluster::counts! {
    /// Requests that this machine had no room for, by what was missing.
    pub struct TurnedAway {
        /// A place for a request.
        calls: "for want of a place",
        /// A place for a stream.
        streams: "for want of a place for a stream",
        /// Memory.
        memory: "for want of memory",
    }
}

/// How the places are used at one moment.
#[derive(Clone, Copy, Debug)]
pub struct PlacesNow {
    /// How many requests and streams there may be, and how much memory.
    pub most: PlaceLimits,
    /// Requests that have a place.
    pub calls: u32,
    /// Streams that have a place.
    pub streams: u32,
    /// New code that is tried out.
    pub tries: u32,
    /// Live instances that wait for their next call.
    pub idle: u32,
    /// Bytes of memory that are used.
    pub memory: u64,
    /// Requests that were turned away since the start.
    pub turned_away: TurnedAway,
}

/// All places of a node.
#[derive(Debug)]
pub struct InstancePlaces {
    room: PlaceLimits,
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    tries: Arc<Semaphore>,
    idle: Arc<Semaphore>,
    resident: Arc<Resident>,
    turned_away: Counted<TurnedAway>,
    log: Throttle,
}

impl InstancePlaces {
    pub(crate) fn new(room: PlaceLimits, resident: Arc<Resident>) -> Arc<InstancePlaces> {
        let places = |number: u32| Arc::new(Semaphore::new(number as usize));
        Arc::new(InstancePlaces {
            room,
            calls: places(room.calls),
            streams: places(room.streams),
            tries: places(room.tries),
            idle: places(room.idle),
            resident,
            turned_away: Counted::default(),
            log: Throttle::per_second(1),
        })
    }

    /// A place for an instance of this size. It waits for so long.
    ///
    /// # Errors
    /// See [`NoPlace`].
    pub(crate) async fn take(
        self: &Arc<Self>,
        class: Class,
        size: SizeOf,
        patience: Duration,
    ) -> Result<Place, NoPlace> {
        let SizeOf(size) = size;
        let taken = match class {
            Class::Try => {
                let tries = self.room.tries;
                let place = self.tries.clone().acquire_many_owned(size.min(tries));
                let place = tokio::time::timeout(patience, place).await;
                place.map_or(Err(NoPlace::Calls(tries)), |place| {
                    place.map_err(|_| NoPlace::Calls(tries))
                })
            }
            Class::Call => self.take_call(size, patience).await,
        };
        let permit = taken.inspect_err(|why| self.turn_away(why))?;
        Ok(Place {
            places: self.clone(),
            size,
            class,
            held: Mutex::new((permit, HeldFor::Call)),
        })
    }

    /// A place for an instance that waits, and has had no call yet. None if there is none, or
    /// memory is short.
    pub(crate) fn take_idle(self: &Arc<Self>, size: SizeOf) -> Option<Place> {
        let SizeOf(size) = size;
        let place = (!self.resident.is_short()).then(|| self.idle_permit(size))??;
        Some(Place {
            places: self.clone(),
            size,
            class: Class::Call,
            held: Mutex::new((place, HeldFor::Idle)),
        })
    }

    fn idle_permit(&self, size: u32) -> Option<OwnedSemaphorePermit> {
        let size = size.min(self.room.idle);
        self.idle.clone().try_acquire_many_owned(size).ok()
    }

    async fn take_call(
        &self,
        size: u32,
        patience: Duration,
    ) -> Result<OwnedSemaphorePermit, NoPlace> {
        let size = size.min(self.room.calls);
        let free = self.calls.clone().try_acquire_many_owned(size);
        if let (Ok(place), false) = (free, self.is_short()) {
            return Ok(place);
        }
        let due = tokio::time::Instant::now() + patience;
        let place = self.calls.clone().acquire_many_owned(size);
        let Ok(Ok(place)) = tokio::time::timeout_at(due, place).await else {
            return Err(NoPlace::Calls(self.room.calls));
        };
        while self.is_short() {
            if tokio::time::Instant::now() >= due {
                return Err(self.no_memory());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(place)
    }

    /// Why there is no more memory, if that is so.
    pub(crate) fn memory_is_short(&self) -> Option<NoPlace> {
        self.resident.is_short().then(|| self.no_memory())
    }

    fn no_memory(&self) -> NoPlace {
        NoPlace::Memory {
            used: self.resident.bytes(),
            budget: self.resident.budget(),
        }
    }

    /// Whether memory is short, and enough requests run already.
    fn is_short(&self) -> bool {
        let running = (self.room.calls as usize).saturating_sub(self.calls.available_permits());
        self.resident.is_short() && running > ALWAYS
    }

    /// How the places are used now.
    pub fn now(&self) -> PlacesNow {
        let used = |most: u32, left: &Semaphore| {
            most.saturating_sub(u32::try_from(left.available_permits()).unwrap_or(most))
        };
        PlacesNow {
            most: self.room,
            calls: used(self.room.calls, &self.calls),
            streams: used(self.room.streams, &self.streams),
            tries: used(self.room.tries, &self.tries),
            idle: used(self.room.idle, &self.idle),
            memory: self.resident.bytes(),
            turned_away: self.turned_away.now(),
        }
    }

    /// The memory of the process against its budget.
    pub(crate) fn resident(&self) -> &Arc<Resident> {
        &self.resident
    }

    /// Counts and logs a request for which there is no room.
    pub(crate) fn turn_away(&self, why: &NoPlace) {
        self.turned_away.count(|counts| match why {
            NoPlace::Calls(_) => counts.calls += 1,
            NoPlace::Streams(_) => counts.streams += 1,
            NoPlace::Memory { .. } | NoPlace::Bodies(_) | NoPlace::Engine(_) => counts.memory += 1,
        });
        if let Some(left_out) = self.log.admit(Instant::now()) {
            let others = match left_out {
                0 => String::new(),
                more => format!(", and {more} more since the last such line"),
            };
            tracing::warn!("a request was answered with 503: {why}{others}");
        }
    }
}

/// The place of one call. It is given back when this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<InstancePlaces>,
    size: u32,
    class: Class,
    /// What it holds, and what for.
    held: Mutex<(OwnedSemaphorePermit, HeldFor)>,
}

/// What an instance that has a place does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeldFor {
    Call,
    Stream,
    Idle,
}

impl Place {
    /// From now on the call counts as a stream, and leaves its place to another request.
    ///
    /// # Errors
    /// If all places for streams are taken. Then it keeps the place that it has, and should not
    /// keep it for long.
    pub(crate) fn becomes_stream(&self) -> Result<(), NoPlace> {
        let mut held = self.held.lock();
        let (permit, holder) = &mut *held;
        if *holder != HeldFor::Call || self.class == Class::Try {
            return Ok(());
        }
        let streams = self.places.room.streams;
        let size = self.size.min(streams);
        let place = self.places.streams.clone().try_acquire_many_owned(size);
        *permit = place.map_err(|_| NoPlace::Streams(streams))?;
        *holder = HeldFor::Stream;
        Ok(())
    }

    /// The call is over, and its instance waits for the next one in a place for that. False if
    /// there is none, or memory is short: then the instance must go.
    pub(crate) fn becomes_idle(&self) -> bool {
        let places = &self.places;
        if self.class == Class::Try || places.resident.is_short() {
            return false;
        }
        let Some(place) = places.idle_permit(self.size) else {
            return false;
        };
        *self.held.lock() = (place, HeldFor::Idle);
        true
    }

    /// Counts and logs that the call was ended because there was no room for it.
    pub(crate) fn turn_away(&self, why: &NoPlace) {
        self.places.turn_away(why);
    }
}

#[cfg(test)]
mod tests;
