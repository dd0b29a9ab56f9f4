//! Debian packages, from the machine's own mirror, with a private list of sources.
//!
//! Some of what is needed lies in other suites (backports, other releases) than the machine is set
//! up for. Their lists are kept in the cache, so that the system's sources stay as they are.

use std::{cell::Cell, collections::BTreeSet, fs, path::Path, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use leakprobe_guest::cache_dir;

use super::item::Package;
use crate::command::{find, is_root, output, run};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Whether this machine runs Debian.
pub fn is_debian() -> bool {
    os_release("ID").as_deref() == Some("debian") && find("apt-get").is_some()
}

fn os_release(key: &str) -> Option<String> {
    let file = fs::read_to_string("/etc/os-release").ok()?;
    file.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(k, _)| *k == key)
        .map(|(_, value)| value.trim_matches('"').to_owned())
}

/// apt with its private sources.
pub struct Apt {
    folder: PathBuf,
    codename: String,
    updated: Cell<bool>,
}

impl Apt {
    /// Writes the list of sources: what the machine has of its own release, that release's
    /// backports, and `suites`.
    pub fn new(suites: impl IntoIterator<Item = &'static str>) -> Result<Apt> {
        let codename = os_release("VERSION_CODENAME")
            .context("/etc/os-release names no VERSION_CODENAME: use a Debian release")?;
        let mut sources = configured(&codename)?;
        let Some((mirror, _)) = sources.iter().find(|(_, suite)| *suite == codename).cloned()
        else {
            bail!("no source for Debian {codename} is configured: add it to /etc/apt");
        };
        sources.insert((mirror.clone(), format!("{codename}-backports")));
        sources.extend(suites.into_iter().map(|s| (mirror.clone(), s.to_owned())));

        let folder = cache_dir()?.join("apt");
        for part in ["lists/partial", "archives/partial", "parts"] {
            let part = folder.join(part);
            fs::create_dir_all(&part)
                .with_context(|| format!("{} can't be made", part.display()))?;
        }
        let list: String = sources
            .iter()
            .map(|(mirror, suite)| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"))
            .collect();
        fs::write(folder.join("sources.list"), list)?;
        fs::write(folder.join("apt.conf"), configuration(&folder))?;
        Ok(Apt { folder, codename, updated: Cell::new(false) })
    }

    /// Installs packages, as root or by sudo.
    pub fn install(&self, packages: &[&Package]) -> Result<()> {
        self.update()?;
        for backport in [false, true] {
            let names: Vec<_> =
                packages.iter().filter(|p| p.backport == backport).map(|p| p.name).collect();
            if names.is_empty() {
                continue;
            }
            let mut command = if is_root() {
                self.apt("apt-get")
            } else {
                let mut sudo = Command::new("sudo");
                sudo.arg(format!("APT_CONFIG={}", self.configuration().display()))
                    .args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
                sudo
            };
            command.args(["-qq", "install", "--yes", "--no-install-recommends"]);
            if backport {
                command.args(["-t", &format!("{}-backports", self.codename)]);
            }
            run(command.args(names))?;
        }
        Ok(())
    }

    /// Downloads a package (`name` or `name=version`) and unpacks it into `folder`, whole or not at
    /// all.
    pub fn unpack(&self, package: &str, folder: &Path) -> Result<()> {
        self.update()?;
        let parent = folder.parent().context("no place to unpack to")?;
        fs::create_dir_all(parent)?;
        let work = tempfile::tempdir_in(parent)?;
        let mut download = self.apt("apt-get");
        run(download.args(["-qq", "download", package]).current_dir(work.path()))?;
        let archive = fs::read_dir(work.path())?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|e| e == "deb"))
            .with_context(|| format!("apt-get download {package} left no .deb file"))?;
        let tree = work.path().join("tree");
        run(Command::new("dpkg").arg("-x").args([&archive, &tree]))?;
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::rename(&tree, folder)?;
        Ok(())
    }

    /// The versions of a package that can be had.
    pub fn versions(&self, package: &str) -> Result<Vec<String>> {
        self.update()?;
        let table = output(self.apt("apt-cache").args(["madison", package]))?;
        Ok(table
            .lines()
            .filter_map(|line| line.split('|').nth(1))
            .map(|version| version.trim().to_owned())
            .collect())
    }

    /// The names of packages that begin so.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        self.update()?;
        let names = output(self.apt("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.configuration()).env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("apt.conf")
    }

    fn update(&self) -> Result<()> {
        if !self.updated.get() {
            run(self.apt("apt-get").args(["-qq", "update"]))?;
            self.updated.set(true);
        }
        Ok(())
    }
}

/// What differs from the system's own configuration.
fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    let mut text = format!(
        r#"Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "{folder}/parts";
Dir::State::lists "{folder}/lists";
Dir::Cache::archives "{folder}/archives";
APT::Keep-Downloaded-Packages "false";
// These hold what was read from the system's own lists.
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"#
    );
    if is_root() {
        // apt's own user can't write to root's cache.
        text.push_str("APT::Sandbox::User \"root\";\n");
    }
    text
}

/// Mirror and suite of the sources that the machine has for its own release.
fn configured(codename: &str) -> Result<BTreeSet<(String, String)>> {
    let targets = output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(CREATED_BY) $(REPO_URI) $(RELEASE) $(COMPONENT)",
    ]))?;
    Ok(targets
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (kind, mirror) = (words.next()?, words.next()?);
            let (suite, component) = (words.next()?, words.next()?);
            (kind == "Packages" && component == "main" && suite.starts_with(codename))
                .then(|| (mirror.to_owned(), suite.to_owned()))
        })
        .collect())
}
