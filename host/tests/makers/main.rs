//! Components made with the toolchains of others, which a user brings as they
//! are: the apps of `fixtures/makers`. Each is asked for the same things.
//!
//! - [`apps`]: which there are
//! - [`served`]: what each of them answers, in this process
//! - [`pushed`]: a node that is pushed one of them, and the next under load

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code)]
#[path = "../releases/place.rs"]
mod place;

mod apps;
mod pushed;
mod served;

/// The same tests for each app: `python::an_upload_streams_through_it`.
macro_rules! tests {
    ($($app:ident),*) => { $(
        mod $app {
            use crate::apps::App;
            use crate::{pushed, served};

            const APP: App = App::named(stringify!($app));

            #[tokio::test]
            async fn it_says_hello() {
                served::hello(APP).await;
            }

            #[tokio::test]
            async fn a_stream_comes_as_it_is_made_and_ends() {
                served::stream(APP).await;
            }

            #[tokio::test]
            async fn a_client_that_goes_ends_its_stream() {
                served::endless(APP).await;
            }

            #[tokio::test]
            async fn an_upload_streams_through_it() {
                served::echo(APP).await;
            }

            #[tokio::test]
            async fn it_answers_before_it_has_the_body() {
                served::early(APP).await;
            }

            #[tokio::test]
            async fn head_is_a_head_alone_and_no_failure() {
                served::head(APP).await;
            }

            #[tokio::test]
            async fn a_status_without_a_body_has_none() {
                served::statuses(APP).await;
            }

            #[tokio::test]
            async fn fields_come_and_go_as_they_are() {
                served::fields(APP).await;
            }

            #[tokio::test]
            async fn a_failure_is_500_and_harms_nothing_else() {
                served::failure(APP).await;
            }

            #[test]
            fn the_next_is_pushed_under_load_and_taken_back() -> anyhow::Result<()> {
                pushed::under_load(APP)
            }
        }
    )* };
}

tests!(
    wasip2, wasip3, wstd, axum, spin, composed, python, python_03, javascript
);

/// Each middleware of the composed app has its turn, the outermost first, and
/// what is for none of them reaches the app.
#[tokio::test]
async fn each_middleware_of_the_composed_app_sees_its_requests() {
    served::layers(apps::App::named("composed")).await;
}
