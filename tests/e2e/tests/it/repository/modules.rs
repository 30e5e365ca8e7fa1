//! The modules of a crate as its source declares them, and the paths that each one names.
//!
//! Code that only tests compile is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, ItemUse, UseTree, Visibility, visit::Visit};

/// A path as it is written, `crate`, `self` and `super` included.
pub(super) type Segments = Vec<String>;

/// The module tree of one crate. Keys are paths from the crate's root, which is the empty path.
#[derive(Debug, Default)]
pub(super) struct Modules(pub(super) BTreeMap<Segments, Module>);

/// One module, whether it has a file of its own or is written inside its parent's.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// The file that holds it.
    pub(super) file: PathBuf,
    /// Names that `use` brings into the module, each with the path it stands for.
    pub(super) imports: BTreeMap<String, Segments>,
    /// Paths whose names a `*` brings into the module.
    pub(super) globs: Vec<Segments>,
    /// Names of the items that the module declares, modules left out.
    pub(super) items: BTreeSet<String>,
    /// Every path that the module names, in `use` or in code.
    pub(super) paths: BTreeSet<Segments>,
}

impl Modules {
    /// Reads the crate whose root is the file `root`; `read` answers the text of a file that is there.
    ///
    /// # Panics
    ///
    /// When a declared module has no file, or a file is not Rust.
    pub(super) fn read(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut modules = Self::default();
        let folder = root.parent().unwrap();
        modules.add_file(&[], root, folder, read);
        modules
    }

    /// The files that hold the modules.
    pub(super) fn files(&self) -> BTreeSet<&Path> {
        self.0.values().map(|module| &*module.file).collect()
    }

    fn add_file(
        &mut self,
        name: &[String],
        file: &Path,
        children: &Path,
        read: &dyn Fn(&Path) -> Option<String>,
    ) {
        let text = read(file).unwrap_or_else(|| panic!("{}: no such file", file.display()));
        let parsed =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if !is_for_tests(&parsed.attrs) {
            self.add(name, &parsed.items, file, children, read);
        }
    }

    /// Adds a module with these items; the files of its children lie in the folder `children`.
    fn add(
        &mut self,
        name: &[String],
        items: &[Item],
        file: &Path,
        children: &Path,
        read: &dyn Fn(&Path) -> Option<String>,
    ) {
        let mut reader = ModuleReader::default();
        items.iter().for_each(|item| reader.visit_item(item));
        reader.module.file = file.to_owned();
        self.0.insert(name.to_vec(), reader.module);
        for item in items {
            let Item::Mod(child) = item else { continue };
            if is_for_tests(&child.attrs) {
                continue;
            }
            let short = child.ident.to_string();
            let path = [name, std::slice::from_ref(&short)].concat();
            let folder = children.join(&short);
            if let Some((_, items)) = &child.content {
                self.add(&path, items, file, &folder, read);
            } else if let Some(named) = path_attribute(&child.attrs) {
                let file = normalized(&file.parent().unwrap().join(named));
                self.add_file(&path, &file, file.parent().unwrap(), read);
            } else {
                let beside = folder.with_extension("rs");
                let inside = folder.join("mod.rs");
                let found = if read(&beside).is_some() {
                    beside
                } else {
                    inside
                };
                self.add_file(&path, &found, &folder, read);
            }
        }
    }
}

/// Reads the names and paths of one module; its child modules are read on their own.
#[derive(Default)]
struct ModuleReader {
    module: Module,
}

impl ModuleReader {
    fn add_use(&mut self, before: &[String], tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                let path_so_far = [before, &[path.ident.to_string()]].concat();
                self.add_use(&path_so_far, &path.tree);
            }
            UseTree::Name(name) => self.add_import(before, &name.ident, &name.ident),
            UseTree::Rename(rename) => self.add_import(before, &rename.ident, &rename.rename),
            UseTree::Glob(_) => {
                self.module.globs.push(before.to_vec());
                self.module.paths.insert(before.to_vec());
            }
            UseTree::Group(group) => {
                group
                    .items
                    .iter()
                    .for_each(|tree| self.add_use(before, tree));
            }
        }
    }

    fn add_import(&mut self, before: &[String], name: &syn::Ident, known_as: &syn::Ident) {
        // `use a::{self}` and `use a::{self as b}` mean `a`.
        let (path, known_as) = match before.last() {
            Some(last) if name == "self" => {
                let renamed = known_as != "self";
                let known_as = if renamed {
                    known_as.to_string()
                } else {
                    last.clone()
                };
                (before.to_vec(), known_as)
            }
            _ => ([before, &[name.to_string()]].concat(), known_as.to_string()),
        };
        self.module.paths.insert(path.clone());
        self.module.imports.insert(known_as, path);
    }

    /// Adds what looks like a path in the arguments of a macro.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Segments = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.add_path(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    self.add_path(&mut path);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.add_path(&mut path);
    }

    fn add_path(&mut self, path: &mut Segments) {
        if path.len() > 1 {
            self.module.paths.insert(std::mem::take(path));
        }
        path.clear();
    }
}

impl Visit<'_> for ModuleReader {
    fn visit_item(&mut self, item: &Item) {
        let (attributes, name) = attributes_and_name(item);
        if is_for_tests(attributes) {
            return;
        }
        self.module.items.extend(name);
        if !matches!(item, Item::Mod(_)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        // `use ::name` always means another crate.
        if item.leading_colon.is_none() {
            self.add_use(&[], &item.tree);
        }
    }

    fn visit_impl_item(&mut self, item: &syn::ImplItem) {
        let for_tests = match item {
            syn::ImplItem::Fn(function) => is_for_tests(&function.attrs),
            syn::ImplItem::Const(constant) => is_for_tests(&constant.attrs),
            _ => false,
        };
        if !for_tests {
            syn::visit::visit_impl_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let names = path
                .segments
                .iter()
                .map(|segment| segment.ident.to_string());
            self.module.paths.insert(names.collect());
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &syn::Macro) {
        self.visit_path(&call.path);
        self.add_tokens(call.tokens.clone());
    }

    // `pub(in crate::a)` and derives name no module that the code uses.
    fn visit_visibility(&mut self, _: &Visibility) {}
    fn visit_attribute(&mut self, _: &Attribute) {}
}

/// The attributes of an item, and its name if it is one that a path can lead to.
fn attributes_and_name(item: &Item) -> (&[Attribute], Option<String>) {
    let (attributes, name) = match item {
        Item::Const(item) => (&item.attrs, Some(&item.ident)),
        Item::Enum(item) => (&item.attrs, Some(&item.ident)),
        Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
        Item::Static(item) => (&item.attrs, Some(&item.ident)),
        Item::Struct(item) => (&item.attrs, Some(&item.ident)),
        Item::Trait(item) => (&item.attrs, Some(&item.ident)),
        Item::TraitAlias(item) => (&item.attrs, Some(&item.ident)),
        Item::Type(item) => (&item.attrs, Some(&item.ident)),
        Item::Union(item) => (&item.attrs, Some(&item.ident)),
        Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
        Item::Impl(item) => (&item.attrs, None),
        Item::Mod(item) => (&item.attrs, None),
        Item::Use(item) => (&item.attrs, None),
        Item::ExternCrate(item) => (&item.attrs, None),
        Item::ForeignMod(item) => (&item.attrs, None),
        _ => return (&[], None),
    };
    (attributes, name.map(ToString::to_string))
}

/// Whether only tests compile what has these attributes.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            let words = || condition.split(|c: char| !c.is_alphanumeric() && c != '_');
            words().any(|word| word == "test") && words().all(|word| word != "not")
        }
        _ => false,
    })
}

/// The file that `#[path = "…"]` names.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else {
            return None;
        };
        let syn::Expr::Lit(value) = &pair.value else {
            return None;
        };
        let syn::Lit::Str(text) = &value.lit else {
            return None;
        };
        pair.path.is_ident("path").then(|| text.value())
    })
}

/// A path without `..` in it.
fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
    }
    normal
}
