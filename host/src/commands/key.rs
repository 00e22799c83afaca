//! Deploy keys: makes them, reads them from files, and signs with them.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use cluster::Setting;
use cluster::release::{ClusterName, DeployKey, Release, SIGNATURE_LEN};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use rand::TryRng as _;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::cli::KeyCommand;
use super::{CommandError, Exit, make_secret, print, tell};

/// How the file of a key begins. So nobody takes it for the public half, which
/// has the same number of digits.
const BEGINS: &str = "ace-raxx secret deploy key ";

/// The longest file of a key, in bytes.
const FILE_MAX: u64 = 256;

/// Runs `host key`.
pub(super) fn run(command: KeyCommand) -> Result<Exit, CommandError> {
    match command {
        KeyCommand::New { file, cluster } => {
            let key = SigningKey::generate(&file, cluster)?;
            let public = key.public();
            tell(&format!(
                "made a deploy key in {file}, which only its owner can read\n\
                 give every node its public half: --deploy-key {public}\n\
                 and push with: host push COMPONENT --sign-with {file}",
                file = file.display()
            ));
            print(&format!("{public}\n"))?;
        }
        KeyCommand::Public { file } => print(&format!("{}\n", SigningKey::read(&file)?.public()))?,
    }
    Ok(Exit::OK)
}

/// A deploy key with its secret half.
pub(super) struct SigningKey {
    pair: Ed25519KeyPair,
    cluster: ClusterName,
}

impl SigningKey {
    fn generate(path: &Path, cluster: ClusterName) -> Result<SigningKey, CommandError> {
        let mut seed = Zeroizing::new([0; 32]);
        rand::rngs::SysRng
            .try_fill_bytes(&mut *seed)
            .map_err(|error| CommandError::Random(error.to_string()))?;
        let text = Zeroizing::new(format!(
            "{BEGINS}{cluster} {}\n",
            &*Zeroizing::new(HEXLOWER.encode(&*seed))
        ));
        make_secret(path, &[text.as_bytes()]).map_err(|cause| match cause.kind() {
            io::ErrorKind::AlreadyExists => CommandError::Exists(path.to_owned()),
            _ => CommandError::Make {
                path: path.to_owned(),
                cause,
            },
        })?;
        SigningKey::of(&*seed, cluster).ok_or_else(|| CommandError::NoKey(path.to_owned()))
    }

    /// Reads the file of a key.
    pub(super) fn read(path: &Path) -> Result<SigningKey, CommandError> {
        let failed = |cause| CommandError::Read {
            path: path.to_owned(),
            cause,
        };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            tell(&format!(
                "warning: others than its owner can get at {}: chmod 600 it",
                path.display()
            ));
        }
        let mut text = Zeroizing::new(String::new());
        let read = file.take(FILE_MAX).read_to_string(&mut text);
        let no_key = || CommandError::NoKey(path.to_owned());
        read.map_err(|cause| match cause.kind() {
            io::ErrorKind::InvalidData => no_key(),
            _ => failed(cause),
        })?;
        let parts = text.strip_prefix(BEGINS).and_then(|it| it.split_once(' '));
        let (cluster, hex) = parts.ok_or_else(no_key)?;
        let cluster = cluster.parse().map_err(|_| no_key())?;
        let seed = HEXLOWER_PERMISSIVE.decode(hex.trim_end().as_bytes());
        let seed = Zeroizing::new(seed.map_err(|_| no_key())?);
        SigningKey::of(&seed, cluster).ok_or_else(no_key)
    }

    fn of(seed: &[u8], cluster: ClusterName) -> Option<SigningKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(SigningKey { pair, cluster })
    }

    /// The public half of the key.
    fn public(&self) -> DeployKey {
        let mut bytes = [0; 32];
        // An Ed25519 public key has 32 bytes: RFC 8032.
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        DeployKey::new(self.cluster.clone(), bytes)
    }

    /// The cluster that it is for.
    pub(super) fn cluster(&self) -> &ClusterName {
        &self.cluster
    }

    /// Returns the same setting with a signature.
    pub(super) fn sign_setting(&self, setting: &Setting) -> Result<Arc<Setting>, CommandError> {
        let signature = self.signature(setting.signed_bytes());
        setting
            .with_signature(&signature)
            .map_err(|error| CommandError::Setting(error.into()))
    }

    fn signature(&self, bytes: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut signature = [0; SIGNATURE_LEN];
        // A signature has 64 bytes: RFC 8032.
        signature.copy_from_slice(self.pair.sign(bytes).as_ref());
        signature
    }

    /// Returns the same release with a signature.
    pub(super) fn sign(&self, release: &Release) -> Result<Arc<Release>, CommandError> {
        let signature = self.signature(release.signed_bytes());
        let signed = release
            .with_signature(&signature)
            .map_err(CommandError::Sign)?;
        match self.public().check(&signed) {
            Ok(()) => Ok(signed),
            Err(why) => Err(CommandError::NotSigned(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_its_file_which_only_its_owner_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deploy.key");
        let cluster = || "berlin".parse().unwrap();
        let made = SigningKey::generate(&path, cluster()).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(SigningKey::read(&path).unwrap().public(), made.public());
        let shown = made.public().to_string();
        assert_eq!(shown.parse(), Ok(made.public()));
        assert!(shown.starts_with("berlin:"));
        let again = SigningKey::generate(&path, cluster())
            .map(|_| ())
            .unwrap_err();
        assert!(matches!(again, CommandError::Exists(_)));
    }

    #[test]
    fn what_is_no_secret_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let unnamed = format!("ace-raxx secret deploy key {}\n", "0".repeat(64));
        for text in [
            "",
            &"0".repeat(64),
            "ace-raxx secret deploy key berlin 00\n",
            &unnamed,
        ] {
            std::fs::write(&path, text).unwrap();
            let refused = SigningKey::read(&path).map(|_| ()).unwrap_err();
            assert!(matches!(refused, CommandError::NoKey(_)), "{text}");
        }
        std::fs::write(&path, [0xff; 40]).unwrap();
        assert!(matches!(
            SigningKey::read(&path),
            Err(CommandError::NoKey(_))
        ));
    }
}
