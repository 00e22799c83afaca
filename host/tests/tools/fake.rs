//! A node that is made up, but for its release agreement, which is the real
//! core without a network: what its members do is what a test says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cluster::data::DataStore;
use cluster::release::{Component, DeployKey, DraftError, Plan, Release, Request, Verdict, What};
use cluster::{
    ComponentBytes, Config, ConfigLines, Digest, Input, Keys, NodeName, Setting, SettingChange,
    Time,
};
use host::api::types as api;
use host::api::types::{Code, ReleaseStatus};
use host::api::{Later, NodeApi, Refused, describe, settings};
use mesh::membership::{SettingsLook, Stopping};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

/// The node itself, and the other member.
pub(crate) const ME: &str = "example@10.0.0.1";
pub(crate) const OTHER: &str = "example@10.0.0.2";

/// What the members do with a release that comes.
#[derive(Clone, Debug, Default)]
pub(crate) enum Behaviour {
    /// All serve it at once.
    #[default]
    Serve,
    /// The other one refuses it, for this reason.
    OtherRefuses(&'static str),
    /// The other one cannot take it yet, for this reason, and tries again.
    OtherTriesAgain(&'static str),
    /// Nobody does anything.
    Sleep,
    /// The other one compiles.
    OtherCompiles,
    /// Somebody else releases this app in the same moment.
    Overtake(&'static [u8]),
    /// The node leaves before the release is published.
    Leave,
    /// The node drafts something else than it was asked for. Apart from that, `Serve`.
    DraftOther(Lie),
}

/// What is wrong in a draft.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lie {
    /// It releases this component.
    App(&'static [u8]),
    /// It has another note.
    Note,
    /// It is of an hour later.
    Time,
    /// It goes nowhere back, but pushes this component.
    Push(&'static [u8]),
}

pub(crate) struct Fake {
    core: Mutex<cluster::Node>,
    data: DataStore,
    apps: Mutex<BTreeMap<Digest, Component>>,
    members: Mutex<Vec<api::MemberStatus>>,
    behaviour: Mutex<Behaviour>,
    changes: watch::Sender<()>,
    deploy_key: Option<DeployKey>,
    began: Instant,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is right");
    u64::try_from(since.as_millis()).expect("it fits")
}

fn member(node: &str) -> api::MemberStatus {
    let name: NodeName = node.parse().expect("a name");
    api::MemberStatus {
        node: node.to_owned(),
        me: node == ME,
        url: format!("http://{}:8080", name.ip()),
        boot: 7,
        since_ms: wall_ms(),
        digest: None,
        release: None,
        on_target: false,
        bake: None,
        answered: true,
        doing: None,
        failed: None,
        cookie: None,
    }
}

impl Fake {
    pub(crate) fn new(deploy_key: Option<DeployKey>) -> Arc<Fake> {
        let name: NodeName = ME.parse().expect("a name");
        let data = DataStore::default();
        let config = Config {
            url: cluster::HttpUrl::plain((name.ip(), 8080)),
            name,
            cluster_port: 8383,
            broadcast: None,
            subnet: "10.0.0.0/24".parse().expect("a network"),
            allow: Vec::new(),
            join: Vec::new(),
            boot_stored: None,
            releases_stored: None,
            settings_stored: None,
            app_config: ConfigLines::default(),
            data: data.clone(),
            deploy_key: deploy_key.clone(),
            built_ms: 0,
            wall_ms: wall_ms(),
        };
        let keys = Keys::from_master(&[7; 32]);
        let core = cluster::Node::new(config, &keys, Time::from_start(Duration::ZERO), 1);
        Arc::new(Fake {
            core: Mutex::new(core),
            data,
            apps: Mutex::default(),
            members: Mutex::new(vec![member(ME), member(OTHER)]),
            behaviour: Mutex::default(),
            changes: watch::Sender::new(()),
            deploy_key,
            began: Instant::now(),
        })
    }

    pub(crate) fn behaves(&self, behaviour: Behaviour) {
        *held(&self.behaviour) = behaviour;
    }

    /// From now on every member serves this.
    pub(crate) fn all_serve(&self, digest: Digest) {
        for member in held(&self.members).iter_mut() {
            member.digest = Some(digest.to_string());
        }
        self.changes.send_replace(());
    }

    /// The other one has done what it was doing, and serves this.
    pub(crate) fn other_serves(&self, digest: Digest) {
        held(&self.members)[1].doing = None;
        self.all_serve(digest);
    }

    /// This node votes on its newest release.
    pub(crate) fn votes(&self, verdict: Verdict) {
        let mut core = held(&self.core);
        let head = core.target().expect("there is a release").head.id();
        core.handle(self.now(), wall_ms(), Input::Vote(head, verdict));
        while core.poll_effect().is_some() {}
        drop(core);
        self.changes.send_replace(());
    }

    /// The other member is gone.
    pub(crate) fn is_alone(&self) {
        held(&self.members).truncate(1);
        self.changes.send_replace(());
    }

    fn now(&self) -> Time {
        Time::from_start(self.began.elapsed())
    }

    fn take(&self, release: Arc<Release>) {
        let mut core = held(&self.core);
        core.handle(self.now(), wall_ms(), Input::Publish(release));
        while core.poll_effect().is_some() {}
    }

    fn draft_now(&self, request: Request) -> Result<Arc<Release>, DraftError> {
        held(&self.core).draft(self.now(), wall_ms(), request)
    }

    fn draft_other(&self, asked: Request, lie: Lie) -> Result<Arc<Release>, DraftError> {
        let other = |app| What::Push {
            component: Component::of(app),
            plan: Plan::default(),
        };
        let request = match lie {
            Lie::App(app) | Lie::Push(app) => Request {
                what: other(app),
                ..asked
            },
            Lie::Note => Request {
                note: "another note".to_owned(),
                ..asked
            },
            Lie::Time => asked,
        };
        let ahead = if matches!(lie, Lie::Time) {
            60 * 60 * 1000
        } else {
            0
        };
        held(&self.core).draft(self.now(), wall_ms() + ahead, request)
    }

    fn react(&self, release: &Release) {
        let digest = release.component().digest;
        let behaviour = held(&self.behaviour).clone();
        match behaviour {
            Behaviour::Sleep | Behaviour::Leave => {}
            Behaviour::OtherCompiles => {
                let mut members = held(&self.members);
                members[0].digest = Some(digest.to_string());
                members[1].doing = Some(api::Doing {
                    step: api::Step::Compiling,
                    digest: digest.to_string(),
                    release: Some(describe::id(&release.id())),
                    have: None,
                    of: None,
                });
            }
            Behaviour::Serve | Behaviour::DraftOther(_) => self.all_serve(digest),
            Behaviour::OtherRefuses(why) | Behaviour::OtherTriesAgain(why) => {
                let mut members = held(&self.members);
                members[0].digest = Some(digest.to_string());
                members[1].failed = Some(api::Failed {
                    at_ms: wall_ms(),
                    reason: why.to_owned(),
                    digest: Some(digest.to_string()),
                    release: Some(describe::id(&release.id())),
                    again: matches!(behaviour, Behaviour::OtherTriesAgain(_)),
                });
            }
            Behaviour::Overtake(app) => {
                self.behaves(Behaviour::Serve);
                let request = Request {
                    what: What::Push {
                        component: Component::of(app),
                        plan: Plan::default(),
                    },
                    by: "somebody@else".to_owned(),
                    note: String::new(),
                    expect: None,
                    again: false,
                };
                let other = self.draft_now(request).expect("it can be released");
                self.take(other);
            }
        }
        self.changes.send_replace(());
    }
}

impl NodeApi for Fake {
    fn status(&self) -> api::Status {
        let core = held(&self.core);
        let target = core.target();
        api::Status {
            api: api::API,
            now_ms: wall_ms(),
            node: ME.to_owned(),
            version: "0.0.0".to_owned(),
            pid: std::process::id(),
            started_ms: wall_ms(),
            url: "http://10.0.0.1:8080".to_owned(),
            members: held(&self.members).len(),
            serving: None,
            draining: None,
            doing: None,
            failed: None,
            target: target.map(|target| api::TargetStatus {
                release: describe::id(&target.id),
                digest: target.digest.to_string(),
                head: describe::id(&target.head.id()),
                head_status: ReleaseStatus::Target,
            }),
            file: None,
            store: api::Stored::default(),
            load: api::Load::default(),
            datagrams: api::Datagrams::default(),
            records: api::RefusedRecords::default(),
            callers: api::Callers::default(),
            fetches: api::Fetches::default(),
            publications: api::Publications::default(),
            log: api::LogLines::default(),
            deploy_key: self.deploy_key.as_ref().map(ToString::to_string),
        }
    }

    fn nodes(&self, _: Option<&str>) -> Later<'_, Vec<api::MemberStatus>> {
        Box::pin(async { held(&self.members).clone() })
    }

    fn releases(&self) -> Vec<api::ReleaseInfo> {
        let listed = held(&self.core).listing();
        let names = [ME, OTHER].map(|name| name.parse().expect("a name"));
        describe::releases(&listed, &names)
    }

    fn changed(&self) -> Later<'static, ()> {
        let mut changes = self.changes.subscribe();
        Box::pin(async move {
            // It fails only if the node is gone.
            let _ = changes.changed().await;
        })
    }

    fn store(&self, component: ComponentBytes) -> Later<'_, Result<(), Refused>> {
        let answer = if component.bytes().starts_with(b"bad") {
            Err(Refused::new(Code::BadComponent, "it is no component"))
        } else {
            held(&self.apps).insert(component.digest(), component.app());
            Ok(())
        };
        Box::pin(async move { answer })
    }

    fn find(&self, digest: Digest) -> Later<'_, Result<Option<Component>, Refused>> {
        let found = held(&self.apps).get(&digest).copied();
        Box::pin(async move { Ok(found) })
    }

    fn draft(
        &self,
        request: Request,
    ) -> Later<'_, Result<Result<Arc<Release>, DraftError>, Refused>> {
        let drafted = match *held(&self.behaviour) {
            Behaviour::DraftOther(lie) => self.draft_other(request, lie),
            _ => self.draft_now(request),
        };
        Box::pin(async move { Ok(drafted) })
    }

    fn publish(&self, release: Arc<Release>) -> Later<'_, Result<(), Refused>> {
        if matches!(*held(&self.behaviour), Behaviour::Leave) {
            let leaving = Refused::new(Code::Stopping, Stopping);
            return Box::pin(async { Err(leaving) });
        }
        self.take(release.clone());
        self.react(&release);
        Box::pin(async { Ok(()) })
    }

    fn settings(&self) -> Later<'_, Result<SettingsLook, Refused>> {
        let core = held(&self.core);
        let settings = core.settings();
        let secret = |it: &Arc<Setting>| Some((it.key().to_owned(), core.secret_fingerprint(it)?));
        let look = SettingsLook {
            next: core.next_setting(self.now(), wall_ms()),
            fingerprints: settings.live().iter().filter_map(secret).collect(),
            settings,
        };
        Box::pin(async { Ok(look) })
    }

    fn draft_settings(
        &self,
        changes: Vec<SettingChange>,
        by: String,
    ) -> Later<'_, Result<Vec<Arc<Setting>>, Refused>> {
        let core = held(&self.core);
        let draft = core.draft_settings(self.now(), wall_ms(), changes, &by, [7; 16]);
        Box::pin(async { draft.map_err(settings::refused) })
    }

    fn publish_settings(&self, records: Vec<Arc<Setting>>) -> Later<'_, Result<(), Refused>> {
        if matches!(*held(&self.behaviour), Behaviour::Leave) {
            let leaving = Refused::new(Code::Stopping, Stopping);
            return Box::pin(async { Err(leaving) });
        }
        let mut core = held(&self.core);
        let checked = core.check_settings(&records);
        if checked.is_ok() {
            core.handle(self.now(), wall_ms(), Input::Settings(records));
            while core.poll_effect().is_some() {}
        }
        Box::pin(async { checked.map_err(settings::refused) })
    }

    fn data(&self) -> &DataStore {
        &self.data
    }
}
