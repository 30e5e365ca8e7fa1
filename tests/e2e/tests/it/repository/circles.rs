//! Modules do not import each other in circles: what changes together lies together, and the rest can be
//! read, and taken out, on its own.
//!
//! A file is a node; an edge leads to the file that holds what a path of it names, through any re-exports on
//! the way. A circle is allowed in one place: between a module and its direct children.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{
    modules::{Module, Modules, Segments},
    workspace,
};

/// How many files the largest circle of a crate may have that still has one. Numbers only go down.
const STILL_THERE: [(&str, usize); 0] = [];

/// Files by the path of the module that each begins with, and the files that each one uses.
type Uses = BTreeMap<Segments, BTreeSet<Segments>>;

impl Modules {
    /// The uses between the files of the crate.
    fn uses(&self) -> Uses {
        let mut uses = Uses::new();
        for (name, module) in &self.0 {
            let from = self.file_of(name);
            let used = uses.entry(from.clone()).or_default();
            for path in &module.paths {
                let to = self.resolve(name, path, &mut BTreeSet::new());
                used.extend(to.map(|to| self.file_of(&to)).filter(|to| *to != from));
            }
        }
        uses
    }

    /// The outermost module that lies in the same file.
    fn file_of(&self, name: &[String]) -> Segments {
        let file = &self.0[name].file;
        let mut outermost = name;
        while let Some((_, parent)) = outermost.split_last()
            && self.0[parent].file == *file
        {
            outermost = parent;
        }
        outermost.to_vec()
    }

    /// The module that holds what `path` names in the module `from`; `None` if another crate does.
    fn resolve(
        &self,
        from: &[String],
        path: &[String],
        seen: &mut BTreeSet<(Segments, String)>,
    ) -> Option<Segments> {
        let mut at = from.to_vec();
        let mut rest = path;
        let mut anchored = false;
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                _ => break,
            }
            (rest, anchored) = (after, true);
        }
        while let Some((name, after)) = rest.split_first() {
            let child = [&*at, std::slice::from_ref(name)].concat();
            if self.0.contains_key(&child) {
                at = child;
            } else {
                let found = self.named(&at, name, after, seen);
                // An enum's variant, a macro's name: the module that was reached has it.
                return found.or_else(|| anchored.then_some(at));
            }
            (rest, anchored) = (after, true);
        }
        anchored.then_some(at)
    }

    /// The module that holds the item `name` of the module `at`, or what `rest` names in a module of that
    /// name.
    fn named(
        &self,
        at: &[String],
        name: &str,
        rest: &[String],
        seen: &mut BTreeSet<(Segments, String)>,
    ) -> Option<Segments> {
        // `use one::one` does not lead to itself, nor do two modules that take over all names of each other.
        if !seen.insert((at.to_vec(), name.to_owned())) {
            return None;
        }
        let module: &Module = &self.0[at];
        if module.items.contains(name) {
            return Some(at.to_vec());
        }
        if let Some(import) = module.imports.get(name) {
            return self.resolve(at, &[import, rest].concat(), seen);
        }
        module.globs.iter().find_map(|glob| {
            let source = self.resolve(at, glob, seen)?;
            let child = [&*source, &[name.to_owned()]].concat();
            if self.0.contains_key(&child) {
                return self.resolve(&child, &[&["self".to_owned()], rest].concat(), seen);
            }
            self.named(&source, name, rest, seen)
        })
    }

    /// Every circle that is not one between a module and its direct children, as lists of modules.
    fn circles(&self) -> Vec<Vec<Segments>> {
        let mut circles = components(&self.uses());
        circles.retain(|circle| circle.len() > 1 && !is_within_one_parent(circle));
        circles
    }
}

/// Whether these modules are one module, not the crate's root, and direct children of it.
fn is_within_one_parent(circle: &[Segments]) -> bool {
    let Some(shortest) = circle.iter().min_by_key(|name| name.len()) else {
        return true;
    };
    let above = shortest.split_last().map_or(&[][..], |(_, parent)| parent);
    [&**shortest, above].into_iter().any(|parent| {
        let belongs = |name: &Segments| {
            name == parent || name.split_last().is_some_and(|(_, above)| above == parent)
        };
        !parent.is_empty() && circle.iter().all(belongs)
    })
}

/// The strongly connected components of a graph: sets of nodes that all reach each other.
fn components(uses: &Uses) -> Vec<Vec<Segments>> {
    let reached: BTreeMap<&Segments, BTreeSet<&Segments>> = uses
        .keys()
        .map(|start| {
            let mut reached = BTreeSet::new();
            let mut open = vec![start];
            while let Some(node) = open.pop() {
                open.extend(uses[node].iter().filter(|next| reached.insert(*next)));
            }
            (start, reached)
        })
        .collect();
    let mut placed = BTreeSet::new();
    let mut components = Vec::new();
    for node in uses.keys() {
        if placed.contains(node) {
            continue;
        }
        let together = |other: &&Segments| {
            *other == node || reached[node].contains(other) && reached[other].contains(node)
        };
        let component: Vec<Segments> = uses.keys().filter(together).cloned().collect();
        placed.extend(component.clone());
        components.push(component);
    }
    components
}

/// A circle as a failure shows it.
fn shown(circle: &[Segments]) -> String {
    let names = circle.iter().map(|name| match name.as_slice() {
        [] => "crate".to_owned(),
        names => names.join("::"),
    });
    names.collect::<Vec<_>>().join(", ")
}

#[test]
fn modules_do_not_import_each_other_in_circles() {
    let still_there = BTreeMap::from(STILL_THERE);
    let mut found = Vec::new();
    for package in workspace::packages() {
        let allowed = still_there.get(&*package.name).copied().unwrap_or(0);
        let code = |target: &&workspace::Target| matches!(&*target.kind, "lib" | "bin");
        for target in package.targets.iter().filter(code) {
            let modules = Modules::read(&target.root, &|path| fs::read_to_string(path).ok());
            let larger = modules
                .circles()
                .into_iter()
                .filter(|circle| circle.len() > allowed);
            found.extend(larger.map(|circle| {
                format!(
                    "{}: {} files: {}",
                    package.name,
                    circle.len(),
                    shown(&circle)
                )
            }));
        }
    }
    assert!(
        found.is_empty(),
        "modules that import each other in circles: {found:#?}"
    );
}

/// The crate of a fixture: `//- path` begins a file, `/lib.rs` is the root.
fn modules(fixture: &str) -> Modules {
    let files: BTreeMap<&str, &str> = fixture
        .split("//- ")
        .skip(1)
        .filter_map(|file| file.split_once('\n'))
        .collect();
    let read = |path: &Path| files.get(path.to_str()?).map(|text| (*text).to_owned());
    Modules::read(Path::new("/lib.rs"), &read)
}

/// Checks which files use which, as `from: to to` lines of the modules' names.
#[track_caller]
fn check_uses(fixture: &str, expected: &[&str]) {
    let name = |name: &Segments| shown(std::slice::from_ref(name));
    let found: Vec<String> = modules(fixture)
        .uses()
        .iter()
        .filter(|(_, to)| !to.is_empty())
        .map(|(from, to)| {
            let to: Vec<String> = to.iter().map(name).collect();
            format!("{}: {}", name(from), to.join(" "))
        })
        .collect();
    assert_eq!(found, expected, "{fixture}");
}

#[test]
fn every_form_of_use_leads_to_the_file_that_holds_the_name() {
    // Groups, `self`, renames, and names that lie deeper.
    check_uses(
        "//- /lib.rs
         mod a; mod b; mod c; mod d;
         //- /a.rs
         use crate::{b::{self, Thing as Other, deep::{One, Two}}, c as renamed};
         use std::collections::BTreeMap;
         fn f() { renamed::f(); b::f(); }
         //- /b.rs
         pub mod deep; pub struct Thing; pub fn f() {}
         //- /b/deep.rs
         pub struct One; pub struct Two;
         //- /c.rs
         pub fn f() {}
         //- /d.rs
         use super::a as first;
         ",
        &["a: b b::deep c", "d: a"],
    );
    // Globs, and what is named through them.
    check_uses(
        "//- /lib.rs
         mod a; mod b; mod c;
         //- /a.rs
         use crate::b::*;
         fn f() { inner::g(); }
         //- /b/mod.rs
         pub mod inner; pub use crate::c::*;
         //- /b/inner.rs
         pub fn g() {}
         //- /c.rs
         pub struct C;
         ",
        &["a: b b::inner", "b: c"],
    );
    // Paths in code, in types, in macros and in functions.
    check_uses(
        "//- /lib.rs
         mod a; mod b; mod c; mod d; mod e;
         fn f() { a::f() }
         //- /a.rs
         pub fn f() -> super::b::B { crate::c::make::<crate::d::D>() }
         //- /b.rs
         fn g() { println!(\"{}\", crate::e::text(1)); use crate::c; }
         pub struct B;
         //- /c.rs
         //- /d.rs
         impl From<super::b::B> for D {}
         //- /e.rs
         pub(in crate::a) fn text() {}
         ",
        &["crate: a", "a: b c d", "b: c e", "d: b"],
    );
}

#[test]
fn a_name_that_another_module_passes_on_leads_to_its_origin() {
    check_uses(
        "//- /lib.rs
         mod a; mod b; pub use b::deep::Thing; use b::deep as shortcut;
         pub const LIMIT: u32 = 1;
         //- /a.rs
         use crate::Thing; use super::shortcut::other; use crate::LIMIT;
         //- /b.rs
         pub mod deep; pub use self::deep::Thing;
         //- /b/deep.rs
         use super::Kept; use crate::b::Thing as Me;
         pub struct Thing; pub fn other() {}
         ",
        &[
            "crate: b::deep",
            "a: crate b::deep",
            "b: b::deep",
            "b::deep: b",
        ],
    );
}

#[test]
fn what_only_tests_use_is_left_out() {
    check_uses(
        "//- /lib.rs
         mod a; mod b; #[cfg(test)] mod testing;
         //- /a.rs
         #[cfg(test)] use crate::b::B;
         #[cfg(not(test))] use crate::b::Real;
         #[cfg(test)] mod tests { use crate::testing::T; }
         #[test] fn t() { crate::b::f() }
         //- /b.rs
         #[cfg(all(test, unix))] use crate::a::A;
         pub struct Real;
         struct S;
         impl S { #[cfg(test)] fn t() { crate::a::f() } }
         ",
        &["a: b"],
    );
}

/// Checks which circles are found that are not allowed.
#[track_caller]
fn check_circles(fixture: &str, expected: &[&str]) {
    let found: Vec<String> = modules(fixture)
        .circles()
        .iter()
        .map(|c| shown(c))
        .collect();
    assert_eq!(found, expected, "{fixture}");
}

#[test]
fn a_circle_is_allowed_between_a_module_and_its_children() {
    check_circles(
        "//- /lib.rs
         mod room;
         //- /room/mod.rs
         mod a; mod b; use a::A; pub struct Room;
         //- /room/a.rs
         use super::{Room, b::B}; pub struct A;
         //- /room/b.rs
         use super::a::A; pub struct B;
         ",
        &[],
    );
    // Not with grandchildren, not with a neighbour, and not between the rooms of a crate.
    check_circles(
        "//- /lib.rs
         mod room;
         //- /room/mod.rs
         mod a; use a::deep::A; pub struct Room;
         //- /room/a.rs
         pub mod deep;
         //- /room/a/deep.rs
         use crate::room::Room; pub struct A;
         ",
        &["room, room::a::deep"],
    );
    check_circles(
        "//- /lib.rs
         mod a; mod b; mod c; pub use c::C;
         //- /a.rs
         use crate::b::B; pub struct A;
         //- /b.rs
         use crate::a::A; pub struct B; use crate::C;
         //- /c.rs
         pub struct C;
         ",
        &["a, b"],
    );
    // The root's own items are a room like any other.
    check_circles(
        "//- /lib.rs
         mod a; use a::A; pub struct Root;
         //- /a.rs
         use crate::Root; pub struct A;
         ",
        &["crate, a"],
    );
}
