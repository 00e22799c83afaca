//! The last phase of a start: other nodes hear of this node, and may ask it.

use std::sync::Arc;
use std::time::SystemTime;

use cluster::data::DataStore;
use cluster::{Counted, HttpUrl, NodeName};
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;

use super::NodeError;
use super::config::NodeConfig;
use super::control_service::{Answering, ControlService};
use super::cookie_watcher::CookieWatcher;
use super::loaded::Loaded;
use super::recovered::Recovered;
use super::running::RunningNode;
use crate::api;
use crate::api::recent::recent;
use crate::app::publish::{self, Inbox};
use crate::app::{App, Tasks};
use mesh::counts::Publications;
use mesh::data::{DataInbox, tell};
use mesh::data_dir::DataDir;
use mesh::membership::{self, FatalError, Membership};
use mesh::store::Store;
use mesh::transfer::{ChunkServer, Fetcher};

/// A node that is a member.
pub(super) struct Joined {
    pub(super) name: NodeName,
    pub(super) membership: Membership,
    app: Arc<App>,
    data: DataStore,
    answers: ControlService,
    fetcher: Fetcher,
    /// The task that watches the cookie files takes this.
    cookies: Option<CookieWatcher>,
}

impl Joined {
    pub(super) fn join(
        config: &NodeConfig,
        name: &NodeName,
        data_dir: Arc<DataDir>,
        url: &HttpUrl,
        loaded: Loaded,
        recovered: &Recovered,
    ) -> Result<Joined, NodeError> {
        let answers = ControlService::default();
        let membership = Membership::start(membership::MembershipConfig {
            name: name.clone(),
            url: url.clone(),
            cluster_port: config.cluster_port,
            allow: config.member_nets.clone(),
            join: config.join.clone(),
            join_names: config.join_names.clone(),
            keys: loaded.keys,
            service: Arc::new(answers.clone()),
            data_dir,
            releases_stored: recovered.releases.clone(),
            settings_stored: recovered.settings.clone(),
            app_config: config.own_config.clone(),
            data: recovered.data.clone(),
            deploy_key: config.deploy_key.clone(),
            serving: loaded.app.loader.current().map(|it| it.serving()),
            views: loaded.members,
            settings: loaded.settings,
        })?;
        Ok(Joined {
            name: name.clone(),
            fetcher: Fetcher::new(
                membership.views(),
                membership.client(),
                recovered.store.clone(),
            ),
            membership,
            app: loaded.app,
            data: recovered.data.clone(),
            answers,
            cookies: Some(loaded.cookies),
        })
    }

    /// Waits until this node has the settings that the others have, or seems to be alone. Before
    /// that, its app must not serve.
    ///
    /// # Errors
    /// The node cannot be a member.
    pub(super) async fn has_settings(&mut self) -> Result<(), FatalError> {
        let settings = self.membership.settings();
        tokio::select! {
            () = settings.merged() => Ok(()),
            fatal = self.membership.fatal() => Err(fatal),
        }
    }

    /// Answers members and tools from now on, and carries what exchanges publish.
    pub(super) fn open(
        &self,
        config: &NodeConfig,
        store: &Store,
        started: SystemTime,
        url: &HttpUrl,
    ) -> api::ApiService {
        let membership = &self.membership;
        let published = Arc::<Counted<Publications>>::default();
        let node = Arc::new(RunningNode {
            name: self.name.clone(),
            url: url.to_string(),
            started,
            file: config.app.clone(),
            members: membership.views(),
            app: self.app.clone(),
            store: store.clone(),
            releases: membership.releases(),
            settings: membership.settings(),
            data: self.data.clone(),
            counting: membership.counting(),
            client: membership.client(),
            fetcher: self.fetcher.clone(),
            published: published.clone(),
            deploy_key: config.deploy_key.clone(),
        });
        let limits = api::Limits {
            component: config.max_component,
            ..api::Limits::default()
        };
        let tools = api::ApiService::new(node.clone(), recent(), limits);
        let topics = self.app.exchanges.topics();
        self.answers.open(Answering {
            node,
            tools: tools.clone(),
            chunk_server: ChunkServer::new(store.clone()),
            inbox: Inbox::new(topics.clone(), membership.views(), published.clone()),
            data: DataInbox::new(self.data.clone(), membership.views()),
        });
        tokio::spawn(tell(
            self.data.clone(),
            membership.views(),
            membership.client(),
        ));
        tokio::spawn(publish::run(
            topics.clone(),
            membership.views(),
            membership.client(),
            published,
        ));
        tools
    }

    /// From now on, makes the target serve and follows the app file.
    pub(super) fn follow(&mut self, config: NodeConfig, recovered: Recovered) -> JoinSet<()> {
        self.app.start(Tasks {
            ip: self.name.ip(),
            followed: config.app.zip(config.watch),
            first: recovered.first,
            crash_guard: recovered.crash_guard,
            store: recovered.store,
            fetcher: self.fetcher.clone(),
            releases: self.membership.releases(),
        })
    }

    /// Reads the cookie files again at each of these signals. None if a task does that
    /// already.
    pub(super) fn watch_cookies(
        &mut self,
        hangups: Signal,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let cookies = self.cookies.take()?;
        let membership = &self.membership;
        Some(cookies.run(membership.keyring(), membership.views(), hangups))
    }
}
