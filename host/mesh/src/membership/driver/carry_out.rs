//! Carries out what the core wants: sends datagrams, exchanges states, stores numbers and
//! releases, and informs the rest of the host and people.

use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster::Effect;
use cluster::release::{DraftError, News};
use tokio::sync::oneshot;

use super::Driver;
use super::held::HeldDatagrams;
use crate::membership::{FatalError, broadcast, report};

/// How long an app file waits that was not released because the clock is ahead.
const FILE_AGAIN: Duration = Duration::from_secs(60);

impl Driver {
    pub(super) fn carry_out(
        &mut self,
        effect: Effect,
        answer: &mut Option<oneshot::Sender<Bytes>>,
    ) {
        if let Some(held) = &mut self.held {
            return held.push(effect, answer);
        }
        match effect {
            Effect::Send { to, bytes } => {
                if let Err(error) = broadcast::send_now(&self.gossip, &bytes, to) {
                    tracing::debug!(%to, %error, "datagram not sent");
                    self.counters.unsent += 1;
                }
            }
            Effect::Broadcast { bytes } => {
                if !self.broadcast.send(&self.gossip, bytes) {
                    self.counters.unsent += 1;
                }
            }
            Effect::View(view) => {
                self.links.keep(&view);
                self.outside.client.keep(&view);
                self.outside.views.send_replace(view);
            }
            Effect::Up { member, reason } => report::up(&member, reason),
            Effect::Down { member, reason } => report::down(&member, reason),
            Effect::Sync { with, name, bytes } => {
                if !self.links.sync(with, name, bytes) {
                    self.counters.syncs_dropped += 1;
                }
            }
            Effect::SyncReply { member: _, bytes } => {
                if let Some(answer) = answer.take() {
                    // A caller that is gone does not need it.
                    let _ = answer.send(bytes);
                }
            }
            Effect::StoreBoot(boot) => {
                self.held = Some(HeldDatagrams::until(boot, self.boots.store_apart(boot)));
            }
            Effect::StoreReleases { bytes, first } => self.releases.store(bytes, first),
            Effect::StoreSettings { bytes, first } => self.stored_settings.store(bytes, first),
            Effect::Settings(settings) => {
                self.outside.settings.send_replace(settings);
            }
            Effect::SettingNews(news) => report::setting(&news),
            Effect::Release(news) => self.release_news(news),
            Effect::Refused { source, why, count } => report::refused(source, why, count),
            Effect::NameTaken { evidence } => {
                let name = self.name.clone();
                self.outside
                    .fatal
                    .send_replace(Some(FatalError::NameTaken { name, evidence }));
            }
            Effect::Departed => self.departed = true,
        }
    }

    fn release_news(&mut self, news: News) {
        report::release(&news, &self.node.names());
        match news {
            News::Target(target) => {
                self.outside.target.send_replace(Some(target));
            }
            News::File { file, outcome } => {
                if let Some((_, answer)) = self.file_asked.take_if(|(asked, _)| *asked == file) {
                    // If the caller no longer waits, it does not need it.
                    let _ = answer.send(outcome.clone());
                }
                match outcome {
                    Err(DraftError::ClockAhead(_)) => {
                        self.file_again = Some((Instant::now() + FILE_AGAIN, file));
                    }
                    Ok(None) => {
                        let target = self.outside.target.borrow();
                        let other = target
                            .as_ref()
                            .filter(|it| it.digest != file.component.digest);
                        if let Some(target) = other {
                            report::file_differs(file.component.digest, target);
                        }
                    }
                    Ok(Some(_)) | Err(_) => {}
                }
            }
            News::Superseded { .. }
            | News::VoteState { .. }
            | News::OtherPlan { .. }
            | News::SetAside(_)
            | News::Forgotten { .. } => {}
        }
    }
}
