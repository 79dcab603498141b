//! The structure of the sources: imports run one way, no circle between files, files stay short.
//!
//! The tests read the sources with `syn`: `use` items and paths in code, tests left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};
use syn::{Item, UseTree, visit::Visit};

/// Rooms of the host, from the top down. A file may import from its own room and from those below it.
const ROOMS: [&str; 21] = [
    "main",
    "cli",
    "http",
    "webhooks",
    "worker",
    "circuits",
    "subprocess",
    "config",
    "access",
    "jobs",
    "dispatch",
    "lanes",
    "service",
    "seams",
    "telemetry",
    "instance",
    "witness",
    "memory",
    "policy",
    "sandbox",
    "ids",
];

/// Most lines of a source file.
const LINES_MAX: usize = 350;

/// A path within a crate, as segments after `crate`.
type ModulePath = Vec<String>;

/// The sources of one crate.
struct Sources {
    files: BTreeMap<ModulePath, PathBuf>,
    /// What each module's file imports: the path, and whether it is only re-exported.
    imports: BTreeMap<ModulePath, Vec<(ModulePath, Visibility)>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visibility {
    Used,
    Reexported,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|ident| ident == "test")
    })
}

/// Collects the imports of one file.
struct Collector {
    module: ModulePath,
    imports: Vec<(ModulePath, Visibility)>,
}

impl Collector {
    /// Makes a path absolute; `None` for paths into other crates.
    fn absolute(&self, segments: &[String]) -> Option<ModulePath> {
        match segments.first()?.as_str() {
            "crate" => Some(segments[1..].to_vec()),
            "self" => Some([&self.module, &segments[1..]].concat()),
            "super" => {
                let ups = segments.iter().take_while(|segment| *segment == "super").count();
                let parent = self.module.len().checked_sub(ups)?;
                Some([&self.module[..parent], &segments[ups..]].concat())
            }
            _ => None,
        }
    }

    fn add(&mut self, segments: &[String], visibility: Visibility) {
        // Modules of `mod.rs` and `lib.rs` are named without `self`.
        let relative = [&["self".to_owned()], segments].concat();
        for segments in [segments, relative.as_slice()] {
            if let Some(path) = self.absolute(segments) {
                self.imports.push((path, visibility));
            }
        }
    }

    fn tree(&mut self, tree: &UseTree, prefix: &[String], visibility: Visibility) {
        let with = |ident: &syn::Ident| [prefix, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident), visibility),
            UseTree::Name(name) if name.ident == "self" => self.add(prefix, visibility),
            UseTree::Name(name) => self.add(&with(&name.ident), visibility),
            UseTree::Rename(rename) => self.add(&with(&rename.ident), visibility),
            UseTree::Glob(_) => self.add(prefix, visibility),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item, prefix, visibility)),
        }
    }
}

impl<'a> Visit<'a> for Collector {
    fn visit_item(&mut self, item: &'a Item) {
        let attributes = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if !is_test(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        let visibility = match item.vis {
            syn::Visibility::Inherited => Visibility::Used,
            _ => Visibility::Reexported,
        };
        self.tree(&item.tree, &[], visibility);
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
            syn::visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 && ["crate", "super", "self"].contains(&segments[0].as_str()) {
            self.add(&segments, Visibility::Used);
        }
        syn::visit::visit_path(self, path);
    }
}

impl Sources {
    fn read(dir: &str) -> Self {
        let dir = root().join(dir);
        let mut sources = Self { files: BTreeMap::new(), imports: BTreeMap::new() };
        for file in rust_files(&dir) {
            let relative = file.strip_prefix(&dir).expect("below").with_extension("");
            let mut module: ModulePath =
                relative.iter().map(|segment| segment.to_str().expect("UTF-8").to_owned()).collect();
            // The tests of a room are a file of their own.
            if module.last().is_some_and(|last| last == "tests") {
                continue;
            }
            if module.last().is_some_and(|last| ["mod", "lib"].contains(&last.as_str())) {
                module.pop();
            }
            let text = fs::read_to_string(&file).expect("readable");
            let mut collector = Collector { module: module.clone(), imports: Vec::new() };
            collector.visit_file(
                &syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display())),
            );
            sources.files.insert(module.clone(), file);
            sources.imports.insert(module, collector.imports);
        }
        sources
    }

    /// The module whose file defines what a path names, through re-exports.
    fn resolve(&self, path: &[String]) -> Option<ModulePath> {
        let mut path = path.to_vec();
        // A re-export leads to another path, which may lead to another one.
        for _ in 0..8 {
            let module = (0..=path.len()).rev().find(|len| self.files.contains_key(&path[..*len]))?;
            let Some(name) = path.get(module) else { return Some(path) };
            let reexport = self.imports[&path[..module]].iter().find(|(target, visibility)| {
                *visibility == Visibility::Reexported && target.last() == Some(name) && *target != path
            });
            match reexport {
                Some((target, _)) if *self.resolve_module(target) != path[..module] => {
                    path.clone_from(target)
                }
                _ => return Some(path[..module].to_vec()),
            }
        }
        None
    }

    fn resolve_module<'a>(&self, path: &'a [String]) -> &'a [String] {
        let len = (0..=path.len()).rev().find(|len| self.files.contains_key(&path[..*len])).unwrap_or(0);
        &path[..len]
    }

    /// Which file uses which: by module.
    fn edges(&self) -> BTreeMap<&ModulePath, BTreeSet<ModulePath>> {
        let edges = self.imports.iter().map(|(module, imports)| {
            let used = imports.iter().filter(|(_, visibility)| *visibility == Visibility::Used);
            let targets = used.filter_map(|(path, _)| self.resolve(path));
            // The root of a crate only declares rooms, and every path passes through it.
            (module, targets.filter(|target| target != module && !target.is_empty()).collect())
        });
        edges.collect()
    }

    /// A circle of modules, if there is one.
    fn circle(&self) -> Option<Vec<String>> {
        let edges = self.edges();
        let mut done = BTreeSet::new();
        for start in edges.keys() {
            let mut path = Vec::new();
            if let Some(circle) = visit(start, &edges, &mut done, &mut path) {
                return Some(circle);
            }
        }
        None
    }
}

fn visit<'a>(
    module: &'a ModulePath,
    edges: &'a BTreeMap<&ModulePath, BTreeSet<ModulePath>>,
    done: &mut BTreeSet<&'a ModulePath>,
    path: &mut Vec<&'a ModulePath>,
) -> Option<Vec<String>> {
    if let Some(at) = path.iter().position(|known| *known == module) {
        return Some(path[at..].iter().chain([&module]).map(|module| module.join("::")).collect());
    }
    if done.contains(module) {
        return None;
    }
    path.push(module);
    for target in &edges[module] {
        if let Some(circle) = visit(target, edges, done, path) {
            return Some(circle);
        }
    }
    path.pop();
    done.insert(module);
    None
}

#[test]
fn imports_of_the_host_run_from_the_top_down() {
    let sources = Sources::read("host/src");
    let rank = |module: &ModulePath| {
        let room = module.first()?;
        Some(
            ROOMS.iter().position(|known| known == room).unwrap_or_else(|| panic!("no room {room} in ROOMS")),
        )
    };
    let mut edges = 0;
    for (module, targets) in sources.edges() {
        for target in targets {
            edges += 1;
            assert!(
                rank(module) <= rank(&target),
                "{} imports {}, which is above it",
                module.join("::"),
                target.join("::")
            );
        }
    }
    assert!(edges > 200, "only {edges} imports were found: the test does not see them any more");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for (dir, known) in [("host/src", ("dispatch", "lanes::pool")), ("snapshot/src", ("native", "check"))] {
        let sources = Sources::read(dir);
        let split = |path: &str| path.split("::").map(str::to_owned).collect::<ModulePath>();
        let edges = sources.edges();
        assert!(edges[&split(known.0)].contains(&split(known.1)), "{known:?} is not seen");
        assert_eq!(sources.circle(), None, "{dir}");
    }
}

#[test]
fn snapshot_and_guests_do_not_know_the_host() {
    for dir in ["snapshot", "guest"] {
        for file in rust_files(&root().join(dir)) {
            let text = fs::read_to_string(&file).expect("readable");
            assert!(!text.contains("snapback_host"), "{}", file.display());
        }
    }
    for file in rust_files(&root().join("host/src")) {
        let text = fs::read_to_string(&file).expect("readable");
        let code = text.split("#[cfg(test)]").next().expect("the code before the tests");
        assert!(!code.contains("snapback_guest_") && !code.contains("halo2_proofs"), "{}", file.display());
    }
    for file in rust_files(&root().join("host/src/policy")) {
        let text = fs::read_to_string(&file).expect("readable");
        let code = text.split("#[cfg(test)]").next().expect("the code before the tests");
        let is_used = |word: &str| code.contains(word);
        assert!(!is_used("wasmtime") && !is_used("Instant::now"), "{}", file.display());
    }
}

#[test]
fn files_are_short() {
    let rooms = ["host/src", "snapshot", "guest", "tests", "benches"];
    for file in rooms.iter().flat_map(|room| rust_files(&root().join(room))) {
        if file.components().any(|component| component.as_os_str() == "target") {
            continue;
        }
        let lines = fs::read_to_string(&file).expect("readable").lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, more than {LINES_MAX}", file.display());
    }
}
