//! Releases of packages whose older lines are kept up: real histories that fork, for comparing merges
//! with git's.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{make, unpack_wheel};
use crate::run::Result;

/// The environment variable through which tests are told where they are.
pub(super) const VARIABLE: &str = "CLAUDECLUSTER_TEST_HISTORIES";

/// Changes with the list below.
const FOLDER: &str = "histories-1";

/// Python, YAML, PowerShell and reStructuredText of `ansible-core`, which backports fixes to three
/// lines at a time; Python and C of `Cython`, whose two lines were developed side by side for years.
/// The platform-neutral wheels: the files as they are in the repository. 17 MB.
const RELEASES: [(&str, &str); 9] = [
    (
        "ansible-core==2.15.0",
        "723ef347b55ac48bb70951124d0b1e71d799cf7488924d484c3e88aaf9a8c14c",
    ),
    (
        "ansible-core==2.15.5",
        "3efa234de5fce79ec98853f3369535b27cacd7ce498495b996030cd15c373735",
    ),
    (
        "ansible-core==2.15.12",
        "390edd603420122f7cb1c470d8d1f8bdbbd795a1844dd03c1917db21935aecb9",
    ),
    (
        "ansible-core==2.16.0",
        "6b4870ac65b708953e1509b8ccca669731a17d2beadabd8208c9f90d189058ca",
    ),
    (
        "ansible-core==2.16.8",
        "8fab9f08049e3cbc181f0566a17dfb896d9164ef5048c63e9e07fda4624686c7",
    ),
    (
        "ansible-core==2.17.0",
        "a5de008985cd51eb01599cf1a14d3b45f917095ac6cdab867b0d11c3f922c343",
    ),
    (
        "Cython==0.29.37",
        "95f1d6a83ef2729e67b3fa7318c829ce5b07ac64c084cd6af11c228e0364662c",
    ),
    (
        "Cython==3.0.0",
        "ff1aef1a03cfe293237c7a86ae9625b0411b2df30c53d1a7f29a8d381f38a1df",
    ),
    (
        "Cython==3.0.12",
        "0038c9bae46c459669390e53a1ec115f8096b2e4647ae007ff1bf4e6dee92806",
    ),
];

/// Brings the releases, each into a folder named by package and version.
pub(super) fn provide(cache: &Path) -> Result<PathBuf> {
    if let Some(path) = env::var_os(VARIABLE) {
        let path = PathBuf::from(path);
        eprintln!("histories: {} (from {VARIABLE})", path.display());
        return Ok(path);
    }
    let folder = cache.join(FOLDER);
    if !folder.is_dir() {
        eprintln!("histories: bringing them to {}", folder.display());
        make(cache, &folder, fill).map_err(|error| {
            format!(
                "the histories could not be brought: {error}\n\
                 They need Python 3 with pip (Debian: `apt-get install python3-pip`) and the package \
                 index once. Then run `cargo xtask provision` again."
            )
        })?;
    }
    eprintln!("histories: {}", folder.display());
    Ok(folder)
}

fn fill(folder: &Path) -> Result {
    for (requirement, sha256) in RELEASES {
        let release = folder.join(requirement.replace("==", "-"));
        fs::create_dir(&release)?;
        unpack_wheel(requirement, sha256, &release)?;
    }
    Ok(())
}
