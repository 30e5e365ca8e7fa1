use super::{place::find_places, *};

const UNIFIED: &str = "24 1 0:22 / /sys rw - sysfs sysfs rw
35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
";
const SPLIT: &str = "31 24 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
36 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
37 31 0:33 /docker/a /sys/fs/cgroup/my\\040pids rw,relatime - cgroup cgroup rw,pids
";

fn place(controller: Controller, top: &str, own: &str) -> GroupPlace {
    GroupPlace {
        controller,
        top: top.into(),
        own: own.into(),
    }
}

#[test]
fn hierarchies_are_found_in_the_kernels_tables() {
    let own = "0::/user.slice/app.scope\n";
    let expected = [place(
        Controller::Unified,
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/user.slice/app.scope",
    )];
    assert_eq!(find_places(UNIFIED, own), expected);
    let own = "9:pids:/docker/a\n4:memory:/api/b\n0::/\n";
    let expected = [
        place(
            Controller::Memory,
            "/sys/fs/cgroup/memory",
            "/sys/fs/cgroup/memory/api/b",
        ),
        place(
            Controller::Processes,
            "/sys/fs/cgroup/my pids",
            "/sys/fs/cgroup/my pids",
        ),
    ];
    assert_eq!(find_places(SPLIT, own), expected);
    // Outside of what is mounted.
    assert_eq!(find_places(SPLIT, "9:pids:/other\n"), []);
    assert_eq!(find_places("", ""), []);
}

/// A folder with the files of version 2, of which the middle group hands limits down.
fn unified_stage() -> (tempfile::TempDir, GroupPlace) {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("slice/scope");
    fs::create_dir_all(&own).unwrap();
    for (file, text) in [
        ("cgroup.subtree_control", "cpu\n"),
        ("slice/cgroup.subtree_control", "cpu memory pids\n"),
        ("slice/cgroup.procs", ""),
        ("slice/scope/cgroup.subtree_control", ""),
    ] {
        fs::write(dir.path().join(file), text).unwrap();
    }
    let place = place(Controller::Unified, "", "");
    let place = GroupPlace {
        top: dir.path().to_owned(),
        own,
        ..place
    };
    (dir, place)
}

#[test]
fn groups_of_version_2_stand_beside_the_daemons_own() {
    let (dir, place) = unified_stage();
    let groups = Arc::new(ResourceGroups::open_in(&[place]));
    assert_eq!(groups.why_not(), None);
    assert_eq!(groups.holds(), (true, true));
    let own = &groups.folders[0].path;
    assert_eq!(own.parent().unwrap(), dir.path().join("slice"));
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    assert_eq!(read(own.join("cgroup.subtree_control")), "+memory +pids");
    let group = groups.make_group(1 << 30, 100).unwrap().unwrap();
    let task = own.join("task-1");
    assert_eq!(group.entrances(), [task.join("cgroup.procs")]);
    for (file, text) in [
        ("memory.max", "1073741824"),
        ("memory.swap.max", "0"),
        ("memory.oom.group", "1"),
        ("pids.max", "102"),
    ] {
        assert_eq!(read(task.join(file)), text, "{file}");
    }
    for (file, text, exceeded) in [
        ("memory.events", "high 0\nmax 9\noom 0\noom_kill 3\n", None),
        ("pids.events", "max 1\n", Some(LimitKind::Processes)),
        ("memory.events", "oom 1\n", Some(LimitKind::Memory)),
    ] {
        fs::write(task.join(file), text).unwrap();
        assert_eq!(group.exceeded(), exceeded, "{text}");
    }
}

#[test]
fn without_a_place_there_is_a_reason() {
    let (_dir, mut place) = unified_stage();
    place.own.clone_from(&place.top);
    let groups = Arc::new(ResourceGroups::open_in(&[place]));
    assert_eq!(
        groups.why_not(),
        Some("cgroup v2: no group above hands memory and pids down")
    );
    assert_eq!(groups.holds(), (false, false));
    assert!(groups.make_group(1, 1).unwrap().is_none());
    assert!(ResourceGroups::open_in(&[]).why_not().is_some());
}

#[test]
fn what_ended_daemons_left_is_removed_and_what_living_ones_have_stays() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().to_str().unwrap();
    let place = [place(Controller::Processes, base, base)];
    fs::create_dir_all(dir.path().join("claudecluster-ended/task-7")).unwrap();
    fs::create_dir(dir.path().join("other")).unwrap();
    let list = || {
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        names.sort_unstable();
        names
    };
    let first = ResourceGroups::open_in(&place);
    let second = ResourceGroups::open_in(&place);
    let (one, two) = (&first.folders[0].path, &second.folders[0].path);
    let mut expected = vec![one.clone(), two.clone(), dir.path().join("other")];
    expected.sort_unstable();
    assert_eq!(list(), expected);
}
