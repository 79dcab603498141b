//! Polynomials over the rows of a domain, as a graph.
//!
//! Invariant: equal nodes are one node, and the operands of a node come before it. So the nodes, in their order, are a
//! program in which nothing is computed twice.

use ff::PrimeField;
use std::collections::HashMap;

/// A node of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub(super) u32);

/// A constant of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Constant(pub(super) u32);

/// What a node computes in every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Constant(Constant),
    /// The value of a column, this number of rows of the circuit further on.
    Column {
        column: u32,
        rotation: i32,
    },
    /// The point of the domain that belongs to the row.
    Point,
    Add(Value, Value),
    Sub(Value, Value),
    Mul(Value, Value),
    Square(Value),
    /// The constant plus the value.
    Plus(Constant, Value),
    /// The constant minus the value.
    Minus(Constant, Value),
    /// The constant times the value.
    Scale(Constant, Value),
    /// The first value times the constant, plus the second value: one step of Horner's rule.
    Fold(Value, Constant, Value),
}

impl Node {
    pub(super) fn operands(&self) -> impl Iterator<Item = Value> + use<> {
        let (first, second) = match *self {
            Self::Constant(_) | Self::Column { .. } | Self::Point => (None, None),
            Self::Square(a) | Self::Plus(_, a) | Self::Minus(_, a) | Self::Scale(_, a) => (Some(a), None),
            Self::Add(a, b) | Self::Sub(a, b) | Self::Mul(a, b) | Self::Fold(a, _, b) => (Some(a), Some(b)),
        };
        first.into_iter().chain(second)
    }
}

/// A graph of polynomials that share what they have in common.
#[derive(Debug)]
pub struct Graph<F> {
    pub(super) nodes: Vec<Node>,
    known_nodes: HashMap<Node, Value>,
    pub(super) constants: Vec<F>,
    /// Constants by their bytes.
    known_constants: HashMap<Vec<u8>, Constant>,
}

impl<F: PrimeField> Default for Graph<F> {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            known_nodes: HashMap::new(),
            constants: Vec::new(),
            known_constants: HashMap::new(),
        }
    }
}

impl<F: PrimeField> Graph<F> {
    /// Returns a value that is the same in every row.
    pub fn constant(&mut self, value: F) -> Value {
        let constant = self.intern(value);
        self.node(Node::Constant(constant))
    }

    /// Returns a column, `rotation` rows of the circuit further on.
    pub fn column(&mut self, column: u32, rotation: i32) -> Value {
        self.node(Node::Column { column, rotation })
    }

    /// Returns the point of the domain that belongs to each row: the polynomial `X`.
    pub fn point(&mut self) -> Value {
        self.node(Node::Point)
    }

    /// Returns `a + b`.
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        match (self.node_of(a), self.node_of(b)) {
            (Node::Constant(a), _) => self.plus(self.of(a), b),
            (_, Node::Constant(b)) => self.plus(self.of(b), a),
            // Differences are sums with a negation, as they arrive.
            (_, Node::Minus(zero, b)) if self.is_zero(zero) => self.sub(a, b),
            (Node::Minus(zero, a), _) if self.is_zero(zero) => self.sub(b, a),
            _ => self.node(Node::Add(a.min(b), a.max(b))),
        }
    }

    /// Returns `a - b`.
    pub fn sub(&mut self, a: Value, b: Value) -> Value {
        match (self.node_of(a), self.node_of(b)) {
            _ if a == b => self.constant(F::ZERO),
            (Node::Constant(a), _) => self.minus(self.of(a), b),
            (_, Node::Constant(b)) => self.plus(-self.of(b), a),
            _ => self.node(Node::Sub(a, b)),
        }
    }

    /// Returns `a * b`.
    pub fn mul(&mut self, a: Value, b: Value) -> Value {
        match (self.node_of(a), self.node_of(b)) {
            (Node::Constant(a), _) => self.scale(self.of(a), b),
            (_, Node::Constant(b)) => self.scale(self.of(b), a),
            _ if a == b => self.node(Node::Square(a)),
            _ => self.node(Node::Mul(a.min(b), a.max(b))),
        }
    }

    /// Returns `factor * value`.
    pub fn scale(&mut self, factor: F, value: Value) -> Value {
        if factor == F::ZERO {
            return self.constant(F::ZERO);
        }
        if factor == F::ONE {
            return value;
        }
        match self.node_of(value) {
            Node::Constant(value) => self.constant(factor * self.of(value)),
            Node::Scale(inner, value) => self.scale(factor * self.of(inner), value),
            _ if factor == -F::ONE => self.minus(F::ZERO, value),
            // An addition takes less time than a multiplication.
            _ if factor == F::ONE.double() => self.node(Node::Add(value, value)),
            _ => {
                let factor = self.intern(factor);
                self.node(Node::Scale(factor, value))
            }
        }
    }

    /// Returns `sum * base + term`.
    pub fn fold(&mut self, sum: Value, base: F, term: Value) -> Value {
        match self.node_of(sum) {
            Node::Constant(sum) => self.plus(self.of(sum) * base, term),
            _ if base == F::ZERO => term,
            _ if base == F::ONE => self.add(sum, term),
            _ => {
                let base = self.intern(base);
                self.node(Node::Fold(sum, base, term))
            }
        }
    }

    /// Folds terms at `base` by Horner's rule, the first one having the highest power. Neighbours that have a factor in
    /// common, such as the constraints of a gate its selector, are folded without it and multiplied once.
    pub fn fold_all(&mut self, terms: &[Value], base: F) -> Value {
        let zero = self.constant(F::ZERO);
        let (mut sum, mut left) = (zero, terms);
        while let [first, ..] = left {
            let (factor, cofactors) = self.longest_run(left);
            if let (Some(factor), [_, _, ..]) = (factor, cofactors.as_slice()) {
                let inner = cofactors.iter().fold(zero, |inner, cofactor| self.fold(inner, base, *cofactor));
                let product = self.mul(factor, inner);
                sum = self.fold(sum, base.pow_vartime([cofactors.len() as u64]), product);
                left = &left[cofactors.len()..];
            } else {
                sum = self.fold(sum, base, *first);
                left = &left[1..];
            }
        }
        sum
    }

    /// Returns the factor of the first term that the longest run of terms from the first one on share, and these terms
    /// without it.
    fn longest_run(&self, terms: &[Value]) -> (Option<Value>, Vec<Value>) {
        let factors = |term: &Value| match self.node_of(*term) {
            Node::Mul(a, b) => Some([(a, b), (b, a)]),
            _ => None,
        };
        let run = |factor: Value| -> Vec<Value> {
            let without = |term| factors(term)?.into_iter().find(|(a, _)| *a == factor).map(|(_, b)| b);
            terms.iter().map_while(without).collect()
        };
        let runs = terms.first().and_then(factors).into_iter().flatten();
        let longest = runs.map(|(factor, _)| (factor, run(factor))).max_by_key(|(_, run)| run.len());
        longest.map_or((None, Vec::new()), |(factor, run)| (Some(factor), run))
    }

    fn plus(&mut self, summand: F, value: Value) -> Value {
        match self.node_of(value) {
            _ if summand == F::ZERO => value,
            Node::Constant(value) => self.constant(summand + self.of(value)),
            Node::Plus(inner, value) => self.plus(summand + self.of(inner), value),
            Node::Minus(inner, value) => self.minus(summand + self.of(inner), value),
            _ => {
                let summand = self.intern(summand);
                self.node(Node::Plus(summand, value))
            }
        }
    }

    fn minus(&mut self, minuend: F, value: Value) -> Value {
        match self.node_of(value) {
            Node::Constant(value) => self.constant(minuend - self.of(value)),
            Node::Plus(inner, value) => self.minus(minuend - self.of(inner), value),
            Node::Minus(inner, value) => self.plus(minuend - self.of(inner), value),
            _ => {
                let minuend = self.intern(minuend);
                self.node(Node::Minus(minuend, value))
            }
        }
    }

    fn node(&mut self, node: Node) -> Value {
        *self.known_nodes.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            Value(u32::try_from(self.nodes.len() - 1).expect("fewer nodes than bytes of memory"))
        })
    }

    fn intern(&mut self, value: F) -> Constant {
        *self.known_constants.entry(value.to_repr().as_ref().to_vec()).or_insert_with(|| {
            self.constants.push(value);
            Constant(u32::try_from(self.constants.len() - 1).expect("fewer constants than bytes of memory"))
        })
    }

    fn node_of(&self, value: Value) -> Node {
        self.nodes[value.0 as usize]
    }

    fn of(&self, constant: Constant) -> F {
        self.constants[constant.0 as usize]
    }

    fn is_zero(&self, constant: Constant) -> bool {
        self.of(constant) == F::ZERO
    }
}
