//! The routes of the server, read from the sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};
use syn::{Expr, ExprCall, ExprMethodCall, Local, Pat, visit::Visit};

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// Method and path of a route.
pub(crate) type Route = (String, String);

/// Every route that a file below `host/src/http` adds to a router.
pub(crate) fn of_sources() -> BTreeSet<Route> {
    let mut routes = BTreeSet::new();
    for file in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http")) {
        let text = fs::read_to_string(&file).expect("readable");
        let source = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut collector = Collector::default();
        collector.visit_file(&source);
        routes.extend(collector.routes);
    }
    routes
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

#[derive(Default)]
struct Collector {
    routes: Vec<Route>,
    /// Variables of the function that hold handlers, with their methods.
    variables: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Visit<'a> for Collector {
    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        self.variables.clear();
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_local(&mut self, local: &'a Local) {
        if let (Pat::Ident(name), Some(init)) = (&local.pat, &local.init) {
            let methods = self.methods(&init.expr);
            self.variables.insert(name.ident.to_string(), methods);
        }
        syn::visit::visit_local(self, local);
    }

    fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
        if call.method == "route"
            && let Some(Expr::Lit(path)) = call.args.first()
            && let syn::Lit::Str(path) = &path.lit
        {
            let methods = self.methods(&call.args[1]);
            assert!(!methods.is_empty(), "no method of {} is seen", path.value());
            self.routes.extend(methods.into_iter().map(|method| (method, path.value())));
        }
        syn::visit::visit_expr_method_call(self, call);
    }
}

impl Collector {
    fn methods(&self, expression: &Expr) -> BTreeSet<String> {
        struct Methods<'a>(&'a Collector, BTreeSet<String>);
        impl Methods<'_> {
            fn add(&mut self, name: &syn::Ident) {
                let name = name.to_string();
                if METHODS.contains(&name.as_str()) {
                    self.1.insert(name);
                } else if let Some(known) = self.0.variables.get(&name) {
                    self.1.extend(known.iter().cloned());
                }
            }
        }
        impl<'a> Visit<'a> for Methods<'_> {
            fn visit_expr_call(&mut self, call: &'a ExprCall) {
                if let Expr::Path(path) = &*call.func
                    && let Some(name) = path.path.get_ident()
                {
                    self.add(name);
                }
                call.args.iter().for_each(|argument| self.visit_expr(argument));
            }

            fn visit_expr_method_call(&mut self, call: &'a ExprMethodCall) {
                self.add(&call.method);
                syn::visit::visit_expr_method_call(self, call);
            }

            fn visit_expr_path(&mut self, path: &'a syn::ExprPath) {
                // A variable, not a handler that is called like a method.
                if let Some(name) = path.path.get_ident()
                    && self.0.variables.contains_key(&name.to_string())
                {
                    self.add(name);
                }
            }
        }
        let mut methods = Methods(self, BTreeSet::new());
        methods.visit_expr(expression);
        methods.1
    }
}
