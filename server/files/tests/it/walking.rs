use std::os::unix::fs::symlink;

use claudecluster_files::{ForeignFileError, WalkLimits, WalkStep};

use super::{Ground, make_deep, make_sparse};

fn walk(ground: &Ground, limits: WalkLimits) -> Result<Vec<String>, ForeignFileError> {
    let mut met = Vec::new();
    ground.handle().walk(limits, |entry| {
        met.push(entry.path.to_str().unwrap().to_owned());
        Ok::<_, ForeignFileError>(WalkStep::Into)
    })?;
    Ok(met)
}

#[test]
fn a_walk_meets_everything_once_and_enters_no_link() {
    let ground = Ground::new();
    symlink(ground.path("outside"), ground.foreign("link")).unwrap();
    std::fs::create_dir(ground.foreign("sub/inner")).unwrap();
    std::fs::write(ground.foreign("sub/inner/x"), "").unwrap();
    std::fs::write(ground.foreign("z"), "").unwrap();
    let met = walk(&ground, WalkLimits::default()).unwrap();
    assert_eq!(met, ["link", "sub", "z", "sub/inner", "sub/inner/x"]);
}

#[test]
fn each_limit_ends_a_walk_and_is_named() {
    let check = |make: &dyn Fn(&Ground), limits: WalkLimits, expected: &str| {
        let ground = Ground::new();
        make(&ground);
        let refused = walk(&ground, limits).unwrap_err();
        assert!(refused.is_limit());
        assert!(refused.to_string().contains(expected), "{refused}");
    };
    let limits = WalkLimits::default();
    check(
        &|ground| make_deep(&ground.foreign("deep"), 20_000),
        limits,
        "nested more than 512 deep",
    );
    check(
        &|ground| {
            for name in ["a", "b", "sub/a"] {
                std::fs::write(ground.foreign(name), "").unwrap();
            }
        },
        WalkLimits {
            entries: 3,
            ..limits
        },
        "more than 3 entries",
    );
    check(
        &|ground| make_sparse(&ground.foreign("x")),
        WalkLimits {
            bytes: 1 << 30,
            ..limits
        },
        "more than 1073741824 bytes together",
    );
}

#[test]
fn a_walk_passes_over_and_ends_where_it_is_told() {
    let ground = Ground::new();
    std::fs::write(ground.foreign("sub/x"), "").unwrap();
    let count = |step| {
        let mut met = 0;
        let walked = ground.handle().walk(WalkLimits::default(), |_| {
            met += 1;
            Ok::<_, ForeignFileError>(step)
        });
        walked.unwrap();
        met
    };
    assert_eq!(count(WalkStep::Into), 2);
    assert_eq!(count(WalkStep::Past), 1);
    std::fs::write(ground.foreign("y"), "").unwrap();
    assert_eq!(count(WalkStep::End), 1);
}
