//! Places: each class has its own, and who finds none is told why.

use super::*;

const SHORT: Duration = Duration::from_millis(10);

#[test]
fn a_client_is_told_within_a_second_that_there_is_no_place() {
    assert!(2 * PATIENCE < Duration::from_secs(1));
}

fn places(budget: u64) -> Arc<InstancePlaces> {
    let room = PlaceLimits {
        calls: 20,
        streams: 3,
        tries: 2,
        idle: 2,
        budget,
    };
    InstancePlaces::new(room, Arc::new(Resident::within(budget)))
}

async fn calls(places: &Arc<InstancePlaces>, number: usize) -> Vec<Place> {
    let mut taken = Vec::new();
    for _ in 0..number {
        taken.push(places.take(Class::Call, SizeOf(1), SHORT).await.unwrap());
    }
    taken
}

#[tokio::test]
async fn streams_leave_their_places_to_requests_and_never_take_more_than_their_own() {
    let places = places(u64::MAX);
    let taken = calls(&places, 20).await;
    for stream in &taken[..3] {
        stream.becomes_stream().unwrap();
        stream.becomes_stream().unwrap();
    }
    assert_eq!(taken[3].becomes_stream(), Err(NoPlace::Streams(3)));
    let now = places.now();
    assert_eq!((now.calls, now.streams), (17, 3));
    let _more = calls(&places, 3).await;
    let none = places.take(Class::Call, SizeOf(1), SHORT).await.map(drop);
    assert_eq!(none, Err(NoPlace::Calls(20)));
    assert_eq!(places.now().turned_away.calls, 1);
    // New code is tried out all the same.
    let _tried = places.take(Class::Try, SizeOf(1), SHORT).await.unwrap();
    drop(taken);
    assert_eq!(places.now().calls, 3);
}

#[tokio::test]
async fn without_memory_a_few_requests_run_and_the_others_are_turned_away() {
    let places = places(1);
    let _running = calls(&places, ALWAYS).await;
    let none = places.take(Class::Call, SizeOf(1), SHORT).await.map(drop);
    assert!(
        matches!(none, Err(NoPlace::Memory { budget: 1, .. })),
        "{none:?}"
    );
    assert_eq!(places.now().turned_away.memory, 1);
    let _tried = places.take(Class::Try, SizeOf(1), SHORT).await.unwrap();
}

#[tokio::test]
async fn an_instance_that_waits_for_its_next_call_takes_no_place_of_a_request() {
    let places = places(u64::MAX);
    let taken = calls(&places, 20).await;
    assert!(taken[0].becomes_idle() && taken[1].becomes_idle());
    // There are places for two, and the third must go.
    assert!(!taken[2].becomes_idle());
    assert_eq!((places.now().calls, places.now().idle), (18, 2));
    // Who still holds the place of a call that is over makes no stream of it.
    assert_eq!(taken[0].becomes_stream(), Ok(()));
    assert_eq!(places.now().streams, 0);
    let _more = calls(&places, 2).await;
    drop(taken);
    assert_eq!((places.now().calls, places.now().idle), (2, 0));
}

#[tokio::test]
async fn while_memory_is_short_no_instance_waits_for_its_next_call() {
    let places = places(1);
    let taken = calls(&places, 1).await;
    assert!(!taken[0].becomes_idle());
    assert_eq!(places.now().idle, 0);
}

#[tokio::test]
async fn a_large_instance_counts_as_several() {
    let places = places(u64::MAX);
    let large = places
        .take(Class::Call, SizeOf::instance(2, 69), SHORT)
        .await
        .unwrap();
    assert_eq!(places.now().calls, 18);
    assert_eq!(large.becomes_stream(), Ok(()));
    let now = places.now();
    assert_eq!((now.calls, now.streams), (0, 3));
}
